"""How long measurements say what they are at."""

from collections.abc import Callable

# Told what is being done, and how much of all is done, from 0 to 1.
Progress = Callable[[str, float], None]


def quiet(what: str, share: float) -> None:
    """Show no progress."""
