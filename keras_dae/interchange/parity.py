"""One file, many runtimes: do all of them answer alike, and how fast?"""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.errors import KerasDAEError
from keras_dae.interchange.export import TOLERANCE, answers, sample, write_format
from keras_dae.interchange.formats import EXPORTS

REFERENCE = "torch"
# Backends that keras 3 answers with, and the package each one needs.
ANSWERING = {"jax": "jax", "tensorflow": "tensorflow", "numpy": "numpy"}
BACKEND = "backend"  # a row's form: this, or exported
Row = dict[str, Any]


def parity(
    models: Iterable[tuple[str, Path]],
    *,
    threads: int = 1,
    formats: Iterable[str] = tuple(EXPORTS),
    begin: Callable[[str, str], None] = lambda model, target: None,
) -> Iterator[Row]:
    """Yield a row for each model and runtime: difference from torch, and speed.

    Args:
        models: names with their `.keras` files.
        threads: CPU threads of each process.
        formats: exported formats to compare beside the backends.
        begin: told each model and runtime before it starts.

    Yields:
        Rows, each as soon as it is known, with `state` 'same', 'differs' (above
        `TOLERANCE`), 'absent' (not installed) or 'failed', the largest absolute
        difference and the milliseconds an image took in batches of 64.
    """
    for name, path in models:
        with tempfile.TemporaryDirectory() as folder:
            images = Path(folder) / "images.npy"
            np.save(images, sample(path))
            begin(name, REFERENCE)
            expected, speed = answers(path, "keras", REFERENCE, images, threads, 2)
            who = {"model": name, "runtime": REFERENCE, "form": BACKEND}
            yield _row(who, 0.0, speed)
            for target in (*ANSWERING, *formats):
                begin(name, target)
                yield _compare(name, path, target, images, expected, threads)


def _row(who: Row, difference: float, speed: dict[str, float]) -> Row:
    same = difference <= TOLERANCE
    return {
        **who,
        "state": "same" if same else "differs",
        "max_difference": difference if np.isfinite(difference) else None,
        **speed,
    }


def _compare(
    name: str,
    path: Path,
    target: str,
    images: Path,
    expected: np.ndarray,
    threads: int,
) -> Row:
    form = BACKEND if target in ANSWERING else "exported"
    who: Row = {"model": name, "runtime": target, "form": form}
    failure = {**who, "max_difference": None}
    missing = _missing(target)
    if missing:
        return {**failure, "state": "absent", "reason": f"needs {', '.join(missing)}"}
    try:
        if target in ANSWERING:
            given, speed = answers(path, "keras", target, images, threads, 2)
        else:
            row = EXPORTS[target]
            out = images.parent / f"{target}{row.suffix}"
            write_format(path, target, out, {})
            given, speed = answers(out, target, row.backend, images, threads, 2)
    except KerasDAEError as error:
        return {**failure, "state": "failed", "reason": str(error)}
    return _row(who, float(np.abs(given - expected).max()), speed)


def _missing(target: str) -> list[str]:
    if target in EXPORTS:
        return EXPORTS[target].missing()
    return [] if find_spec(ANSWERING[target]) else [ANSWERING[target]]
