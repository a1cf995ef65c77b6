"""What an image looks like: its noise, mean and spread, estimated from it alone."""

from collections.abc import Iterable
from statistics import NormalDist

import numpy as np

from keras_dae.images.patches import unit

SIDE = 512  # pixels a side that are looked at, from the middle of an image
SMALLEST = 8  # pixels a side below which nothing can be said
QUARTILE = NormalDist().inv_cdf(0.75)  # half of a standard normal's sizes are below


def describe(unit: np.ndarray) -> dict[str, float]:
    """Return estimated noise, mean and standard deviation of an image's middle.

    Args:
        unit: float32 in [0, 1], (H, W, C) with sides of at least `SMALLEST`.
    """
    # The robust estimate of Donoho and Johnstone: the median of the finest diagonal
    # wavelet coefficients that are not 0.
    per_channel = [_sigma(unit[..., c]) for c in range(unit.shape[2])]
    return {
        "sigma": float(np.mean(per_channel)),
        "mean": float(unit.mean(dtype=np.float64)),
        "std": float(unit.std(dtype=np.float64)),
    }


def median_sigma(images: Iterable[np.ndarray]) -> float:
    """Return the median of the noise that is estimated in images (H, W, C).

    Args:
        images: of types in `RANGES`, with sides of at least `SMALLEST`; their middles
            are looked at.
    """
    found = [describe(unit(middle(image)))["sigma"] for image in images]
    return float(np.median(found)) if found else 0.0


def _sigma(channel: np.ndarray) -> float:
    """Return what `skimage.restoration.estimate_sigma` does, to the bit.

    That takes 0.4 s of each training process to import, with much of scipy.
    """
    if np.ptp(channel) == 0:
        return 0.0
    import pywt

    with np.errstate(all="ignore"):
        diagonal = pywt.dwtn(channel, wavelet="db2")["dd"]
        sizes = np.abs(diagonal[np.nonzero(diagonal)])
        sigma = float(np.median(sizes)) / QUARTILE if sizes.size else 0.0
    return sigma if np.isfinite(sigma) else 0.0


def middle(values: np.ndarray) -> np.ndarray:
    """Return at most `SIDE` x `SIDE` pixels around the middle of (H, W, C)."""
    top, left = (max(0, (size - SIDE) // 2) for size in values.shape[:2])
    return values[top : top + SIDE, left : left + SIDE]


def measure_ranges(*groups: Iterable[np.ndarray]) -> dict[str, list[float]]:
    """Return the `input` of a card: percentiles 1 and 99 of what `describe` says.

    Args:
        groups: noisy images (H, W, C), float32 in [0, 1]; of several groups the
            lowest and the highest percentile count.
    """
    found = [[describe(image) for image in group] for group in groups]

    def outermost(key: str, share: float) -> float:
        quantiles = [np.quantile([row[key] for row in rows], share) for rows in found]
        bound = min(quantiles) if share < 0.5 else max(quantiles)
        return round(float(bound), 4)

    return {
        key: [outermost(key, 0.01), outermost(key, 0.99)]
        for key in ("sigma", "mean", "std")
    }
