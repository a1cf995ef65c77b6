import numpy as np
import pytest

from keras_dae.uncertainty.groups import LEAST_PIXELS, Curves, Groups, make_groups
from keras_dae.uncertainty.intervals import Intervals, fit_intervals


def test_factors_by_hand():
    """Scores 1 to 9 and 10, 20: rank ceil(t (n + 1)), the last where that is more."""
    scores = np.array([*range(9, 0, -1), 20.0, 10.0])
    numbers = np.array([0] * 9 + [2] * 2)
    curves = Curves(scores, numbers, 3)
    assert curves.factors(0.9).tolist() == [9, 20, 20]  # group 1 is empty
    assert curves.factors(0.5).tolist() == [5, 20, 20]
    assert curves.factors(0.1).tolist() == [1, 10, 10]
    assert curves.factors(1.0).tolist() == [9, 20, 20]


def test_factors_never_fall_with_the_level():
    rng = np.random.default_rng(0)
    curves = Curves(rng.random(500), rng.integers(0, 7, 500), 7)
    found = np.array([curves.factors(t) for t in np.linspace(0.01, 1, 100)])
    assert (np.diff(found, axis=0) >= 0).all()


def test_groups_are_equally_large_and_keep_ties_together():
    dark = np.repeat(np.arange(4.0), LEAST_PIXELS)  # four spreads, each many times
    groups = make_groups(np.zeros(dark.size), dark)
    found = groups.of(np.zeros(4), np.arange(4.0))
    assert found.tolist() == [0, 1, 2, 3]
    assert len(groups) == 5  # and one of bright answers
    assert groups.of(np.array([0.5]), np.array([1.0])).tolist() == [4]


def test_a_tie_is_of_one_group():
    """9 of 10 pixels are surely black, of one spread: one group, whatever its size."""
    spread = np.concatenate([np.zeros(9 * LEAST_PIXELS), np.ones(LEAST_PIXELS)])
    groups = make_groups(np.zeros(spread.size), spread)
    assert len(set(groups.of(np.zeros(spread.size), spread)[: 9 * LEAST_PIXELS])) == 1


def known(images, seed):
    """Answers whose errors are uniform up to a width that the spread does not tell.

    Dark answers err up to 0.2 at spread 0.1 (a factor of 2), bright ones up to 0.1 at
    spread 0.2 (a factor of 0.5).
    """
    rng = np.random.default_rng(seed)
    bright = np.zeros((images, 8, 8, 1), bool)
    bright[:, 4:] = True
    answer = np.where(bright, 0.7, 0.3)
    error = rng.uniform(-1, 1, answer.shape) * np.where(bright, 0.1, 0.2)
    return answer, answer + error, np.where(bright, 0.2, 0.1)


def test_the_coverage_of_a_known_distribution():
    answer, clean, spread = known(4000, 0)
    found = fit_intervals(answer, clean, spread, level=0.9, delta=0.1)
    # By hand: 0.9 of a uniform error lies below 0.9 of its width. Each group has 64,000
    # errors to tell it from: 3 standard deviations are 0.0036.
    assert 0.9 <= found.certified <= 0.905
    dark, bright = found.factors / found.certified
    assert dark == pytest.approx(2, abs=2 * 0.0036)
    assert bright == pytest.approx(0.5, abs=0.5 * 0.0036)
    answer, clean, spread = known(2000, 1)
    lower, upper = found.bounds(answer, spread)
    covered = (lower <= clean) & (clean <= upper)
    for part in (covered[:, :4], covered[:, 4:]):
        assert found.certified == pytest.approx(part.mean(), abs=0.007)


def test_one_factor_for_all_would_not_do():
    """What groups are for: in one group, some are covered too much, some too little."""
    answer, clean, spread = known(2000, 2)
    curves = Curves(
        (abs(answer - clean) / spread).ravel(), np.zeros(answer.size, int), 1
    )
    covered = abs(answer - clean) <= curves.factors(0.9)[0] * spread
    assert covered[:, 4:].mean() == 1
    assert covered[:, :4].mean() < 0.82


def test_intervals_end_at_black_and_white():
    groups = Groups(np.zeros(0), np.zeros(0))
    found = Intervals(groups, np.array([1.0, 2.0]), 0.9)
    lower, upper = found.bounds(np.array([0.1, 0.75]), np.array([0.25, 0.25]))
    assert lower.tolist() == [0, 0.25]
    assert upper.tolist() == pytest.approx([0.35, 1])
