"""A folder of image files as a data set, split by file and cut into patches."""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_dae.errors import KerasDAEError, UsageError, legible
from keras_dae.images.io.arrays import memory
from keras_dae.images.io.formats import FORMATS, format_of, read_file, unnamed_image
from keras_dae.images.io.pictures import (
    RANGES,
    Page,
    UnreadableError,
    pad_to,
    to_unit,
)
from keras_dae.images.kinds import other_kind
from keras_dae.images.patches import Cut
from keras_dae.images.ranges import by_data, fill_gaps, value_range
from keras_dae.system.storage import array_sha256, is_dir, reason
from keras_dae.system.streams import stream
from keras_dae.system.waiting import Waiting

DONE = ".denoised"  # suffix of the name of a denoised image
PARTS = ("train", "validation", "test")
# Names of top-level folders that assign their files to a part.
FOLDERS = {"train": "train", "val": "validation", "validation": "validation"}
FOLDERS |= {"test": "test"}
HELD_OUT = 0.1  # share of the files for validation, and also for testing
SMALLEST = 3  # smallest number of files: one per part
# Weights for grey: ITU-R BT.601, as in Pillow and most programs.
LUMA = (0.299, 0.587, 0.114)
MOST_FILES = 500_000  # limit of the search
NAMED = 3  # files that a message names before it only counts


@dataclass(frozen=True)
class ImageFiles:
    """The images of a folder, in memory.

    Attributes:
        names: paths of the files relative to the folder, sorted.
        pages: for each file its images (H, W, C), upright, with 0 as black, in their
            own type (bool as uint8, float64 as float32) and with sides of at least
            `cut.size`. C is 1, or 1 or 3 if `cut.channels` is 3.
        cut: how they are cut into patches.
        notes: sentences on what was left out or changed.
    """

    names: tuple[str, ...]
    pages: tuple[tuple[np.ndarray, ...], ...]
    cut: Cut
    notes: tuple[str, ...] = ()

    def sha256(self) -> str:
        """Return the hash of names, content and cut."""
        digest = hashlib.sha256(repr(self.cut).encode())
        for name, pages in zip(self.names, self.pages, strict=True):
            digest.update(f"{name}\0{array_sha256(*pages)}".encode())
        return digest.hexdigest()

    def parts(self, seed: int) -> dict[str, list[int]]:
        """Return the files for training, validation and test, as indices of `names`.

        If there are folders named `train` and `val`, and optionally `test`, these
        define the parts. Otherwise validation and test get a tenth each, at least one
        file. This choice depends only on `seed` and the sorted names.
        """
        told = self._told()
        if told is not None:
            return told
        held_out = max(1, round(HELD_OUT * len(self.names)))
        order = stream("split", seed).permutation(len(self.names)).tolist()
        cuts = (0, len(order) - 2 * held_out, len(order) - held_out, len(order))
        return {
            part: sorted(order[cuts[n] : cuts[n + 1]]) for n, part in enumerate(PARTS)
        }

    def _told(self) -> dict[str, list[int]] | None:
        """Return the parts defined by the folders of the files, if there are any."""
        found: dict[str, list[int]] = {part: [] for part in PARTS}
        for number, name in enumerate(self.names):
            if (part := _part(name)) is None:
                return None
            found[part].append(number)
        return found if found["train"] and found["validation"] else None


def _part(name: str) -> str | None:
    """Return the part that the top folder of a file assigns it to, if any."""
    top, inside, _ = name.partition("/")
    return FOLDERS.get(top.lower()) if inside else None


def _outside_parts(names: Iterable[str]) -> list[str]:
    """Return the files outside train, val and test, if these define the parts."""
    parts = {name: _part(name) for name in names}
    if not {"train", "validation"} <= {*parts.values()}:
        return []
    return [name for name, part in parts.items() if part is None]


def read_folder(folder: Path, cut: Cut) -> ImageFiles:
    """Read all image files below a folder. Unreadable files are skipped with a note.

    Alpha is dropped. Each page of a file is a separate image. An image smaller than a
    patch is extended by reflection. Of files with identical pixels, only the first is
    used.

    Raises:
        UsageError: there is no such folder.
        KerasDAEError: fewer than `SMALLEST` files can be read, or the images take more
            than half of the memory.
    """
    if not is_dir(folder):
        raise UsageError(f"There is no folder {folder}.")
    paths, problems = find_images(folder)
    notes = [f"{legible(path)} {words}." for path, words in problems]
    found: dict[str, tuple[np.ndarray, ...]] = {}
    seen: dict[str, str] = {}  # hash of pixels -> name
    held, small, counts = 0, [], []
    named = ((legible(p.relative_to(folder).as_posix()), p) for p in paths)
    waiting, where = Waiting(), legible(folder)
    for number, (name, path) in enumerate(sorted(named)):
        waiting(f"Reading images below {where}: {number:,} of {len(paths):,}.")
        try:
            read = read_file(path).pages
            pages = tuple(_image(page, cut.channels) for page in read)
        except UnreadableError as error:
            notes.append(f"{legible(path)} {error}; left out.")
            continue
        first = seen.setdefault(array_sha256(*pages), name)
        if first != name:
            notes.append(
                f"{folder / name} has the same pixels as {folder / first}; left out."
            )
            continue
        if any(min(page.shape[:2]) < cut.size for page in pages):
            small.append(name)
            pages = tuple(pad_to(page, (cut.size, cut.size)) for page in pages)
        counts += [name] if any(by_data(page) for page in read) else []
        found[name] = pages
        held += sum(page.nbytes for page in pages)
        _check_memory(folder, held)
    if stray := _outside_parts(found):
        for name in stray:
            del found[name]
        notes.append(
            f"{_named(stray)} below {folder} {'is' if len(stray) == 1 else 'are'} not "
            "in train, val or test; left out."
        )
    if len(found) < SMALLEST:
        raise KerasDAEError(_too_few(folder, len(paths), len(found), notes))
    if small:
        notes.append(
            f"{_named(small)} below {folder} {'is' if len(small) == 1 else 'are'} "
            f"smaller than {cut.size}x{cut.size} and extended by reflection."
        )
    if counts:
        notes.append(
            f"Counts are scaled by the range of the data of each page, as in denoise: "
            f"{_named(counts)} below {folder}."
        )
    return ImageFiles(tuple(found), tuple(found.values()), cut, tuple(notes))


