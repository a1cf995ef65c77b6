"""How many small faults, put into a module one at a time, its tests notice.

    python -m benchmarks.mutants [MODULE...]

Takes the faults from cosmic-ray for the modules of `mutants.toml`, prints a table and
writes `mutants.json`: mutants, caught, survived and the share caught of each module,
and every mutant that survived, with the reason where it changes nothing that a test
could see. Ends with 1 where a module stays below the floor.

Everything happens in a copy of the tree. A mutant's tests run in a fork of a pytest
that has loaded all but the module and its tests: that costs a tenth of starting anew.
"""

import json
import os
import re
import resource
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from difflib import unified_diff
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

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
PRELOADED = (
    *("PIL.Image", "numpy", "scipy.ndimage", "tifffile"),
    *("skimage.metrics.simple_metrics", "skimage.metrics._structural_similarity"),
)
os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"


def main() -> int:
    """Run the modules that were named, or all; write and print. Return the status."""
    settings = tomllib.loads((HERE / "mutants.toml").read_text())
    modules = settings["modules"]
    for name in PRELOADED:
        import_module(name)
    for name in sys.argv[1:] or modules:
        found = measured(name, modules[name], settings)
        # Read again, since another process may have measured another module meanwhile.
        kept = json.loads(OUT.read_text())["rows"] if OUT.exists() else []
        rows = {entry["module"]: entry for entry in [*kept, found]}
        shown = [rows[known] for known in modules if known in rows]
        written = {"versions": versions(), "rows": shown}
        OUT.write_text(json.dumps(written, indent=1) + "\n")
        print(table([found]).splitlines()[-1], flush=True)
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
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for part in COPIED:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            copy(ROOT / part, tree / part)
        source = tree / module["source"]
        for cached in source.parent.glob(f"__pycache__/{source.stem}.*"):
            cached.unlink()  # else it could pass for the mutant
        texts = [source.read_text(), *mutants(source, settings["left_out"])]
        forks = Forks(source, texts, settings["timeout"], tree / "passed.json")
        if not os.fork():
            run(tree, module["tests"], forks)
        os.wait()
        passed = json.loads(forks.out.read_text())
    if not passed[0]:
        raise SystemExit(f"The tests of {name} fail on the module as it stands.")
    survivors = [
        changed(texts[0], text)
        for text, alive in zip(texts[1:], passed[1:], strict=True)
        if alive
    ]
    return row(name, len(texts) - 1, survivors, module.get("equivalent", []))


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


class Forks:
    """A plugin of pytest: where it would collect, it forks once for each text.

    The fork goes on, collects and runs the tests on its text; the process itself notes
    which forks ended well, and ends.
    """

    def __init__(self, source: Path, texts: list[str], timeout: int, out: Path) -> None:
        self.source, self.texts, self.timeout, self.out = source, texts, timeout, out

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> None:
        """Fork for each text; return in the forks alone."""
        passed = []
        for text in self.texts:
            self.source.write_text(text)
            if not os.fork():
                # Seconds of computing: a busy machine catches no mutant.
                resource.setrlimit(resource.RLIMIT_CPU, (self.timeout, self.timeout))
                return
            passed.append(os.wait()[1] == 0)
        self.out.write_text(json.dumps(passed))
        os._exit(0)


def run(tree: Path, tests: list[str], plugin: Forks) -> NoReturn:
    """Run the tests of the tree in this process, quietly, and end it."""
    status = 1
    try:
        with open(os.devnull, "w") as nowhere:
            for stream in (1, 2):
                os.dup2(nowhere.fileno(), stream)
        os.chdir(tree)
        sys.path.insert(0, str(tree))
        sys.dont_write_bytecode = True
        options = ["-x", "-p", "no:cacheprovider", "-p", "no:faulthandler"]
        status = int(pytest.main([*options, *tests], plugins=[plugin]))
    finally:
        os._exit(status)


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
