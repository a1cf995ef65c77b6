"""Denoise image files in tiles, and return a row per file."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from keras_dae.denoising.advice import advise, usual
from keras_dae.denoising.files import Job
from keras_dae.denoising.measure import clean_pages, measure, units
from keras_dae.denoising.pages import (
    Task,
    Tick,
    check_padded,
    denoise_page,
    no_tick,
    tiles,
)
from keras_dae.denoising.tile_model import SHADES
from keras_dae.denoising.trained import card_range
from keras_dae.denoising.values import describe_values
from keras_dae.denoising.widths import check_free, unlike, width_paths, write_widths
from keras_dae.errors import KerasDAEError, UsageError, legible, unexpected
from keras_dae.images.estimates import SMALLEST, describe, middle
from keras_dae.images.io.formats import (
    encoded,
    format_of,
    read_file,
    read_stream,
)
from keras_dae.images.io.pictures import (
    Page,
    Picture,
    UnreadableError,
    from_unit,
    to_unit,
)
from keras_dae.images.noise import Noise
from keras_dae.images.ranges import fill_gaps, put_back, value_range
from keras_dae.system.storage import replacing


@dataclass
class Result:
    """The result for one file.

    Attributes:
        row: a row for tables and JSON, with state 'done', 'skipped' or 'failed'.
        views: (clean or None, input, output) of the first page, float32 in [0, 1], if
            requested.
    """

    row: dict[str, Any]
    views: tuple[np.ndarray | None, np.ndarray, np.ndarray] | None = None


def denoise_jobs(
    jobs: Iterable[Job],
    task: Task,
    *,
    stdin: BinaryIO | None = None,
    stdout: BinaryIO | None = None,
    views: bool = False,
    begin: Callable[[Job, int], Tick] = lambda job, tiles: no_tick,
) -> Iterator[Result]:
    """Denoise one file after the other. A failure does not stop the others.

    Args:
        jobs: jobs from `plan_jobs`.
        task: model and settings.
        stdin: stream to read from if a job has no input file.
        stdout: stream to write to if a job has no output file.
        views: also return the arrays of the first page, for a figure.
        begin: called for each file with its number of tiles. It returns a function
            that is called after each batch with the number of tiles done.
    """
    for number, job in enumerate(jobs):
        row: dict[str, Any] = {"input": job.name, "output": None, "state": "failed"}
        began = time.perf_counter()
        result = Result(row)
        try:
            if job.problem:
                raise UnreadableError(job.problem)
            if job.skipped:
                row |= {"state": "skipped", "reason": job.skipped}
            else:
                result = _one(job, number, task, row, stdin, stdout, views, begin)
                row["state"] = "done"
        except UnreadableError as error:
            row["reason"] = error.mended
        except KerasDAEError as error:
            if isinstance(error, UsageError) and task.model is not None:
                raise  # the options do not suit the model, whatever the file
            row["reason"] = str(error).rstrip(".")
        except MemoryError:
            row["reason"] = "needs more memory than is available"
        except Exception as error:  # the rest of the batch goes on
            row["reason"] = unexpected(error)
        for key in ("output", "reason", "note"):
            if row.get(key):
                row[key] = legible(row[key])
        row["seconds"] = round(time.perf_counter() - began, 2)
        yield result


@dataclass
class _Opened:
    """A file that was read, with everything its output depends on.

    Attributes:
        picture: its pages; their values are replaced by the outputs.
        task: the task, with the model chosen for this file.
        ranges: per page, the values that are scaled to 0 and 1.
        gaps: per page, the result of `fill_gaps`.
        noisy: per page, the values to denoise.
        clean: per page, the clean values in [0, 1], or None if unknown.
    """

    picture: Picture
    task: Task
    ranges: list[tuple[float, float]]
    gaps: list[Any]
    noisy: list[np.ndarray]
    clean: list[np.ndarray] | None


def _one(
    job: Job,
    number: int,
    task: Task,
    row: dict[str, Any],
    stdin: BinaryIO | None,
    stdout: BinaryIO | None,
    views: bool,
    begin: Callable[[Job, int], Tick],
) -> Result:
    """Denoise and write one file, and fill in its row."""
    one = _open(job, number, task, row, stdin)
    picture = one.picture
    maps: list[Path] = []
    if task.uncertainty is not None:
        maps = width_paths(job.target, len(picture.pages))
        check_free(maps, task.overwrite)
    tick = begin(job, sum(tiles(page, one.task) for page in picture.pages))
    widths = _answer(one, tick, row)
    shown = _measure(one, row) if views or one.clean is not None else None
    for page, gaps in zip(picture.pages, one.gaps, strict=True):
        page.values = put_back(page.values, gaps)
    _write(picture, job.target, stdout)
    for path, width in zip(maps, widths, strict=True):
        write_widths(path, width)
    if maps:
        row["widths"] = [str(path) for path in maps]
        row["mean_width"] = float(np.mean([width.mean() for width in widths]))
    row["output"] = "standard output" if job.target is None else str(job.target)
    return Result(row, shown if views else None)


def _open(
    job: Job, number: int, task: Task, row: dict[str, Any], stdin: BinaryIO | None
) -> _Opened:
    """Read a file, add the requested noise and choose the model."""
    picture = _read(job, task, stdin)
    if job.target is not None and format_of(job.target) != picture.format:
        raise UnreadableError(
            f"is a {picture.format} image and the output keeps the format, but "
            f"{job.target} has another"
        )
    gaps = [fill_gaps(page) for page in picture.pages]
    ranges = [_limits(page, task) for page in picture.pages]
    row |= _describe(picture) | describe_values(picture, ranges, gaps, task.range)
    originals = [page.values for page in picture.pages]
    if task.noise is not None:
        _add_noise(picture, task.noise, ranges, [task.noise_seed, number])
    task = _with_model(picture.pages[0], ranges[0], task, row)
    row |= _look(picture.pages[0], ranges[0], task.card)
    noisy = [page.values for page in picture.pages]
    clean = None
    if task.clean is not None:
        clean = clean_pages(task.clean, picture, ranges, task.range, task.megapixels)
    elif task.noise is not None:
        clean = units(originals, picture, ranges)
    for page in picture.pages:
        check_padded(page, task)
    return _Opened(picture, task, ranges, gaps, noisy, clean)


def _answer(one: _Opened, tick: Tick, row: dict[str, Any]) -> list[np.ndarray]:
    """Denoise each page in place; return the interval widths if requested."""
    task, widths = one.task, []
    for page, limits in zip(one.picture.pages, one.ranges, strict=True):
        if task.learn is not None:
            task = replace(task, model=task.learn(page, limits))
        if task.uncertainty is None:
            page.values = denoise_page(page, limits, task, tick)
        else:
            widths.append(_denoise_with_width(page, limits, task, tick, row))
    return widths


def _measure(
    one: _Opened, row: dict[str, Any]
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Return the views of the first page; measure the outputs if possible."""
    before = units(one.noisy, one.picture, one.ranges)
    answers = [page.values for page in one.picture.pages]
    after = units(answers, one.picture, one.ranges)
    if one.clean is None:
        return None, before[0], after[0]
    row["input_metrics"] = measure(one.clean, before)
    row["metrics"] = measure(one.clean, after)
    return one.clean[0], before[0], after[0]


