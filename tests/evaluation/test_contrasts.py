"""Welch's test with paired images: hand-worked, against scipy, and by simulation."""

import numpy as np
import pytest
from scipy import stats

from keras_dae.evaluation.contrasts import (
    Contrast,
    estimate,
    holm,
    p_value,
    permutation_p,
)
from keras_dae.models.architectures import paper_specs
from keras_dae.study.nine.claims import Pair, decide, paper_pairs

SPECS = {spec.name: spec for spec in paper_specs()}
DRAWS = 2000


@pytest.mark.parametrize(
    ("values", "corrected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.02], [0.02]),
        ([0.6, 0.5], [1, 1]),
        ([0.01, 0.01, 0.01], [0.03, 0.03, 0.03]),
        ([0.03, 0.02, 0.001], [0.04, 0.04, 0.003]),
        ([0.6, 0.5, 0.9], [1, 1, 1]),  # three times 0.5 is no probability
        ([], []),
    ],
)
def test_holm_by_hand(values, corrected):
    assert holm(values) == pytest.approx(corrected, abs=1e-12)


def test_seeds_by_hand():
    """Means 1, 3, 2 and 2, 2, 5: variances 1/3 and 3/3 of the means of three."""
    worse = np.array([[1.0, 1], [3, 3], [2, 2]])
    better = np.array([[2.0, 2], [1, 3], [5, 5]])
    found = estimate([(1, worse), (-1, better)])
    assert found.difference == pytest.approx(-1)
    assert found.with_images[0] ** 2 == pytest.approx(4 / 3)
    assert found.with_images[1] == pytest.approx((16 / 9) / ((1 / 9 + 1) / 2))


def test_images_are_paired():
    """What all models find hard widens nothing; what one of them does, does."""
    hard = np.array([0.0, 10, 20, 30])
    seeds = np.array([[0.0], [1], [2]])
    plain = estimate([(1, seeds + 0 * hard), (-1, seeds + 0 * hard)])
    paired = estimate([(1, seeds + hard), (-1, seeds + hard)])
    assert paired.with_images[0] == pytest.approx(plain.with_images[0])
    assert paired.with_images[0] ** 2 == pytest.approx(2 / 3)
    lone = estimate([(1, seeds + hard), (-1, seeds + 0 * hard)])
    assert lone.with_images[0] ** 2 == pytest.approx(2 / 3 + hard.var(ddof=1) / 4)


def test_what_differs_by_seed_and_image_counts_once():
    """Noise of each answer is in the seeds' means already."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(300):
        terms = [(sign, rng.normal(0, 1, (5, 50))) for sign in (1, -1)]
        found.append(estimate(terms).with_images[0] ** 2)
    expected = 2 / 250
    # Counted twice, the mean would be twice as much.
    assert np.mean(found) == pytest.approx(expected, rel=0.35)


def test_images_lend_no_degrees_of_freedom_to_seeds():
    """Three seeds that agree by chance do not give a p-value of thousands of images."""
    rng = np.random.default_rng(4)
    hard = rng.normal(0, 1, 10_000)
    seeds = np.array([[0.0], [1e-4], [2e-4]])
    found = estimate([(1, 0.5 + seeds + hard), (-1, seeds + 0 * hard)])
    assert found.with_images[1] > 9_000
    t = found.difference / (2e-8 / 3) ** 0.5
    assert found.p == pytest.approx(2 * stats.t.sf(t, 4), rel=1e-6)
    assert found.p > 1e-20


def test_one_seed_has_no_standard_error():
    with pytest.raises(ValueError, match="two seeds"):
        estimate([(1, np.ones((3, 4))), (-1, np.ones((1, 4)))])


def test_p_does_not_stop():
    """Three standard errors and 200 do not look alike, whatever the family's size."""
    near, far = (Contrast(t, (1.0, 8.0), (1.0, 8.0)).p for t in (3, 200))
    assert near == pytest.approx(2 * stats.t.sf(3, 8))
    assert far == pytest.approx(2 * stats.t.sf(200, 8))
    assert 0 < far < 1e-14


