"""All benchmarks in one command: `make bench`, or `python -m benchmarks.bench NAME...`.

Prints ours, the peer and their ratio, and writes `results.json` and `scaling.png`
beside this file. Times depend on the machine and on what else runs on it; the ratio of
two sides that were timed in turn hardly does.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import (
    backends,
    denoising,
    generator,
    scaling,
    startup,
    study,
    training,
    walls,
)
from benchmarks.alternate import conditions, write_results
from keras_dae.system import backend
from keras_dae.system.storage import read_json

HERE = Path(__file__).parent
# Name -> rows, and what is compared with what.
BENCHES: dict[str, tuple[Callable[[], list[dict[str, Any]]], str]] = {
    "training": (training.rows, "ms a step: fit, a plain PyTorch loop"),
    "threads": (training.thread_rows, "ms a step: fit on one thread, on all cores"),
    "backends": (backends.rows, "ms a step: fit on the generator, on ready batches"),
    "generator": (generator.measure, "images/s: pairs, NumPy drawing normals alone"),
    "denoising": (denoising.rows, "s for 10,000 images: evaluate's, a plain forward"),
    "engine": (
        denoising.engine_rows,
        "s for 10,000 images: --engine onnx, the backend",
    ),
    "walls": (walls.rows, "process s, 40 images: opened in another process, here"),
    "startup": (startup.rows, "process s: a command, importing click"),
    "study": (study.rows, "wall s of nine models: sweep, plain loops in turn"),
    "scaling": (scaling.rows, "how the cost of training grows"),
}


def table(name: str, rows: list[dict[str, Any]]) -> Table:
    """Return the rows of one bench as a table."""
    shown = Table(title=f"{name}: {BENCHES[name][1]}", title_justify="left")
    shown.add_column("")
    if name == "scaling":
        columns, keys = ("values", "ms", "slope"), ("values", "milliseconds", "slope")
    else:
        columns, keys = (
            ("ours", "peer", "ratio", "quartiles"),
            ("ours", "peer", "ratio"),
        )
    for column in columns:
        shown.add_column(column, justify="right")
    for row in rows:
        cells = [_text(row[key]) for key in keys]
        if name != "scaling":
            cells.append(f"{row['low']:.2f} to {row['high']:.2f}")
        shown.add_row(row["model"], *cells)
    return shown


def _text(value: float | list[float]) -> str:
    if isinstance(value, list):
        return " ".join(f"{one:.3g}" for one in value)
    return f"{value:.3g}"


def main() -> None:
    """Run the named benches, all of them by default; the others' rows are kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHES))
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BENCHES]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHES)}")
    backend.set_default_backend()
    path = options.out / "results.json"
    before = read_json(path)["rows"] if path.exists() else []
    kept = {name: [r for r in before if r["bench"] == name] for name in BENCHES}
    measured_on = conditions()
    console = Console(width=None if sys.stdout.isatty() else 110)
    for name in options.names or BENCHES:
        kept[name] = BENCHES[name][0]()
        console.print(table(name, kept[name]))
        rows = [row for rows in kept.values() for row in rows]
        write_results(path, rows, measured_on)
    if kept["scaling"]:
        scaling.figure(kept["scaling"]).savefig(options.out / "scaling.png", dpi=120)


if __name__ == "__main__":
    main()
