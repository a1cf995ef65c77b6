"""Targets for training without clean images: unbiased functions of a noisy pixel.

`unbiased_target(sigma)` is a function h with E[h(y) | x] = x for every clean value x in
[0, 1], where y is x with Gaussian noise, clipped to [0, 1]. A model trained to predict
h(y), where y is an independent noisy copy of its input, learns the same as from clean
targets. Noise that has mean zero and is not clipped needs no such function.

The principle is from J. Lehtinen et al., "Noise2Noise: Learning Image Restoration
without Clean Data", ICML 2018.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from math import ceil
from typing import Any, TypeGuard

import numpy as np

from keras_dae.errors import UsageError, check
from keras_dae.images.noise import Gaussian, Noise, Poisson, Ranged, Speckle, Uniform
from keras_dae.images.split import check_bias, check_sigma, split_target

# These have the clean image as their mean if they are not clipped.
MEAN_ZERO = (Gaussian, Speckle, Uniform, Poisson)
CLEAN_LEVELS = np.linspace(0, 1, 401)  # where bias and variance are evaluated
MAX_BIAS = 0.01
# Weight of the mean variance relative to the mean squared bias: large enough that h
# does not oscillate between neighbouring levels, small enough for the bias above.
VARIANCE_WEIGHT = 1e-5
# Levels of h per sigma, and their smallest and largest number.
PER_SIGMA, FEWEST, MOST = 8, 16, 400

Target = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class UnbiasedTarget:
    """A function h of clipped noisy pixels with E[h(y) | x] = x up to `bias`.

    Call it on noisy values in [0, 1] of any shape. It returns float32 values of the
    same shape, which can be outside [0, 1].

    Attributes:
        sigma: standard deviation of the noise before clipping.
        levels: increasing noisy values from 0 to 1; h is linear between them.
        values: h at the levels; at 0 and 1, its limit from inside.
        at_zero: h of a pixel that was clipped to 0.
        at_one: h of a pixel that was clipped to 1.
        bias: the largest |E[h(y) | x] - x| over x.
        std: the root of the mean variance of h(y) given x, over x.
    """

    sigma: float
    levels: np.ndarray = field(repr=False)
    values: np.ndarray = field(repr=False)
    at_zero: float
    at_one: float
    bias: float
    std: float

    def __call__(self, noisy: np.ndarray) -> np.ndarray:
        """Return h of noisy values in [0, 1], float32."""
        target: np.ndarray = np.interp(noisy, self.levels, self.values)
        target = target.astype(np.float32)
        target[noisy <= 0] = self.at_zero
        target[noisy >= 1] = self.at_one
        return target


@lru_cache(maxsize=16)
def unbiased_target(sigma: float) -> UnbiasedTarget:
    """Return h for Gaussian noise of `sigma` clipped to [0, 1].

    h is piecewise linear between 0 and 1, with a separate value at each end for the
    clipped pixels. It minimizes the squared bias over x in [0, 1] plus a small multiple
    of its variance, which is a linear least-squares problem.

    Args:
        sigma: standard deviation of the noise before clipping, above 0.

    Raises:
        UsageError: `sigma` is not positive, or so large that the bias exceeds
            `MAX_BIAS`.

    Example:
        >>> h = unbiased_target(0.5)
        >>> print(f"{h.at_zero:.2f}, {h.at_one:.2f}, {h.std:.2f}")
        -0.57, 1.57, 0.61
    """
    check_sigma(sigma)
    count = min(max(ceil(PER_SIGMA / sigma), FEWEST), MOST)
    levels = np.linspace(0, 1, count + 1)
    weights = _weights(CLEAN_LEVELS, sigma, levels)
    # Centred at 0.5, so that h(1 - y) = 1 - h(y): the variance term is symmetric.
    penalty = np.diag(np.sqrt(VARIANCE_WEIGHT * weights.sum(axis=0)))
    wanted = np.concatenate([CLEAN_LEVELS - 0.5, np.zeros(len(penalty))])
    centred = np.linalg.lstsq(np.concatenate([weights, penalty]), wanted, rcond=None)[0]
    mean = weights @ centred
    bias = float(np.abs(mean - wanted[: len(mean)]).max())
    variance = np.mean(weights @ centred**2 - mean**2)
    check_bias(bias, MAX_BIAS, sigma)
    at_zero, *values, at_one = centred + 0.5
    return UnbiasedTarget(
        *(sigma, levels, np.array(values), float(at_zero), float(at_one)),
        *(bias, float(np.sqrt(variance))),
    )


def target_of(noise: Noise) -> Target:
    """Return a function of a second noisy copy whose mean is the clean image.

    Args:
        noise: clipped Gaussian noise of one strength, or unclipped noise of mean zero.

    Raises:
        UsageError: the mean of this noise cannot be corrected.
    """
    if is_clipped(noise):
        return unbiased_target(noise.sigma)
    one = noise.weak if isinstance(noise, Ranged) else noise
    if (isinstance(one, MEAN_ZERO) and not one.clip) or _is_nothing(noise):
        return _as_it_is
    raise UsageError(
        "Training without clean images needs gaussian noise with a single sigma, or, "
        "with --no-clip, gaussian, speckle, uniform or poisson noise. "
        f"Received: noise={noise!r}."
    )


def is_clipped(noise: Noise) -> TypeGuard[Gaussian]:
    """Return whether noise is Gaussian with one sigma above 0, and clipped."""
    return isinstance(noise, Gaussian) and noise.clip and noise.sigma > 0


def check_mean(targets: str, noise: Noise) -> None:
    """Raise an error if the noise does not fit targets other than clean ones.

    Raises:
        UsageError: see `target_of`; or the noise is not Gaussian with one sigma for
            split or r2r; or it is clipped for r2r.
    """
    if targets != "clean":
        target_of(noise)
    check(
        targets != "split" or isinstance(noise, Gaussian),
        "targets=split needs gaussian noise with a single sigma.",
        noise=noise,
    )
    check(
        targets != "r2r" or (isinstance(noise, Gaussian) and not noise.clip),
        "targets=r2r needs gaussian noise with a single sigma and --no-clip. Other or "
        "clipped noise cannot be split into two independent parts. Use targets=split "
        "for clipped noise.",
        noise=noise,
    )


def describe_targets(targets: str, noise: Noise) -> dict[str, Any]:
    """Return the record of a run's targets; empty for clean ones."""
    if targets == "clean":
        return {}
    target: Any = target_of(noise)
    described: dict[str, Any] = {"kind": targets, "correction": None}
    if isinstance(target, UnbiasedTarget):
        described["correction"] = "h(y)"
        if targets == "split":
            target, described["correction"] = split_target(target.sigma), "t(y, y1)"
        for key in ("bias", "std"):
            described[key] = float(f"{getattr(target, key):.4g}")
    return {"targets": described}


