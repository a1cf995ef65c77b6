"""Compare outputs and speed of one file on many runtimes."""

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.errors import KerasDAEError
from keras_dae.interchange.export import TOLERANCE, answers, sample, write_format
from keras_dae.interchange.formats import EXPORTS, GENERAL
from keras_dae.interchange.process import Worker, bounds_for
from keras_dae.system.limits import Bounds

REFERENCE = "torch"
# Backends of keras 3, and the package that each one needs.
ANSWERING = {"jax": "jax", "tensorflow": "tensorflow", "numpy": "numpy"}
BACKEND = "backend"  # `form` of a row: this, or exported
Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A model, test images, expected outputs, and a folder for exports."""

    name: str
    path: Path
    folder: Path
    images: np.ndarray
    bounds: Bounds
    expected: list[np.ndarray] = field(default_factory=list)

    @cached_property
    def sha256(self) -> str:
        """Hash of the model's file."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def row(self, runtime: str, form: str) -> Row:
        """Return the first columns of a row."""
        who = {"model": self.name, "sha256": self.sha256}
        return {**who, "runtime": runtime, "form": form}


def parity(
    models: Iterable[tuple[str, Path]],
    *,
    threads: int = 1,
    formats: Iterable[str] = GENERAL,
    begin: Callable[[str, str], None] = lambda model, target: None,
) -> Iterator[Row]:
    """Yield a row per runtime and model: difference from torch, and speed.

    Args:
        models: names with their `.keras` files.
        threads: CPU threads per process.
        formats: exported formats to compare in addition to the backends.
        begin: called with each model and runtime before it starts.

    Yields:
        Rows, each as soon as it is known. They hold the `sha256` of the file, a `state`
        ('same', 'differs' (above `TOLERANCE`), 'absent' (not installed) or 'failed'),
        the largest absolute difference, and the milliseconds per image in batches of
        64.
    """
    with tempfile.TemporaryDirectory() as place:
        cases = []
        for number, (name, path) in enumerate(models):
            folder = Path(place) / str(number)
            folder.mkdir()
            cases.append(Case(name, path, folder, sample(path), bounds_for(path)))
        with Worker(REFERENCE, threads) as worker:
            for case in cases:
                begin(case.name, REFERENCE)
                expected, speed = answers(
                    worker, case.bounds, case.path, "keras", case.images, 2
                )
                case.expected.append(expected)
                yield _row(case.row(REFERENCE, BACKEND), 0.0, speed)
        for target in (*ANSWERING, *formats):
            backend = target if target in ANSWERING else EXPORTS[target].backend
            # One process for all models, since importing a backend takes most of the
            # time.
            with Worker(backend, threads) as worker:
                for case in cases:
                    begin(case.name, target)
                    yield _compare(worker, case, target)


def _row(who: Row, difference: float, speed: dict[str, float]) -> Row:
    same = difference <= TOLERANCE
    return {
        **who,
        "state": "same" if same else "differs",
        "max_difference": difference if np.isfinite(difference) else None,
        **speed,
    }


def _compare(worker: Worker, case: Case, target: str) -> Row:
    who = case.row(target, BACKEND if target in ANSWERING else "exported")
    failure = {**who, "max_difference": None}
    missing = _missing(target)
    if missing:
        return {**failure, "state": "absent", "reason": f"needs {', '.join(missing)}"}
    made, name = case.path, "keras"
    try:
        if target in EXPORTS:
            made, name = case.folder / f"{target}{EXPORTS[target].suffix}", target
            write_format(worker, case.bounds, case.path, target, made, {})
        given, speed = answers(worker, case.bounds, made, name, case.images, 2)
    except KerasDAEError as error:
        return {**failure, "state": "failed", "reason": str(error)}
    return _row(who, float(np.abs(given - case.expected[0]).max()), speed)


def _missing(target: str) -> list[str]:
    if target in EXPORTS:
        return EXPORTS[target].missing()
    return [] if find_spec(ANSWERING[target]) else [ANSWERING[target]]
