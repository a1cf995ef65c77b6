"""Baselines that a denoiser must beat: trivial outputs and classical filters.

Each row of `BASELINES` is `make(splits) -> denoise`, with `denoise(noisy) ->
denoised` on float32 arrays of shape (N, H, W, C).
"""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from keras_dae.images.datasets import Splits
from keras_dae.images.rows import normalise

Denoiser = Callable[[np.ndarray], np.ndarray]


def noisy_input(splits: Splits) -> Denoiser:
    """Return a denoiser that returns its input."""
    return lambda noisy: noisy


def all_black(splits: Splits) -> Denoiser:
    """Return a denoiser that returns 0 everywhere, like a model with dead ReLUs."""
    return np.zeros_like


def mean_image(splits: Splits) -> Denoiser:
    """Return a denoiser that always returns the mean clean training image."""
    total = np.zeros(splits.image_shape)
    for start in range(0, len(splits.train), 4096):
        block = splits.train[start : start + 4096]
        total += normalise(block, splits.low, splits.high).sum(axis=0, dtype=np.float64)
    mean = (total / len(splits.train)).astype(np.float32)
    return lambda noisy: np.broadcast_to(mean, noisy.shape)


def median_filter(size: int) -> Callable[[Splits], Denoiser]:
    """Return the row for a median filter of `size` x `size` pixels (section 1.2)."""

    def make(splits: Splits) -> Denoiser:
        # Clipped like each row of `FILTERS`, so that one name has one error.
        return lambda noisy: ndimage.median_filter(noisy, (1, size, size, 1)).clip(0, 1)

    return make


BASELINES: dict[str, Callable[[Splits], Denoiser]] = {
    "noisy input": noisy_input,
    "all black": all_black,
    "mean image": mean_image,
    "median 3x3": median_filter(3),
    "median 5x5": median_filter(5),
}
# Rows that are filters.
MEDIANS = ("median 3x3", "median 5x5")
