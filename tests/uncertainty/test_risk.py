import numpy as np
import pytest

from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.uncertainty.risk import certified_level, is_below


def test_losses_of_zero_are_certified_once_they_are_enough():
    """By hand: each bet is (nearly) 1, so n losses of 0 multiply the capital by 1.1^n.

    Capital of 10 is the proof at delta 0.1: ln 10 / ln 1.1 = 24.2, so 25 suffice, and
    fewer than 24.2 never can, since no bet is above 1.
    """
    assert not is_below(np.zeros(24), 0.1, 0.1)
    assert is_below(np.zeros(60), 0.1, 0.1)


def test_one_bet_by_hand():
    """One loss of 0 and a bet of min(1, sqrt(2 ln(1/delta) / 0.25)) = 1: 1 + risk."""
    assert is_below(np.zeros(1), 0.5, 1 / 1.49)
    assert not is_below(np.zeros(1), 0.5, 1 / 1.51)
    assert not is_below(np.zeros(0), 0.5, 0.9)


def test_a_mean_above_the_risk_is_certified_no_more_often_than_delta():
    """Losses 0 or 0.5 of mean exactly 0.1: 300 samples, at most 10 % by mistake.

    Three standard deviations of the count are 16.
    """
    rng = np.random.default_rng(0)
    wrong = [is_below(0.5 * (rng.random(400) < 0.2), 0.1, 0.1) for _ in range(300)]
    assert 0 < sum(wrong) <= 30 + 16


def test_a_mean_below_the_risk_is_found():
    rng = np.random.default_rng(1)
    found = [is_below(0.5 * (rng.random(4000) < 0.18), 0.1, 0.1) for _ in range(50)]
    assert sum(found) >= 45


def test_the_level_is_just_above_that_of_a_known_loss():
    """The loss of every image is 1 - t, so that level 0.9 needs t = 0.9 and no less."""
    level = certified_level(lambda t: np.full(20_000, 1 - t), 0.9, 0.1)
    assert 0.9 < level <= 0.9015


def test_the_level_is_not_below_what_is_wanted():
    """Where some pixels are covered anyhow, the others do not pay for it."""
    assert certified_level(lambda t: np.zeros(1000), 0.9, 0.1) == 0.9


def test_no_level_below_a_refused_one_is_taken():
    """A loss that falls and rises: the scan ends at the first refusal."""
    tested = []

    def losses(level):
        tested.append(level)
        return np.full(5000, 0.2 if 0.91 < level < 0.915 else 0.0)

    assert certified_level(losses, 0.9, 0.1) == pytest.approx(0.915)
    assert tested == sorted(tested, reverse=True)


def test_too_few_images_are_named():
    with pytest.raises(KerasDAEError, match="20 validation images are too few"):
        certified_level(lambda t: np.zeros(20), 0.9, 0.1)


def test_a_loss_is_a_share():
    with pytest.raises(UsageError, match=r"must lie in \[0, 1\]"):
        is_below(np.array([0.5, 1.5]), 0.1, 0.1)
