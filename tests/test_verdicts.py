"""Verdicts of `claims.json`, found again from committed files by SciPy alone.

No code of the package decides here: per-seed figures come from `results.json`, those of
each image from `errors.npz`, tests and distributions from SciPy.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

ARTIFACTS = Path(__file__).parents[1] / "artifacts"
STUDIES = [
    ARTIFACTS / name
    for name in ("paper", "fast", "paper/equal-parameters", "paper/equal-macs")
]


def read(study):
    """Return claims, and model name -> errors (seeds, images) and seeds' figures."""
    claims = json.loads((study / "claims.json").read_text())["claims"]
    rows = json.loads((study / "results.json").read_text())["models"]
    figures = {(row["name"], row["seed"]): row["test"]["mse"] for row in rows}
    images = {}
    with np.load(study / "errors.npz", allow_pickle=False) as arrays:
        for run in arrays.files:
            name, seed = re.fullmatch(r".*?-([A-Z]+_\d+_\d+)-seed(\d+)", run).groups()
            images[name, int(seed)] = arrays[run].astype(np.float64)
    assert images.keys() == figures.keys()
    names = dict.fromkeys(name for name, _ in figures)
    keys = {name: sorted(key for key in figures if key[0] == name) for name in names}
    return claims, {
        name: (np.stack([images[key] for key in of]), [figures[key] for key in of])
        for name, of in keys.items()
    }


def factors(claim):
    """Return model -> its factor in the difference, as 'A - B' less 'C - D'."""
    found = {}
    for side, text in ((1, claim["worse"]), (-1, claim["better"])):
        for sign, name in zip((1, -1), text.split(" - "), strict=False):
            found[name] = found.get(name, 0) + side * sign
    return found


def p_values(claim, models):
    """Return p over seeds alone, and an upper bound of p with the images' part.

    The bound takes all of the variance of the paired images, also what differs
    between trainings, with the degrees of freedom of the seeds.
    """
    terms = [(factor, *models[name]) for name, factor in factors(claim).items()]
    difference = sum(factor * np.mean(figures) for factor, _, figures in terms)
    assert difference == pytest.approx(claim["difference"], rel=1e-4, abs=1e-8)
    parts = [
        (factor**2 * np.var(figures, ddof=1) / len(figures), len(figures) - 1)
        for factor, _, figures in terms
    ]
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(part**2 / count for part, count in parts)
    seeds = 2 * stats.t.sf(abs(difference) / np.sqrt(variance), freedom)
    if len(terms) == 2:
        one, other = (figures for _, _, figures in terms)
        assert seeds == pytest.approx(
            stats.ttest_ind(one, other, equal_var=False).pvalue, rel=1e-6
        )
    paired = sum(factor * errors.mean(axis=0) for factor, errors, _ in terms)
    both = variance + np.var(paired, ddof=1) / len(paired)
    bound = 2 * stats.t.sf(abs(difference) / np.sqrt(both), freedom)
    if "permutation" in (claim["test"] or ""):
        exact = stats.permutation_test(
            [one, other],
            lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis),
            n_resamples=np.inf,
            vectorized=True,
        ).pvalue
        return max(seeds, exact), max(bound, exact)
    return seeds, bound


def verdicts(p, claims):
    """Return the verdicts by Holm's correction of p-values at 5 %."""
    order = np.argsort(p)
    found = ["UNCLEAR"] * len(p)
    for rank, index in enumerate(order):
        if p[index] >= 0.05 / (len(p) - rank):
            break
        found[index] = "HOLDS" if claims[index]["difference"] > 0 else "FAILS"
    return found


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.name)
def test_errors_of_images_are_those_of_the_results(study):
    _, models = read(study)
    for errors, figures in models.values():
        np.testing.assert_allclose(errors.mean(axis=1), figures, rtol=1e-5)


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.name)
def test_scipy_finds_the_committed_verdicts(study):
    """By seeds alone and by an upper bound of p: the committed p lies between."""
    claims, models = read(study)
    claims = [claim for claim in claims if claim["verdict"] != "NOT DECIDED"]
    assert claims
    seeds, bounds = zip(*(p_values(claim, models) for claim in claims), strict=True)
    committed = [claim["p"] for claim in claims]
    assert np.all(np.array(committed) <= np.array(bounds) * 1.001)
    assert np.all(np.array(seeds) <= np.array(committed) * 1.001)
    expected = [claim["verdict"] for claim in claims]
    assert verdicts(seeds, claims) == expected
    assert verdicts(bounds, claims) == expected
