"""What a whole run promises on a GPU; on the CPU the same run is the reference."""

import json

import numpy as np
import pytest

from tests.devices import ON_TORCH

if not ON_TORCH:
    pytest.skip("the fast steps are torch's", allow_module_level=True)

import keras

from keras_dae.models.architectures import paper_specs
from keras_dae.models.files import load
from keras_dae.system.numerics import float32
from keras_dae.system.own import PRESETS
from keras_dae.training import fitting
from keras_dae.training.config import make_config
from keras_dae.training.fast.steps import answer
from keras_dae.training.fitting import fit
from tests.training.test_fitting import SMALL, Stop, equal, losses, weights
from tests.training.test_fitting import splits as splits

pytestmark = pytest.mark.cuda
LONGER = {**SMALL, "depth": 3, "latent": 8}


@pytest.mark.parametrize("noise_on", ["host", "device"])
def test_deterministic_runs_repeat_and_resume_to_the_same_bits(
    noise_on, tmp_path, splits, monkeypatch
):
    config = make_config(LONGER, {"noise_on": noise_on, "deterministic": True})
    whole, again = (fit(config, splits, tmp_path / name) for name in ("one", "two"))
    assert losses(whole) == losses(again)
    assert equal(weights(whole), weights(again))
    monkeypatch.setattr(fitting, "Recorder", Stop)
    with pytest.raises(KeyboardInterrupt):
        fit(config, splits, tmp_path / "halves")
    monkeypatch.undo()
    resumed = fit(config, splits, tmp_path / "halves", resume=True)
    assert losses(resumed) == losses(whole)
    assert equal(weights(resumed), weights(whole))
    environment = json.loads(whole.environment_path.read_text())
    assert environment["resumes_to_same_bits"] is True


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_a_run_is_one_graph_and_promises_no_bits(precision, tmp_path, splits):
    config = make_config(LONGER, {"precision": precision})
    folder = fit(config, splits, tmp_path)
    environment = json.loads(folder.environment_path.read_text())
    assert environment["steps"] == {"kind": "graph", "why": None}
    assert environment["resumes_to_same_bits"] is False


def test_a_resumed_run_goes_on_to_rounding(tmp_path, splits, monkeypatch):
    config = make_config(LONGER)
    whole = fit(config, splits, tmp_path / "whole")
    monkeypatch.setattr(fitting, "Recorder", Stop)
    with pytest.raises(KeyboardInterrupt):
        fit(config, splits, tmp_path / "halves")
    monkeypatch.undo()
    resumed = fit(config, splits, tmp_path / "halves", resume=True)
    for key, wanted in losses(whole).items():
        np.testing.assert_allclose(losses(resumed)[key], wanted, rtol=1e-4)


@pytest.mark.parametrize("spec", paper_specs(), ids=lambda spec: spec.name)
def test_answers_are_the_cpus_without_tf32(spec):
    """At most 2.6e-6 apart were measured on an H100; TF32 gives up to 9e-4."""
    noisy = np.random.default_rng(0).random((16, 28, 28, 1), dtype=np.float32)
    answers = []
    for device in ("cpu", "cuda"):
        with keras.device(device), float32():
            answers.append(answer(load(PRESETS / f"{spec.name}.keras"))(noisy))
    np.testing.assert_allclose(*answers, rtol=0, atol=1e-5)
