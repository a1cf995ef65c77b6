"""Corrections for the bias of filters that average clipped values.

Clipping to [0, 1] raises the mean of black pixels and lowers that of white ones, and
every averaging filter keeps this bias. There are two corrections, each one curve for
all pixels: the inverse of the known mean of clipped noise (A. Foi, "Clipped noisy
images: heteroskedastic modeling and practical denoising", 2009), and the non-decreasing
least-squares curve from filter outputs to clean validation images.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from keras_dae.evaluation.baselines import Denoiser
from keras_dae.images.clipping import clipped_mean
from keras_dae.images.noise import Gaussian, Noise

PLAIN = "plain"  # no correction
BINS = 256  # of outputs, from 0 to 1; more do not change three digits of an error
GRID = np.linspace(0, 1, 1025)  # clean values at which the known mean is inverted


@dataclass(frozen=True)
class Curve:
    """A non-decreasing map of values, linear between points and constant beyond.

    Attributes:
        given: inputs of the points, increasing.
        made: outputs of the points.
    """

    given: tuple[float, ...]
    made: tuple[float, ...]

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return the map of each value, float32 of the shape of `values`."""
        mapped: np.ndarray = np.interp(values, self.given, self.made)
        return mapped.astype(np.float32)

    def after(self, denoise: Denoiser) -> Denoiser:
        """Return a denoiser whose outputs are corrected."""
        return lambda noisy: self(denoise(noisy))


# fit(outputs, clean) -> curve, on validation images; None means no correction.
Fit = Callable[[np.ndarray, np.ndarray], Curve | None]


def fit_curve(answers: np.ndarray, clean: np.ndarray) -> Curve:
    """Return the non-decreasing least-squares curve from outputs to clean values.

    Args:
        answers: outputs of a filter, values in [0, 1], of any shape.
        clean: the clean values, same shape.

    Example:
        >>> curve = fit_curve(np.array([0.2, 0.2, 0.8]), np.array([0.0, 0.1, 1.0]))
        >>> curve(np.array([0.2, 0.5, 0.9])).round(3)
        array([0.05 , 0.525, 1.   ], dtype=float32)
    """
    flat = answers.reshape(-1).astype(np.float64)
    bins = np.minimum((flat * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    used = counts > 0
    counts = counts[used]
    given, wanted = (
        np.bincount(bins, weights=values, minlength=BINS)[used] / counts
        for values in (flat, clean.reshape(-1).astype(np.float64))
    )
    made = isotonic_regression(wanted, weights=counts).x
    return Curve(tuple(map(float, given)), tuple(map(float, made)))


def inverse_curve(sigma: float) -> Curve:
    """Return the inverse of the mean of clipped Gaussian noise, as a curve.

    Args:
        sigma: standard deviation of the noise before clipping, above 0.
    """
    return Curve(tuple(map(float, clipped_mean(GRID, sigma))), tuple(map(float, GRID)))


def corrections(noise: Noise) -> dict[str, Fit]:
    """Return the corrections for this noise: name -> function that fits the curve.

    `PLAIN` changes nothing. 'inverse' is available only for clipped Gaussian noise of
    a single strength, whose mean is known.
    """
    found: dict[str, Fit] = {PLAIN: lambda answers, clean: None}
    if isinstance(noise, Gaussian) and noise.clip and noise.sigma > 0:
        inverse = inverse_curve(noise.sigma)
        found["inverse"] = lambda answers, clean: inverse
    return {**found, "curve": fit_curve}
