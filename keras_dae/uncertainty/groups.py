"""Groups of pixels by predicted spread, with one interval factor per group.

Most pixels of a digit are certainly black. A factor that covers 90 % of all pixels
would cover few of the uncertain ones, so each group has its own factor (V. Vovk et al.,
"Mondrian confidence machine", 2003). Dark and bright outputs are in different groups,
since their errors differ: strokes are rare, and nearly all bright outputs belong to
them.
"""

from dataclasses import dataclass

import numpy as np

MOST_GROUPS = 50  # of dark outputs, and as many of bright ones
LEAST_PIXELS = 1000  # per group, so that its factor is accurate to a few percent
BRIGHT = 0.5  # outputs of at least this value are bright


@dataclass(frozen=True)
class Groups:
    """Groups of pixels: first those of dark outputs, then those of bright ones.

    Attributes:
        dark: ascending spreads that separate the groups of dark outputs; equal spreads
            are always in the same group.
        bright: the same for bright outputs.
    """

    dark: np.ndarray
    bright: np.ndarray

    def __len__(self) -> int:
        """Return the number of groups."""
        return len(self.dark) + len(self.bright) + 2

    def of(self, answer: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """Return the group index of each pixel, an array of the same shape."""
        dark = np.searchsorted(self.dark, spread, side="right")
        bright = np.searchsorted(self.bright, spread, side="right")
        return np.where(answer < BRIGHT, dark, len(self.dark) + 1 + bright)


def make_groups(answer: np.ndarray, spread: np.ndarray) -> Groups:
    """Return groups of about equal size for these pixels.

    Args:
        answer: denoised pixels in [0, 1], any shape.
        spread: the predicted spread of each pixel, same shape.
    """
    return Groups(_edges(spread[answer < BRIGHT]), _edges(spread[answer >= BRIGHT]))


def _edges(spread: np.ndarray) -> np.ndarray:
    count = min(MOST_GROUPS, spread.size // LEAST_PIXELS)
    if count < 2:
        return np.zeros(0)
    inner = np.linspace(0, 1, count + 1)[1:-1]
    edges = np.unique(np.quantile(spread, inner, method="higher"))
    above: np.ndarray = edges[edges > spread.min()]
    return above  # a group below the smallest would be empty


class Curves:
    """The sorted scores of each group, which give the factor for a coverage.

    A score is an error divided by its predicted spread. The scores are those of one
    half of the validation images; the other half certifies the level.

    Args:
        scores: (n,), not negative.
        groups: the group index of each score, (n,).
        count: number of groups.
    """

    def __init__(self, scores: np.ndarray, groups: np.ndarray, count: int) -> None:
        order = np.lexsort((scores, groups))
        self._scores = scores[order]
        self._starts = np.searchsorted(groups[order], np.arange(count + 1))

    def factors(self, level: float) -> np.ndarray:
        """Return the smallest factor of each group that covers this share of it.

        It covers `ceil(level * (n + 1))` of n scores, or all if there are fewer. A
        group without scores gets the largest factor of the others.

        Example:
            >>> Curves(np.array([3.0, 1.0, 2.0, 4.0]), np.zeros(4, int), 1).factors(0.5)
            array([3.])
        """
        sizes = np.diff(self._starts)
        # Subtract a tiny amount, so that 0.9 * 10 is 9 despite rounding.
        rank = np.ceil(level * (sizes + 1) - 1e-9).astype(int).clip(1)
        places = self._starts[:-1] + np.minimum(rank, np.maximum(sizes, 1)) - 1
        found = np.full(len(sizes), -np.inf)
        found[sizes > 0] = self._scores[places[sizes > 0]]
        return np.where(sizes > 0, found, found.max(initial=0))
