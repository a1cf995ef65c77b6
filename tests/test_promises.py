"""SECURITY.md and docs/reliability.md promise only what a test holds."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ("SECURITY.md", "docs/reliability.md")
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def names_in(path: Path) -> set[str]:
    """Return the names of the tests in a file."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


def promises(page: str) -> list[list[str]]:
    """Return the cells of each row of the tables of promises."""
    tables = (ROOT / page).read_text().split("| promise | tested by |\n|---|---|\n")[1:]
    lines = [table.partition("\n\n")[0].splitlines() for table in tables]
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for table in lines
        for line in table
    ]


@pytest.mark.parametrize("page", PAGES)
def test_the_tests_that_are_named_exist(page):
    named = NAMED.findall((ROOT / page).read_text())
    assert named
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (ROOT / file).exists() or name not in names_in(ROOT / file)
    ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_each_promise_names_its_test(page):
    rows = promises(page)
    assert rows
    assert [row for row in rows if len(row) != 2] == []
    assert [row[0] for row in rows if not NAMED.search(row[1])] == []
