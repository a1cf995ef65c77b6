"""How Sphinx builds the documentation: `make docs`.

The source folder is the repository, so that links between pages hold on GitHub and in
the built pages alike.
"""

import posixpath
import re

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

project = "keras_dae"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_gallery.gen_gallery",
]
include_patterns = [
    *("docs/*.md", "docs/gallery/*.rst", "*.md", "benchmarks/README.md"),
    *("artifacts/*.md", "artifacts/**/*.md"),
]
exclude_patterns = [".venv*", "build", "tests"]
root_doc = "docs/index"
html_show_copyright = False
html_theme = "alabaster"
myst_heading_anchors = 4
autodoc_member_order = "groupwise"
napoleon_use_ivar = True
default_role = "code"  # docstrings set names in single backticks
sphinx_gallery_conf = {
    "examples_dirs": "docs/examples",
    "gallery_dirs": "docs/gallery",  # made by the build, not committed
    "filename_pattern": r"\.py$",  # run all of them
    "within_subsection_order": "FileNameSortKey",
    "run_stale_examples": True,  # the package may have changed
    "capture_repr": (),
    "download_all_examples": False,
    "write_computation_times": False,
    "show_signature": False,
}


def add_contents(app: Sphinx, name: str, source: list[str]) -> None:
    """Make the contents: the pages in the order of the index, then the others."""
    if name == root_doc:
        linked = re.findall(r"\]\((\S+)\.md\)", source[0])
        pages = [posixpath.normpath(f"docs/{page}") for page in linked]
        others = sorted(app.env.found_docs - {*pages, root_doc})
        listed = "\n".join(f"/{page}" for page in [*pages, *others])
        source[0] += f"\n```{{toctree}}\n:hidden:\n{listed}\n```\n"


def link_examples(_app, _name: str, source: list[str]) -> None:
    """Turn links to the Python files of examples into links to their pages."""
    source[0] = re.sub(r"\(examples/(\w+)\.py\)", r"(gallery/\1.rst)", source[0])


def escape_stars(_app, _what, _name, _object, _options, lines: list[str]) -> None:
    """Keep the star of a shape such as `(n, *tile, C)`: docstrings have no emphasis."""
    lines[:] = [re.sub(r"(?<=[ (])\*(?=\w)", r"\\*", line) for line in lines]


def setup(app: Sphinx) -> None:
    """Register what this file adds; Sphinx calls it."""
    app.connect("source-read", add_contents)
    app.connect("source-read", link_examples)
    app.connect("autodoc-process-docstring", escape_stars)
    app.add_lexer("mermaid", TextLexer)  # GitHub draws it; here it stays text
