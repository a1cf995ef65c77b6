"""Measures of a denoised image against the clean one: float64, clean first.

A metric maps two arrays of shape (N, H, W, C) to one value an image, shape (N,).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_dae.errors import check

DATA_RANGE = 1.0


def mse(clean: np.ndarray, denoised: np.ndarray) -> np.ndarray:
    """Return the mean squared error over pixels, one value an image."""
    check(
        clean.shape == denoised.shape and clean.ndim == 4,
        "clean and denoised must be of one shape (N, H, W, C).",
        clean=clean.shape,
        denoised=denoised.shape,
    )
    difference = clean.astype(np.float64) - denoised
    errors: np.ndarray = np.square(difference, out=difference).mean(axis=(1, 2, 3))
    return errors


def psnr_of(error: float) -> float:
    """Return the peak signal-to-noise ratio, in dB, of a mean squared error > 0."""
    return float(10 * np.log10(DATA_RANGE**2 / error))


def psnr(clean: np.ndarray, denoised: np.ndarray) -> np.ndarray:
    """Return the peak signal-to-noise ratio in dB, one value an image.

    Infinite where an image is reproduced exactly.
    """
    with np.errstate(divide="ignore"):
        return 10 * np.log10(DATA_RANGE**2 / mse(clean, denoised))


Metric = Callable[[np.ndarray, np.ndarray], np.ndarray]
METRICS: dict[str, Metric] = {"mse": mse, "psnr": psnr}


def summarise(errors: np.ndarray, pixels: int) -> dict[str, Any]:
    """Return a row's figures from the per-image errors of `mse`.

    Args:
        errors: mean squared error over pixels, one an image.
        pixels: values of one image; the paper's loss sums over them (section 3.1).
    """
    mean = float(errors.mean())
    return {
        "mse": mean,
        "mse_sum": mean * pixels,
        "psnr": psnr_of(mean) if mean > 0 else None,
    }
