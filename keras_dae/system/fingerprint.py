"""A hash of the code, so that saved results of other code are measured again."""

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
# Folders whose code affects the output of a denoiser or its measurement.
MEASURING = ("images", "models", "training/fast", "evaluation", "uncertainty", "study")
FILES = ("system/streams.py", "system/numerics.py")


@cache
def code_sha256() -> str:
    """Return a hash of the code that results depend on, 16 characters.

    Comments, docstrings and layout are ignored.
    """
    digest = hashlib.sha256()
    paths = [PACKAGE / name for name in FILES]
    for folder in MEASURING:
        paths += sorted((PACKAGE / folder).rglob("*.py"))
    for path in paths:
        digest.update(path.relative_to(PACKAGE).as_posix().encode())
        digest.update(_bare(path.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()[:16]


def _bare(source: str) -> str:
    """Return a program without comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (
            ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:]
    return ast.dump(tree)
