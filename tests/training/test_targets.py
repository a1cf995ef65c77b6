"""Runs without clean images: their record and name, resuming, and what they learn."""

import keras
import numpy as np
import pytest

from keras_dae.errors import UsageError
from keras_dae.evaluation.scoring import TestBench
from keras_dae.images.clipping import clipped_mean
from keras_dae.images.datasets import Arrays, split
from keras_dae.images.noise import Gaussian
from keras_dae.models.files import load
from keras_dae.training import fitting
from keras_dae.training.config import make_config, option_arguments
from keras_dae.training.feeding import validation_data
from keras_dae.training.fitting import fit
from keras_dae.training.recorder import Recorder
from keras_dae.training.runs import find_runs, run_name

SMALL = {"depth": 1, "latent": 5, "epochs": 3, "batch_size": 16, "warmup_steps": 2}
QUICK = {"depth": 1, "latent": 13, "epochs": 2, "warmup_steps": 10}
WITHOUT_CLEAN = ["noisy", "blind-spot", "split"]


@pytest.fixture
def splits():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (100, 28, 28), dtype=np.uint8)
    return split("random", Arrays(images[:90], None, images[90:], None), "0" * 64, 0)


class Stop(Recorder):
    """A recorder that is interrupted after two epochs, as Ctrl-C would."""

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        if epoch == 1:
            raise KeyboardInterrupt


def weights(folder):
    return [one.tobytes() for one in load(folder.model_path).get_weights()]


def losses(folder):
    return [folder.history()[key] for key in ("loss", "val_loss")]


@pytest.mark.parametrize("targets", WITHOUT_CLEAN)
def test_an_interrupted_run_resumes_to_the_same_bits(
    tmp_path, splits, monkeypatch, targets
):
    config = make_config(SMALL, {"targets": targets})
    whole = fit(config, splits, tmp_path / "whole")
    monkeypatch.setattr(fitting, "Recorder", Stop)
    with pytest.raises(KeyboardInterrupt):
        fit(config, splits, tmp_path / "halves")
    monkeypatch.undo()
    (half,) = find_runs(tmp_path / "halves")
    assert len(half.history()["loss"]) == 2
    resumed = fit(config, splits, tmp_path / "halves", resume=True)
    assert losses(resumed) == losses(whole)
    assert weights(resumed) == weights(whole)


@pytest.mark.parametrize("targets", WITHOUT_CLEAN)
def test_the_record_and_the_name_say_which_targets(tmp_path, splits, targets):
    config = make_config(SMALL, {"targets": targets, "epochs": 1})
    folder = fit(config, splits, tmp_path)
    assert folder.path.name == f"random-{targets}-DAE_1_5-seed0"
    assert folder.config() == config
    recorded = folder.record()["targets"]
    correction = "t(y, y1)" if targets == "split" else "h(y)"
    assert (recorded["kind"], recorded["correction"]) == (targets, correction)
    assert 0 < recorded["bias"] < (0.007 if targets == "split" else 0.002)
    with pytest.raises(UsageError, match="already holds a run"):
        fit(config, splits, tmp_path)


def test_a_run_on_clean_targets_is_called_as_before(tmp_path, splits):
    config = make_config(SMALL)
    assert run_name(config, "mnist") == "mnist-DAE_1_5-seed0"
    folder = fit(make_config(SMALL, {"epochs": 1}), splits, tmp_path)
    assert "targets" not in folder.record()
    # A record of before there were targets is of clean ones.
    record = folder.record()
    del record["config"]["targets"]
    assert make_config(record["config"]).targets == "clean"


