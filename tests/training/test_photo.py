"""The recipe of photographs: loss, averaged weights, starts, more epochs, lengths."""

import tomllib
from math import log10
from pathlib import Path
from typing import get_args

import keras
import numpy as np
import pytest

from keras_dae.errors import UsageError
from keras_dae.images.datasets import Arrays, split
from keras_dae.models.files import load
from keras_dae.models.photo import PhotoSpec, build_photo, initial_weights
from keras_dae.system.numerics import float32
from keras_dae.training import fitting
from keras_dae.training.config import RunConfig, make_config, read_toml
from keras_dae.training.feeding import validation_arrays
from keras_dae.training.fitting import fit
from keras_dae.training.length import by_epochs
from keras_dae.training.losses import FLOOR, LOSSES, LogMSE
from keras_dae.training.photo_recipe import OF_FOLDERS, RECIPE
from keras_dae.training.recorder import Recorder
from keras_dae.training.runs import find_model_file
from keras_dae.training.starting import start_options

SMALL = {
    **{"model": "photo", "blocks": 1, "filters": 4, "epochs": 3, "batch_size": 16},
    **{"warmup_steps": 2, "averaging": 0.5},
}
CONFIG = Path(__file__).parents[2] / "configs" / "photo.toml"


@pytest.fixture
def splits():
    images = np.random.default_rng(0).integers(0, 256, (70, 16, 16), dtype=np.uint8)
    return split("random", Arrays(images[:60], None, images[60:], None), "0" * 64, 0)


def stopping(after):
    class Stop(Recorder):
        """A recorder that is interrupted after an epoch, as Ctrl-C would."""

        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            if epoch + 1 == after:
                raise KeyboardInterrupt

    return Stop


def weights(folder):
    return [one.tobytes() for one in load(folder.model_path).get_weights()]


def losses(folder):
    return [folder.history()[key] for key in ("loss", "val_loss")]


def interrupted(config, splits, out, monkeypatch, after, **options):
    monkeypatch.setattr(fitting, "Recorder", stopping(after))
    with pytest.raises(KeyboardInterrupt):
        fit(config, splits, out, **options)
    monkeypatch.undo()


def test_the_recipe_file_is_the_default_of_the_model():
    written = tomllib.loads(CONFIG.read_text())
    assert {key: written[key] for key in RECIPE} == RECIPE
    config = make_config({"model": "photo", "data": "folder:x"})
    assert config.make_cut().size, config.channels == OF_FOLDERS.values()
    assert make_config(read_toml(CONFIG)).loss == "log-mse"
    fine = make_config({"model": "photo", "start": "photo"})
    assert fine.learning_rate < make_config({"model": "photo"}).learning_rate
    assert make_config({"model": "photo", "sigma": "0.1..0.2"}).noise == (
        "gaussian:0.1..0.2"
    )


def test_each_loss_can_be_asked_for():
    assert set(LOSSES) == set(get_args(RunConfig.model_fields["loss"].annotation))


def test_the_loss_is_the_mean_of_decibels():
    clean, answer = np.zeros((2, 4, 4, 1), "float32"), np.ones((2, 4, 4, 1), "float32")
    answer[0] *= 0.1  # MSE 0.01: -20 dB; of the other 0 dB
    found = float(LogMSE()(clean, answer))
    assert found == pytest.approx(
        (10 * log10(0.01 + FLOOR) + 10 * log10(1 + FLOOR)) / 2
    )
    assert found == pytest.approx(-10, abs=1e-3)


def test_the_start_is_near_the_input():
    spec = PhotoSpec(channels=3, blocks=2, filters=32)
    model = build_photo(spec)
    model.set_weights(initial_weights(spec, 0))
    noisy = np.random.default_rng(0).random((2, 32, 32, 3), dtype=np.float32)
    removed = noisy - keras.ops.convert_to_numpy(model(noisy))
    assert 0 < np.std(removed) < 0.2 * np.std(noisy)
    assert (
        initial_weights(spec, 0)[0].tobytes() != initial_weights(spec, 1)[0].tobytes()
    )


def test_an_interrupted_run_resumes_to_the_same_bits(tmp_path, splits, monkeypatch):
    config = make_config(SMALL)
    whole = fit(config, splits, tmp_path / "whole")
    interrupted(config, splits, tmp_path / "halves", monkeypatch, after=1)
    resumed = fit(config, splits, tmp_path / "halves", resume=True)
    assert losses(resumed) == losses(whole)
    assert weights(resumed) == weights(whole)


