"""The floors of a study, and the check that stands on them."""

import json

import numpy as np
import pytest

from benchmarks import check_study
from keras_dae.evaluation.affine import DRAWS, fit_affine
from keras_dae.evaluation.metrics import mse
from keras_dae.evaluation.scoring import TestBench
from keras_dae.images.datasets import Arrays, split
from keras_dae.images.noise import Gaussian
from keras_dae.study.nine.references import references


@pytest.fixture
def bench():
    """Images of bright squares, of which clipped noise hides the black."""
    rng = np.random.default_rng(0)
    images = np.zeros((120, 12, 12), np.uint8)
    for image in images:
        top, left = rng.integers(0, 6, 2)
        image[top : top + 6, left : left + 6] = 255
    arrays = Arrays(images[:100], None, images[100:], None)
    return TestBench(split("squares", arrays, "0" * 64, 0), Gaussian(0.5))


def test_a_corrected_filter_and_affine_maps_are_among_the_floors(bench):
    rows = {row["name"]: row for row in references(bench, affine=True)}
    assert list(rows)[:5] == [
        *("noisy input", "all black", "mean image", "median 3x3", "median 5x5"),
    ]
    (corrected,) = [row for row in rows.values() if "correction" in row]
    assert corrected["correction"] == "curve"
    assert corrected["test"]["mse"] < 0.9 * rows["median 3x3"]["test"]["mse"]
    noisy, clean = bench.pairs
    solution = fit_affine(bench.splits, bench.noise, seed=0, draws=DRAWS)
    for name, rank in (("affine, rank 100", 100), ("affine, full rank", None)):
        found = mse(clean, solution.map(rank)(noisy)).mean()
        assert rows[name]["test"]["mse"] == pytest.approx(found, rel=1e-9)
    assert not [row for row in references(bench) if row.get("kind") == "affine"]


def row(name, error, **about):
    return {"name": name, "seed": 0, "test": {"mse": error}, **about}


@pytest.mark.parametrize(
    ("errors", "corrected", "code"),
    [
        ([0.010] * 8 + [0.019], 0.02, 0),
        ([0.010] * 8 + [0.021], 0.02, 1),  # one model is worse than the filter
        ([0.013] * 9, 0.02, 1),  # none is under 0.6 of it
        ([0.010] * 9, None, 1),  # a study of before filters were corrected
    ],
)
def test_models_are_checked_against_the_corrected_filter(
    tmp_path, errors, corrected, code
):
    floors = [row("median 3x3", 0.04, kind="filter")]
    if corrected:
        floors.append(row("Gaussian", corrected, kind="filter", correction="curve"))
    models = [row(f"DAE_{number}", error) for number, error in enumerate(errors)]
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"schema": 1, "models": models, "floors": floors}))
    assert check_study.main(path) == code
