"""Lines on standard error for work that takes long and shows nothing else."""

import sys
import time
from collections.abc import Callable

FIRST_SECONDS = 3.0  # without a word; each further line waits twice as long


class Waiting:
    """Says how far a slow piece of work is: after 3 s, 9 s, 21 s and so on.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._pause = clock, FIRST_SECONDS
        self._next = clock() + self._pause

    def __call__(self, line: str) -> None:
        """Print a line if it is time for one."""
        if (now := self._clock()) < self._next:
            return
        self._pause *= 2
        self._next = now + self._pause
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
