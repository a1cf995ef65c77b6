from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from keras_dae.evaluation.contrasts import holm
from keras_dae.models.architectures import paper_specs
from keras_dae.study.nine.claims import (
    GROWS_TOWARDS_5X5,
    GROWS_WHEN_SHALLOWER,
    NEARLY_LINEAR,
    SHALLOWER,
    SMALLER_LATENT,
    Pair,
    close_models,
    count_verdicts,
    decide,
    paper_pairs,
    verdict,
)

SPECS = {spec.name: spec for spec in paper_specs()}
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


def test_paper_pairs():
    pairs = paper_pairs(paper_specs())
    assert set(paper_pairs(paper_specs()[::-1])) == set(pairs)
    smaller = {
        (f"DAE_{depth}_{small}", f"DAE_{depth}_{large}")
        for depth in (1, 3, 5)
        for small, large in ((5, 8), (5, 13), (8, 13))
    }
    shallower = {(f"DAE_3_{latent}", f"DAE_5_{latent}") for latent in (5, 8, 13)}
    apart = {
        (f"DAE_1_{latent}", f"DAE_{deep}_{latent}")
        for latent in (5, 8, 13)
        for deep in (3, 5)
    }
    of = {SMALLER_LATENT: smaller, SHALLOWER: shallower, NEARLY_LINEAR: apart}
    for claim, expected in of.items():
        found = [(pair.worse, pair.better) for pair in pairs if pair.claim == claim]
        assert len(found) == len(expected)
        assert set(found) == expected


def test_models_are_close_to_one_they_are_compared_with():
    losses = {(5, 13): 1.0, (5, 8): 1.04, (3, 13): 1.02, (3, 8): 1.04, (3, 5): 0.995}
    # 5_13 and 3_5 differ by 0.5 %, but in depth and in latent: they are not compared.
    assert close_models({(5, 13): 1.0, (3, 5): 0.995}) == set()
    assert close_models(losses) == set(losses)
    assert close_models({(5, 13): 1.0, (5, 8): 1.031}) == set()
    assert close_models({(5, 13): 1.0, (5, 8): 1.029}) == {(5, 13), (5, 8)}
    assert close_models({(5, 8): 1.029, (3, 8): 1.0}) == {(5, 8), (3, 8)}


def test_each_comparison_is_made_once():
    pairs = paper_pairs(paper_specs())
    contrasts = {frozenset(pair.coefficients().items()) for pair in pairs}
    assert len(contrasts) == len(pairs) == 24


def test_sentences_of_section_5_1():
    sides = {}
    for pair in paper_pairs(paper_specs()):
        sides.setdefault(pair.claim, []).append((pair.worse, pair.better))
    assert sides[GROWS_WHEN_SHALLOWER] == [
        ("DAE_1_8 - DAE_1_13", "DAE_3_8 - DAE_3_13"),
        ("DAE_1_8 - DAE_1_13", "DAE_5_8 - DAE_5_13"),
        ("DAE_3_8 - DAE_3_13", "DAE_5_8 - DAE_5_13"),
    ]
    assert sides[GROWS_TOWARDS_5X5] == [
        (f"DAE_{depth}_5 - DAE_{depth}_8", f"DAE_{depth}_8 - DAE_{depth}_13")
        for depth in (1, 3, 5)
    ]
    assert len(sides) == 5


def test_pairs_come_in_the_order_of_the_claims():
    claims = [pair.claim for pair in paper_pairs(paper_specs())]
    assert list(dict.fromkeys(claims)) == [
        *(SMALLER_LATENT, SHALLOWER, NEARLY_LINEAR),
        *(GROWS_WHEN_SHALLOWER, GROWS_TOWARDS_5X5),
    ]


@pytest.mark.parametrize(
    ("without", "sentences"),
    [
        # Of depth 3 no step can be told, and the 8x8 of depth 5 is beside depth 1's.
        ("DAE_3_8", {GROWS_WHEN_SHALLOWER: 1, GROWS_TOWARDS_5X5: 2}),
        ("DAE_3_13", {GROWS_WHEN_SHALLOWER: 1, GROWS_TOWARDS_5X5: 2}),
        ("DAE_3_5", {GROWS_WHEN_SHALLOWER: 3, GROWS_TOWARDS_5X5: 2}),
    ],
)
def test_what_a_missing_model_leaves(without, sentences):
    pairs = paper_pairs([SPECS[name] for name in SPECS if name != without])
    counted = [pair.claim for pair in pairs]
    assert {claim: counted.count(claim) for claim in sentences} == sentences
    # Its two pairs of each kind are gone; one of the latter is with depth 1.
    assert counted.count(SMALLER_LATENT) == 7
    assert (counted.count(SHALLOWER), counted.count(NEARLY_LINEAR)) == (2, 5)
    assert not any(without in pair.coefficients() for pair in pairs)


