"""How many small faults, put into a module one at a time, its tests notice.

    python -m benchmarks.mutants [MODULE...]

Takes the faults from cosmic-ray for the modules of `mutants.toml`, prints a table and
writes `mutants.json`: mutants, caught, survived and the share caught of each module,
and every mutant that survived, with the reason where it changes nothing that a test
could see. Ends with 1 where a module stays below the floor.

Everything happens in a copy of the tree. A mutant's tests run in a fork of this
process, which has loaded what they need from elsewhere: that costs a tenth of starting
Python anew. So nothing of keras_dae may be loaded here.
"""

import json
import os
import re
import shutil
import signal
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import unified_diff
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db

HERE = Path(__file__).parent
ROOT = HERE.parent
OUT = HERE / "mutants.json"
COPIED = ("keras_dae", "tests", "pyproject.toml")
TOOLS = ("cosmic-ray", "pytest", "numpy", "scipy", "scikit-image")
# What the tests import; the plugins of pytest that happen to be installed stay out.
PRELOADED = ("PIL.Image", "numpy", "scipy.ndimage", "skimage.metrics", "tifffile")
os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"


def main() -> int:
    """Run the modules that were named, or all; write and print. Return the status."""
    settings = tomllib.loads((HERE / "mutants.toml").read_text())
    modules = settings["modules"]
    kept = json.loads(OUT.read_text())["rows"] if OUT.exists() else []
    rows = {entry["module"]: entry for entry in kept}
    for name in PRELOADED:
        import_module(name)
    for name in sys.argv[1:] or modules:
        rows[name] = measured(name, modules[name], settings)
        shown = [rows[known] for known in modules if known in rows]
        written = {"versions": versions(), "rows": shown}
        OUT.write_text(json.dumps(written, indent=1) + "\n")
        print(table([rows[name]]).splitlines()[-1], flush=True)
    print(table(shown))
    return int(any(entry["rate"] < settings["floor"] for entry in shown))


def versions() -> dict[str, str]:
    """Return the version of each tool that the figures depend on."""
    python = ".".join(map(str, sys.version_info[:3]))
    return {"python": python, **{name: version(name) for name in TOOLS}}


def measured(
    name: str, module: dict[str, Any], settings: dict[str, Any]
) -> dict[str, Any]:
    """Return the row of one module, its tests run once for each mutant."""
    survivors, count = [], 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for part in COPIED:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            copy(ROOT / part, tree / part)
        source = tree / module["source"]
        text = source.read_text()
        for cached in source.parent.glob(f"__pycache__/{source.stem}.*"):
            cached.unlink()  # else it could pass for the mutant
        if not passes(tree, module["tests"], settings["timeout"]):
            raise SystemExit(f"The tests of {name} fail on the module as it stands.")
        for mutant in mutants(source, settings["left_out"]):
            source.write_text(mutant)
            count += 1
            if passes(tree, module["tests"], settings["timeout"]):
                survivors.append(changed(text, mutant))
    return row(name, count, survivors, module.get("equivalent", []))


def mutants(source: Path, left_out: list[str]) -> Iterator[str]:
    """Yield the text of a module once with each fault of each operator."""
    text = source.read_text()
    listed = source.with_suffix(".sqlite")
    with use_db(listed, WorkDB.Mode.create) as kept:
        init([source], kept, {})
        items = [item.mutations[0] for item in kept.work_items]
    items.sort(key=lambda item: (item.start_pos, item.operator_name, item.occurrence))
    for item in items:
        if any(re.match(pattern, item.operator_name) for pattern in left_out):
            continue
        operator = get_operator(item.operator_name)(**item.operator_args)
        mutant = mutate_code(text, operator, item.occurrence)
        if mutant is None or mutant == text:
            raise SystemExit(f"No mutant of {source.name}: {item}.")
        yield mutant


def passes(tree: Path, tests: list[str], timeout: int) -> bool:
    """Return whether the tests pass in the tree, in a fork of this process."""
    child = os.fork()
    if not child:
        signal.alarm(timeout)  # ends the child where it does not end by itself
        with silent():
            os.chdir(tree)
            sys.path.insert(0, str(tree))
            sys.dont_write_bytecode = True
            options = ["-x", "-p", "no:cacheprovider", "-p", "no:faulthandler"]
            status = 1
            try:
                status = int(pytest.main([*options, *tests]))
            finally:
                os._exit(status)
    _, status = os.waitpid(child, 0)
    return status == 0


@contextmanager
def silent() -> Iterator[None]:
    """Send what this process prints nowhere."""
    with open(os.devnull, "w") as nowhere:
        for stream in (1, 2):
            os.dup2(nowhere.fileno(), stream)
        yield


def changed(text: str, mutant: str) -> tuple[str, str]:
    """Return the lines that differ, before and after."""
    lines = [*unified_diff(text.splitlines(), mutant.splitlines(), n=0)][3:]
    was, now = (
        " ".join(line[1:].strip() for line in lines if line.startswith(sign))
        for sign in "-+"
    )
    return was, now


def row(
    name: str,
    count: int,
    survivors: list[tuple[str, str]],
    equivalent: list[dict[str, str]],
) -> dict[str, Any]:
    """Return what became of the mutants of a module."""
    reasons = {
        (known["was"], now): known["why"]
        for known in equivalent
        for now in known["now"]
    }
    caught = count - len(survivors)
    return {
        "module": name,
        "mutants": count,
        "caught": caught,
        "survived": len(survivors),
        "rate": round(caught / count, 4),
        "survivors": [
            {"was": was, "now": now, "why": reasons.get((was, now))}
            for was, now in survivors
        ],
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| module | mutants | caught | survived | of them without effect | rate |"]
    lines.append("|---|---|---|---|---|---|")
    for entry in rows:
        known = sum(bool(survivor["why"]) for survivor in entry["survivors"])
        lines.append(
            f"| {entry['module']} | {entry['mutants']} | {entry['caught']} "
            f"| {entry['survived']} | {known} | {100 * entry['rate']:.1f} % |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
