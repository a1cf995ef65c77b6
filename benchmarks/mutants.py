"""How many small faults, put into a module one at a time, its tests notice.

    python -m benchmarks.mutants [MODULE...]

Takes the faults from cosmic-ray for the modules of `mutants.toml`, prints a table and
writes `mutants.json`: mutants, how many were run, caught and survived, the share caught
of each module, and every mutant that survived, with the reason where it changes nothing
that a test could see. Ends with 1 where a module stays below the floor or is
not done.

The order is drawn at random, and what a mutant came to is kept in `.mutants/`: a call
that was cut short (Ctrl-C) still writes what it found, and the next one goes on, as
long as module and tests are the same.

Everything happens in a copy of the tree. A mutant's tests run in a fork of a pytest
that has loaded all but the module and its tests: that costs a tenth of starting anew.
"""

import hashlib
import json
import os
import random
import re
import resource
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import suppress
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
KEPT = ROOT / ".mutants"
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
    short = (entry["run"] < entry["mutants"] for entry in shown)
    weak = (entry["rate"] < settings["floor"] for entry in shown)
    return int(any(short) or any(weak))


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
        text = source.read_text()
        faults = list(mutants(source, settings["left_out"]))
        random.Random(0).shuffle(faults)
        key = hashlib.sha256()
        for known in (text, *((tree / test).read_text() for test in module["tests"])):
            key.update(known.encode())
        KEPT.mkdir(exist_ok=True)
        kept = KEPT / f"{name}-{key.hexdigest()[:12]}.json"
        if not os.fork():
            run(tree, module["tests"], Forks(source, [text, *faults], settings, kept))
        with suppress(KeyboardInterrupt):
            os.wait()
        passed = json.loads(kept.read_text())
    if not passed[0]:
        raise SystemExit(f"The tests of {name} fail on the module as it stands.")
    survivors = [
        changed(text, fault)
        for fault, alive in zip(faults, passed[1:], strict=False)
        if alive
    ]
    counted = {"mutants": len(faults), "run": len(passed) - 1}
    return row(name, counted, survivors, module.get("equivalent", []))


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

    def __init__(
        self, source: Path, texts: list[str], settings: dict[str, Any], kept: Path
    ) -> None:
        self.source, self.texts, self.kept = source, texts, kept
        self.timeout = settings["timeout"]

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> None:
        """Fork for each text that is not done; return in the forks alone."""
        passed = json.loads(self.kept.read_text()) if self.kept.exists() else []
        for text in self.texts[len(passed) :]:
            self.source.write_text(text)
            if not os.fork():
                # Seconds of computing: a busy machine catches no mutant.
                resource.setrlimit(resource.RLIMIT_CPU, (self.timeout, self.timeout))
                return
            passed.append(os.wait()[1] == 0)
            self.kept.write_text(json.dumps(passed))
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
    counted: dict[str, int],
    survivors: list[tuple[str, str]],
    equivalent: list[dict[str, Any]],
) -> dict[str, Any]:
    """Return what became of the mutants of a module."""
    reasons = {
        (known["was"], now): known["why"]
        for known in equivalent
        for now in known["now"]
    }
    caught = counted["run"] - len(survivors)
    return {
        "module": name,
        **counted,
        "caught": caught,
        "survived": len(survivors),
        "rate": round(caught / max(1, counted["run"]), 6),
        "survivors": [
            {"was": was, "now": now, "why": reasons.get((was, now))}
            for was, now in sorted(survivors)
        ],
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    heads = "module | mutants | run | caught | survived | of them without effect | rate"
    lines = [f"| {heads} |", "|---" * 7 + "|"]
    for entry in rows:
        known = sum(bool(survivor["why"]) for survivor in entry["survivors"])
        lines.append(
            f"| {entry['module']} | {entry['mutants']} | {entry['run']} "
            f"| {entry['caught']} | {entry['survived']} | {known} "
            f"| {100 * entry['rate']:.1f} % |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
