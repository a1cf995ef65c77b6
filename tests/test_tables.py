"""A row added to a table is met everywhere: no second place to change."""

import json
from dataclasses import dataclass
from typing import ClassVar

import keras
import numpy as np
import pytest

import keras_dae as kd
from keras_dae.evaluation.baselines import BASELINES
from keras_dae.images.noise import NOISES, Gaussian
from keras_dae.models.ceilings import CEILINGS
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
    done = run("train", *data, "--depth", 1, "--latent", 4, *words, "--json")
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


def test_a_baseline(monkeypatch):
    monkeypatch.setitem(BASELINES, "grey", lambda splits: lambda x: 0 * x + 0.5)
    images = np.full((3, 28, 28), 255, np.uint8)
    found = kd.compare({}, images, noise="gaussian:0.1", baselines=["grey"])
    assert found["grey"]["mse"] == pytest.approx(0.25)
