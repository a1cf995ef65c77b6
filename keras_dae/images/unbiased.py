"""Targets for training without clean images: unbiased functions of a noisy pixel.

`unbiased_target(sigma)` is a function h with E[h(y) | x] = x for every clean value x in
[0, 1], y being x with Gaussian noise clipped to [0, 1]. A model that is trained to
answer h(y), y an independent noisy copy of its input, learns what it would learn from
clean targets. Noise that is not clipped and has mean zero needs no such function.

J. Lehtinen et al., "Noise2Noise: Learning Image Restoration without Clean Data", ICML
2018, for the principle.
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

# Its mean is the clean image as long as it is not clipped.
MEAN_ZERO = (Gaussian, Speckle, Uniform, Poisson)
CLEAN_LEVELS = np.linspace(0, 1, 401)  # where bias and variance are taken
MAX_BIAS = 0.01
# Weight of the mean variance against the mean squared bias: large enough that h does
# not swing between neighbouring levels, small enough for the bias above.
VARIANCE_WEIGHT = 1e-5
# Levels of h within one sigma, and how many there are at least and at most.
PER_SIGMA, FEWEST, MOST = 8, 16, 400

Target = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class UnbiasedTarget:
    """A function h of clipped noisy pixels with E[h(y) | x] = x to within `bias`.

    Call it on noisy values in [0, 1] of any shape; it returns float32 of that shape,
    with values beyond [0, 1].

    Attributes:
        sigma: standard deviation of the noise before clipping.
        levels: increasing noisy values from 0 to 1, between which h is linear.
        values: h at the levels, as pixels come near them.
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

    h is piecewise linear between 0 and 1 and has a value of its own at each end, where
    clipped pixels gather. It minimises the squared bias over x in [0, 1] plus a small
    share of its variance: a linear least-squares problem.

    Args:
        sigma: standard deviation of the noise before clipping, above 0.

    Raises:
        UsageError: `sigma` is not positive, or so large that clipped pixels say too
            little of x for a bias below `MAX_BIAS`.

    Example:
        >>> h = unbiased_target(0.5)
        >>> print(f"{h.at_zero:.2f}, {h.at_one:.2f}, {h.std:.2f}")
        -0.57, 1.57, 0.61
    """
    check_sigma(sigma)
    count = min(max(ceil(PER_SIGMA / sigma), FEWEST), MOST)
    levels = np.linspace(0, 1, count + 1)
    weights = _weights(CLEAN_LEVELS, sigma, levels)
    # Around 0.5, so that h(1 - y) is 1 - h(y): the variance's share is symmetric.
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
    """Return what a second noisy copy becomes, so that its mean is the clean image.

    Args:
        noise: Gaussian noise of one strength if clipped; any of mean zero if not.

    Raises:
        UsageError: noise whose mean cannot be undone here.
    """
    if is_clipped(noise):
        return unbiased_target(noise.sigma)
    one = noise.weak if isinstance(noise, Ranged) else noise
    if (isinstance(one, MEAN_ZERO) and not one.clip) or _is_nothing(noise):
        return _as_it_is
    raise UsageError(
        "Training without clean images takes gaussian noise of one sigma, or with "
        "--no-clip gaussian, speckle, uniform or poisson noise. "
        f"Received: noise={noise!r}."
    )


def is_clipped(noise: Noise) -> TypeGuard[Gaussian]:
    """Tell whether noise is Gaussian of one sigma above 0, and clipped."""
    return isinstance(noise, Gaussian) and noise.clip and noise.sigma > 0


def check_mean(targets: str, noise: Noise) -> None:
    """Refuse targets other than clean ones for noise that they do not take.

    Raises:
        UsageError: as `target_of` says; or noise for split or r2r that is not Gaussian
            of one sigma, or for r2r that is clipped.
    """
    if targets != "clean":
        target_of(noise)
    check(
        targets != "split" or isinstance(noise, Gaussian),
        "targets=split takes gaussian noise of one sigma.",
        noise=noise,
    )
    check(
        targets != "r2r" or (isinstance(noise, Gaussian) and not noise.clip),
        "targets=r2r takes gaussian noise of one sigma with --no-clip: no other noise, "
        "and none that is clipped, can be split into two independent ones. "
        "targets=split takes clipped noise.",
        noise=noise,
    )


def describe_targets(targets: str, noise: Noise) -> dict[str, Any]:
    """Return what a run's record says of its targets; nothing of clean ones."""
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
    """Return how much each value of h counts in E[h(y) | x].

    Columns are the atom at 0, the levels and the atom at 1; rows sum to 1.
    """
    from scipy.special import ndtr

    gap = (x[:, None] - levels) / sigma
    above = ndtr(gap)  # P(y > level), before clipping, and the mean of (y - level)+
    beyond = sigma * (gap * above + np.exp(-0.5 * gap**2) / np.sqrt(2 * np.pi))
    # The hat function of a level is a sum of three ramps (y - k)+; at both ends it is
    # cut by the atom.
    slopes = np.diff(beyond, axis=1) / np.diff(levels)
    weights = np.empty((len(x), len(levels) + 2))
    weights[:, 0], weights[:, -1] = 1 - above[:, 0], above[:, -1]
    weights[:, 1] = above[:, 0] + slopes[:, 0]
    weights[:, 2:-2] = np.diff(slopes, axis=1)
    weights[:, -2] = -above[:, -1] - slopes[:, -1]
    return weights
