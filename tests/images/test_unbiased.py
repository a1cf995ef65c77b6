"""The unbiased target against integrals over the noise, and against drawn noise."""

import doctest

import numpy as np
import pytest
from scipy.integrate import simpson
from scipy.stats import norm

from keras_dae.errors import UsageError
from keras_dae.images import unbiased
from keras_dae.images.noise import Gaussian, Poisson, SaltPepper, make_noise
from keras_dae.images.unbiased import describe_targets, target_of, unbiased_target

LEVELS = np.linspace(0, 1, 41)
SIGMAS = [0.01, 0.1, 0.25, 0.4, 0.5, 0.7, 1.0]


def moment(h, x, sigma, power):
    """Integrate h(clip(x + sigma n))^power over the noise, and add its two atoms."""
    y = np.linspace(1e-9, 1 - 1e-9, 20001)
    between = simpson(h(y).astype(float) ** power * norm.pdf(y, x, sigma), x=y)
    low, high = norm.cdf(-x / sigma), norm.sf((1 - x) / sigma)
    return between + low * h.at_zero**power + high * h.at_one**power


@pytest.mark.parametrize("sigma", SIGMAS)
def test_the_bias_is_below_one_hundredth_everywhere(sigma):
    h = unbiased_target(sigma)
    found = np.array([moment(h, x, sigma, 1) for x in LEVELS])
    assert np.abs(found - LEVELS).max() < 0.01
    # The figure it reports is the one that is there, and not a bound far above it.
    assert np.abs(found - LEVELS).max() == pytest.approx(h.bias, rel=0.25, abs=1e-4)


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0])
def test_the_variance_is_the_one_reported(sigma):
    h = unbiased_target(sigma)
    seconds = np.array([moment(h, x, sigma, 2) for x in LEVELS])
    variance = np.trapezoid(seconds - LEVELS**2, LEVELS)
    assert h.std == pytest.approx(np.sqrt(variance), rel=0.02)


def test_at_the_papers_noise_it_costs_little_variance():
    h = unbiased_target(0.5)
    assert h.bias < 0.002
    # Noise that is not clipped has 0.5, with no bias.
    assert 0.5 < h.std < 0.62


def test_it_is_symmetric():
    h, y = unbiased_target(0.5), np.linspace(0, 1, 101)
    np.testing.assert_allclose(h(1 - y), 1 - h(y), atol=1e-5)
    assert h.at_one == pytest.approx(1 - h.at_zero)


@pytest.mark.parametrize("x", [0.0, 0.2, 0.9])
def test_drawn_noise_has_the_clean_mean(x):
    noise, rng = Gaussian(0.5), np.random.default_rng(1)
    noisy = noise(np.full((400, 1000), x, np.float32), rng)
    target = target_of(noise)(noisy)
    assert (target.dtype, target.shape) == (np.float32, noisy.shape)
    mean, error = target.mean(dtype=np.float64), target.std() / np.sqrt(target.size)
    assert abs(mean - x) < 0.002 + 3 * error
    # What is naive is far off: the mean of clipped noise is not x.
    assert abs(noisy.mean(dtype=np.float64) - x) > 0.05


def test_clipped_pixels_have_values_of_their_own():
    h = unbiased_target(0.5)
    found = h(np.float32([0, 1e-6, 1 - 1e-6, 1]))
    assert found[0] == np.float32(h.at_zero)
    assert found[3] == np.float32(h.at_one)
    assert found[1] - found[0] > 0.5
    assert found[3] - found[2] > 0.5


@pytest.mark.parametrize(
    "noise",
    [
        Gaussian(0.5, clip=False),
        Gaussian(0.0),
        Poisson(30, clip=False),
        make_noise("gaussian", sigma=[0.1, 0.4], clip=False),
    ],
)
def test_noise_of_mean_zero_needs_no_correction(noise):
    noisy = np.float32([-0.5, 0.0, 0.3, 1.4])
    assert target_of(noise)(noisy) is noisy
    assert describe_targets("noisy", noise) == {
        "targets": {"kind": "noisy", "correction": None}
    }


@pytest.mark.parametrize(
    "noise",
    [
        SaltPepper(0.3),
        Poisson(30),
        make_noise("gaussian", sigma=[0.1, 0.4]),
        make_noise("blur", sigma=1.0, clip=False),
    ],
)
def test_other_noise_is_refused(noise):
    with pytest.raises(UsageError, match="needs gaussian noise with a single sigma"):
        target_of(noise)


def test_noise_that_leaves_too_little_is_refused():
    with pytest.raises(UsageError, match="too little information"):
        unbiased_target(1000.0)


def test_a_record_says_bias_and_spread():
    assert describe_targets("clean", Gaussian(0.5)) == {}
    described = describe_targets("blind-spot", Gaussian(0.5))["targets"]
    assert described["kind"] == "blind-spot"
    assert described["correction"] == "h(y)"
    assert described["bias"] == pytest.approx(0.0014, abs=2e-4)
    assert described["std"] == pytest.approx(0.606, abs=0.002)


def test_the_example():
    assert doctest.testmod(unbiased).attempted == 2
    assert doctest.testmod(unbiased).failed == 0
