"""Faults at random moments of every command that writes; what was lost, what came back.

    python -m benchmarks.faults --out artifacts/faults.json

Signals are sent after a random share of the command's processor time, or at a random
one of its file operations; a full disk leaves a random part of the room that it needs.
Afterwards each file with its final name must be whole and in a state that it has in an
undisturbed run, the second call (train: `--resume`) must end in the very weights,
histories and figures of the undisturbed one, and no temporary file may be left. The
record is written after each moment, and a second call of the campaign goes on.
"""

import argparse
import gc
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

from benchmarks.faults.campaign import FAULTS, WRONG, Stage, strike
from benchmarks.faults.disk import Disk, enter
from benchmarks.faults.scenes import SCENES
from keras_dae.errors import KerasDAEError
from keras_dae.system import backend
from keras_dae.system.storage import read_json, write_json

# Keras on torch imports tensorflow where it is installed, which costs seconds.
HIDE = 'import sys\nsys.modules["tensorflow"] = None\n'
# What the commands import when they run; a fork then has it.
MODULES = (
    "keras_dae.cli",
    "keras_dae.study.nine.run",
    "keras_dae.training.fitting",
    "keras_dae.training.fast.steps",
    "keras_dae.denoising.denoise",
    "keras_dae.denoising.tile_model",
    "keras_dae.denoising.trained",
    "keras_dae.interchange.export",
    "keras_dae.study.report.tables",
    "torch.export",
)


def main() -> None:
    """Carry the campaign out, or the rest of it; exit with 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("artifacts/faults.json"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--moments", type=int, help="of each command and fault")
    parser.add_argument("--new", type=int, default=1, help="times in new processes")
    parser.add_argument("--commands", default=",".join(SCENES))
    parser.add_argument("--jobs", type=int, default=2, help="commands at a time")
    options = parser.parse_args()
    enter()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    record = _record(options)
    began = time.monotonic() - record["wall_seconds"]
    with tempfile.TemporaryDirectory(prefix="keras-dae-faults-") as home:
        _settle(Path(home))
        for row in _all(record, options, Path(home)):
            record["full_disk"] = row.pop("full_disk")
            record["moments"].append(row)
            record["wall_seconds"] = round(time.monotonic() - began, 1)
            write_json(options.out, record)
            bad = "; ".join(one for key in WRONG for one in row[key])
            how = f"exit {row['exit']}, {row['moment']}"
            print(f"{row['seed']}: {how} {bad}", flush=True)
    rows = record["moments"]
    print("\n".join(table(rows)))
    sys.exit(any(row[key] for row in rows for key in WRONG))


def _settle(home: Path) -> None:
    """Import once what all children need, with one thread."""
    os.environ["KERAS_BACKEND"] = "torch"
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["KERAS_HOME"] = str(home / "keras")
    (home / "hidden").mkdir()
    (home / "hidden" / "sitecustomize.py").write_text(HIDE)
    paths = [str(home / "hidden"), str(Path.cwd()), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    sys.modules["tensorflow"] = None  # type: ignore[assignment]
    for name in MODULES:
        import_module(name)
    gc.collect()
    gc.freeze()


def _all(
    record: dict[str, Any], options: argparse.Namespace, home: Path
) -> Iterator[dict[str, Any]]:
    """Yield each moment's row as it comes from children that share the commands."""
    done = {row["seed"] for row in record["moments"]}
    names = options.commands.split(",")
    reading, writing = os.pipe()
    children = []
    for job in range(min(options.jobs, len(names))):
        child = os.fork()
        if child == 0:
            with os.fdopen(writing, "w") as rows:
                _work(names[job :: options.jobs], options, home / str(job), done, rows)
            os._exit(0)
        children.append(child)
    os.close(writing)
    with os.fdopen(reading) as lines:
        for line in lines:
            yield json.loads(line)
    failed = [child for child in children if os.waitpid(child, 0)[1]]
    if failed:
        raise RuntimeError(f"{len(failed)} of the campaign's processes failed")


def _work(
    names: list[str],
    options: argparse.Namespace,
    home: Path,
    done: set[str],
    rows: TextIO,
) -> None:
    """Strike these commands, in a session and on a small disk of their own."""
    os.setsid()
    (home / "disk").mkdir(parents=True)
    disk = Disk((home / "disk").resolve())
    try:
        (disk.folder / "tmp").mkdir()
        os.environ["TMPDIR"] = tempfile.tempdir = str(disk.folder / "tmp")
        stages: dict[str, Stage] = {}
        for name, fault, number, new in _plan(names, options):
            seed = f"{options.seed}/{name}/{fault}/{'new/' * new}{number}"
            if seed in done:
                continue
            if name not in stages:
                stages[name] = Stage(SCENES[name], home, disk)
                found = stages[name].learn(timed=options.new > 0)
                print(f"{name}, undisturbed: {found}", flush=True)
            row = strike(stages[name], fault, seed, new)
            # One write of less than a pipe's size comes whole.
            rows.write(json.dumps({**row, "full_disk": disk.kind}) + "\n")
            rows.flush()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    finally:
        disk.close()


def _record(options: argparse.Namespace) -> dict[str, Any]:
    """Return the record to go on with: what is there, if it is of this campaign."""
    about = {"seed": options.seed, "versions": _versions()}
    try:
        found = read_json(options.out)
    except KerasDAEError:
        found = {}
    same = all(found.get(key) == value for key, value in about.items())
    kept = {"wall_seconds": 0.0, "full_disk": "", "moments": []}
    if same:
        kept = {key: found[key] for key in kept}
    return {**about, "hardware": backend.hardware(), **kept}


def _versions() -> dict[str, str | None]:
    names = ("keras-dae", "keras", "torch", "numpy")
    return {
        "python": sys.version.split()[0],
        **{name: backend.package_version(name) for name in names},
    }


def _plan(
    names: list[str], options: argparse.Namespace
) -> Iterator[tuple[str, str, int, bool]]:
    """Yield the moments, the commands by turns so that a part of them is of all."""
    counts = {name: options.moments or SCENES[name].moments for name in names}
    for number in range(max(counts.values())):
        for name in names:
            for fault in FAULTS if number < counts[name] else ():
                yield name, fault, number, False
    for number in range(options.new):
        for name in (one for one in names if SCENES[one].new):
            for fault in FAULTS:
                yield name, fault, number, True


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Return the lines of a Markdown table: one a fault and command."""
    lines = [
        "| fault | command | times | before the end | lost | correct end | recovered |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["fault"], row["command"]), []).append(row)
    for (fault, command), found in sorted(groups.items()):
        lines.append(_line(fault, command, found))
    return [*lines, _line("all", "all", rows)]


def _line(fault: str, command: str, rows: list[dict[str, Any]]) -> str:
    struck = sum(row["struck"] for row in rows)
    lost = sum(bool(row["lost"]) for row in rows)
    said, back = (sum(not row[key] for row in rows) for key in ("unsaid", "unlike"))
    cells = (fault, command, len(rows), struck, lost, said, back)
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main()
