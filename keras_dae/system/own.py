"""Which files this user's own runs wrote: by their hash, in the user's cache.

A file that is listed needs no walls. The list is in the user's own folder and not
beside the file, since who makes a file could write a list beside it as well.
"""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import keras_dae

MOST_BYTES = 1 << 30  # of a file that the list may name
_PRESETS = Path(str(keras_dae.__file__)).parent / "presets"


def cache_dir() -> Path:
    """Return the folder of downloads and of this list, or `KERAS_DAE_CACHE`."""
    chosen = os.environ.get("KERAS_DAE_CACHE")
    return Path(chosen) if chosen else home() / ".cache" / "keras_dae"


def home() -> Path:
    """Return the user's home; where there is none, a folder that does not exist."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/nonexistent")


def is_own(path: Path | str) -> bool:
    """Tell whether a file is as this user's own run wrote it, or of this package."""
    try:
        if Path(path).resolve().parent == _PRESETS.resolve():
            return True
        place = _place(path)
        return place is not None and place.is_file()
    except OSError:
        return False


def remember(path: Path | str) -> None:
    """Note that this program has just written a file, where there is a cache."""
    with suppress(OSError):
        if place := _place(path):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()


def forget(path: Path | str) -> None:
    """Take a file that is about to be replaced off the list."""
    with suppress(OSError):
        if place := _place(path):
            place.unlink(missing_ok=True)


def _is_huge(path: Path) -> bool:
    """Tell a file that no run of this program writes, and that takes long to hash."""
    found = path.stat()
    return found.st_size > MOST_BYTES or 512 * found.st_blocks < found.st_size // 2


def _place(path: Path | str) -> Path | None:
    """Return where the list notes a file of this content; None without such a file."""
    if not Path(path).is_file() or _is_huge(Path(path)):
        return None
    with Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return cache_dir() / "own" / digest