@pytest.mark.parametrize("targets", WITHOUT_CLEAN)
def test_no_clean_image_reaches_training_or_validation(
    tmp_path, splits, monkeypatch, targets
):
    seen = []

    def keep(model, pairs, validation_data=None, **options):
        seen.extend([pairs[0], validation_data])
        raise KeyboardInterrupt

    monkeypatch.setattr(keras.Model, "fit", keep)
    with pytest.raises(KeyboardInterrupt):
        fit(make_config(SMALL, {"targets": targets}), splits, tmp_path)
    clean = [splits.train / np.float32(255), splits.validation / np.float32(255)]
    for batch, images in zip(seen, clean, strict=True):
        for part in batch[:2]:
            # Half of what clipped noise shows at most are values that were there.
            shared = np.isin(part[(part > 0) & (part < 1)], np.unique(images))
            assert shared.mean() < 0.01


def test_blind_spot_steps_are_keras_own(tmp_path, splits, monkeypatch):
    def never(*given, **options):
        raise AssertionError("the lean steps take no weights")

    monkeypatch.setattr(fitting, "use_fast_steps", never)
    fit(make_config(SMALL, {"targets": "blind-spot", "epochs": 1}), splits, tmp_path)
    with pytest.raises(AssertionError):
        fit(make_config(SMALL, {"targets": "noisy", "epochs": 1}), splits, tmp_path)


def test_the_blind_spot_loss_counts_hidden_pixels_alone(splits):
    config = make_config(SMALL, {"targets": "blind-spot"})
    masked, target, share = validation_data(config, splits, 128)
    model = fitting.start(config, config.plan((28, 28, 1)), 0.0)
    model.compile(loss="mse")
    loss = model.evaluate(masked, target, sample_weight=share, verbose=0)
    answer, hidden = model.predict(masked, verbose=0), share > 0
    errors = (answer - target)[hidden].astype(float)
    assert hidden.mean() == pytest.approx(1 / 16)
    assert loss == pytest.approx(np.mean(errors**2), rel=1e-4)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"targets": "cleaner"}, "targets='cleaner'"),
        ({"targets": "r2r"}, "clipped noise cannot be split into two independent"),
        ({"targets": "noisy", "noise": "salt-pepper"}, "needs gaussian noise"),
        ({"targets": "blind-spot", "sigma": 1000}, "too little information"),
        ({"targets": "blind-spot", "precision": "bfloat16"}, "precision must be"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(given, named):
    with pytest.raises(UsageError) as caught:
        make_config(given)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_r2r_learns_the_clean_image(tmp_path, digits):
    """Of one unclipped noisy copy. One seed gives 0.01248 and 0.01257."""
    noise = {"sigma": 0.4, "clip": False}
    noisy, clean = TestBench(digits, Gaussian(**noise)).pairs
    found = {}
    for targets in ("clean", "r2r"):
        config = make_config(QUICK, noise, {"targets": targets})
        folder = fit(config, digits, tmp_path)
        answer = load(folder.model_path).predict(noisy, verbose=0)
        found[targets] = float(np.mean((answer - clean) ** 2, dtype=np.float64))
    assert folder.record()["targets"] == {"kind": "r2r", "correction": None}
    assert found["r2r"] < 1.04 * found["clean"]


def test_the_command_line_stands_for_the_targets():
    words = option_arguments(make_config({"targets": "noisy"}))
    assert words[words.index("--targets") + 1] == "noisy"


def test_what_is_learnt_is_the_clean_image(tmp_path, digits):
    """Of genuine digits. One seed gives 0.01758, 0.01759, 0.01833 and 0.01786."""
    noisy, clean = TestBench(digits, Gaussian(0.5)).pairs
    found = {}
    for targets in ("clean", *WITHOUT_CLEAN):
        config = make_config(QUICK, {"targets": targets})
        answer = load(fit(config, digits, tmp_path).model_path).predict(
            noisy, verbose=0
        )
        found[targets] = float(np.mean((answer - clean) ** 2, dtype=np.float64))
    assert found["noisy"] < 1.02 * found["clean"]
    assert found["blind-spot"] < 1.08 * found["clean"]
    assert found["split"] < 1.03 * found["clean"]
    # Whoever learns clipped noise itself learns its mean, and that is far off.
    naive = np.mean((clipped_mean(clean, 0.5) - clean) ** 2)
    assert naive > 1.8 * found["clean"]
