"""One clipped noisy copy made into two, against integrals and drawn noise."""

import doctest

import numpy as np
import pytest
from scipy.stats import norm

from keras_dae.errors import UsageError
from keras_dae.images import split
from keras_dae.images.noise import Gaussian, Uniform
from keras_dae.images.split import ALPHA, split_target
from keras_dae.images.targets import TargetPairs
from keras_dae.images.unbiased import describe_targets

SIGMAS = [0.05, 0.1, 0.25, 0.5, 1.0]


def drawn(x, sigma, count, seed=0):
    """Return the inputs and targets of one clean value."""
    rng = np.random.default_rng(seed)
    noisy = Gaussian(sigma)(np.full((count // 1000, 1000), x, np.float32), rng)
    inputs, targets = split_target(sigma)(noisy, rng)
    assert inputs.dtype == targets.dtype == np.float32
    assert inputs.min() >= 0
    assert inputs.max() <= 1
    return inputs.ravel(), targets.ravel().astype(np.float64)


@pytest.mark.parametrize("x", [0.0, 0.1, 0.5, 0.8, 1.0])
def test_the_target_is_unbiased_whatever_the_input(x):
    inputs, targets = drawn(x, 0.5, 2_000_000)
    bins = np.digitize(inputs, [1e-9, 0.25, 0.5, 0.75, 1 - 1e-9])
    for number in range(6):
        found = targets[bins == number]
        error = found.std() / np.sqrt(len(found))
        assert abs(found.mean() - x) < 0.015 + 4 * error


def test_the_noisy_copy_itself_would_share_the_inputs_noise():
    """The check above can fail: h(y) is unbiased alone, but not given the input."""
    rng = np.random.default_rng(0)
    noisy = Gaussian(0.5)(np.full((1000, 1000), 0.5, np.float32), rng)
    inputs, _ = split_target(0.5)(noisy, rng)
    assert noisy[inputs < 0.25].mean() < 0.3
    assert noisy[inputs > 0.75].mean() > 0.7


@pytest.mark.parametrize("x", [0.0, 1.0])
def test_the_input_of_black_and_white_is_stronger_noise(x):
    inputs, _ = drawn(x, 0.5, 1_000_000)
    stronger = 0.5 * np.sqrt(1 + ALPHA**2)
    for level in (0.0, 0.25, 0.5, 0.75):
        wanted = norm.cdf((level - x) / stronger)
        # The other end's clipped pixels, 2 %, are placed as if they were of that end.
        assert np.mean(inputs <= level) == pytest.approx(wanted, abs=0.006)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_bias_and_spread_are_the_ones_reported(sigma):
    found = split_target(sigma)
    assert found.bias < 0.01
    # Unclipped noise splits with sigma sqrt(1 + 1 / ALPHA^2), which is 2.24 sigma.
    assert 2.2 * sigma < found.std < 3 * sigma
    targets = [drawn(x, sigma, 200_000)[1] for x in np.linspace(0, 1, 21)]
    spread = np.mean([one.var() for one in targets])
    assert np.sqrt(spread) == pytest.approx(found.std, rel=0.03)
    # No target that occurs is so large that a single pixel outweighs a batch.
    largest = max(np.abs(one - 0.5).max() for one in targets)
    assert largest < 0.5 + 10 * found.std


def test_it_is_symmetric():
    table = split_target(0.5).table
    np.testing.assert_allclose(table[::-1, ::-1], 1 - table, atol=1e-3)


def test_noise_that_leaves_too_little_is_refused():
    with pytest.raises(UsageError, match="too little information"):
        split_target(1000.0)
    with pytest.raises(UsageError, match="needs gaussian noise with a single sigma"):
        TargetPairs(
            "split", np.zeros((8, 12, 12, 1), np.uint8), Uniform(0.5, clip=False)
        )


def test_a_record_says_what_was_used():
    described = describe_targets("split", Gaussian(0.5))["targets"]
    assert (described["kind"], described["correction"]) == ("split", "t(y, y1)")
    assert described["bias"] == pytest.approx(split_target(0.5).bias, rel=1e-3)
    plain = describe_targets("split", Gaussian(0.5, clip=False))["targets"]
    assert plain == {"kind": "split", "correction": None}


def test_the_example():
    assert doctest.testmod(split).attempted == 2
    assert doctest.testmod(split).failed == 0
