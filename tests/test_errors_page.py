"""docs/errors.md quotes only sentences that the code says."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def shown(node):
    """Return a text of the code as a page shows it: `...` stands for each value."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(shown(part) or "..." for part in node.values)
    return None


def sentences():
    """Return the texts of the package that a person may be told."""
    trees = [ast.parse(p.read_text()) for p in (ROOT / "keras_dae").rglob("*.py")]
    found = {shown(node) for tree in trees for node in ast.walk(tree)}
    return {text for text in found if text and " " in text}


def quoted():
    """Return what the page says that a command prints."""
    page = (ROOT / "docs" / "errors.md").read_text()
    return re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)


def test_each_sentence_is_in_the_code():
    said = sentences()
    assert len(quoted()) >= 25
    assert [one for one in quoted() if not any(one in text for text in said)] == []


def test_a_value_is_shown_as_dots():
    (node,) = ast.parse('f"{out} exists; " "say so"').body
    assert shown(node.value) == "... exists; say so"


def test_another_sentence_is_not_in_the_code():
    assert not any("There is no model with such a name." in t for t in sentences())
