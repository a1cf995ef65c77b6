from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from keras_dae.models.architectures import paper_specs
from keras_dae.study.nine.claims import (
    DEEPEST_IS_BEST,
    DRAWS,
    GROWS_WHEN_SHALLOWER,
    HIGH_REGARDLESS,
    SHALLOWER,
    SMALLER_LATENT,
    Pair,
    bootstrap,
    count_verdicts,
    decide,
    holm,
    paper_pairs,
    two_sided_p,
    verdict,
)
from keras_dae.system.streams import stream

SPECS = {spec.name: spec for spec in paper_specs()}
GOLDEN = [-0.0006322028670378043, 0.0004973760707625117, 0.8067983004248938]
PAIR = Pair(SMALLER_LATENT, "DAE_5_5", "DAE_5_13")


def errors(mean, seed, seeds=3, images=200):
    """Errors of `seeds` trainings: a spread over images, a small one over seeds."""
    rng = np.random.default_rng(seed)
    return (
        mean + rng.normal(0, 0.002, (seeds, images)) + rng.normal(0, 0.0001, (seeds, 1))
    )


def decided(worse, better, **kwargs):
    both = {PAIR.worse: worse, PAIR.better: better}
    (row,) = decide([PAIR], both, SPECS, **kwargs)
    return row


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


def test_paper_pairs():
    pairs = paper_pairs(paper_specs())
    assert set(paper_pairs(paper_specs()[::-1])) == set(pairs)
    smaller = {
        (f"DAE_{depth}_{small}", f"DAE_{depth}_{large}")
        for depth in (1, 3, 5)
        for small, large in ((5, 8), (5, 13), (8, 13))
    }
    shallower = {
        (f"DAE_{shallow}_{latent}", f"DAE_{deep}_{latent}")
        for latent in (5, 8, 13)
        for shallow, deep in ((1, 3), (1, 5), (3, 5))
    }
    for claim, expected in ((SMALLER_LATENT, smaller), (SHALLOWER, shallower)):
        found = [(pair.worse, pair.better) for pair in pairs if pair.claim == claim]
        assert len(found) == 9
        assert set(found) == expected


def test_sentences_of_section_5_1():
    sides = {}
    for pair in paper_pairs(paper_specs()):
        sides.setdefault(pair.claim, []).append((pair.worse, pair.better))
    assert sides[GROWS_WHEN_SHALLOWER] == [
        ("DAE_1_8 - DAE_1_13", "DAE_3_8 - DAE_3_13"),
        ("DAE_1_8 - DAE_1_13", "DAE_5_8 - DAE_5_13"),
        ("DAE_3_8 - DAE_3_13", "DAE_5_8 - DAE_5_13"),
    ]
    assert sides[HIGH_REGARDLESS] == [
        (f"DAE_{depth}_5 - DAE_{depth}_8", f"DAE_{depth}_8 - DAE_{depth}_13")
        for depth in (1, 3, 5)
    ]
    assert sides[DEEPEST_IS_BEST] == [
        (f"DAE_{depth}_{latent}", f"DAE_5_{latent}")
        for latent in (13, 8, 5)
        for depth in (1, 3)
    ]
    assert len(sides) == 5


def test_pairs_come_in_the_order_of_the_claims():
    claims = [pair.claim for pair in paper_pairs(paper_specs())]
    assert list(dict.fromkeys(claims)) == [
        *(SMALLER_LATENT, SHALLOWER, GROWS_WHEN_SHALLOWER, HIGH_REGARDLESS),
        DEEPEST_IS_BEST,
    ]


@pytest.mark.parametrize(
    ("without", "sentences"),
    [
        # Of depth 3 no step can be told, and the 8x8 of depth 5 is beside depth 1's.
        ("DAE_3_8", {GROWS_WHEN_SHALLOWER: 1, HIGH_REGARDLESS: 2, DEEPEST_IS_BEST: 5}),
        ("DAE_3_13", {GROWS_WHEN_SHALLOWER: 1, HIGH_REGARDLESS: 2, DEEPEST_IS_BEST: 5}),
        ("DAE_3_5", {GROWS_WHEN_SHALLOWER: 3, HIGH_REGARDLESS: 2, DEEPEST_IS_BEST: 5}),
    ],
)
def test_what_a_missing_model_leaves(without, sentences):
    pairs = paper_pairs([SPECS[name] for name in SPECS if name != without])
    counted = [pair.claim for pair in pairs]
    assert {claim: counted.count(claim) for claim in sentences} == sentences
    # Of (*) and (**) its two pairs each are gone.
    assert (counted.count(SMALLER_LATENT), counted.count(SHALLOWER)) == (7, 7)
    assert not any(without in pair.coefficients() for pair in pairs)


def test_no_pair_without_a_model_to_compare_with():
    assert paper_pairs([SPECS["DAE_3_8"]]) == []
    assert paper_pairs([SPECS["DAE_3_8"], SPECS["DAE_5_13"]]) == []


