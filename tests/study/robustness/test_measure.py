import numpy as np
import pytest

from keras_dae.errors import UsageError
from keras_dae.evaluation.metrics import mse
from keras_dae.evaluation.scoring import TestBench
from keras_dae.images.noise import NOISES, Gaussian
from keras_dae.study.common import candidates, trained
from keras_dae.study.common.candidates import Candidate
from keras_dae.study.common.store import Store
from keras_dae.study.robustness.measure import GRID, gains, measure, parse_grid


def row(name, noise, strength, psnr, kind="filter"):
    test = {"psnr": psnr}
    return {"name": name, "kind": kind, "noise": noise, "strength": strength} | {
        "test": test
    }


def test_gains_by_hand():
    rows = [row("noisy input", "gaussian", s, p) for s, p in ((0.1, 20.0), (0.5, 10.0))]
    rows += [row("median 3x3", "gaussian", s, p) for s, p in ((0.1, 19), (0.5, 14))]
    rows += [
        row("noisy input", "masking", 0.5, 8.0),
        row("median 3x3", "masking", 0.5, 9),
    ]
    rows += [row("DAE", "gaussian", 0.1, None, "model"), row("DAE", "masking", 0.5, 7)]
    assert list(gains(rows)) == [
        {
            "name": "median 3x3",
            "kind": "filter",
            "gain": {"gaussian": 1.5, "masking": 1},
            "best": "gaussian",
        },
        {"name": "DAE", "kind": "model", "gain": {"masking": -1}, "best": "masking"},
    ]


def test_cells_are_those_of_a_bench_and_measured_once(tiny, tmp_path):
    calls = []

    def half(noisy):
        calls.append(len(noisy))
        return noisy / 2

    one = Candidate("half", "dae", {"model": "half"}, lambda: (half, {}), {"seed": 0})
    store = Store(tmp_path)
    grid = {"gaussian": (0.25, 0.5), "blur": (1.0,)}
    results = measure(tiny, [one], store, grid=grid, tuned=["median"])
    median = [f"median, tuned{after}" for after in ("", ", inverse", ", curve")]
    every = ["noisy input", *median, "half"]
    blurred = [name for name in every if name != "median, tuned, inverse"]
    assert [row["name"] for row in results["rows"]] == [*every, *every, *blurred]
    (found,) = [
        r["test"]["mse"]
        for r in results["rows"]
        if (r["name"], r["noise"], r["strength"]) == ("half", "gaussian", 0.5)
    ]
    noisy, clean = TestBench(tiny, Gaussian(0.5)).pairs
    assert found == pytest.approx(mse(clean, noisy / 2).mean(), rel=1e-12)
    assert results["strengths"] == {"gaussian": "sigma", "blur": "sigma"}
    assert calls == [7, 7, 7]
    assert measure(tiny, [one], store, grid=grid, tuned=["median"]) == results
    assert calls == [7, 7, 7]


def test_the_grid_is_of_every_noise():
    # camera draws several noises at once, for the training on photographs
    assert set(GRID) == set(NOISES) - {"camera"}
    assert parse_grid([]) == GRID
    assert parse_grid(["gaussian:0.1,0.5", "blur"]) == {
        "gaussian": (0.1, 0.5),
        "blur": GRID["blur"],
    }
    repeated = parse_grid(["gaussian:0.1", "gaussian:0.5", "gaussian:0.1"])
    assert repeated == {"gaussian": (0.1, 0.5)}


@pytest.mark.parametrize(
    "text", ["gausian:1", "gausian", "gaussian:a", "masking:2", "blur+gaussian"]
)
def test_a_bad_grid_is_named(text):
    with pytest.raises(UsageError, match="Received: "):
        parse_grid([text])


def test_candidates_refuse_what_is_not_there(tiny, tmp_path):
    with pytest.raises(UsageError, match="baseline='mode 3x3'"):
        candidates.baselines(tiny, ["mode 3x3"])
    with pytest.raises(UsageError, match="no model file"):
        trained.files([tmp_path / "model.keras"], tiny)


def test_the_best_of_each_is_of_the_lowest_validation_loss():
    def run(name, seed, loss):
        facts = {"seed": seed, "val_loss": loss}
        return Candidate(name, "dae", {}, lambda: (np.asarray, {}), facts)

    best = trained.best_of_each([run("a", 0, 2.0), run("b", 0, 1.0), run("a", 1, 1.5)])
    assert [(one.name, one.facts["seed"]) for one in best] == [("a", 1), ("b", 0)]
