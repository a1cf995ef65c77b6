"""Groups of pixels by predicted spread, and the factor of each group's intervals.

Most pixels of a digit are surely black. A factor that covers 90 % of all pixels would
cover few of the unsure ones, so each group has a factor of its own (V. Vovk et al.,
"Mondrian confidence machine", 2003). Dark and bright answers are different groups,
since what they miss differs: strokes are few, and nearly all bright answers are theirs.
"""

from dataclasses import dataclass

import numpy as np

MOST_GROUPS = 50  # of dark answers, and as many of bright ones
LEAST_PIXELS = 1000  # of a group, so that its factor is known to a few percent
BRIGHT = 0.5  # answers from here on are bright


@dataclass(frozen=True)
class Groups:
    """Groups of pixels: first those of dark answers, then those of bright ones.

    Attributes:
        dark: spreads that divide the dark answers, ascending; equal spreads are always
            of one group.
        bright: the same of the bright answers.
    """

    dark: np.ndarray
    bright: np.ndarray

    def __len__(self) -> int:
        """Return how many groups there are."""
        return len(self.dark) + len(self.bright) + 2

    def of(self, answer: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """Return the number of each pixel's group, an array of the same shape."""
        dark = np.searchsorted(self.dark, spread, side="right")
        bright = np.searchsorted(self.bright, spread, side="right")
        return np.where(answer < BRIGHT, dark, len(self.dark) + 1 + bright)


def make_groups(answer: np.ndarray, spread: np.ndarray) -> Groups:
    """Return groups that hold about equally many of these pixels.

    Args:
        answer: denoised pixels in [0, 1], any shape.
        spread: the predicted spread of each, of that shape.
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
    """The scores of each group, sorted: the factor that covers a share of its pixels.

    A score is an error divided by its predicted spread. The scores are those of one
    half of the validation images; the other half certifies the level.

    Args:
        scores: (n,), from 0.
        groups: the number of each one's group, (n,).
        count: how many groups there are.
    """

    def __init__(self, scores: np.ndarray, groups: np.ndarray, count: int) -> None:
        order = np.lexsort((scores, groups))
        self._scores = scores[order]
        self._starts = np.searchsorted(groups[order], np.arange(count + 1))

    def factors(self, level: float) -> np.ndarray:
        """Return the smallest factor of each group that covers this share of it.

        It covers `ceil(level * (n + 1))` of n scores, all where there are fewer. A
        group without scores takes the largest factor of the others.

        Example:
            >>> Curves(np.array([3.0, 1.0, 2.0, 4.0]), np.zeros(4, int), 1).factors(0.5)
            array([3.])
        """
        sizes = np.diff(self._starts)
        # A tiny step back, so that 0.9 * 10 is 9 whatever its rounding.
        rank = np.ceil(level * (sizes + 1) - 1e-9).astype(int).clip(1)
        places = self._starts[:-1] + np.minimum(rank, np.maximum(sizes, 1)) - 1
        found = np.full(len(sizes), -np.inf)
        found[sizes > 0] = self._scores[places[sizes > 0]]
        return np.where(sizes > 0, found, found.max(initial=0))
