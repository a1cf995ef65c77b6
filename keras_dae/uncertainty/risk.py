"""Risk-controlling calibration: the smallest intervals with certified coverage.

A level t gives intervals that grow with t. The loss of an image is the share of its
pixels outside them. Levels are tested from the largest one downwards, and the smallest
one is chosen whose mean loss a test accepts (S. Bates et al., "Distribution-Free,
Risk-Controlling Prediction Sets", 2021). The test is the betting bound of I.
Waudby-Smith and A. Ramdas ("Estimating means of bounded random variables by betting",
2024), which is valid for any number of images.
"""

from collections.abc import Callable

import numpy as np

from keras_dae.errors import KerasDAEError, check

FINE, COARSE = 0.0005, 0.005  # steps of levels near the required one, and elsewhere


def is_below(losses: np.ndarray, risk: float, delta: float) -> bool:
    """Return whether the mean of a loss is certified to be at most `risk`.

    If the true mean is above `risk`, the result is True with a probability of at most
    `delta`.

    Args:
        losses: independent draws of the loss, (n,), in [0, 1].
        risk: the largest accepted mean, in (0, 1).
        delta: the probability of an error, in (0, 1).

    Raises:
        UsageError: losses are outside [0, 1].

    Example:
        >>> is_below(np.zeros(25), 0.1, 0.1), is_below(np.zeros(24), 0.1, 0.1)
        (True, False)
    """
    losses = np.asarray(losses, np.float64)
    count = len(losses)
    check(
        count == 0 or bool(losses.min() >= 0 and losses.max() <= 1),
        "losses must lie in [0, 1].",
        losses=losses,
    )
    numbers = np.arange(1, count + 1)
    means = (0.5 + np.cumsum(losses)) / (1 + numbers)
    variances = (0.25 + np.cumsum((losses - means) ** 2)) / (1 + numbers)
    before = np.concatenate([[0.25], variances[:-1]])[:count]
    bets = np.minimum(1, np.sqrt(2 * np.log(1 / delta) / (max(count, 1) * before)))
    # A bet of 1 on a loss of 1 leaves the share `risk` of the capital, above 0.
    capital = np.cumsum(np.log1p(-bets * (losses - risk)))
    return bool(capital.max(initial=-np.inf) >= np.log(1 / delta))


def certified_level(
    losses_at: Callable[[float], np.ndarray], level: float, delta: float
) -> float:
    """Return the smallest level whose mean loss is certified to be at most 1 - level.

    It is never below `level`. If some groups cover more than required, the others must
    not cover less in return.

    Args:
        losses_at: t -> the losses of the images, (n,), which do not increase with t.
        level: the share of pixels to cover, in (0, 1).
        delta: the probability that the mean loss is larger nevertheless.

    Raises:
        KerasDAEError: even the largest intervals are not certified: there are too few
            images.
    """
    found = None
    for candidate in _levels(level):
        losses = losses_at(candidate)
        if not is_below(losses, 1 - level, delta):
            break
        found = candidate
    if found is None:
        raise KerasDAEError(
            f"{len(losses):,} validation images are too few to certify a coverage of "
            f"{level:.0%} with probability {1 - delta:.0%}. Use more images, or a "
            "lower level or confidence."
        )
    return found


def _levels(level: float) -> list[float]:
    """Return the levels to test, the largest first."""
    near = level + FINE * np.arange(41)
    far = np.arange(near[-1] + COARSE, 1, COARSE)
    return [float(one) for one in [1.0, *far[::-1], *near[::-1]] if one <= 1]
