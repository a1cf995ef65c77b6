"""The mean of clipped noise against integrals, and numbers worked by hand."""

import doctest

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from keras_dae.errors import UsageError
from keras_dae.images import clipping
from keras_dae.images.clipping import clipped_mean

LEVELS = np.linspace(0, 1, 21)


def integral(f, x, sigma):
    """Integrate f(clip(x + sigma n)) over the noise: two atoms and what is between."""
    atoms = f(0.0) * norm.cdf(-x / sigma) + f(1.0) * norm.sf((1 - x) / sigma)
    low, high = max(0, x - 12 * sigma), min(1, x + 12 * sigma)
    between, _ = quad(
        lambda y: f(y) * norm.pdf(y, x, sigma), low, high, epsabs=1e-12, limit=200
    )
    return atoms + between


# At sigma 0.5 and x = 0, by hand: half the pixels stay at 0, P(n > 2) = 0.02275 become
# 1, and between lies 0.5 (phi(0) - phi(2)) = 0.5 (0.39894 - 0.05399) = 0.17248.
@pytest.mark.parametrize(("x", "mean"), [(0, 0.1952), (0.5, 0.5), (1, 0.8048)])
def test_hand_worked_means(x, mean):
    assert clipped_mean(x, 0.5) == pytest.approx(mean, abs=5e-5)


@pytest.mark.parametrize("sigma", [0.01, 0.1, 0.4, 0.5, 1, 3])
def test_the_mean_is_the_integral(sigma):
    means = clipped_mean(LEVELS, sigma)
    assert means.dtype == np.float64
    expected = [integral(lambda y: y, x, sigma) for x in LEVELS]
    np.testing.assert_allclose(means, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("x", [-0.5, 1.25])
def test_the_mean_of_values_beyond_the_range(x):
    expected = integral(lambda y: y, x, 0.5)
    assert clipped_mean(x, 0.5) == pytest.approx(expected, abs=1e-9)


def test_the_mean_of_drawn_noise():
    noise = np.random.default_rng(0).standard_normal(400_000)
    drawn = np.clip(0.1 + 0.5 * noise, 0, 1)
    error = drawn.std() / np.sqrt(drawn.size)
    assert abs(drawn.mean() - clipped_mean(0.1, 0.5)) < 3 * error


def test_no_noise_changes_nothing_within_the_range():
    y = [-0.5, 0.0, 0.3, 1.0, 2.0]
    np.testing.assert_array_equal(clipped_mean(y, 0), [0, 0, 0.3, 1, 1])


def test_what_is_no_number_stays_so():
    found = clipped_mean(np.float32([np.nan, 0.5]), 0.5)
    assert np.isnan(found[0])
    assert found[1] == pytest.approx(0.5)


@pytest.mark.parametrize("sigma", [-0.1, np.nan, np.inf])
def test_a_bad_sigma_is_refused(sigma):
    with pytest.raises(UsageError, match="sigma must be a finite number"):
        clipped_mean(0.5, sigma)


def test_the_examples():
    assert doctest.testmod(clipping).attempted == 1
    assert doctest.testmod(clipping).failed == 0
