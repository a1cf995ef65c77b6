"""The affine map where its answer is known, and against NumPy's own least squares."""

import numpy as np
import pytest

from keras_dae.errors import UsageError
from keras_dae.evaluation import affine
from keras_dae.evaluation.affine import AffineMap, fit_affine, solve
from keras_dae.images.noise import Gaussian
from keras_dae.images.pairs import NoisyCleanPairs


def moments(mean, signal, noise):
    """Return the sums of one 'image' whose noisy and clean moments these are."""
    second = signal + np.outer(mean, mean)
    inputs = np.block([[second + noise, mean[:, None]], [mean[None], np.ones((1, 1))]])
    return inputs, np.vstack([second, mean])


def matrix(one: AffineMap) -> np.ndarray:
    return one.down if one.up is None else one.down @ one.up


def test_of_gaussian_signal_and_noise_it_is_the_wiener_solution():
    # Variances 4 and 1 under a noise of variance 1: 4 / 5 and 1 / 2 of the distance
    # from the mean is kept.
    mean, signal = np.array([0.5, 0.25]), np.diag([4.0, 1.0])
    solution = solve(*moments(mean, signal, np.eye(2)))
    np.testing.assert_allclose(solution.weights, np.diag([0.8, 0.5]), atol=1e-12)
    whole = solution.map()
    np.testing.assert_allclose(matrix(whole), np.diag([0.8, 0.5]), atol=1e-7)
    np.testing.assert_allclose(whole.bias, [0.1, 0.125], atol=1e-7)
    # Rank 1 keeps the pixel whose fitted values vary most, the other is its mean.
    first = solution.map(1)
    np.testing.assert_allclose(matrix(first), np.diag([0.8, 0]), atol=1e-7)
    np.testing.assert_allclose(first.bias, [0.1, 0.25], atol=1e-7)


def test_correlated_pixels():
    rng = np.random.default_rng(0)
    root = rng.standard_normal((6, 6))
    signal, mean = root @ root.T, rng.random(6)
    solution = solve(*moments(mean, signal, 0.25 * np.eye(6)))
    expected = np.linalg.solve(signal + 0.25 * np.eye(6), signal)
    np.testing.assert_allclose(solution.weights, expected, atol=1e-9)


def arrays(tiny, draws, seed=0):
    pairs = NoisyCleanPairs(
        tiny.train, Gaussian(), batch_size=5, seed=seed, low=tiny.low, high=tiny.high
    )
    parts = []
    for pairs.epoch in range(draws):
        parts += [pairs[index] for index in range(len(pairs))]
    noisy, clean = (np.concatenate(part) for part in zip(*parts, strict=True))
    return [part.reshape(len(part), -1).astype(float) for part in (noisy, clean)]


def test_blocks_give_what_all_images_at_once_give(tiny, monkeypatch):
    monkeypatch.setattr(affine, "BLOCK", 5)
    solution = fit_affine(tiny, Gaussian(), seed=0, draws=8)
    noisy, clean = arrays(tiny, 8)
    noisy -= noisy.mean(axis=0)
    centred = clean - clean.mean(axis=0)
    expected = np.linalg.lstsq(noisy, centred, rcond=None)[0]
    np.testing.assert_allclose(solution.weights, expected, atol=1e-8)
    # Reduced rank: no other matrix of rank 3 fits these pairs better than the fitted
    # values cut off after three singular values.
    fitted = noisy @ expected
    left, values, right = np.linalg.svd(fitted, full_matrices=False)
    cut = left[:, :3] * values[:3] @ right[:3]
    np.testing.assert_allclose(noisy @ matrix(solution.map(3)), cut, atol=1e-5)


def test_more_rank_fits_better(tiny, monkeypatch):
    monkeypatch.setattr(affine, "BLOCK", 5)
    solution = fit_affine(tiny, Gaussian(), seed=0, draws=8)
    noisy, clean = arrays(tiny, 8)
    errors = []
    for rank in (1, 2, 4, 8, 16, 22):  # 24 images: the fitted values have rank 23
        found = solution.map(rank)
        answer = noisy @ matrix(found) + found.bias
        errors.append(((answer - clean) ** 2).mean())
    assert errors == sorted(errors, reverse=True)
    np.testing.assert_array_equal(matrix(solution.map(64)), matrix(solution.map()))


def test_answers_and_size(tiny):
    solution = fit_affine(tiny, Gaussian(), seed=0, draws=2)
    noisy = np.random.default_rng(0).random((3, 8, 8, 1), dtype=np.float32)
    for rank, size in ((10, 2 * 64 * 10), (31, 2 * 64 * 31), (32, 64 * 64)):
        found = solution.map(rank)
        answer = found(noisy)
        assert (answer.shape, answer.dtype) == (noisy.shape, np.float32)
        assert answer.min() >= 0
        assert answer.max() <= 1
        assert found.facts == {
            "parameters": size + 64,
            "bytes": 4 * (size + 64),
            "macs": size,
        }


def test_pixels_that_never_vary_do_no_harm():
    mean, signal = np.array([0.5, 0.0]), np.diag([1.0, 0.0])
    solution = solve(*moments(mean, signal, np.zeros((2, 2))))
    np.testing.assert_allclose(solution.weights, np.diag([1.0, 0.0]), atol=1e-12)


def test_a_rank_below_1_is_refused(tiny):
    with pytest.raises(UsageError, match="rank=0"):
        fit_affine(tiny, Gaussian(), seed=0, draws=1).map(0)
