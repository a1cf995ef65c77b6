"""Denoise image files in tiles, and return a row per file."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from keras_dae.denoising.advice import advise, usual
from keras_dae.denoising.files import Job, sources_of
from keras_dae.denoising.measure import clean_pages, measure, units
from keras_dae.denoising.pages import (
    Chosen,
    Task,
    Tick,
    check_channels,
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
from keras_dae.images.ranges import (
    PERCENTILES,
    by_data,
    fill_gaps,
    put_back,
    value_range,
)
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
    jobs = list(jobs)
    read = {path.resolve() for path in sources_of(jobs)}
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
                result = _one(job, number, task, row, read, stdin, stdout, views, begin)
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
        tasks: per page, the task with the model chosen for it.
        ranges: per page, the values that are scaled to 0 and 1.
        gaps: per page, the result of `fill_gaps`.
        noisy: per page, the values to denoise.
        clean: per page, the clean values in [0, 1], or None if unknown.
    """

    picture: Picture
    tasks: list[Task]
    ranges: list[tuple[float, float]]
    gaps: list[Any]
    noisy: list[np.ndarray]
    clean: list[np.ndarray] | None


def _one(
    job: Job,
    number: int,
    task: Task,
    row: dict[str, Any],
    read: set[Path],
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
        check_free(maps, task.overwrite, read)
    work = zip(picture.pages, one.tasks, strict=True)
    tick = begin(job, sum(tiles(page, own) for page, own in work))
    widths = _answer(one, tick, row)
    shown = _measure(one, row) if views or one.clean is not None else None
    for page, gaps in zip(picture.pages, one.gaps, strict=True):
        page.values = put_back(page.values, gaps)
    # The output comes last: where it exists, its widths do too.
    for path, width in zip(maps, widths, strict=True):
        write_widths(path, width)
    _write(picture, job.target, stdout)
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
    found = [_limits(page, task) for page in picture.pages]
    ranges, sources = [limits for limits, _ in found], [source for _, source in found]
    row |= _describe(picture) | describe_values(picture, ranges, sources, gaps)
    originals = [page.values for page in picture.pages]
    if task.noise is not None:
        _add_noise(picture, task.noise, ranges, [task.noise_seed, number])
    tasks = _look(picture, ranges, task, row)
    noisy = [page.values for page in picture.pages]
    clean = None
    if task.clean is not None:
        clean = clean_pages(task.clean, picture, ranges, task.range, task.megapixels)
    elif task.noise is not None:
        clean = units(originals, picture, ranges)
    for page, own in zip(picture.pages, tasks, strict=True):
        check_channels(page, own)
        check_padded(page, own)
    return _Opened(picture, tasks, ranges, gaps, noisy, clean)


def _answer(one: _Opened, tick: Tick, row: dict[str, Any]) -> list[np.ndarray]:
    """Denoise each page in place; return the interval widths if requested."""
    widths = []
    for page, limits, task in zip(
        one.picture.pages, one.ranges, one.tasks, strict=True
    ):
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


def _choice(chosen: list[Chosen]) -> dict[str, str]:
    """Return the models chosen for the pages of a file, and why."""
    first = {one.name: (number, one) for number, one in reversed([*enumerate(chosen)])}
    found = sorted(first.values(), key=lambda pair: pair[0])
    if len(found) == 1:
        return {"model": found[0][1].name, "why": found[0][1].why}
    return {
        "model": ", ".join(one.name for _, one in found),
        "why": "; ".join(f"{one.why} on page {n + 1}" for n, one in found),
    }


def _limits(page: Page, task: Task) -> tuple[tuple[float, float], str]:
    """Return the values of a page that are scaled to 0 and 1, and where they are from.

    They are those of `range`, else those of the model's training, else those of the
    data type, else percentiles of the page. Only the second and the last need a note.
    """
    if task.range is None and (known := card_range(task.card, page.values.dtype)):
        return known, "as in the training of the model"
    found = value_range(page, task.range)
    from_data = task.range is None and by_data(page) and np.ptp(page.values) > 0
    return found, "percentiles {:g} and {:g} of the data".format(
        *PERCENTILES
    ) if from_data else ""


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
        "channels": SHADES[channels * picture.pages[0].copies] + alpha,
        "pages": len(picture.pages),
    }


def _look(
    picture: Picture,
    ranges: list[tuple[float, float]],
    task: Task,
    row: dict[str, Any],
) -> list[Task]:
    """Choose the model of each page, and return the tasks with them.

    The row gets the models, the estimates for the first page, and a warning about the
    first page that is unlike the training images of its model.
    """
    tasks, chosen = [], []
    row |= {"estimate": None, "warning": None}
    for number, (page, limits) in enumerate(zip(picture.pages, ranges, strict=True)):
        unit = to_unit(middle(page.values), *limits, page.inverted).clip(0, 1)
        own = task
        if task.choose is not None:
            chosen.append(task.choose(unit))
            own = replace(task, model=chosen[-1].model, card=chosen[-1].card)
        tasks.append(own)
        if min(unit.shape[:2]) < SMALLEST or row["warning"]:
            continue
        seen = describe(unit)
        if number == 0:
            row["estimate"] = seen
        if words := advise(seen, usual(own.card), own.card):
            row["warning"] = words + (f" (page {number + 1})" if number else "")
    row |= _choice(chosen) if chosen else {}
    return tasks


def _add_noise(
    picture: Picture, noise: Noise, ranges: list[tuple[float, float]], seed: list[int]
) -> None:
    rng = np.random.default_rng(seed)
    for page, (low, high) in zip(picture.pages, ranges, strict=True):
        unit = to_unit(page.values, low, high, page.inverted)
        noisy = noise(unit[None], rng)[0]
        page.values = from_unit(noisy, page.values.dtype, low, high, page.inverted)