def test_no_pair_without_a_model_to_compare_with():
    assert paper_pairs([SPECS["DAE_3_8"]]) == []
    assert paper_pairs([SPECS["DAE_3_8"], SPECS["DAE_5_13"]]) == []


def test_a_pair_by_hand():
    assert Pair("c", "a", "b").coefficients() == {"a": 1, "b": -1}
    with pytest.raises(FrozenInstanceError):
        PAIR.worse = "other"


def test_increases_by_hand():
    """The model in the middle of two steps counts twice."""
    pair = Pair(GROWS_TOWARDS_5X5, "DAE_5_5 - DAE_5_8", "DAE_5_8 - DAE_5_13")
    assert pair.coefficients() == {"DAE_5_5": 1, "DAE_5_8": -2, "DAE_5_13": 1}
    means = {
        "DAE_5_5": np.array([[10.0, 10], [12, 12], [11, 11]]),
        "DAE_5_8": np.array([[3.0, 3], [5, 5], [4, 4]]),
        "DAE_5_13": np.array([[2.0, 2], [2, 2], [2, 2]]),
    }
    (row,) = decide([pair], means, SPECS)
    assert row["difference"] == pytest.approx(11 - 2 * 4 + 2)
    assert row["spread"] == pytest.approx((1 + 4 * 1 + 0) ** 0.5)
    # Variances of means 1/3, 4/3 and 0; freedom (5/3)^2 / ((1/9 + 16/9) / 2).
    assert row["standard_error"] == pytest.approx((5 / 3) ** 0.5)
    assert row["degrees_of_freedom"] == pytest.approx(50 / 17)
    assert row["confounds"] is None
    assert row["verdict"] == "HOLDS"


@pytest.mark.parametrize(
    ("worse", "better", "expected"),
    [
        (errors(0.012, 1), errors(0.010, 2), "HOLDS"),
        (errors(0.010, 1), errors(0.012, 2), "FAILS"),
        (errors(0.010, 1), errors(0.010, 2), "UNCLEAR"),
        (errors(0.010, 1), errors(0.010, 1), "UNCLEAR"),
        (np.full((3, 9), 0.01), np.full((3, 9), 0.01), "UNCLEAR"),
        (np.full((3, 9), 0.02), np.full((3, 9), 0.01), "HOLDS"),
    ],
    ids=["clear", "reversed", "equal", "identical", "constant", "apart"],
)
def test_verdicts(worse, better, expected):
    row = decided(worse, better)
    assert row["verdict"] == expected
    assert row["difference"] == pytest.approx(worse.mean() - better.mean())
    assert row["low"] <= row["difference"] <= row["high"]
    assert 0 <= row["p"] <= row["p_holm"] <= 1
    assert row["test"] == "Welch"
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


@pytest.mark.parametrize("seeds", [(1, 1), (1, 3), (3, 2), (2, 2)])
def test_fewer_than_three_seeds_decide_nothing(seeds):
    """Also of a difference that no image contradicts."""
    row = decided(errors(0.02, 1, seeds[0]), errors(0.01, 2, seeds[1]))
    assert row["verdict"] == "NOT DECIDED"
    assert row["difference"] == pytest.approx(0.01, abs=0.001)
    tested = ("p", "p_holm", "low", "high", "standard_error", "test")
    assert {row[key] for key in tested} == {None}


def test_what_is_not_decided_corrects_nothing():
    means = {
        "DAE_5_13": errors(0.01, 6),
        "DAE_5_8": errors(0.0103, 5),
        "DAE_5_5": errors(0.012, 7, seeds=1),
    }
    pairs = [
        Pair(SMALLER_LATENT, "DAE_5_8", "DAE_5_13"),
        Pair(SMALLER_LATENT, "DAE_5_5", "DAE_5_13"),
    ]
    decided_row, other = decide(pairs, means, SPECS)
    assert decided_row["p_holm"] == decided_row["p"]
    assert other["verdict"] == "NOT DECIDED"


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
        "a": {"HOLDS": 2, "FAILS": 1, "UNCLEAR": 0, "NOT DECIDED": 0},
        "b": {"HOLDS": 0, "FAILS": 0, "UNCLEAR": 1, "NOT DECIDED": 0},
    }
