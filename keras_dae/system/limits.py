"""Limits of memory and time for opening one file, depending on its size."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from keras_dae.errors import UsageError

MEMORY_LIMIT, TIME_LIMIT = "KERAS_DAE_MEMORY_LIMIT", "KERAS_DAE_TIME_LIMIT"
# `keras-dae --memory-limit --time-limit` set these: MiB and seconds for any file.
# The default limits consist of a constant and an amount per stored byte.
MEMORY, MEMORY_A_BYTE = 1 << 30, 16
SECONDS, BYTES_A_SECOND = 10.0, 4e6


@dataclass(frozen=True)
class Bounds:
    """Limits of one call.

    Attributes:
        memory: bytes in addition to those the process had before.
        seconds: CPU time, in seconds of one core.
        threads: cores that may be used at once.
    """

    memory: int = MEMORY
    seconds: float = SECONDS
    threads: int = 1


UNBOUNDED = Bounds(1 << 60, 1e8)  # effectively none


def bounds_of(path: Path | str | None = None, size: int = 0) -> Bounds:
    """Return the limits for a file, depending on its size on disk.

    Args:
        path: the file. For a sparse file, only stored bytes count.
        size: bytes that do not come from a file.

    Raises:
        UsageError: a limit in the environment is not a number above 0.
    """
    if path is not None:
        with suppress(OSError):
            found = Path(path).stat()
            size = min(found.st_size, 512 * found.st_blocks)
    memory, seconds = _limit(MEMORY_LIMIT), _limit(TIME_LIMIT)
    return Bounds(
        MEMORY + MEMORY_A_BYTE * size if memory is None else int(memory * 2**20),
        SECONDS + size / BYTES_A_SECOND if seconds is None else seconds,
    )


def _limit(name: str) -> float | None:
    text = os.environ.get(name, "")
    try:
        value = float(text) if text else None
    except ValueError:
        value = 0.0
    if value is not None and not 0 < value < 1e8:
        raise UsageError(f"{name} must be a number above 0. Received: {text!r}.")
    return value