def test_verdicts_are_those_of_scipys_welch_test():
    """An independent program: means over seeds, one test each, corrected by hand.

    The images' own variance is negligible here, as it is among 10,000 test images.
    """
    rng = np.random.default_rng(1)
    levels = np.linspace(0.0100, 0.0104, len(SPECS))
    levels[0] = 0.0108  # of DAE_5_13, so that some comparisons fail
    errors = {
        name: level
        + rng.normal(0, 5e-5, (5, 1))
        + np.tile(rng.normal(0, 1e-9, 30), (5, 1))
        for name, level in zip(SPECS, levels, strict=True)
    }
    pairs = [p for p in paper_pairs(list(SPECS.values())) if " - " not in p.worse]
    rows = decide(pairs, errors, SPECS)
    found = [
        stats.ttest_ind(
            errors[row["worse"]].mean(axis=1),
            errors[row["better"]].mean(axis=1),
            equal_var=False,
        )
        for row in rows
    ]
    p_values = np.array([one.pvalue for one in found])
    order, running = np.argsort(p_values), 0.0
    expected = {}
    for rank, index in enumerate(order):
        running = max(running, min(1.0, p_values[index] * (len(order) - rank)))
        sign = "HOLDS" if found[index].statistic > 0 else "FAILS"
        expected[index] = sign if running < 0.05 else "UNCLEAR"
    assert [row["verdict"] for row in rows] == [expected[i] for i in range(len(rows))]
    assert {row["verdict"] for row in rows} == {"HOLDS", "FAILS", "UNCLEAR"}
    for row, one in zip(rows, found, strict=True):
        assert row["p"] == pytest.approx(one.pvalue, rel=1e-4)
        ends = one.confidence_interval(0.95)
        assert (row["low"], row["high"]) == pytest.approx(tuple(ends), rel=1e-4)


def test_eight_seeds_are_permuted_exactly():
    """All of one model above all of the other: 2 of the 12,870 ways."""
    worse = np.arange(8.0)[:, None] + np.full((1, 4), 100)
    better = np.arange(8.0)[:, None] + np.zeros((1, 4))
    terms = [(1, worse), (-1, better)]
    assert permutation_p(terms) == pytest.approx(2 / 12870)
    assert p_value(terms) == (permutation_p(terms), "Welch and exact permutation")
    assert permutation_p([(1, worse[:7]), (-1, better)]) is None
    assert permutation_p([(1, worse), (-2, better), (1, better)]) is None


def test_one_outlier_decides_nothing_by_permutation():
    """Seven seeds alike and one far off: no test may call that a difference."""
    better = np.zeros((8, 3)) + np.linspace(0, 1, 8)[:, None]
    worse = better.copy()
    worse[0] += 1000
    p, _ = p_value([(1, worse), (-1, better)])
    assert p > 0.05


def draws(rng, factors, seeds, spread, images=12):
    """Errors of equal models: an image's own, a seed's, and both together."""
    hard = rng.normal(0, 1, images)
    return [
        (
            factor,
            hard
            + rng.normal(0, 0.02, images)
            + rng.normal(0, width, (seeds, 1))
            + rng.normal(0, 0.02, (seeds, images)),
        )
        for factor, width in zip(factors, spread, strict=True)
    ]


@pytest.mark.parametrize("seeds", [3, 5, 8])
@pytest.mark.parametrize(
    ("factors", "spread"),
    [((1, -1), (0.01, 0.03)), ((1, -2, 1), (0.01, 0.01, 0.01))],
    ids=["two models", "increases"],
)
def test_intervals_cover_what_they_say(seeds, factors, spread):
    """95 % within 2 points; 2,000 draws have a standard error of half a point."""
    rng = np.random.default_rng([seeds, len(factors)])
    covered = 0
    for _ in range(DRAWS):
        low, high = estimate(draws(rng, factors, seeds, spread)).interval()
        covered += low <= 0 <= high
    assert 0.93 <= covered / DRAWS <= 0.97


@pytest.mark.parametrize("seeds", [3, 5])
def test_the_family_raises_few_false_alarms(seeds):
    """Nine equal models, 24 comparisons: a false verdict in at most 5 % of studies."""
    rng = np.random.default_rng(seeds)
    pairs = paper_pairs(list(SPECS.values()))
    alarms, studies = 0, 100
    for _ in range(studies):
        terms = draws(rng, [1] * 9, seeds, [0.02] * 9)
        errors = {name: part for name, (_, part) in zip(SPECS, terms, strict=True)}
        rows = decide(pairs, errors, SPECS)
        alarms += any(row["verdict"] != "UNCLEAR" for row in rows)
    # 5 are allowed on average; three standard errors more are 11.5.
    assert alarms <= 11


def test_a_pair_needs_both_models():
    with pytest.raises(KeyError):
        decide([Pair("c", "DAE_5_5", "DAE_5_8")], {"DAE_5_5": np.ones((3, 2))}, SPECS)


def test_the_interval_is_that_of_the_error_beside_it():
    """Over seeds alone the error is smaller, and with one degree of freedom wider."""
    found = Contrast(0.0, over_seeds=(1.0, 1.0), with_images=(1.5, 40.0))
    assert found.wider == (1.0, 1.0)
    assert found.interval()[1] == pytest.approx(stats.t.ppf(0.975, 1))
    found = Contrast(0.0, over_seeds=(1.0, 30.0), with_images=(1.5, 40.0))
    assert found.wider == (1.5, 40.0)
    assert found.interval()[1] == pytest.approx(1.5 * stats.t.ppf(0.975, 40))
