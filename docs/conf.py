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
]
include_patterns = [
    *("docs/*.md", "*.md", "benchmarks/README.md"),
    *("artifacts/photographs.md", "artifacts/fast/*.md"),
    *("artifacts/paper/report.md", "artifacts/paper/choices.md"),
]
exclude_patterns = [".venv*", "build", "tests"]
root_doc = "docs/index"
html_theme = "alabaster"
myst_heading_anchors = 4
autodoc_member_order = "groupwise"
napoleon_use_ivar = True
default_role = "code"  # docstrings set names in single backticks


def add_contents(app: Sphinx, name: str, source: list[str]) -> None:
    """Make the contents: the pages in the order of the index, then the others."""
    if name == root_doc:
        linked = re.findall(r"\]\((\S+)\.md\)", source[0])
        pages = [posixpath.normpath(f"docs/{page}") for page in linked]
        others = sorted(app.env.found_docs - {*pages, root_doc})
        listed = "\n".join(f"/{page}" for page in [*pages, *others])
        source[0] += f"\n```{{toctree}}\n:hidden:\n{listed}\n```\n"


def escape_stars(_app, _what, _name, _object, _options, lines: list[str]) -> None:
    """Keep the star of a shape such as `(n, *tile, C)`: docstrings have no emphasis."""
    lines[:] = [re.sub(r"(?<=[ (])\*(?=\w)", r"\\*", line) for line in lines]


def setup(app: Sphinx) -> None:
    """Register what this file adds; Sphinx calls it."""
    app.connect("source-read", add_contents)
    app.connect("autodoc-process-docstring", escape_stars)
    app.add_lexer("mermaid", TextLexer)  # GitHub draws it; here it stays text
