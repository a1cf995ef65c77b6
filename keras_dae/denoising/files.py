"""Turn inputs and an output path into a list of jobs that overwrite nothing."""

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from keras_dae.errors import UsageError, check, legible, reason
from keras_dae.images.folder import DONE, find_images
from keras_dae.images.io.formats import FORMATS, file_problem, format_of, read_file
from keras_dae.images.io.pictures import UnreadableError
from keras_dae.images.kinds import other_kind
from keras_dae.images.ranges import fill_gaps, value_range
from keras_dae.system.inside import named
from keras_dae.system.locks import held
from keras_dae.system.storage import is_dir, is_file

STANDARD = "-"  # standard input or output


@dataclass(frozen=True)
class Job:
    """One image file to denoise.

    Attributes:
        source: the input file; None for standard input.
        target: the output file; None for standard output.
        problem: the reason why it cannot be processed; empty if there is none.
        skipped: the reason why it is skipped; empty if it is not.
    """

    source: Path | None
    target: Path | None
    problem: str = ""
    skipped: str = ""

    @property
    def name(self) -> str:
        """The source as shown to the user."""
        return "standard input" if self.source is None else legible(self.source)


def refused(
    job: Job, megapixels: float, asked: tuple[float, float] | None = None
) -> str:
    """Return what is wrong with the input file of a job; empty if nothing is.

    Args:
        job: the job. Standard input is not checked.
        megapixels: size limit of a file.
        asked: values that are scaled to 0 and 1, as `value_range` takes them.
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
        return "needs more memory than is available"
    return ""


def plan_jobs(
    inputs: tuple[str, ...],
    out: str,
    *,
    label: str = "",
    overwrite: bool = False,
    skip_existing: bool = False,
    kept: Iterable[Path] = (),
) -> list[Job]:
    """Return the jobs for the given inputs.

    Args:
        inputs: files, folders (searched recursively), glob patterns, or '-'.
        out: '-', a file if there is one input, or a folder. Files found in an input
            folder keep their relative path below `out`.
        label: label of added noise, for the name of each output.
        overwrite: replace existing outputs.
        skip_existing: skip inputs whose output exists.
        kept: other files that are read and must not be replaced.

    Raises:
        UsageError: `out` does not fit the inputs.
    """
    named(out)
    found = [pair for text in inputs for pair in _sources(text, out)]
    if out == STANDARD:
        check(
            len(found) == 1, "Standard output takes a single image.", inputs=len(found)
        )
        return [Job(source, None, problem) for source, _, problem in found]
    existing = "replace" if overwrite else "skip" if skip_existing else "fail"
    folder = Path(out)
    if format_of(folder) is not None and not is_dir(folder):
        _check_single(found, folder, label)
        return _sparing(
            [_checked(one, folder, problem, existing) for one, _, problem in found],
            kept,
        )
    check(
        all(source is not None or problem for source, _, problem in found),
        "The output of an image from standard input must be a file or '-'.",
        out=out,
    )
    check(
        not is_file(folder) and (is_dir(folder) or other_kind(folder) is None),
        "The output must be a folder or a file in a supported image format: "
        f"{', '.join(FORMATS)}.",
        out=out,
    )
    return _sparing(_into_folder(found, folder, label, existing), kept)


def _sparing(planned: Iterable[Job], kept: Iterable[Path]) -> list[Job]:
    """Return the jobs, with a problem for those that would replace an input."""
    jobs = list(planned)
    read = {path.resolve() for path in (*sources_of(jobs), *kept)}
    return [
        replace(job, problem=f"its output {legible(job.target)} is also read")
        if not (job.problem or job.skipped or job.target is None)
        and job.target.resolve() in read
        else job
        for job in jobs
    ]


def sources_of(jobs: Iterable[Job]) -> list[Path]:
    """Return the input files of the jobs."""
    return [job.source for job in jobs if job.source is not None]


def holding(
    out: str, jobs: list[Job], tell: Callable[[str], None]
) -> AbstractContextManager[None]:
    """Lock the output for this process; wait while another process holds it.

    Args:
        out: as in `plan_jobs`.
        jobs: the planned jobs. If there is nothing to write, nothing is locked.
        tell: called with a message about the process that is waited for.
    """
    if out == STANDARD or all(job.problem or job.skipped for job in jobs):
        return nullcontext()
    single = format_of(Path(out)) is not None and not is_dir(out)
    return held(out, "The output", beside=single, wait=float("inf"), tell=tell)


Found = tuple[Path | None, Path, str]  # source, path relative to OUT, problem


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
        elif not _same(taken[target], source):  # else the input was given twice
            first = legible(taken[target])
            yield Job(
                source, None, f"its output {legible(target)} is also that of {first}"
            )


def _same(one: Path | None, other: Path | None) -> bool:
    """Tell whether two inputs are the same file, perhaps by different paths."""
    return one == other or (
        one is not None and other is not None and one.resolve() == other.resolve()
    )


def _check_single(found: list[Found], target: Path, label: str) -> None:
    check(
        len(found) == 1,
        f"The output {target} is a single file. Give a folder for several inputs.",
        inputs=len(found),
    )
    if label and label not in target.name:
        raise UsageError(
            "Noise is added for a demonstration, so the output's name must say so: "
            f"{target.with_name(f'{target.stem}{label}{DONE}{target.suffix}')}, or a "
            "folder."
        )
    source = found[0][0]
    kinds = source and format_of(source), format_of(target)
    if kinds[0] is not None and kinds[0] != kinds[1]:
        raise UsageError(
            f"The output keeps the format of {source}, which is {kinds[0]}, but "
            f"{target} is {kinds[1]}."
        )


def _checked(source: Path | None, target: Path, problem: str, existing: str) -> Job:
    """Return a job; `existing` says what to do if its output exists."""
    try:
        if problem or not os.path.lexists(target):
            return Job(source, target, problem)
        here = source is not None and source.exists() and target.exists()
        if here and target.samefile(source):  # type: ignore[arg-type]
            problem = "its output would replace the input"
            return Job(source, target, problem)
    except OSError as error:  # such as a name that is too long
        words = f"its output {legible(target)} cannot be written: {reason(error)}"
        return Job(source, None, words)
    there = f"its output {legible(target)} exists"
    if existing == "skip":
        return Job(source, target, skipped=there)
    if existing == "fail":
        problem = f"{there}; --overwrite replaces it, --skip-existing keeps it"
    return Job(source, target, problem)


def _sources(text: str, out: str) -> Iterator[Found]:
    """Yield the files of one argument, each with its path relative to OUT."""
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
    """Yield the image files below a folder, except outputs of earlier calls."""
    target = out.resolve()
    images, problems = find_images(folder, lambda inside: inside.resolve() == target)
    for image in images:
        yield image, image.relative_to(folder), ""
    for path, words in problems:
        yield path, Path(), words
    if not images and not problems:
        yield folder, Path(), "there is no image in this folder"
