"""How much memory and time one file may take to open, in proportion to its size."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from keras_dae.errors import UsageError

MEMORY_LIMIT, TIME_LIMIT = "KERAS_DAE_MEMORY_LIMIT", "KERAS_DAE_TIME_LIMIT"
# `keras-dae --memory-limit --time-limit` set these: MiB and seconds for any file.
# Without them, opening a file may take this much, and more per byte that is stored.
MEMORY, MEMORY_A_BYTE = 1 << 30, 16
SECONDS, BYTES_A_SECOND = 10.0, 4e6


@dataclass(frozen=True)
class Bounds:
    """What one call may take.

    Attributes:
        memory: bytes beside what the process has before.
        seconds: of computing by one core.
        threads: cores that may compute at once.
    """

    memory: int = MEMORY
    seconds: float = SECONDS
    threads: int = 1


UNBOUNDED = Bounds(1 << 60, 1e8)  # as good as none


def bounds_of(path: Path | str | None = None, size: int = 0) -> Bounds:
    """Return the bounds for a file, in proportion to the bytes that it has on the disk.

    Args:
        path: the file; a sparse one counts for what is stored of it.
        size: bytes that do not come from a file.

    Raises:
        UsageError: a limit in the environment is no number above 0.
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
