"""A worker process whose task fails, is killed, or takes more than it may."""

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_dae.errors import KerasDAEError
from keras_dae.interchange.export import sample
from keras_dae.interchange.process import MEMORY_TIMES, Worker, bounds_for
from keras_dae.system.limits import UNBOUNDED, Bounds, bounds_of
from keras_dae.system.own import PRESETS

LOST = ("export", UNBOUNDED, Path("gone.keras"), "onnx", "out", {})


def stranger(path, *layers):
    """Write a model's file that is not of this user's own runs."""
    keras.Sequential([keras.Input((8, 8, 1)), *layers]).save(path)
    return path


def test_a_task_that_fails_or_dies_fails_alone():
    with Worker("torch") as worker:
        with pytest.raises(
            KerasDAEError, match=r"onnx on torch failed to export: .*gone"
        ):
            worker.do(*LOST)
        first = worker._process
        first.kill()
        first.wait()
        # Another process takes the next one, and says what the first one said.
        with pytest.raises(KerasDAEError, match="gone"):
            worker.do(*LOST)
        assert worker._process.pid != first.pid


def test_a_task_has_bounds(tmp_path):
    """A stranger's model that needs 1 GiB for an image, in 256 MiB."""
    path = stranger(
        tmp_path / "large.keras",
        keras.layers.UpSampling2D(2048),
        keras.layers.Cropping2D(4096),
    )
    with Worker("torch") as worker, pytest.raises(KerasDAEError) as error:
        images = np.zeros((1, 8, 8, 1), np.float32)
        worker.do("answer", Bounds(256 << 20, 60), path, "keras", images, 1, 1)
    said = str(error.value)
    assert said.startswith("keras on torch failed to answer: ")
    assert "256 MiB" in said


def test_the_user_s_own_models_are_not_bounded(tmp_path):
    preset = PRESETS / "DAE_1_5.keras"
    assert bounds_for(preset) is UNBOUNDED
    other = stranger(tmp_path / "other.keras", keras.layers.ReLU())
    assert bounds_for(other).memory == MEMORY_TIMES * bounds_of(other).memory


def test_images_to_compare_with_do_not_grow_with_the_model(tmp_path):
    path = tmp_path / "wide.keras"
    keras.Sequential([keras.Input((4096, 4096, 1)), keras.layers.ReLU()]).save(path)
    assert sample(path).shape == (1, 4096, 4096, 1)
