"""Contrasts of mean test errors: difference, interval and p-value over seeds.

A contrast is a sum of factor times mean error over models, such as one model minus
another. Its variance has two parts: training runs are independent between seeds and
models, and all models are tested on the same images. The degrees of freedom follow from
B. L. Welch (1947) and F. E. Satterthwaite (1946).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, sqrt

import numpy as np
from scipy import special

LEVEL = 0.05
FEWEST_SEEDS = 3
PERMUTED_SEEDS = 8
MOST_PERMUTED_SEEDS = 10  # beyond, there are too many permutations to try all

# For each model, its factor and its test errors of shape (seeds, images).
Terms = Sequence[tuple[int, np.ndarray]]


@dataclass(frozen=True)
class Contrast:
    """An estimated contrast and its two standard errors.

    The variance over three seeds can be far too small by chance. Next to that of the
    images it would hardly count, and the degrees of freedom would be those of the
    images. Therefore the test over seeds alone must agree: the larger p-value and the
    wider interval are used.

    Attributes:
        difference: the sum of factor times mean error.
        over_seeds: standard error over seeds, and its degrees of freedom.
        with_images: the same over seeds and images together.
    """

    difference: float
    over_seeds: tuple[float, float]
    with_images: tuple[float, float]

    @property
    def p(self) -> float:
        """Two-sided p-value for a true contrast of 0, the larger one of both tests."""
        return max(
            _p(self.difference, *self.over_seeds),
            _p(self.difference, *self.with_images),
        )

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Return the wider interval of confidence 1 - `level`."""
        reach = _reach(self.wider, level)
        return self.difference - reach, self.difference + reach

    @property
    def wider(self) -> tuple[float, float]:
        """Standard error and degrees of freedom behind the interval."""
        return max(self.with_images, self.over_seeds, key=_reach)


def _reach(spread: tuple[float, float], level: float = LEVEL) -> float:
    """Return half the length of the interval of confidence 1 - `level`."""
    error, freedom = spread
    return error * float(special.stdtrit(freedom, 1 - level / 2)) if error else 0.0


def _p(difference: float, error: float, freedom: float) -> float:
    """Return the two-sided p-value of Welch's test."""
    if error == 0:
        return float(difference == 0)
    return float(2 * special.stdtr(freedom, -abs(difference) / error))


def estimate(terms: Terms) -> Contrast:
    """Return the contrast of `terms` with its standard errors.

    Args:
        terms: factor and test errors of shape (seeds, images) of each model; at least
            two seeds each, and the same images for all.

    Raises:
        ValueError: a model has fewer than two seeds.

    Example:
        >>> estimate([(1, np.array([[3.0], [5.0]])), (-1, np.array([[1.0], [1.0]]))])
        Contrast(difference=3.0, over_seeds=(1.0, 1.0), with_images=(1.0, 1.0))
    """
    if min(len(errors) for _, errors in terms) < 2:
        raise ValueError(
            "A standard error over seeds needs at least two seeds per model."
        )
    difference = float(sum(factor * errors.mean() for factor, errors in terms))
    parts = [
        (factor**2 * errors.mean(axis=1).var(ddof=1) / len(errors), len(errors) - 1)
        for factor, errors in terms
    ]
    images = terms[0][1].shape[1]
    of_images = [(_image_variance(terms), images - 1)] if images > 1 else []
    # Equal numbers can differ by rounding, which is not a spread.
    rounding = 1e-12 * max(abs(f) * float(np.abs(errors).max()) for f, errors in terms)
    return Contrast(
        difference if abs(difference) > rounding else 0.0,
        _standard_error(parts, rounding),
        _standard_error(parts + of_images, rounding),
    )


def _standard_error(
    parts: Sequence[tuple[float, int]], rounding: float
) -> tuple[float, float]:
    """Return the root of summed variances and Satterthwaite's degrees of freedom."""
    variance = float(sum(part for part, _ in parts))
    if sqrt(variance) <= rounding:
        return 0.0, float(min(count for _, count in parts))
    freedom = variance**2 / sum(part**2 / count for part, count in parts)
    return sqrt(variance), float(freedom)


def _image_variance(terms: Terms) -> float:
    """Return the variance of the contrast over images, without the part of the seeds.

    The variance over images also contains the differences between training runs. The
    variance over seeds already contains these, so it is subtracted.
    """
    images = terms[0][1].shape[1]
    paired = sum(factor * errors.mean(axis=0) for factor, errors in terms)
    both = float(np.var(paired, ddof=1)) / images
    counted = 0.0
    for factor, errors in terms:
        rest = errors - errors.mean(axis=0) - errors.mean(axis=1, keepdims=True)
        rest += errors.mean()
        freedom = (len(errors) - 1) * (images - 1)
        counted += factor**2 * float((rest**2).sum()) / freedom / len(errors) / images
    return max(0.0, float(both - counted))


def permutation_p(terms: Terms) -> float | None:
    """Return the exact p-value of the permutation test over seeds.

    It permutes the mean errors of the seeds between two models, and assumes no normal
    distribution.

    Returns:
        The two-sided p-value. None unless the contrast is one model minus another, with
        at least `PERMUTED_SEEDS` seeds each, and no more permutations than for
        `MOST_PERMUTED_SEEDS` seeds each.
    """
    counts = [len(errors) for _, errors in terms]
    two = sorted(factor for factor, _ in terms) == [-1, 1]
    if not two or min(counts) < PERMUTED_SEEDS:
        return None
    most = comb(2 * MOST_PERMUTED_SEEDS, MOST_PERMUTED_SEEDS)
    if comb(sum(counts), counts[0]) > most:
        return None
    from scipy import stats  # imported here since it takes half a second

    found = stats.permutation_test(
        [errors.mean(axis=1) for _, errors in terms],
        lambda one, other, axis: one.mean(axis=axis) - other.mean(axis=axis),
        n_resamples=np.inf,
        vectorized=True,
    )
    return float(found.pvalue)


def p_value(terms: Terms) -> tuple[float, str]:
    """Return the p-value of a contrast and the name of its test.

    If the exact permutation test is possible, the larger one of both p-values is
    returned, so that both tests must agree.
    """
    welch, exact = estimate(terms).p, permutation_p(terms)
    if exact is None:
        return welch, "Welch"
    return max(welch, exact), "Welch and exact permutation"


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's step-down corrected p-values, in the order given."""
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected
