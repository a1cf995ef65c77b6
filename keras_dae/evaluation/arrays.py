"""Scores of a denoiser on arrays of clean images."""

from typing import Any

import numpy as np

from keras_dae.errors import KerasDAEError
from keras_dae.evaluation.baselines import Denoiser
from keras_dae.evaluation.metrics import SSIM_WINDOW, mse, ssim, summarise
from keras_dae.images.frozen import TEST, frozen_pairs
from keras_dae.images.noise import Noise

Scores = dict[str, float | None]


def score(
    denoise: Denoiser,
    images: Any,
    noise: Noise,
    value_range: tuple[float, float],
    seed: int = 0,
) -> Scores:
    """Return the mean error of a function of noisy images.

    Args:
        denoise: noisy images, float32 of shape (n, H, W, C) in [0, 1], to denoised
            ones of the same shape.
        images: clean images, (N, H, W, C).
        noise: what is added to them.
        value_range: image values that become 0 and 1.
        seed: what the noise is drawn from; the same noise for every denoiser.

    Returns:
        `mse` (mean over images and pixels), `psnr` (of that mean, in dB; None where it
        is 0) and `ssim` (mean over images; None for images below 11x11 pixels).

    Raises:
        KerasDAEError: an answer of another shape, or one that is not finite.
    """
    low, high = value_range
    errors: list[np.ndarray] = []
    similar: list[np.ndarray] = []
    drawn = frozen_pairs(images, noise, seed=seed, split=TEST, low=low, high=high)
    for noisy, clean in drawn:
        answer = np.asarray(denoise(noisy))
        if answer.shape != clean.shape:
            raise KerasDAEError(
                f"The denoiser returns shape {answer.shape} for images of shape "
                f"{clean.shape}."
            )
        if not np.isfinite(answer).all():
            raise KerasDAEError("The denoiser returns values that are not finite.")
        errors.append(mse(clean, answer))
        if min(clean.shape[1:3]) >= SSIM_WINDOW:
            similar.append(ssim(clean, answer))
    row = summarise(
        np.concatenate(errors),
        int(np.prod(images.shape[1:])),
        np.concatenate(similar) if similar else None,
    )
    return {name: row[name] for name in ("mse", "psnr", "ssim")}
