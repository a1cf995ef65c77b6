"""Estimate noise, mean and standard deviation of an image."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from keras_dae.images.patches import unit

SIDE = 512  # side of the central part that is used, in pixels
SMALLEST = 8  # smallest side for an estimate, in pixels
QUARTILE = NormalDist().inv_cdf(0.75)  # median absolute value of a standard normal
# Ranges of brightness of a noise curve, and their smallest number of coefficients.
BINS, LEAST_IN_BIN = 8, 2000


@dataclass(frozen=True)
class NoiseCurve:
    """Variance of the noise of one channel as a function of brightness.

    Attributes:
        levels: increasing brightness in [0, 1].
        variances: variance of the noise at the levels.
    """

    levels: np.ndarray
    variances: np.ndarray

    def __call__(self, brightness: np.ndarray) -> np.ndarray:
        """Return the variance at each brightness: float32, the same shape."""
        found: np.ndarray = np.interp(brightness, self.levels, self.variances)
        return found.astype(np.float32)


def describe(unit: np.ndarray) -> dict[str, float]:
    """Return estimated noise, mean and standard deviation of the centre of an image.

    Args:
        unit: float32 in [0, 1], (H, W, C) with sides of at least `SMALLEST`.
    """
    # Robust estimate by Donoho and Johnstone: the median absolute value of the finest
    # diagonal wavelet coefficients that are not 0.
    per_channel = [_sigma(unit[..., c]) for c in range(unit.shape[2])]
    return {
        "sigma": float(np.mean(per_channel)),
        "mean": float(unit.mean(dtype=np.float64)),
        "std": float(unit.std(dtype=np.float64)),
    }


def median_sigma(images: Iterable[np.ndarray]) -> float:
    """Return the median of the estimated noise of images (H, W, C).

    Args:
        images: images of types in `RANGES`, with sides of at least `SMALLEST`. Only
            their centres are used.
    """
    found = [describe(unit(middle(image)))["sigma"] for image in images]
    return float(np.median(found)) if found else 0.0


def _sigma(channel: np.ndarray) -> float:
    """Return the same value as `skimage.restoration.estimate_sigma`, bit for bit.

    Importing that function takes 0.4 s in each training process, and much of scipy.
    """
    if np.ptp(channel) == 0:
        return 0.0
    import pywt

    with np.errstate(all="ignore"):
        diagonal = pywt.dwtn(channel, wavelet="db2")["dd"]
        sizes = np.abs(diagonal[np.nonzero(diagonal)])
        sigma = float(np.median(sizes)) / QUARTILE if sizes.size else 0.0
    return sigma if np.isfinite(sigma) else 0.0


def noise_curves(images: np.ndarray) -> list[NoiseCurve]:
    """Estimate the noise of images (n, H, W, C), float32 in [0, 1], per channel.

    The finest diagonal wavelet coefficients are mostly noise. Their median absolute
    value is a robust estimate (Donoho and Johnstone, 1994). Here each of up to `BINS`
    ranges of brightness has its own, so that dark and bright pixels may differ.
    """
    return [_noise_curve(images[..., c]) for c in range(images.shape[3])]


def _noise_curve(channel: np.ndarray) -> NoiseCurve:
    import pywt

    bands = pywt.dwtn(channel, "db2", axes=(1, 2))
    brightness = bands["aa"].ravel() / 2
    sizes = np.abs(bands["dd"]).ravel()
    count = max(1, min(BINS, sizes.size // LEAST_IN_BIN))
    bins = np.array_split(np.argsort(brightness, kind="stable"), count)
    levels = np.array([np.median(brightness[places]) for places in bins])
    sigmas = np.array([np.median(sizes[places]) for places in bins]) / QUARTILE
    return NoiseCurve(levels, sigmas**2)


def middle(values: np.ndarray) -> np.ndarray:
    """Return the central part of (H, W, C), at most `SIDE` x `SIDE` pixels."""
    top, left = (max(0, (size - SIDE) // 2) for size in values.shape[:2])
    return values[top : top + SIDE, left : left + SIDE]


def measure_ranges(*groups: Iterable[np.ndarray]) -> dict[str, list[float]]:
    """Return `input` of a card: percentiles 1 and 99 of the values of `describe`.

    Args:
        groups: noisy images (H, W, C), float32 in [0, 1]. With several groups, the
            lowest and the highest percentile are used.
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