def _denoise_with_width(
    page: Page,
    limits: tuple[float, float],
    task: Task,
    tick: Tick,
    row: dict[str, Any],
) -> np.ndarray:
    """Denoise a page in place; return the width of each pixel's interval, (H, W, C).

    If the intervals are not reliable, the row gets a warning.
    """
    assert task.uncertainty is not None
    assert task.model is not None
    unit = to_unit(page.values, *limits, page.inverted).clip(0, 1)
    unrounded: list[np.ndarray] = []
    page.values = denoise_page(page, limits, task, tick, unrounded)
    lower, upper = task.uncertainty.interval(unit[None], unrounded[0][None])
    warning = unlike(task.uncertainty, unit, task.model.sides)
    row["warning"] = row.get("warning") or warning
    width: np.ndarray = (upper - lower)[0]
    return width


def _with_model(
    page: Page, limits: tuple[float, float], task: Task, row: dict[str, Any]
) -> Task:
    """Return the task with the model that its `choose` selects for a page, if any."""
    if task.choose is None:
        return task
    chosen = task.choose(
        to_unit(middle(page.values), *limits, page.inverted).clip(0, 1)
    )
    row |= {"model": chosen.name, "why": chosen.why}
    return replace(task, model=chosen.model, card=chosen.card)


def _limits(page: Page, task: Task) -> tuple[float, float]:
    """Return the values of a page that are scaled to 0 and 1.

    They are those of `range`, else those of the model's training, else those of the
    data type.
    """
    if task.range is None and (known := card_range(task.card, page.values.dtype)):
        return known
    return value_range(page, task.range)


def _read(job: Job, task: Task, stdin: BinaryIO | None) -> Picture:
    if job.source is None:
        assert stdin is not None  # the caller provides it for such a job
        return read_stream(stdin, task.megapixels)
    return read_file(job.source, task.megapixels)


def _write(picture: Picture, target: Path | None, stdout: BinaryIO | None) -> None:
    content = encoded(picture)
    if target is None:
        assert stdout is not None
        stdout.write(content)
        stdout.flush()
        return
    with replacing(target) as temporary:
        temporary.write_bytes(content)


def _describe(picture: Picture) -> dict[str, Any]:
    height, width, channels = picture.pages[0].values.shape
    alpha = "" if picture.pages[0].alpha is None else " + alpha"
    return {
        "format": picture.format,
        "type": picture.pages[0].values.dtype.name,
        "width": width,
        "height": height,
        "channels": SHADES[channels] + alpha,
        "pages": len(picture.pages),
        "note": picture.note or None,
    }


def _look(
    page: Page, limits: tuple[float, float], card: dict[str, Any]
) -> dict[str, Any]:
    """Return the estimates for a page, and a warning if it is unlike training data."""
    unit = to_unit(middle(page.values), *limits, page.inverted).clip(0, 1)
    if min(unit.shape[:2]) < SMALLEST:
        return {"estimate": None, "warning": None}
    seen = describe(unit)
    warning = advise(seen, usual(card), card)
    return {"estimate": seen, "warning": warning}


def _add_noise(
    picture: Picture, noise: Noise, ranges: list[tuple[float, float]], seed: list[int]
) -> None:
    rng = np.random.default_rng(seed)
    for page, (low, high) in zip(picture.pages, ranges, strict=True):
        unit = to_unit(page.values, low, high, page.inverted)
        noisy = noise(unit[None], rng)[0]
        page.values = from_unit(noisy, page.values.dtype, low, high, page.inverted)
