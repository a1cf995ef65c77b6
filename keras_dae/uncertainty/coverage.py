"""Measure the coverage of intervals on images that were not used to calibrate."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import stats

from keras_dae.uncertainty.calibrate import Answered, Uncertainty
from keras_dae.uncertainty.groups import BRIGHT

UNSURE = (0.1, 0.9)  # outputs between these are neither black nor white
WIDTHS = (0.0, 0.01, 0.1, 0.5, 1.0)  # edges of the bins of widths
DECILES = 10
Bounds = tuple[np.ndarray, np.ndarray]


def measure(answered: Answered, bounds: Bounds, spread: np.ndarray) -> dict[str, Any]:
    """Return coverage and width of intervals, as JSON values.

    Args:
        answered: images and outputs.
        bounds: lower and upper bounds of the intervals, (N, H, W, C).
        spread: the predicted spread of each pixel.

    Returns:
        `coverage`, `strokes` (coverage of clean pixels of at least 0.5), `unsure`
        (coverage for outputs from 0.1 to 0.9), `width`, `rank` and `rank_unsure`
        (Spearman's correlation of width and error over pixels), `by_width` (one row per
        bin), `deciles` (one row per tenth of the pixels, in order of spread), `images`
        and `images_below` (the share of images with less than 90 % coverage).
    """
    lower, upper = (one.ravel() for one in bounds)
    clean, answer = answered.clean.ravel(), answered.answer.ravel()
    covered = (lower <= clean) & (clean <= upper)
    width, error = upper - lower, np.abs(clean - answer)
    unsure = (answer >= UNSURE[0]) & (answer <= UNSURE[1])
    of_images = covered.reshape(len(answered.clean), -1).mean(axis=1)
    return {
        "images": len(of_images),
        "coverage": float(covered.mean()),
        "strokes": _mean(covered[clean >= BRIGHT]),
        "unsure": _mean(covered[unsure]),
        "width": float(width.mean(dtype=np.float64)),
        "width_unsure": _mean(width[unsure]),
        "rank": _rank(width, error),
        "rank_unsure": _rank(width[unsure], error[unsure]),
        "images_below": float((of_images < 0.9).mean()),
        "by_width": list(_by_width(width, covered)),
        "deciles": deciles(spread.ravel(), covered, width),
    }


def deciles(
    spread: np.ndarray, covered: np.ndarray, width: np.ndarray
) -> list[dict[str, float]]:
    """Return coverage and mean width for each tenth of the pixels, by their spread.

    Pixels are ranked by spread. Pixels with equal spread cannot be distinguished, so
    each of them counts with their mean. A tie across the end of a tenth therefore gives
    both sides the same coverage.

    Args:
        spread: predicted spread, (n,).
        covered: whether each pixel lies in its interval.
        width: width of each interval.
    """
    order = np.argsort(spread, kind="stable")
    _, starts, counts = np.unique(spread[order], return_index=True, return_counts=True)
    rows: dict[str, np.ndarray] = {}
    for name, values in (("coverage", covered), ("width", width)):
        sums = np.add.reduceat(values[order].astype(np.float64), starts)
        rows[name] = np.repeat(sums / counts, counts)
    parts = zip(
        np.array_split(spread[order], DECILES),
        *(np.array_split(one, DECILES) for one in rows.values()),
        strict=True,
    )
    return [
        {
            "spread": float(part[-1]),
            "coverage": float(shares.mean()),
            "width": float(widths.mean()),
        }
        for part, shares, widths in parts
        if len(part)
    ]


def unlike_share(uncertainty: Uncertainty, noisy: Iterable[np.ndarray]) -> float:
    """Return the share of noisy images (H, W, C) that would cause a warning."""
    return float(np.mean([uncertainty.unlike(one) is not None for one in noisy]))


def _by_width(width: np.ndarray, covered: np.ndarray) -> Iterable[dict[str, Any]]:
    bins = np.searchsorted(WIDTHS[1:-1], width, side="right")
    for number, (low, high) in enumerate(pairwise(WIDTHS)):
        here = bins == number
        share = float(here.mean())
        yield {
            "from": low,
            "to": high,
            "share": share,
            "coverage": _mean(covered[here]),
        }


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean(dtype=np.float64)) if len(values) else None


def _rank(width: np.ndarray, error: np.ndarray) -> float | None:
    if len(width) < 2 or np.ptp(width) == 0 or np.ptp(error) == 0:
        return None
    return float(stats.spearmanr(width, error).statistic)
