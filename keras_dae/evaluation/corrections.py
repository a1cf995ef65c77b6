"""What undoes clipping after a filter, which averages clipped values.

Clipping to [0, 1] moves black pixels up and white ones down, and every filter that
averages keeps that offset. Two corrections take it back, each one curve for all pixels:
the inverse of the known mean of clipped noise (A. Foi, "Clipped noisy images:
heteroskedastic modeling and practical denoising", 2009), and the non-decreasing curve
of least squares between a filter's answers and clean validation images.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from keras_dae.evaluation.baselines import Denoiser
from keras_dae.images.clipping import clipped_mean
from keras_dae.images.noise import Gaussian, Noise

PLAIN = "plain"  # answers as they are
BINS = 256  # of answers, from 0 to 1; more change no error in its third digit
GRID = np.linspace(0, 1, 1025)  # clean values at which the known mean is inverted


@dataclass(frozen=True)
class Curve:
    """A non-decreasing map of values, linear between points and constant beyond.

    Attributes:
        given: where the points lie, increasing.
        made: what they become.
    """

    given: tuple[float, ...]
    made: tuple[float, ...]

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return the map of each value, float32 of the shape of `values`."""
        mapped: np.ndarray = np.interp(values, self.given, self.made)
        return mapped.astype(np.float32)

    def after(self, denoise: Denoiser) -> Denoiser:
        """Return a denoiser whose answers are mapped."""
        return lambda noisy: self(denoise(noisy))


# fit(answers, clean) -> curve, of validation images; None leaves answers as they are.
Fit = Callable[[np.ndarray, np.ndarray], Curve | None]


def fit_curve(answers: np.ndarray, clean: np.ndarray) -> Curve:
    """Return the non-decreasing curve from answers to clean values, of least squares.

    Args:
        answers: a filter's, values in [0, 1], of any shape.
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
    """Return the corrections that apply to this noise: name -> how the curve is found.

    `PLAIN` changes nothing; 'inverse' is there for clipped Gaussian noise of one
    strength alone, since its mean is known.
    """
    found: dict[str, Fit] = {PLAIN: lambda answers, clean: None}
    if isinstance(noise, Gaussian) and noise.clip and noise.sigma > 0:
        inverse = inverse_curve(noise.sigma)
        found["inverse"] = lambda answers, clean: inverse
    return {**found, "curve": fit_curve}
