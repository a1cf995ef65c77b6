"""What clipped noise does to learning from noisy images, worked out without training.

Expectations are sums over the standard normal noise itself (midpoint rule), weighted by
how often genuine digits have a pixel value. No formula of the package is used in them.
"""

import numpy as np
import pytest

from keras_dae.images.noise import Gaussian
from keras_dae.images.unbiased import unbiased_target

SIGMA = 0.5
LEVELS = np.arange(256) / 255
STEP = 1e-4
NOISE = np.arange(-8, 8, STEP) + STEP / 2
WEIGHT = np.exp(-0.5 * NOISE**2) * STEP / np.sqrt(2 * np.pi)
# Of the midpoint rule, where h jumps from a clipped pixel to one beside it.
RULE = 2e-4


def mean_of(f):
    """Return E[f(y) | x] at each level x, y being x with clipped noise."""
    return np.array([WEIGHT @ f((x + SIGMA * NOISE).clip(0, 1)) for x in LEVELS])


@pytest.fixture(scope="module")
def shares(digits):
    """How many of the digits' pixels have each of the 256 values."""
    counts = np.bincount(np.asarray(digits.train).ravel(), minlength=256)
    return counts / counts.sum()


@pytest.fixture(scope="module")
def naive():
    """What a model learns at best whose target is clipped noise as it is."""
    return mean_of(lambda y: y)


def test_naive_targets_have_a_floor(shares, naive):
    assert WEIGHT.sum() == pytest.approx(1, abs=1e-9)
    floor = shares @ (naive - LEVELS) ** 2
    # 0.03499 of these digits, 0.03504 of the test images of the full MNIST. DAE_5_13 on
    # clean targets is at a quarter of it.
    assert floor == pytest.approx(0.0350, abs=5e-5)


def test_no_input_lets_a_model_below_the_floor(shares, naive):
    """The floor is of a model that knows x; one that does not is not below it.

    A model with the input z answers E[m(x) | z]. Its error is the mean square of
    E[m(x) - x | z] and the variance of x given z. The floor is the former and the
    variance of m(x) - x given z, which is smaller: m rises by 0 to 1 per unit of x.
    """
    slope = np.diff(naive) / np.diff(LEVELS)
    assert slope.min() > 0
    assert slope.max() < 1
    floor = shares @ (naive - LEVELS) ** 2
    # Inputs that tell less and less: which of so many groups of values a pixel is in.
    found = []
    for count in (256, 16, 4, 1):
        group = np.arange(256) * count // 256
        weight = np.bincount(group, shares)
        answer = np.bincount(group, shares * naive) / np.where(weight, weight, 1)
        found.append(shares @ (answer[group] - LEVELS) ** 2)
    assert found[0] == pytest.approx(floor)
    assert min(found[1:]) >= floor
    assert found[3] > 1.5 * floor  # so that the bound is not of equal numbers


def test_unbiased_targets_have_no_floor_to_speak_of(shares):
    h = unbiased_target(SIGMA)
    bias = mean_of(h) - LEVELS
    assert np.abs(bias).max() <= h.bias + RULE
    assert h.bias < 0.002
    assert shares @ bias**2 < 2e-6
    # To know the noise a little wrong costs little beside the floor.
    for wrong, most in ((0.45, 2e-4), (0.55, 3e-5)):
        cost = shares @ (mean_of(unbiased_target(wrong)) - LEVELS) ** 2
        assert 1e-5 < cost < most


def test_the_sums_are_those_of_drawn_noise(naive):
    drawn = Gaussian(SIGMA)(
        np.full(400_000, LEVELS[51], np.float32), np.random.default_rng(2)
    )
    error = drawn.std() / np.sqrt(drawn.size)
    assert drawn.mean(dtype=float) == pytest.approx(naive[51], abs=3 * error)
