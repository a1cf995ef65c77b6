"""The list of trusted files, which this user's own runs wrote: hashes in the cache.

A listed file is opened without a restricted process. The list is in the user's cache
and not next to the file, since the author of a file could also write a list next to it.
"""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import keras_dae

MOST_BYTES = 1 << 30  # of a file that the list may name
PRESETS = Path(str(keras_dae.__file__)).parent / "presets"


def cache_dir() -> Path:
    """Return the folder for downloads and for this list, or `KERAS_DAE_CACHE`."""
    chosen = os.environ.get("KERAS_DAE_CACHE")
    return Path(chosen) if chosen else home() / ".cache" / "keras_dae"


def home() -> Path:
    """Return the user's home; a folder that does not exist if there is none."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/nonexistent")


def is_own(path: Path | str) -> bool:
    """Return whether a file is unchanged since this user's run, or of this package."""
    try:
        if Path(path).resolve().parent == PRESETS.resolve():
            return True
        place = _place(path)
        return place is not None and place.is_file()
    except OSError:
        return False


def remember(path: Path | str) -> None:
    """Record that this program has just written a file, if there is a cache."""
    with suppress(OSError):
        if place := _place(path):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()


def forget(path: Path | str) -> None:
    """Remove a file that is about to be replaced from the list."""
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
