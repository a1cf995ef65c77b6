"""A row added to a table is met everywhere: no second place to change."""

import csv
import json
from dataclasses import dataclass
from typing import ClassVar

import keras
import numpy as np
import pytest

import keras_dae as kd
from keras_dae.evaluation.baselines import BASELINES
from keras_dae.evaluation.metrics import METRICS, Metric
from keras_dae.evaluation.scoring import TestBench, score_baselines
from keras_dae.images.noise import NOISES, Gaussian
from keras_dae.models.ceilings import CEILINGS
from keras_dae.study.common.candidates import floors
from keras_dae.study.robustness.measure import parse_grid
from keras_dae.training.optimizer_table import OPTIMIZERS, Optimizer
from tests.commands import run


@dataclass(frozen=True)
class Shift(Gaussian):
    """Every pixel a little lighter."""

    kind: ClassVar[str] = "shift"
    sigma: float = 0.25

    def __call__(self, clean, rng):
        return (clean + np.float32(self.sigma)).clip(0, 1)


def trained(tmp_path, *words):
    images = np.random.default_rng(0).integers(0, 256, (24, 8, 8), dtype=np.uint8)
    images[:, 0, :2] = 0, 255
    np.savez(tmp_path / "mine.npz", x_train=images, x_test=images[:4])
    out = tmp_path / "runs"
    data = ["--data", f"npz:{tmp_path}/mine.npz", "--out", out, "--epochs", 1]
    shape = [] if "--model" in words else ["--depth", 1, "--latent", 4]
    done = run("train", *data, *shape, *words, "--json")
    assert done.exit_code == 0, done.output
    (folder,) = out.iterdir()
    scored = run("evaluate", folder, "--json")
    assert scored.exit_code == 0, scored.output
    return json.loads((folder / "config.json").read_text()), folder


def test_a_noise(tmp_path, monkeypatch):
    monkeypatch.setitem(NOISES, "shift", Shift)
    assert "shift" in run("train", "--help").output
    record, folder = trained(tmp_path, "--noise", "shift:0.3")
    assert record["noise"] == {"kind": "shift", "sigma": 0.3, "clip": True}
    assert kd.Denoiser.from_preset(folder).noise == Shift(0.3)
    assert parse_grid(["shift"]) == {"shift": (0.25,)}
    done = run("robustness", folder, "--noise", "shift", "--out", tmp_path / "study")
    assert done.exit_code == 0, done.output


def test_an_optimizer(tmp_path, monkeypatch):
    row = Optimizer(lambda rate, config: keras.optimizers.SGD(rate), (0.1, 0.01))
    monkeypatch.setitem(OPTIMIZERS, "plain", row)
    assert "plain" in run("train", "--help").output
    record, _ = trained(tmp_path, "--optimizer", "plain")
    assert record["config"]["learning_rate"] == 0.1


def test_a_model(tmp_path, monkeypatch):
    monkeypatch.setitem(CEILINGS, "another", CEILINGS["dncnn"])
    assert "another" in run("train", "--help").output
    record, _ = trained(tmp_path, "--model", "another", "--filters", 2)
    assert record["model"] == "another"


def test_a_baseline(monkeypatch, tiny):
    monkeypatch.setitem(BASELINES, "grey", lambda splits: lambda x: 0 * x + 0.5)
    images = np.full((3, 28, 28), 255, np.uint8)
    found = kd.compare({}, images, noise="gaussian:0.1", baselines=["grey"])
    assert found["grey"]["mse"] == pytest.approx(0.25)
    bench = TestBench(tiny, Gaussian())
    assert "grey" in [one.name for one in floors(bench)]  # on the board
    assert "grey" in [row["name"] for row in score_baselines(bench)]  # in evaluate


def mean_absolute_error(clean, denoised):
    return np.abs(clean.astype(np.float64) - denoised).mean(axis=(1, 2, 3))


def test_a_metric(tmp_path, monkeypatch):
    """It has a column in every table of figures, on the terminal and in files."""
    metric = Metric(mean_absolute_error, "MAE", 4, lower_is_better=True)
    monkeypatch.setitem(METRICS, "mae", metric)
    images = np.random.default_rng(0).integers(0, 256, (24, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", x_train=images, x_test=images[:4])
    out, pages, table = tmp_path / "study", tmp_path / "all.csv", tmp_path / "board.csv"
    data = ["--data", f"npz:{tmp_path}/mine.npz", "--out", out]
    grid = ["--depths", 1, "--latents", 4, "--seeds", 1, "--epochs", 1, "--jobs", 1]
    done = run("reproduce", *data, *grid)
    assert done.exit_code == 0, done.output
    assert "MAE" in done.output
    (row,) = json.loads((out / "results.json").read_text())["models"]
    folder = out / "runs" / "npz-mine-DAE_1_4-seed0"
    scored = run("evaluate", folder, "--per-image", pages, "--json")
    assert scored.exit_code == 0, scored.output
    of_images = list(csv.DictReader(pages.read_text().splitlines()))
    mean = np.mean([float(one["mae"]) for one in of_images])
    assert mean == pytest.approx(row["test"]["mae"], rel=1e-6)
    (line,) = [x for x in (out / "report.md").read_text().splitlines() if "MAE" in x]
    assert "| PSNR, dB | SSIM | MAE |" in line
    board = run("compare", *data, folder, "--csv", table)
    assert board.exit_code == 0, board.output
    assert "MAE" in board.output
    rows = {one["name"]: one for one in csv.DictReader(table.read_text().splitlines())}
    assert float(rows["DAE_1_4"]["mae"]) == pytest.approx(mean, rel=1e-6)
    assert (out / "report.md").read_text().count("MAE") == 2  # the board's table too
    found = kd.compare({}, images, noise="gaussian:0.1", baselines=["noisy input"])
    assert 0.05 < found["noisy input"]["mae"] < 0.1  # 0.08 without clipping
    assert "MAE" in repr(found)