def _as_it_is(noisy: np.ndarray) -> np.ndarray:
    return noisy


def _is_nothing(noise: Noise) -> bool:
    return isinstance(noise, Gaussian) and noise.sigma == 0


def _weights(x: np.ndarray, sigma: float, levels: np.ndarray) -> np.ndarray:
    """Return the weight of each value of h in E[h(y) | x].

    The columns are the atom at 0, the levels and the atom at 1. Rows sum to 1.
    """
    from scipy.special import ndtr

    gap = (x[:, None] - levels) / sigma
    above = ndtr(gap)  # P(y > level), before clipping, and the mean of (y - level)+
    beyond = sigma * (gap * above + np.exp(-0.5 * gap**2) / np.sqrt(2 * np.pi))
    # The hat function of a level is a sum of three ramps (y - k)+. At both ends the
    # atom cuts it off.
    slopes = np.diff(beyond, axis=1) / np.diff(levels)
    weights = np.empty((len(x), len(levels) + 2))
    weights[:, 0], weights[:, -1] = 1 - above[:, 0], above[:, -1]
    weights[:, 1] = above[:, 0] + slopes[:, 0]
    weights[:, 2:-2] = np.diff(slopes, axis=1)
    weights[:, -2] = -above[:, -1] - slopes[:, -1]
    return weights
