"""Latents as bytes: by hand, back from the bytes alone, near the entropy."""

import numpy as np
import pytest

from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.evaluation.bits import fit_coder, whole_numbers

pytest.importorskip("constriction")


def chain(count, size=6, seed=0):
    """Latents whose values each follow from the one before, as neighbours do."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 3, (count, size))
    for place in range(1, size):
        values[:, place] = 0.9 * values[:, place - 1] + 0.3 * values[:, place]
    return np.maximum(values.reshape(count, 2, size // 2), -4)


def test_a_quantiser_by_hand():
    numbers = whole_numbers(np.array([[0.0, 0.26], [0.74, -0.76]]), 0.5)
    assert numbers.tolist() == [[0, 1], [1, -2]]
    coder = fit_coder(np.array([[0.0, 1.0], [1.0, -1.0]]), 0.5)
    # What lies beyond the training's values is coded as the nearest of them.
    assert coder.quantise(np.array([[9.0, -9.0]])).tolist() == [[2], [-2]]
    assert coder.dequantise(np.array([[2], [-2]])).tolist() == [[1.0, -1.0]]


def test_probabilities_by_hand():
    # Three of four are 1. A half counts for each level: 1.5 / 5 and 3.5 / 5; four
    # more latents in those shares beside the four that were seen.
    coder = fit_coder(np.array([[0.0], [1], [1], [1]]), 1, contexts=1)
    expected = [(1 + 4 * 0.3) / 8, (3 + 4 * 0.7) / 8]
    np.testing.assert_allclose(coder.tables[0], [expected])
    bits = -np.log2(expected)
    assert coder.expected_bits(np.array([[0.0], [1]])) == pytest.approx(bits.mean())


def test_a_prediction_by_hand():
    # The second is twice the first, the rounding of 1/12 aside: 2 v / (v + 1/12).
    first = np.arange(-5.0, 6)
    coder = fit_coder(np.stack([first, 2 * first], axis=1), 1)
    variance = np.var(first, ddof=1)
    assert coder.weights[1, 0] == round(2 * variance / (variance + 1 / 12) * 4096)
    assert (np.triu(coder.weights) == 0).all()


@pytest.mark.parametrize("step", [0.1, 1.0, 50.0])
@pytest.mark.parametrize("count", [1, 7, 1000])
def test_the_bytes_alone_give_the_numbers_back(step, count):
    coder, latents = fit_coder(chain(2000), step), chain(count, seed=1)
    data = coder.encode(latents)
    numbers = coder.decode(data, count)
    np.testing.assert_array_equal(numbers, coder.quantise(latents))
    inside = np.abs(coder.dequantise(numbers) - latents.reshape(count, -1)) <= step / 2
    assert inside.mean() > 0.98  # but for those beyond the training's values


def test_the_bytes_are_as_many_as_the_probabilities_say():
    coder, latents = fit_coder(chain(4000), 0.5), chain(1000, seed=1)
    bits, expected = 8 * len(coder.encode(latents)), coder.expected_bits(latents)
    assert abs(bits - 1000 * expected) < 64 + 1e-4 * bits
    alone = [8 * len(coder.encode(latents[i : i + 1])) for i in range(100)]
    each = [coder.expected_bits(latents[i : i + 1]) for i in range(100)]
    assert 0 < np.mean(alone) - np.mean(each) < 40


def test_fair_coins_cost_a_bit_each():
    coins = np.random.default_rng(0).integers(0, 2, (8000, 10)).astype(float)
    coder = fit_coder(coins[:4000], 1)
    assert 8 * len(coder.encode(coins[4000:])) == pytest.approx(40_000, rel=0.01)


def test_neighbours_pay():
    latents, others = chain(4000), chain(500, seed=1)
    alone, seen = fit_coder(latents, 0.5, contexts=1), fit_coder(latents, 0.5)
    assert seen.expected_bits(others) < 0.75 * alone.expected_bits(others)
    assert len(seen.encode(others)) < 0.75 * len(alone.encode(others))


def test_a_constant_latent_costs_nothing():
    coder = fit_coder(np.full((5, 3), 2.0), 1)
    assert coder.encode(np.full((4, 3), 2.0)) == b""
    assert coder.decode(b"", 4).tolist() == [[2] * 4] * 3


def test_a_missing_package_is_named(monkeypatch):
    coder = fit_coder(chain(20), 1)
    monkeypatch.setitem(__import__("sys").modules, "constriction", None)
    with pytest.raises(KerasDAEError, match=r"pip install 'keras-dae\[bits\]'"):
        coder.encode(chain(2))


@pytest.mark.parametrize("step", [0, -1.0, float("nan"), float("inf")])
def test_a_wrong_step_is_named(step):
    with pytest.raises(UsageError, match="step must be a number above 0"):
        fit_coder(chain(20), step)


def test_wrong_latents_are_named():
    with pytest.raises(UsageError, match="finite"):
        fit_coder(np.array([[np.nan], [1.0]]), 1)
    with pytest.raises(UsageError, match="at least two"):
        fit_coder(chain(1), 1)
    with pytest.raises(UsageError, match="contexts=0"):
        fit_coder(chain(20), 1, contexts=0)
    with pytest.raises(KerasDAEError, match="this one has 4,097"):
        fit_coder(np.zeros((2, 4097)), 1)
    with pytest.raises(KerasDAEError, match="too small"):
        fit_coder(chain(20), 1e-9)


def test_damaged_bytes_never_crash():
    coder, latents = fit_coder(chain(2000), 0.5), chain(50, seed=1)
    data = coder.encode(latents)
    rng = np.random.default_rng(0)
    for number in range(200):
        damaged = bytearray(data[: rng.integers(0, len(data))])
        damaged += rng.bytes(number % 40)
        try:
            assert coder.decode(bytes(damaged), 50).shape == (6, 50)
        except KerasDAEError as error:
            assert "damaged" in str(error)