def test_averaged_weights_are_validated_and_saved(tmp_path, splits):
    config = make_config(SMALL)
    folder = fit(config, splits, tmp_path / "averaged")
    last = fit(make_config(SMALL, {"averaging": 0}), splits, tmp_path / "last")
    # The same steps, and other weights kept of them.
    assert losses(folder)[0] == losses(last)[0]
    assert weights(folder) != weights(last)
    noisy, clean = validation_arrays(config, splits)
    with float32():
        answer = keras.ops.convert_to_numpy(load(folder.model_path)(noisy))
        expected = float(LogMSE()(clean, answer))
    assert losses(folder)[1][-1] == pytest.approx(expected, abs=1e-3)


def test_a_finished_run_gets_more_epochs(tmp_path, splits, monkeypatch):
    config, longer = make_config(SMALL), make_config(SMALL, {"epochs": 6})
    for out in ("whole", "halves"):
        fit(config, splits, tmp_path / out)
    first = losses(fit(config, splits, tmp_path / "whole", resume=True))
    whole = fit(longer, splits, tmp_path / "whole", resume=True)
    assert [len(column) for column in losses(whole)] == [6, 6]
    assert losses(whole)[0][:3] == first[0]
    assert whole.record()["rounds"] == [3]
    assert whole.finished(longer)
    interrupted(longer, splits, tmp_path / "halves", monkeypatch, 5, resume=True)
    resumed = fit(longer, splits, tmp_path / "halves", resume=True)
    assert losses(resumed) == losses(whole)
    assert weights(resumed) == weights(whole)
    with pytest.raises(UsageError, match="epochs is 6 there"):
        fit(config, splits, tmp_path / "whole", resume=True)


def test_only_a_finished_run_gets_more_epochs(tmp_path, splits, monkeypatch):
    interrupted(make_config(SMALL), splits, tmp_path, monkeypatch, after=1)
    longer = make_config(SMALL, {"epochs": 6})
    with pytest.raises(UsageError, match="epochs is 3 there"):
        fit(longer, splits, tmp_path, resume=True)


def test_new_blocks_start_as_the_identity(tmp_path, splits):
    first = fit(make_config(SMALL), splits, tmp_path / "first")
    config = make_config(SMALL, {"blocks": 2, "start": str(first.path)})
    grown = fitting.start(config, config.plan(splits.image_shape), 0.0)
    noisy = np.random.default_rng(0).random((1, 16, 16, 1), dtype=np.float32)
    answers = [
        keras.ops.convert_to_numpy(model(noisy))
        for model in (load(first.model_path), grown)
    ]
    np.testing.assert_allclose(answers[1], answers[0], atol=1e-6)
    trained = fit(config, splits, tmp_path / "grown")
    assert trained.path.name.endswith("photo-2-seed0")
    assert len(trained.record()["start_sha256"]) == 64
    inner = load(trained.model_path).get_layer("block_2_b").get_weights()[0]
    assert np.abs(inner).max() > 0


def test_a_start_of_another_architecture_is_refused(splits):
    config = make_config(SMALL, {"start": "photo-gray"})
    with pytest.raises(UsageError, match=r"another architecture.*the layer down "):
        fitting.start(config, config.plan(splits.image_shape), 0.0)
    fewer = make_config(SMALL, {"start": "photo-gray", "filters": 64})
    with pytest.raises(UsageError, match=r"another architecture.*the layer block_2_a "):
        fitting.start(fewer, fewer.plan(splits.image_shape), 0.0)


def test_a_start_implies_its_geometry(tmp_path, splits):
    photo = {"model": "photo", "channels": 3, "blocks": 6, "filters": 64}
    assert start_options("photo") == photo
    dae = {"model": "dae", "depth": 3, "latent": 8}
    assert start_options("DAE_3_8") == dae
    run = fit(make_config(SMALL), splits, tmp_path)
    implied = start_options(str(run.path))
    assert (implied["model"], implied["blocks"], implied["filters"]) == ("photo", 1, 4)
    with pytest.raises(UsageError, match="There is no model nothing"):
        start_options("nothing")


def test_a_family_starts_from_weights_too(splits):
    given = {"depth": 1, "latent": 5, "start": "DAE_1_5"}
    config = make_config(given)
    model = fitting.start(config, config.plan((28, 28, 1)), 0.0)
    preset = load(find_model_file("DAE_1_5")[0])
    for one, other in zip(model.get_weights(), preset.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("steps", "epochs", "images"),
    # All 48 images need no number, which is part of the run's name.
    [(1, 1, 16), (2, 1, 32), (3, 1, None), (9, 3, None), (10, 3, None)],
)
def test_steps_become_epochs(splits, steps, epochs, images):
    config = by_epochs(make_config(SMALL, {"steps": steps}), splits)
    assert (config.epochs, config.train_images) == (epochs, images)
    assert config.steps is None
    assert by_epochs(config, splits) == config