def test_a_pair_by_hand():
    assert Pair("c", "a", "b").coefficients() == {"a": 1, "b": -1}
    with pytest.raises(FrozenInstanceError):
        PAIR.worse = "other"


def test_increases_by_hand():
    """The model in the middle of two steps counts twice, and is drawn once."""
    pair = Pair(HIGH_REGARDLESS, "DAE_5_5 - DAE_5_8", "DAE_5_8 - DAE_5_13")
    assert pair.coefficients() == {"DAE_5_5": 1, "DAE_5_8": -2, "DAE_5_13": 1}
    means = {
        "DAE_5_5": np.array([[10.0, 10], [12, 12]]),
        "DAE_5_8": np.array([[3.0, 3], [5, 5]]),
        "DAE_5_13": np.array([[2.0, 2], [2, 2]]),
    }
    (row,) = decide([pair], means, SPECS)
    assert row["difference"] == pytest.approx(11 - 2 * 4 + 2)
    assert row["spread"] == pytest.approx((2 + 4 * 2 + 0) ** 0.5)
    # Seeds at their ends: 10 - 2 * 5 + 2 and 12 - 2 * 3 + 2.
    assert (row["low"], row["high"]) == pytest.approx((2, 8))
    assert row["confounds"] is None
    assert row["verdict"] == "HOLDS"


@pytest.mark.parametrize(
    ("worse", "better", "expected"),
    [
        (errors(0.012, 1), errors(0.010, 2), "HOLDS"),
        (errors(0.010, 1), errors(0.012, 2), "FAILS"),
        (errors(0.010, 1), errors(0.010, 2), "UNCLEAR"),
        (errors(0.010, 1), errors(0.010, 1), "UNCLEAR"),
        (errors(0.012, 1, seeds=1), errors(0.010, 2, seeds=1), "HOLDS"),
        (np.full((2, 9), 0.01), np.full((2, 9), 0.01), "UNCLEAR"),
    ],
    ids=["clear", "reversed", "equal", "identical", "one seed", "constant"],
)
def test_verdicts(worse, better, expected):
    row = decided(worse, better)
    assert row["verdict"] == expected
    assert row["difference"] == pytest.approx(worse.mean() - better.mean())
    assert row["low"] <= row["difference"] <= row["high"]
    assert 0 < row["p"] <= row["p_holm"] <= 1
    # An interval that leaves out 0 and a small p are one statement.
    assert (row["low"] > 0 or row["high"] < 0) == (expected != "UNCLEAR")


def test_rows_are_corrected_together():
    near = errors(0.0102, 5)
    means = {"DAE_5_13": errors(0.01, 6), "DAE_5_8": near, "DAE_5_5": errors(0.012, 7)}
    pairs = [
        Pair(SMALLER_LATENT, "DAE_5_8", "DAE_5_13"),
        Pair(SMALLER_LATENT, "DAE_5_5", "DAE_5_8"),
        Pair(SMALLER_LATENT, "DAE_5_5", "DAE_5_13"),
    ]
    rows = decide(pairs, means, SPECS)
    assert [(row["worse"], row["better"]) for row in rows] == [
        (pair.worse, pair.better) for pair in pairs
    ]
    assert [row["p_holm"] for row in rows] == holm([row["p"] for row in rows])
    assert decide(pairs, means, SPECS) == rows


def test_the_seed_draws_the_interval():
    worse, better = errors(0.0101, 1), errors(0.01, 2)
    one, again, other = (decided(worse, better, seed=seed) for seed in (0, 0, 1))
    assert one == again
    assert one["low"] != other["low"]
    assert one["difference"] == other["difference"]


def test_each_row_draws_its_own_stream():
    means = {PAIR.worse: errors(0.012, 1), PAIR.better: errors(0.01, 2)}
    rows = decide([PAIR, PAIR], means, SPECS, seed=7)
    for number, row in enumerate(rows):
        terms = [(1, means[PAIR.worse]), (-1, means[PAIR.better])]
        draws = bootstrap(terms, stream("bootstrap", 7, number))
        assert [row["low"], row["high"]] == list(np.quantile(draws, (0.025, 0.975)))
        assert row["p"] == two_sided_p(draws)


def test_the_bootstrap_is_the_one_of_the_committed_verdicts():
    """Written down once: another order of draws would move committed figures."""
    row = decided(errors(0.0102, 1, images=50), errors(0.0101, 2, images=50))
    found = [row["low"], row["high"], row["p"]]
    assert found == pytest.approx(GOLDEN, rel=1e-12)


def test_a_row_tells_what_the_pair_confounds():
    row = decided(errors(0.012, 1), errors(0.01, 2, seeds=2))
    worse, better = SPECS[PAIR.worse], SPECS[PAIR.better]
    assert row["confounds"] == {
        "parameters": [worse.parameters, better.parameters],
        "macs": [worse.macs, better.macs],
        "receptive_field": [worse.receptive_field, better.receptive_field],
    }
    assert row["seeds"] == [3, 2]
    assert (row["claim"], row["worse"], row["better"]) == (
        PAIR.claim,
        PAIR.worse,
        PAIR.better,
    )


