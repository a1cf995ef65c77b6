"""Models of strangers answer from a process with walls; none is loaded here."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from keras_dae.evaluation.engines import halves, model_denoiser
from keras_dae.evaluation.walled import WalledModel, live_maps_of, open_model
from keras_dae.models import files
from tests.commands import run

GOLDEN = Path(__file__).parents[1] / "golden"
RUN = GOLDEN / "study" / "runs" / "npz-digits-DAE_1_5-seed0"
NOISY = np.random.default_rng(3).random((5, 12, 12, 1), dtype=np.float32)


@pytest.fixture
def nothing_loaded(monkeypatch):
    """Let no model be loaded in this process, and be where the data are."""

    def refuse(path, compiled=False):
        raise AssertionError(f"{path} is loaded without walls")

    monkeypatch.setattr(files, "open_model", refuse)
    monkeypatch.chdir(GOLDEN)


def test_halves_and_weights_are_those_of_the_model():
    walled, model = open_model(RUN / "model.keras"), files.load(RUN / "model.keras")
    assert isinstance(walled, WalledModel)
    (encode, decode), (its_encode, _) = halves(walled), halves(model)
    latent = its_encode(NOISY)
    np.testing.assert_allclose(encode(NOISY), latent, atol=1e-6)
    answers = model_denoiser(model)(NOISY)
    np.testing.assert_allclose(decode(latent), answers, atol=1e-6)
    assert live_maps_of(walled, NOISY) == live_maps_of(model, NOISY)
    for one, other in zip(walled.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_plot_draws_a_stranger_s_run(nothing_loaded, tmp_path):
    result = run("plot", RUN, "--figures", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    assert len(list(tmp_path.glob("figure*.png"))) == 7


def test_bits_of_a_stranger_s_run(nothing_loaded, tmp_path):
    pytest.importorskip("constriction")
    result = run("bits", RUN, "--out", tmp_path, "--images", "20", "--json")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "bits" / "bits.json").exists()


def test_training_starts_from_a_stranger_s_weights(monkeypatch, tmp_path):
    stranger = Path(shutil.copy(RUN / "model.keras", tmp_path / "DAE_1_5.keras"))
    loaded = []
    own = files.open_model
    monkeypatch.setattr(
        files,
        "open_model",
        lambda path, compiled=False: loaded.append(Path(path)) or own(path, compiled),
    )
    where = ["--data", f"npz:{GOLDEN / 'digits.npz'}", "--out", tmp_path / "runs"]
    short = ["--epochs", "1", "--train-images", "8", "--validation-images", "8"]
    result = run("train", "--start", stranger, *where, *short)
    assert result.exit_code == 0, result.output
    assert stranger not in loaded
