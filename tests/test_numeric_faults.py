"""What valid calls of the library got wrong, a test for each."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_dae as kd
from keras_dae.denoising.denoise import Task, denoise_jobs
from keras_dae.denoising.files import plan_jobs
from keras_dae.denoising.tile_model import TileModel
from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.evaluation.engines import model_denoiser
from keras_dae.images.noise import Gaussian
from keras_dae.models.architectures import plan
from keras_dae.models.batches import images_at_once
from keras_dae.models.builders import build
from keras_dae.models.files import load, save
from keras_dae.study.nine.measure import evaluate
from keras_dae.system import backend
from keras_dae.system.storage import MAX_JSON, read_json, write_json
from keras_dae.training.config import make_config
from keras_dae.training.fitting import fit
from keras_dae.training.loop import batches_at_once, use_fast_steps, validation_batch
from keras_dae.training.runs import RunFolder, find_all


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 8, 8, 1), dtype=np.uint8)
    return {"x_train": images[:40], "x_test": images[40:]}


@pytest.fixture
def data(tmp_path, arrays):
    np.savez(tmp_path / "data.npz", **arrays)
    return f"npz:{tmp_path / 'data.npz'}"


def trained(data, out, epochs=1, **changes):
    settings = {"depth": 1, "latent": 4, "epochs": epochs, "batch_size": 8}
    config = make_config({**settings, "data": data, "warmup_steps": 0, **changes})
    return fit(config, kd.load_data(data), out)


# Files


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, "x" * MAX_JSON])
def test_nothing_is_written_that_would_not_be_read(tmp_path, value):
    path = tmp_path / "one.json"
    with pytest.raises(KerasDAEError):
        write_json(path, {"value": value})
    assert not path.exists()


@pytest.mark.parametrize("value", [2.0**64, 1e300, -1e25, 2**64 - 1, -(2**63), 0.1])
def test_every_number_that_is_written_is_read(tmp_path, value):
    write_json(tmp_path / "one.json", {"value": value})
    assert read_json(tmp_path / "one.json")["value"] == value


def test_a_subclassed_model_is_refused_in_one_sentence(tmp_path):
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(UsageError, match="functional or sequential"):
        save(Own(), tmp_path / "own.keras")
    with pytest.raises(UsageError, match="not built"):
        save(keras.Sequential([keras.layers.Dense(1)]), tmp_path / "own.keras")


def own_loss(truth, answer):
    return keras.ops.mean(keras.ops.abs(truth - answer), -1)


def test_a_loss_of_ones_own_is_no_matter_for_answers(tmp_path):
    model = build(plan(1, 4, (8, 8, 1)), seed=1)
    registered = keras.saving.register_keras_serializable()(own_loss)
    model.compile("adam", registered)
    model.save(tmp_path / "own.keras")
    noisy = np.ones((2, 8, 8, 1), "float32")
    found = load(tmp_path / "own.keras")
    np.testing.assert_array_equal(found.predict(noisy), model.predict(noisy))
    with pytest.raises(KerasDAEError, match=r"own_loss.*Only layers, operations"):
        load(tmp_path / "own.keras", compiled=True)


def operations(x, y):
    ops = keras.ops
    return {
        "residual": x - y,
        "clipped": ops.clip(x + y, 0, 1),
        "numbers": 1 - 2 * y / 3 + x**2,
        "chain": ops.leaky_relu(ops.maximum(-x, ops.abs(y)), 0.1),
    }


@pytest.mark.parametrize("name", operations(0.1, 0.2))
def test_operations_on_tensors_are_loaded(tmp_path, name):
    start = keras.Input((8, 8, 1))
    end = keras.layers.Conv2D(1, 3, padding="same")(start)
    model = keras.Model(start, operations(start, end)[name])
    model.save(tmp_path / "ops.keras")
    noisy = np.random.default_rng(0).random((2, 8, 8, 1), dtype="float32")
    found = load(tmp_path / "ops.keras").predict(noisy, verbose=0)
    np.testing.assert_array_equal(found, model.predict(noisy, verbose=0))


def test_an_operation_with_settings_is_loaded(tmp_path):
    start = keras.Input((8, 8, 1))
    model = keras.Model(start, keras.ops.repeat(start, 2, axis=1))
    model.save(tmp_path / "ops.keras")
    noisy = np.random.default_rng(0).random((2, 8, 8, 1), dtype="float32")
    found = load(tmp_path / "ops.keras").predict(noisy, verbose=0)
    np.testing.assert_array_equal(found, np.repeat(noisy, 2, axis=1))


def test_an_operation_takes_tensors_and_numbers_alone(tmp_path):
    start = keras.Input((8, 8, 1))
    model = keras.Model(start, start + np.ones((8, 8, 1), "float32"))
    model.save(tmp_path / "ops.keras")
    with pytest.raises(KerasDAEError, match="holds '__numpy__'"):
        load(tmp_path / "ops.keras")


# Runs


def test_a_run_takes_a_folder_as_text(tmp_path, data):
    assert trained(data, str(tmp_path / "runs")).model_path.exists()


def test_a_run_named_twice_is_one(tmp_path, data):
    run = trained(data, tmp_path / "runs")
    (tmp_path / "link").symlink_to(run.path)
    places = [run.path, tmp_path / "runs", tmp_path / "link", run.path]
    assert find_all(places) == [run]


def test_a_run_is_not_measured_on_other_data(tmp_path, data, arrays):
    run = trained(data, tmp_path / "runs")
    (before,) = evaluate([run])
    assert len(before.results["models"]) == 1
    swapped = {"x_train": arrays["x_test"], "x_test": arrays["x_train"]}
    np.savez(tmp_path / "data.npz", **swapped)
    with pytest.raises(KerasDAEError, match="does not hold the images"):
        evaluate([run])


def test_the_loss_is_of_the_epoch_of_the_weights(tmp_path, data, monkeypatch):
    """As a kill between history and model leaves a run."""
    written = RunFolder.write_history

    def write(folder, history, *ended):
        written(folder, history, *ended)
        if len(history["loss"]) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunFolder, "write_history", write)
    with pytest.raises(KeyboardInterrupt):
        trained(data, tmp_path / "runs", epochs=3)
    (run,) = find_all([tmp_path / "runs"])
    history = run.history()
    assert len(history["loss"]) == 3
    (scored,) = evaluate([run])
    (row,) = scored.results["models"]
    assert row["epochs"] == 2
    assert row["val_loss"] == history["val_loss"][1] != history["val_loss"][2]


# Images


def test_each_file_of_a_batch_gets_noise_of_its_own(tmp_path):
    from PIL import Image

    for name in ("a.png", "b.png"):
        Image.new("L", (12, 12), 128).save(tmp_path / name)
    model = TileModel(build(plan(1, 4, (8, 8, 1)), seed=0))
    task = Task(model, noise=Gaussian(0.1), noise_seed=3)
    jobs = plan_jobs((str(tmp_path),), str(tmp_path / "out"))
    results = list(denoise_jobs(jobs, task, views=True))
    assert [one.row["state"] for one in results] == ["done", "done"]
    first, second = (one.views[1] for one in results)
    assert np.abs(first - second).mean() > 0.05


def test_a_batch_is_bounded_by_the_values_of_its_images():
    assert images_at_once(28 * 28 * 64, 500) == 500
    assert images_at_once(128 * 128 * 64, 500) == 32
    assert images_at_once(1 << 40, 500) == 1
    start = keras.Input((64, 64, 1))
    x = keras.layers.Conv2D(64, 1)(start)
    model = keras.Model(start, keras.layers.Conv2D(1, 1)(x))
    noisy = np.random.default_rng(0).random((200, 64, 64, 1), dtype="float32")
    sizes = []
    denoise = model_denoiser(model)
    inner = denoise.denoise
    denoise.denoise = lambda part: sizes.append(len(part)) or inner(part)
    np.testing.assert_array_equal(denoise(noisy)[150:], inner(noisy[150:]))
    assert sizes == [128, 72]


def test_batches_of_training_and_validation_are_bounded_by_values(monkeypatch):
    """Of 64x64 images with 256 channels 32 are validated at a time, not 1,024."""
    sizes = []
    monkeypatch.setattr(
        "keras_dae.training.fast.steps.torch_nn.mse_loss",
        lambda answer, clean: sizes.append(len(answer)) or (answer - clean).mean() ** 2,
    )
    start = keras.Input((64, 64, 1))
    x = keras.layers.Conv2D(256, 1)(start)
    model = keras.Model(start, keras.layers.Conv2D(1, 1)(x))
    assert validation_batch(model, 64 * 64) == 32
    small = build(plan(1, 8))
    assert validation_batch(small, 28 * 28) == 128  # as it was, so are the results
    assert batches_at_once(10**12, True, 28 * 28 * 64) == 8
    assert batches_at_once(10**12, True, 512 * 512 * 64) == 2
    if backend.name() != "torch":
        return
    model.compile("adam", "mse")
    assert use_fast_steps(model)
    images = np.zeros((128, 64, 64, 1), "float32")
    model.evaluate(images, images, batch_size=128, verbose=0)
    assert sizes == [32] * 4


MEASURED = """
import numpy as np
from keras_dae.evaluation.scoring import TestBench
from keras_dae.evaluation.engines import model_denoiser
from keras_dae.images import datasets
from keras_dae.images.noise import Gaussian
from keras_dae.models.ceilings import plan_ceiling
from keras_dae.models.ceiling_builders import build_ceiling
images = np.random.default_rng(0).integers(0, 256, (60, 128, 128, 1), dtype="uint8")
labels = np.zeros(60, "uint8")
arrays = datasets.Arrays(images[:20], labels[:20], images[20:], labels[20:])
splits = datasets.split("large", arrays, arrays.sha256(), 0)
model = build_ceiling(plan_ceiling("dncnn", (128, 128, 1)), seed=0)
TestBench(splits, Gaussian(0.1), 0).measure(model_denoiser(model))
# Not ru_maxrss: a child starts with the peak of its parent.
status = open("/proc/self/status").read()
print(int(status.partition("VmHWM:")[2].split()[0]) >> 10)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_large_images_are_measured_in_bounded_memory():
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    done = subprocess.run(
        [sys.executable, "-c", MEASURED],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 1500  # MiB
