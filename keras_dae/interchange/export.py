"""Export a model: write it, read it back and compare, then move it into place."""

import os
from collections.abc import Callable
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.errors import KerasDAEError, UsageError, check, reason
from keras_dae.interchange.formats import EXPORTS, KEY, SAVED_MODEL
from keras_dae.interchange.process import Worker, bounds_for
from keras_dae.models.gate import OPEN_SIDE, input_shape, inspect
from keras_dae.system.inside import named
from keras_dae.system.limits import Bounds
from keras_dae.system.locks import held, temporary

TOLERANCE = 1e-5  # absolute, on answers in [0, 1]
IMAGES = 70  # more than one batch, and the last one of another size
VALUES = 1 << 24  # of them together, at most
MOST_VALUES = 1 << 26  # of one image
PREPROCESSING = (
    "input: float32, (batch, height, width, channels), image values scaled to [0, 1] "
    "by the range of their type; output: denoised, of the same shape and range"
)


def export(
    model: Path,
    name: str,
    out: Path,
    card: dict[str, Any],
    *,
    overwrite: bool = False,
    threads: int = 1,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Export a `.keras` file to another format; nothing is kept if its outputs differ.

    Args:
        model: the `.keras` file.
        name: a row of `EXPORTS`.
        out: the file to write; a folder for saved-model.
        card: the card of the model, which is stored in the metadata of the file.
        overwrite: replace an existing output.
        threads: CPU threads of the comparison.
        say: called with a message if another process is writing this file.

    Returns:
        Format, files, size in bytes and the largest absolute difference of outputs.

    Raises:
        UsageError: the path has another ending, or exists.
        KerasDAEError: a package is missing, the export failed, or outputs differ by
            more than `TOLERANCE`.
    """
    row = EXPORTS[name]
    named(out.parent)
    check(
        out.suffix == row.suffix,
        f"The output of {name} must end in {row.suffix or 'nothing: it is a folder'}.",
        out=str(out),
    )
    _check_free(out, overwrite)
    require(name)
    if row.refused is not None:
        config = inspect(model)
        words = row.refused(config["config"]["name"], input_shape(config))
        if words:
            raise UsageError(f"{words}.")
    looked_at = sample(model)  # raises early if the file is invalid
    try:
        with held(out, "The output", beside=True, wait=float("inf"), tell=say):
            _check_free(out, overwrite)
            with temporary(out.with_suffix(""), folder=True) as folder:
                made, facts = _export(
                    model, name, out, card, threads, looked_at, folder
                )
                for path in made.iterdir():
                    _check_free(out.parent / path.name, overwrite)
                files = _move(made, out, folder)
    except OSError as error:
        raise KerasDAEError(f"Cannot write {out}: {reason(error)}.") from error
    size = sum(_size(path) for path in files)
    return {"format": name, "files": [*map(str, files)], "bytes": size, **facts}


def _check_free(out: Path, overwrite: bool) -> None:
    if not os.path.lexists(out):
        return
    if not overwrite:
        raise UsageError(f"{out} exists; --overwrite replaces it.")
    if out.suffix and not out.is_dir():
        return
    # A folder is deleted as a whole, so it must have been created by `export`.
    held = {path.name for path in out.iterdir()} if out.is_dir() else {""}
    card = out / "assets.extra" / f"{KEY}.json"
    if out.is_symlink() or not card.is_file() or held - SAVED_MODEL:
        raise UsageError(
            f"{out} was not written by this program, so --overwrite does not replace "
            "it. Choose another folder."
        )


def _export(
    model: Path,
    name: str,
    out: Path,
    card: dict[str, Any],
    threads: int,
    looked_at: np.ndarray,
    folder: Path,
) -> tuple[Path, dict[str, Any]]:
    """Write, read back and compare in `folder`.

    Returns:
        The folder of the new files, and the difference and time of the outputs.
    """
    made = folder / "made" / out.name
    made.parent.mkdir()
    bounds = bounds_for(model)
    with Worker(EXPORTS[name].backend, threads) as worker:
        write_format(worker, bounds, model, name, made, card)
        given, speed = answers(worker, bounds, made, name, looked_at)
    with Worker("torch", threads) as worker:
        expected, _ = answers(worker, bounds, model, "keras", looked_at)
    if EXPORTS[name].clips:
        expected = expected.clip(0, 1)
    difference = float(np.abs(given - expected).max())
    if not difference <= TOLERANCE:
        raise KerasDAEError(
            f"The outputs of the {name} file differ by up to {difference:.2g} from "
            f"those of {model}, more than {TOLERANCE:g}; it was not kept."
        )
    return made.parent, {"max_difference": difference, **speed}


def require(name: str) -> None:
    """Raise an error that names the extra if a package for a format is missing."""
    row = EXPORTS[name]
    if row.missing():
        raise KerasDAEError(
            f"{name} needs {', '.join(row.missing())}, not installed here. Run: pip "
            f'install "keras-dae[{row.extra}]"'
        )


def write_format(
    worker: Worker,
    bounds: Bounds,
    model: Path,
    name: str,
    out: Path,
    card: dict[str, Any],
) -> None:
    """Write a format in a process of the required backend."""
    described = {**card, "preprocessing": PREPROCESSING}
    worker.do("export", bounds, model, name, str(out), described)


def sample(model: Path) -> np.ndarray:
    """Return float32 images in [0, 1] with the input shape of a `.keras` file."""
    shape = [side or OPEN_SIDE for side in input_shape(inspect(model))]
    if prod(shape) > MOST_VALUES:
        raise KerasDAEError(
            f"{model} takes images of {' x '.join(map(str, shape))} values; of at most "
            f"{MOST_VALUES:,} values are exported."
        )
    count = max(1, min(IMAGES, VALUES // max(1, prod(shape))))
    return np.random.default_rng(0).random((count, *shape), dtype=np.float32)


def answers(
    worker: Worker,
    bounds: Bounds,
    model: Path,
    name: str,
    images: np.ndarray,
    repeats: int = 1,
) -> tuple[np.ndarray, dict[str, float]]:
    """Return the outputs of a model file in another process, and the time.

    Args:
        worker: the process.
        bounds: its limits.
        model: the file.
        name: its format: 'keras' or a row of `EXPORTS`.
        images: float32 (N, H, W, C).
        repeats: timed passes.
    """
    found, speed = worker.do(
        "answer", bounds, model, name, images, worker.threads, repeats
    )
    return found, {"milliseconds_per_image": speed}


def _move(folder: Path, out: Path, aside: Path) -> list[Path]:
    """Move the new files into place; the main file comes last.

    If there are several files, an existing main file is moved away first, so that it is
    never next to new companions.
    """
    made = sorted(folder.iterdir(), key=lambda path: path.name == out.name)
    for path in (inner for inner in folder.rglob("*") if inner.is_file()):
        with path.open("rb") as written:
            os.fsync(written.fileno())
    if len(made) > 1 or out.is_dir():
        with suppress(FileNotFoundError):
            out.replace(aside / "replaced")
    for path in made:
        path.replace(out.parent / path.name)
    return [out.parent / path.name for path in reversed(made)]


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(inner.stat().st_size for inner in path.rglob("*") if inner.is_file())
