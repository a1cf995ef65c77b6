"""Draw which folder of the package imports which, from the code itself.

    python -m benchmarks.imports

prints a Mermaid diagram; ARCHITECTURE.md shows it. An arrow is left out where a longer
way leads to the same place.
"""

import ast
from pathlib import Path

import keras_dae

PACKAGE = Path(keras_dae.__file__).parent
EVERYWHERE = {"errors", "system"}  # imported by all, so not drawn
PARTS = sorted(
    {
        path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for path in PACKAGE.rglob("*.py")
    }
    - {"__init__", "__main__", "cli", *EVERYWHERE}
)


def imported(path: Path) -> set[str]:
    """Return the parts of the package that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "keras_dae"
        ):
            names = node.module.split(".")[1:2] or [one.name for one in node.names]
            found |= set(names) & set(PARTS)
    return found


def arrows() -> dict[str, set[str]]:
    """Return each part with the parts that it imports, without shortcuts."""
    graph: dict[str, set[str]] = {part: set() for part in PARTS}
    for path in PACKAGE.rglob("*.py"):
        part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if part in graph:
            graph[part] |= imported(path) - {part}
    behind = {part: reached(graph, part) for part in PARTS}
    return {
        part: {one for one in found if not any(one in behind[o] for o in found)}
        for part, found in graph.items()
    }


def reached(graph: dict[str, set[str]], part: str) -> set[str]:
    """Return all that a part imports, directly or by way of others."""
    seen: set[str] = set()
    waiting = list(graph[part])
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.add(one)
            waiting += graph[one]
    return seen


def diagram() -> str:
    """Return the Mermaid diagram."""
    lines = [
        f"  {part} --> {one}"
        for part, found in arrows().items()
        for one in sorted(found)
    ]
    return "\n".join(["graph LR", *lines])


if __name__ == "__main__":
    print(diagram())
