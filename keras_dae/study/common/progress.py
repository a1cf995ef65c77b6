"""The interface of progress displays of measurements."""

from collections.abc import Callable

# Called with a description and the fraction done, from 0 to 1.
Progress = Callable[[str, float], None]


def quiet(what: str, share: float) -> None:
    """Show no progress."""