def find_images(
    folder: Path, skip: Callable[[Path], bool] = lambda path: False
) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Return the image files below a folder, and unreadable ones with the reason.

    Hidden files and results of denoising are skipped. Links to folders are followed,
    but no folder is searched twice. The order is that of the names.

    Args:
        folder: the folder, searched recursively.
        skip: returns True for folders to skip.
    """
    problems: list[tuple[Path, str]] = []
    images: list[Path] = []
    for path in _files(folder, skip, problems):
        if path.name.startswith(".") or _is_result(path):
            continue
        if format_of(path) is not None:
            images.append(path)
        elif (words := other_kind(path) or unnamed_image(path)) is not None:
            problems.append((path, words))
    return sorted(images), sorted(problems)


def _is_result(path: Path) -> bool:
    """Tell whether a file is a denoised image or the widths of its intervals."""
    return Path(re.sub(r"\.width(-\d+)?\.png$", "", path.name)).stem.endswith(DONE)


def _files(
    folder: Path, skip: Callable[[Path], bool], problems: list[tuple[Path, str]]
) -> Iterator[Path]:
    """Yield all files below a folder; real folders come before links to them."""

    def note(error: OSError) -> None:
        problems.append((Path(error.filename), f"cannot be read: {reason(error)}"))

    queue, seen, count = [folder], set(), 0
    waiting, where = Waiting(), legible(folder)
    while queue:
        for parent, folders, names in os.walk(queue.pop(0), onerror=note):
            count += len(names)
            waiting(f"Looking for images below {where}: {count:,} files so far.")
            if count > MOST_FILES:
                raise UsageError(
                    f"{legible(folder)} holds more than {MOST_FILES:,} files. Give a "
                    "folder of images."
                )
            inside = Path(parent)
            kept = []
            if (place := _identity(inside)) not in seen:
                seen.add(place)
                yield from (inside / name for name in names)
                shown = (n for n in sorted(folders) if not n.startswith("."))
                kept = [name for name in shown if not skip(inside / name)]
            links = [inside / name for name in kept if (inside / name).is_symlink()]
            for link in links:
                if _is_system(link):
                    words = "leads to the system's own files and is not followed"
                    problems.append((link, words))
                else:
                    queue.append(link)
            folders[:] = [name for name in kept if inside / name not in links]


def _is_system(folder: Path) -> bool:
    """Tell a folder of processes and devices, which has no end."""
    return folder.resolve().parts[1:2] in (("proc",), ("sys",), ("dev",))


def _identity(folder: Path) -> tuple[int, int] | Path:
    """Return a key that identifies a folder, whatever path leads to it."""
    try:
        found = folder.stat()
    except OSError:
        return folder
    return found.st_dev, found.st_ino


def _image(page: Page, channels: int) -> np.ndarray:
    """Return the values of a page without alpha, 0 as black, with enough channels only.

    Counts are scaled to float32 by their range, as in `denoise`.

    Raises:
        UnreadableError: too many values are not finite.
    """
    fill_gaps(page)
    low, high = value_range(page)
    values = page.values
    if by_data(page):
        values, high = to_unit(values, low, high, False).clip(0, 1), 1.0
    if values.dtype.kind == "b":
        values, high = values * np.uint8(255), 255.0
    if page.inverted:
        values = (high - values).astype(values.dtype)
    if values.dtype == np.float64:
        values = values.astype(np.float32)
    if channels == 1 and values.shape[2] == 3:
        return _grey(values)
    return np.ascontiguousarray(values)


def _grey(values: np.ndarray) -> np.ndarray:
    """Return RGB as grey, (H, W, 1), rounded to the precision of its type."""
    grey = np.zeros(values.shape[:2], np.float32)
    for channel, weight in enumerate(LUMA):
        grey += np.float32(weight) * values[..., channel].astype(np.float32)
    high = RANGES[values.dtype.name][1]
    rounded = np.rint(grey) if values.dtype.kind == "u" else grey
    return np.minimum(rounded, high).astype(values.dtype)[..., None]


def _check_memory(folder: Path, held: int) -> None:
    if 2 * held > memory():
        raise KerasDAEError(
            f"The images below {folder} take more than {held / 1e9:,.1f} GB in memory, "
            "half of the memory of this machine. Train on fewer or smaller images."
        )


def _too_few(folder: Path, there: int, read: int, notes: list[str]) -> str:
    """Return why a folder cannot be used as a data set, with the first problem."""
    if not there and not notes:
        return f"There is no image below {folder}. Supported: {', '.join(FORMATS)}."
    files = "image file" if read == 1 else "image files"
    return (
        f"{folder} holds {read} {files}, but at least {SMALLEST} are needed: one each "
        "to train, validate and test" + (f"; {notes[0]}" if notes else ".")
    )


def _named(names: list[str]) -> str:
    """Return the first few names, and the number of further ones."""
    rest = len(names) - NAMED
    shown = ", ".join(names[:NAMED])
    return f"{shown} and {rest} more" if rest > 0 else shown
