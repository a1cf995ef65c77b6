"""Convert an example in the format of keras.io to a Jupyter notebook.

    python docs/keras_io/notebook.py docs/keras_io/denoising_done_right.py out.ipynb

Such an example is a Python file. Its first string is the header. Each further string at
the top level is a Markdown cell. The code between two strings is a code cell.
"""

import ast
import json
import sys
from pathlib import Path
from typing import Any

Cell = dict[str, Any]


def notebook(source: str) -> dict[str, Any]:
    """Return the notebook of an example, as JSON values (nbformat 4.4).

    Args:
        source: the text of the Python file.

    Raises:
        ValueError: the file does not begin with a header.
    """
    first, *others = ast.parse(source).body
    header = _text(first)
    if header is None or not header.startswith("Title: "):
        raise ValueError("The file must begin with a string that begins with 'Title:'.")
    lines, cells = source.splitlines(), [_markdown(_heading(header))]
    done = first.end_lineno or 0
    for node in others:
        if (text := _text(node)) is not None:
            cells += [*_code(lines[done : node.lineno - 1]), _markdown(text)]
            done = node.end_lineno or 0
    cells += _code(lines[done:])
    return {
        "cells": cells,
        "metadata": {
            "kernelspec": {
                "display_name": "Python 3",
                "language": "python",
                "name": "python3",
            }
        },
        "nbformat": 4,
        "nbformat_minor": 4,
    }


def _text(node: ast.stmt) -> str | None:
    """Return the text of a string that stands alone, or None."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        value = node.value.value
        return value.strip() if isinstance(value, str) else None
    return None


def _heading(header: str) -> str:
    """Return the header as Markdown: the title, then a line for each field."""
    fields = dict(line.split(": ", 1) for line in header.splitlines())
    title = fields.pop("Title")
    rows = [f"**{name}:** {value}<br>" for name, value in fields.items()]
    return "\n".join([f"# {title}", "", *rows])


def _markdown(text: str) -> Cell:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def _code(lines: list[str]) -> list[Cell]:
    """Return a code cell, or none where the lines are blank."""
    text = "\n".join(lines).strip("\n")
    if not text:
        return []
    cell = {"cell_type": "code", "execution_count": None, "metadata": {}}
    return [{**cell, "outputs": [], "source": text}]


def main(source: str, target: str) -> None:
    """Read one file and write the other."""
    found = notebook(Path(source).read_text())
    Path(target).write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("Usage: python docs/keras_io/notebook.py EXAMPLE.py NOTEBOOK.ipynb")
    main(*sys.argv[1:])
