"""Intervals around outputs: a factor per group, and a certified level."""

from dataclasses import dataclass

import numpy as np

from keras_dae.uncertainty.groups import Curves, Groups, make_groups
from keras_dae.uncertainty.risk import certified_level


@dataclass(frozen=True)
class Intervals:
    """Half widths as a function of an output and its predicted spread.

    Attributes:
        groups: which pixels share a factor.
        factors: half width divided by spread, one per group.
        certified: the level within each group at which the coverage is certified; a
            little above the required coverage.
    """

    groups: Groups
    factors: np.ndarray
    certified: float

    def half_widths(self, answer: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """Return half the width of each pixel's interval, before clipping to [0, 1]."""
        factors = self.factors[self.groups.of(answer, spread)]
        found: np.ndarray = (factors * spread).astype(np.float32)
        return found

    def bounds(
        self, answer: np.ndarray, spread: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and the upper bound of each pixel's interval, in [0, 1]."""
        half = self.half_widths(answer, spread)
        return (answer - half).clip(0, 1), (answer + half).clip(0, 1)


def fit_intervals(
    answer: np.ndarray,
    clean: np.ndarray,
    spread: np.ndarray,
    *,
    level: float,
    delta: float,
) -> Intervals:
    """Return intervals, fitted to outputs for validation images.

    The first half of the images determines the factor of each group at any level; the
    second half certifies the level.

    Args:
        answer: denoised images in [0, 1], (N, H, W, C).
        clean: the clean images.
        spread: the predicted spread of each pixel.
        level: the share of an image's pixels to cover, on average.
        delta: the probability that the coverage is lower nevertheless.

    Raises:
        KerasDAEError: there are too few images.
    """
    half = (len(answer) + 1) // 2
    groups = make_groups(answer[:half], spread[:half])
    scores, numbers = np.abs(answer - clean) / spread, groups.of(answer, spread)
    curves = Curves(scores[:half].ravel(), numbers[:half].ravel(), len(groups))
    of_images, group_of = (
        part[half:].reshape(len(answer) - half, -1) for part in (scores, numbers)
    )

    def losses(at: float) -> np.ndarray:
        missed = of_images > curves.factors(at)[group_of]
        shares: np.ndarray = missed.mean(axis=1)
        return shares

    certified = certified_level(losses, level, delta)
    return Intervals(groups, curves.factors(certified), certified)
