"""From what was asked for to a list of files to read and write, nothing clobbered."""

import glob
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from keras_dae.errors import UsageError, check, legible, reason
from keras_dae.images.folder import DONE, find_images
from keras_dae.images.io.formats import file_problem, format_of, read_file
from keras_dae.images.io.pictures import UnreadableError
from keras_dae.images.ranges import fill_gaps, value_range
from keras_dae.system.inside import named
from keras_dae.system.locks import held
from keras_dae.system.storage import is_dir, is_file

STANDARD = "-"  # standard input or output


@dataclass(frozen=True)
class Job:
    """One image file to denoise.

    Attributes:
        source: where it is; None for standard input.
        target: where the result goes; None for standard output.
        problem: why it cannot be done, found before it was read; else empty.
        skipped: why there is nothing to do; else empty.
    """

    source: Path | None
    target: Path | None
    problem: str = ""
    skipped: str = ""

    @property
    def name(self) -> str:
        """The source as a user would name it."""
        return "standard input" if self.source is None else legible(self.source)


def refused(
    job: Job, megapixels: float, asked: tuple[float, float] | None = None
) -> str:
    """Return what is wrong with the file of a job; empty where nothing is.

    Args:
        job: of a file; of standard input nothing is known yet.
        megapixels: the most that the file may hold.
        asked: values that become 0 and 1, as `value_range` takes them.
    """
    if job.problem or job.skipped or job.source is None:
        return job.problem
    try:
        for page in read_file(job.source, megapixels).pages:
            fill_gaps(page)
            value_range(page, asked)
    except UnreadableError as error:
        return error.mended
    except MemoryError:
        return "takes more memory than there is"
    return ""


def plan_jobs(
    inputs: tuple[str, ...],
    out: str,
    *,
    label: str = "",
    overwrite: bool = False,
    skip_existing: bool = False,
) -> list[Job]:
    """Return what is to be read and written.

    Args:
        inputs: files, folders (searched with all below), patterns, or '-'.
        out: '-', a file where there is one input, else a folder; below it, what comes
            from a folder keeps its place in it.
        label: what was added to the images, put into each output's name.
        overwrite: whether an output that exists may be replaced.
        skip_existing: whether there is nothing to do where an output exists.

    Raises:
        UsageError: an `out` that does not fit the inputs.
    """
    named(out)
    found = [pair for text in inputs for pair in _sources(text, out)]
    if out == STANDARD:
        check(len(found) == 1, "Standard output takes one image.", inputs=len(found))
        return [Job(source, None, problem) for source, _, problem in found]
    existing = "replace" if overwrite else "skip" if skip_existing else "fail"
    folder = Path(out)
    if format_of(folder) is not None and not is_dir(folder):
        _check_single(found, folder, label)
        return [
            _checked(source, folder, problem, existing) for source, _, problem in found
        ]
    check(
        all(source is not None or problem for source, _, problem in found),
        "The output of an image from standard input is a file or '-', not a folder.",
        out=out,
    )
    check(
        not is_file(folder),
        "The output is a folder, or a file of an image format.",
        out=out,
    )
    return list(_into_folder(found, folder, label, existing))


def holding(
    out: str, jobs: list[Job], tell: Callable[[str], None]
) -> AbstractContextManager[None]:
    """Hold the output for one process at a time; wait for one that holds it.

    Args:
        out: as in `plan_jobs`.
        jobs: what it planned; where nothing is to be written, nothing is held.
        tell: told who is waited for.
    """
    if out == STANDARD or all(job.problem or job.skipped for job in jobs):
        return nullcontext()
    single = format_of(Path(out)) is not None and not is_dir(out)
    return held(out, "The output", beside=single, wait=float("inf"), tell=tell)


Found = tuple[Path | None, Path, str]  # source, place below OUT, problem


def _into_folder(
    found: list[Found], folder: Path, label: str, existing: str
) -> Iterator[Job]:
    taken: dict[Path, Path | None] = {}
    for source, place, problem in found:
        if problem:
            yield Job(source, None, problem)
            continue
        target = folder / place.with_name(f"{place.stem}{label}{DONE}{place.suffix}")
        if target not in taken:
            taken[target] = source
            yield _checked(source, target, "", existing)
        elif taken[target] != source:  # else it was named twice
            first = legible(taken[target])
            yield Job(source, None, f"its output {legible(target)} is that of {first}")


def _check_single(found: list[Found], target: Path, label: str) -> None:
    check(
        len(found) == 1,
        f"The output {target} is one file; name a folder for several.",
        inputs=len(found),
    )
    if label and label not in target.name:
        raise UsageError(
            "Noise is added for a demonstration, and the output's name must say so: "
            f"{target.with_name(f'{target.stem}{label}{DONE}{target.suffix}')}, or a "
            "folder."
        )
    source = found[0][0]
    kinds = source and format_of(source), format_of(target)
    if kinds[0] is not None and kinds[0] != kinds[1]:
        raise UsageError(
            f"The output keeps the format of {source}, which is {kinds[0]}; {target} "
            f"names {kinds[1]}."
        )


def _checked(source: Path | None, target: Path, problem: str, existing: str) -> Job:
    """Return a job; `existing` says what an output that exists means for it."""
    try:
        if problem or not os.path.lexists(target):
            return Job(source, target, problem)
        here = source is not None and source.exists() and target.exists()
        if here and target.samefile(source):  # type: ignore[arg-type]
            problem = "its output would be the file itself, and inputs stay as they are"
            return Job(source, target, problem)
    except OSError as error:  # a name that is too long, a folder that is closed
        words = f"its output {legible(target)} cannot be written: {reason(error)}"
        return Job(source, None, words)
    there = f"its output {legible(target)} exists"
    if existing == "skip":
        return Job(source, target, skipped=there)
    if existing == "fail":
        problem = f"{there}; --overwrite replaces it, --skip-existing keeps it"
    return Job(source, target, problem)


def _sources(text: str, out: str) -> Iterator[Found]:
    """Yield what one argument stands for, each with its place below OUT."""
    path = Path(text)
    if text == STANDARD:
        yield None, Path("image"), ""
    elif os.path.lexists(text) or not glob.has_magic(text):
        yield from _of_path(path, out)
    else:
        matched = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 (absolute ones)
        for name in matched:  # a path, even if it looks like a pattern
            yield from _of_path(Path(name), out)
        if not matched:
            yield path, Path(path.name), "no file matches this pattern"


def _of_path(path: Path, out: str) -> Iterator[Found]:
    """Yield a file, or the images below a folder."""
    if is_dir(path):
        yield from _in_folder(path, Path(out))
    else:
        yield path, Path(path.name), file_problem(path)


def _in_folder(folder: Path, out: Path) -> Iterator[Found]:
    """Yield the image files below a folder, without what went to OUT before."""
    target = out.resolve()
    images, problems = find_images(folder, lambda inside: inside.resolve() == target)
    for image in images:
        yield image, image.relative_to(folder), ""
    for path, words in problems:
        yield path, Path(), words
    if not images and not problems:
        yield folder, Path(), "there is no image in this folder"
