"""The estimate of the lowest possible error, against means that are computed."""

import numpy as np
import pytest

from benchmarks.ceiling import Pairwise, report


@pytest.fixture
def made():
    """Networks whose outputs are the truth, their model's error and their own."""
    rng = np.random.default_rng(3)
    common = rng.normal(0, 1.0, (400, 50))
    outputs, names = [], []
    for model, own, seeds in (("A", 0.6, 4), ("B", 0.9, 3)):
        shared = common + rng.normal(0, 0.5, common.shape)
        outputs += [shared + rng.normal(0, own, common.shape) for _ in range(seeds)]
        names += [model] * seeds
    outputs = np.array(outputs)  # the truth is 0
    errors = (outputs**2).mean(-1)
    gaps = ((outputs[:, None] - outputs[None]) ** 2).mean(-1)
    return outputs, Pairwise(names, errors, gaps)


def test_the_error_of_a_mean_is_that_of_the_mean_output(made):
    outputs, pairwise = made
    for members in ([0], [0, 1], [4, 5, 6], list(range(7))):
        expected = (outputs[members].mean(0) ** 2).mean(-1)
        np.testing.assert_allclose(pairwise.mean_error(members), expected, atol=1e-12)


def test_the_limit_is_the_error_that_the_networks_of_a_model_share(made):
    _, pairwise = made
    # Variances: common 1, of each model 0.25, of each network 0.36 or 0.81.
    for model in "AB":
        assert pairwise.limit(model).mean() == pytest.approx(1.25, rel=0.03)
    assert pairwise.limit("A", "B").mean() == pytest.approx(1.125, rel=0.03)
    assert pairwise.mean_error([0, 1, 2, 3]).mean() == pytest.approx(1.34, rel=0.03)


def test_the_report_has_each_model_and_all_together(made):
    _, pairwise = made
    found = report(pairwise)
    assert [row["model"] for row in found["networks"]] == list("AAAABBB")
    assert [row["models"] for row in found["means"]] == [["A"], ["B"], ["A", "B"]]
    assert [row["networks"] for row in found["limits"]] == [4, 3, 7]
    for mean, limit in zip(found["means"], found["limits"], strict=True):
        assert limit["mse"] < mean["mse"]
        assert 0 < mean["standard_error"] < 0.05
