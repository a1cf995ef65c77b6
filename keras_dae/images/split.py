"""Split one noisy copy into an input, and a target that is unbiased given the input.

More noise is added to the noisy copy y, which gives the input y1. The target t(y, y1)
satisfies E[t(y, y1) | y1, x] = x for every clean value x in [0, 1]. A model trained on
this target therefore learns the same as from clean targets.

For Gaussian noise that is not clipped, y + `ALPHA` z and y - z / `ALPHA` have this
property, where z is distributed as the noise (T. Pang et al., "Recorrupted-to-
Recorrupted: Unsupervised Deep Learning for Image Denoising", CVPR 2021). For clipped
noise there is no such pair in closed form. Here t is computed by linear least squares
on cells of y and of y1.
"""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from keras_dae.errors import check

ALPHA = 0.5  # scale of the added noise relative to the noise
CELLS = 64  # number of cells of y and of y1 between 0 and 1
CLEAN_LEVELS = np.linspace(0, 1, 101)  # where bias and variance are evaluated
# Weight of the variance against the squared bias.
VARIANCE_WEIGHT = 1e-5
MAX_BIAS = 0.02
RARE = 1e-2  # added to the weight of each cell of y
TINY = 1e-30  # avoids a division by 0 for cells that never occur
# Quantiles of the half-normal distribution to average the input of a clipped pixel.
PLACES = 400

Pair = tuple[np.ndarray, np.ndarray]


def recorrupt(noisy: np.ndarray, drawn: np.ndarray) -> Pair:
    """Return (input, target) from noise that is not clipped, and from additional noise.

    If `drawn` is distributed as the noise n, the two noises n + `ALPHA` z and
    n - z / `ALPHA` are uncorrelated, and independent if they are Gaussian.
    """
    share = np.float32(ALPHA)
    return noisy + share * drawn, noisy - drawn / share


@dataclass(frozen=True)
class SplitTarget:
    """Splits noisy values that were clipped to [0, 1] into inputs and targets.

    Attributes:
        sigma: standard deviation of the noise before clipping.
        table: t for each cell of y (rows) and of y1 (columns). The first and the last
            cell hold the pixels that were clipped to 0 and to 1.
        bias: the root mean square of E[t | y1, x] - x over y1, at the x where it is
            largest.
        std: the root of the mean variance of t given y1 and x.
    """

    sigma: float
    table: np.ndarray = field(repr=False)
    bias: float
    std: float

    def __call__(self, noisy: np.ndarray, rng: np.random.Generator) -> Pair:
        """Return (input, target), float32 and of the shape of `noisy`."""
        past, more = rng.standard_normal((2, *noisy.shape), np.float32)
        past = np.abs(past) * np.float32(self.sigma)
        inputs = np.where(noisy <= 0, -past, np.where(noisy >= 1, 1 + past, noisy))
        inputs = np.clip(inputs + np.float32(ALPHA * self.sigma) * more, 0, 1)
        return inputs, self.table[_cells(noisy), _cells(inputs)]


@lru_cache(maxsize=16)
def split_target(sigma: float) -> SplitTarget:
    """Return the split for Gaussian noise of `sigma` that was clipped to [0, 1].

    A clipped pixel is first moved beyond the end of the range by the absolute value of
    noise of `sigma`. The input of a black pixel is then what stronger, clipped noise
    would give. For each cell of y1, t minimizes the squared bias over x in [0, 1] plus
    a small multiple of its variance.

    Args:
        sigma: standard deviation of the noise before clipping, above 0.

    Raises:
        UsageError: `sigma` is not positive, or so large that the bias exceeds
            `MAX_BIAS`.

    Example:
        >>> split = split_target(0.5)
        >>> print(f"bias {split.bias:.3f}, standard deviation {split.std:.1f}")
        bias 0.006, standard deviation 1.3
    """
    check_sigma(sigma)
    first = _shares(CLEAN_LEVELS, sigma)  # P(y | x)
    second = _inputs_given_noisy(sigma)  # P(y1 | y)
    columns = [_column(first * second[:, cell]) for cell in range(CELLS + 2)]
    table, bias, variance = (
        np.stack(part, axis=-1) for part in zip(*columns, strict=True)
    )
    weights = first @ second  # P(y1 | x)
    largest = float(np.sqrt((weights * bias**2).sum(axis=1).max()))
    check_bias(largest, MAX_BIAS, sigma)
    spread = float(np.sqrt((weights * variance).sum(axis=1).mean()))
    return SplitTarget(sigma, table.astype(np.float32), largest, spread)


def check_sigma(sigma: float) -> None:
    """Raise an error if sigma is not a positive number."""
    check(0 < sigma < np.inf, "sigma must be a positive number.", sigma=sigma)


def check_bias(bias: float, most: float, sigma: float) -> None:
    """Raise an error if the bias of the target exceeds `most`."""
    check(
        bias <= most,
        "Clipped noise this strong leaves too little information to learn from.",
        sigma=sigma,
    )


def _column(joint: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return t of one cell of y1 at each cell of y; its bias and variance at each x.

    Args:
        joint: P(y, y1 | x), of shape (levels of x, cells of y).
    """
    total = np.maximum(joint.sum(axis=1), TINY)
    scale = 1 / np.sqrt(total * total.mean())
    # Centred at 0.5, so that the variance term is symmetric. A small weight for rare
    # cells keeps t small there.
    wanted = (CLEAN_LEVELS - 0.5) * total * scale
    occurs = joint.sum(axis=0) / total.mean() + RARE
    penalty = np.diag(np.sqrt(VARIANCE_WEIGHT * occurs))
    system = np.concatenate([joint * scale[:, None], penalty])
    values = np.concatenate([wanted, np.zeros(len(penalty))])
    centred = np.linalg.lstsq(system, values, rcond=None)[0]
    mean = joint @ centred / total
    return (
        centred + 0.5,
        mean + 0.5 - CLEAN_LEVELS,
        joint @ centred**2 / total - mean**2,
    )


def _cells(values: np.ndarray) -> np.ndarray:
    """Return the cell of each value: 0 and CELLS + 1 for clipped values."""
    cells = np.clip(np.floor(values * CELLS), 0, CELLS - 1).astype(np.intp) + 1
    return np.where(values <= 0, 0, np.where(values >= 1, CELLS + 1, cells))


def _shares(mean: np.ndarray, sigma: float) -> np.ndarray:
    """Return the probability of each cell for Gaussian noise around each mean."""
    from scipy.special import ndtr

    below = ndtr((np.linspace(0, 1, CELLS + 1) - mean[:, None]) / sigma)
    return np.concatenate([below[:, :1], np.diff(below), 1 - below[:, -1:]], axis=1)


def _inputs_given_noisy(sigma: float) -> np.ndarray:
    """Return P(y1 | y) for each cell of y (rows) and of y1 (columns)."""
    from scipy.special import ndtri

    places = (np.arange(PLACES) + 0.5) / PLACES
    past = sigma * ndtri(0.5 + places / 2)
    middles = (np.arange(CELLS) + 0.5) / CELLS
    more = ALPHA * sigma
    ends = [_shares(beyond, more).mean(axis=0) for beyond in (-past, 1 + past)]
    return np.stack([ends[0], *_shares(middles, more), ends[1]])