@pytest.mark.parametrize("sides", [("a - b", "DAE_5_5"), ("DAE_5_5", "a - b")])
def test_no_architecture_to_confound_with(sides):
    names = ("a", "b", "DAE_5_5")
    (row,) = decide([Pair("c", *sides)], dict.fromkeys(names, errors(1, 1)), SPECS)
    assert row["confounds"] is None


def test_spread_by_hand():
    """Seed means 1, 3 and 2, 2, 5: variances 2 and 3."""
    worse = np.array([[1.0, 1], [3, 3]])
    better = np.array([[2.0, 2], [1, 3], [5, 5]])
    assert decided(worse, better)["spread"] == pytest.approx(5**0.5)
    three = np.array([[1.0, 1], [3, 3], [2, 2]])  # a variance of 1
    assert decided(three, better)["spread"] == pytest.approx(2)


@pytest.mark.parametrize("seeds", [(1, 1), (1, 3), (3, 1)])
def test_no_spread_for_one_seed(seeds):
    row = decided(*(errors(0.01, 1, seeds=count) for count in seeds))
    assert row["spread"] is None


def test_the_bootstrap_has_the_right_width():
    """The images are paired: only the spread of their differences counts."""
    rng = np.random.default_rng(9)
    better = rng.normal(0.5, 0.1, (1, 400))
    difference = rng.normal(0, 0.01, 400)
    terms = [(1, better + difference), (-1, better)]
    draws = bootstrap(terms, np.random.default_rng(0))
    assert draws.shape == (DRAWS,)
    expected = difference.std() / 400**0.5
    # The standard error of a standard deviation of 4,000 draws.
    assert abs(draws.std() - expected) < 4 * expected / (2 * DRAWS) ** 0.5
    assert abs(draws.mean() - difference.mean()) < 4 * expected / DRAWS**0.5


def test_the_bootstrap_draws_seeds_anew():
    """Of two trainings at 0 and 1, means are 0, 1/2, 1 at odds of 1, 2, 1."""
    worse = np.array([[0.0] * 5, [1.0] * 5])
    terms = [(1, worse), (-1, np.zeros((1, 5)))]
    draws = bootstrap(terms, np.random.default_rng(0)).round(9)
    for value, share in ((0, 0.25), (0.5, 0.5), (1, 0.25)):
        error = (share * (1 - share) / DRAWS) ** 0.5
        assert abs((draws == value).mean() - share) < 4 * error


@pytest.mark.parametrize(
    ("draws", "p"),
    [
        (np.full(99, 1.0), 2 / 100),
        (np.full(99, -1.0), 2 / 100),
        (np.r_[np.full(95, 1.0), np.full(4, -1.0)], 10 / 100),
        (np.zeros(99), 1),
        (np.r_[np.full(90, 1.0), np.zeros(9)], 20 / 100),  # 0 counts on both sides
        (np.r_[-1.0, 1.0], 1),
    ],
)
def test_two_sided_p_by_hand(draws, p):
    assert two_sided_p(draws) == pytest.approx(p)


@pytest.mark.parametrize(
    ("difference", "p", "expected"),
    [
        (0.1, 0.049, "HOLDS"),
        (-0.1, 0.049, "FAILS"),
        (0.1, 0.05, "UNCLEAR"),
        (0.1, 0.06, "UNCLEAR"),
        (0.0, 1.0, "UNCLEAR"),
        (0.0, 0.01, "FAILS"),  # a claim of more is not borne out by as much
    ],
)
def test_verdict(difference, p, expected):
    assert verdict(difference, p) == expected


def test_count_verdicts():
    rows = [
        {"claim": "a", "verdict": "HOLDS"},
        {"claim": "b", "verdict": "UNCLEAR"},
        {"claim": "a", "verdict": "FAILS"},
        {"claim": "a", "verdict": "HOLDS"},
    ]
    assert dict(count_verdicts(rows)) == {
        "a": {"HOLDS": 2, "FAILS": 1, "UNCLEAR": 0},
        "b": {"HOLDS": 0, "FAILS": 0, "UNCLEAR": 1},
    }


def test_the_bootstrap_covers_the_known_difference():
    """Intervals of 95 %, each over images of its own."""
    truth, covered = 0.0002, 0
    for seed in range(40):
        rng = np.random.default_rng([3, seed])
        better = rng.normal(0.01, 0.002, (1, 100))
        worse = better + truth + rng.normal(0, 0.001, (1, 100))
        draws = bootstrap([(1, worse), (-1, better)], np.random.default_rng(seed))
        low, high = np.quantile(draws, (0.025, 0.975))
        covered += low <= truth <= high
    # 38 are expected; four standard errors of that count are 5.5.
    assert covered >= 33
