"""Measures of a denoised image against the clean one: float64, clean first.

A metric maps two arrays of shape (N, H, W, C) to one value an image, shape (N,).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from keras_dae.errors import check

DATA_RANGE = 1.0
SSIM_SIGMA, SSIM_WINDOW = 1.5, 11


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


def ssim(clean: np.ndarray, denoised: np.ndarray) -> np.ndarray:
    """Return the structural similarity, one value an image, the mean over channels.

    Gaussian window of sigma 1.5 over 11x11 pixels, data range 1, population
    covariance, the border of 5 pixels left out (Z. Wang et al., "Image Quality
    Assessment: From Error Visibility to Structural Similarity", 2004; the figure of
    scikit-image with `gaussian_weights=True, use_sample_covariance=False`).

    Raises:
        UsageError: images below 11x11 pixels, or of different shapes.
    """
    check(
        clean.shape == denoised.shape and min(clean.shape[1:3]) >= SSIM_WINDOW,
        f"ssim takes two arrays of one shape (N, H, W, C), H and W from {SSIM_WINDOW}.",
        clean=clean.shape,
        denoised=denoised.shape,
    )
    x, y = clean.astype(np.float64), denoised.astype(np.float64)
    mean_x, mean_y = _window(x), _window(y)
    variance_x = _window(x * x) - mean_x**2
    variance_y = _window(y * y) - mean_y**2
    covariance = _window(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * DATA_RANGE) ** 2, (0.03 * DATA_RANGE) ** 2
    values = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    )
    border = SSIM_WINDOW // 2
    means: np.ndarray = values[:, border:-border, border:-border].mean(axis=(1, 2, 3))
    return means


def _window(images: np.ndarray) -> np.ndarray:
    sigma = (0, SSIM_SIGMA, SSIM_SIGMA, 0)
    filtered: np.ndarray = gaussian_filter(images, sigma, truncate=3.5)
    return filtered


Metric = Callable[[np.ndarray, np.ndarray], np.ndarray]
METRICS: dict[str, Metric] = {"mse": mse, "psnr": psnr, "ssim": ssim}


def summarise(
    errors: np.ndarray, pixels: int, similarities: np.ndarray | None = None
) -> dict[str, Any]:
    """Return a row's figures from what each image was measured to be.

    Args:
        errors: mean squared error over pixels, one an image.
        pixels: values of one image; the paper's loss sums over them (section 3.1).
        similarities: structural similarity, one an image; None where images are too
            small for it.

    Returns:
        `mse`, `mse_sum`, `psnr` (of the mean error), `psnr_mean_image` (mean of the
        images' own) and `ssim`; None where a figure is not finite or not there.
    """
    mean = float(errors.mean())
    exact = bool((errors == 0).any())
    return {
        "mse": mean,
        "mse_sum": mean * pixels,
        "psnr": psnr_of(mean) if mean > 0 else None,
        "psnr_mean_image": None if exact else float((-10 * np.log10(errors)).mean()),
        "ssim": None if similarities is None else float(similarities.mean()),
    }
