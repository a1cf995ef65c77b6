"""The mean of clipped Gaussian noise.

A pixel x becomes clip(x + sigma n, 0, 1), where n is standard normal. Its mean is not
x: black pixels become brighter and white ones darker. `clipped_mean` computes the mean
in closed form.
"""

import numpy as np
from numpy.typing import ArrayLike

from keras_dae.errors import check


def clipped_mean(x: ArrayLike, sigma: float) -> np.ndarray:
    """Return the mean of clip(x + sigma n, 0, 1), where n is standard normal.

    Args:
        x: clean values, an array of any shape. Values can be outside [0, 1].
        sigma: standard deviation of the noise before clipping; 0 means no noise.

    Returns:
        A float64 array of the shape of `x`, in [0, 1]; nan where `x` is nan.

    Raises:
        UsageError: `sigma` is negative or not finite.

    Example:
        >>> clipped_mean([0.0, 0.5, 1.0], sigma=0.5).round(4)
        array([0.1952, 0.5   , 0.8048])
    """
    values = np.asarray(x, np.float64)
    _check_sigma(sigma)
    if sigma == 0:
        return np.asarray(np.clip(values, 0, 1))
    from scipy.special import ndtr

    low, high = -values / sigma, (1 - values) / sigma
    inside = ndtr(high) - ndtr(low)
    mean = values * inside + sigma * (_density(low) - _density(high)) + ndtr(-high)
    return np.asarray(np.clip(mean, 0, 1))


def _density(z: np.ndarray) -> np.ndarray:
    """Return the density of the standard normal distribution."""
    density: np.ndarray = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    return density


def _check_sigma(sigma: float) -> None:
    check(
        bool(np.isfinite(sigma)) and sigma >= 0,
        "sigma must be a finite number of at least 0.",
        sigma=sigma,
    )
