"""Results do not depend on keras's global settings, nor on TF32."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_dae
from keras_dae.errors import UsageError
from keras_dae.evaluation.engines import model_denoiser
from keras_dae.models.architectures import plan
from keras_dae.models.builders import build
from keras_dae.models.ceiling_builders import build_ceiling
from keras_dae.models.ceilings import plan_ceiling
from keras_dae.models.classifiers import build_classifier
from keras_dae.models.files import load, save
from keras_dae.system import backend
from keras_dae.system.numerics import float32
from keras_dae.training.config import make_config
from keras_dae.training.fitting import fit
from keras_dae.training.loop import use_fast_steps

SHAPE = (28, 28, 1)
MAKERS = {
    "autoencoder": lambda: build(plan(1, 13)),
    "ceiling": lambda: build_ceiling(plan_ceiling("dncnn", SHAPE)),
    "classifier": lambda: build_classifier(SHAPE, 10),
}
CONFIG = {
    **{"depth": 1, "latent": 13, "epochs": 1, "batch_size": 8, "warmup_steps": 2},
    **{"train_images": 24, "validation_images": 6},
}


def settings():
    config = keras.config
    return (
        *(config.dtype_policy().name, config.floatx()),
        *(config.epsilon(), config.image_data_format()),
    )


@pytest.fixture(params=["policy", "floatx", "format"])
def hostile(request):
    """Change one of keras's settings for a test."""
    config, before = keras.config, settings()
    if request.param == "policy":
        config.set_dtype_policy("mixed_float16")
    elif request.param == "floatx":
        config.set_floatx("float16")
        config.set_dtype_policy("float16")
        config.set_epsilon(1e-3)
    else:
        config.set_image_data_format("channels_first")
    yield settings()
    config.set_dtype_policy(before[0])
    config.set_floatx(before[1])
    config.set_epsilon(before[2])
    config.set_image_data_format(before[3])


@pytest.mark.parametrize("kind", MAKERS)
def test_models_are_float32_under_any_setting(kind, hostile):
    model = MAKERS[kind]()
    kinds = {layer.dtype_policy.name for layer in model.layers}
    assert kinds == {"float32"} == {model.dtype_policy.name}
    assert {one.dtype for one in model.inputs + model.outputs} == {"float32"}
    assert settings() == hostile


def images():
    return np.random.default_rng(1).random((6, *SHAPE), dtype=np.float32)


def test_a_saved_model_answers_alike_under_any_setting(tmp_path, hostile):
    with float32():
        model = MAKERS["ceiling"]()
        save(model, tmp_path / "model.keras")
        wanted = model.predict(images(), verbose=0)
    given = model_denoiser(load(tmp_path / "model.keras"))(images())
    np.testing.assert_allclose(given, wanted, atol=2e-6)
    assert settings() == hostile


def test_predict_is_in_float32_under_any_setting(hostile, monkeypatch):
    """As on a device that the lean pass was not measured on, or another backend."""
    with float32():
        model = MAKERS["autoencoder"]()
        wanted = model.predict(images(), verbose=0)
    monkeypatch.setattr(backend, "name", lambda: "jax")
    np.testing.assert_array_equal(model_denoiser(model)(images()), wanted)


def test_a_run_is_the_same_under_any_setting(digits, tmp_path, hostile):
    with float32():
        wanted = fit(make_config(CONFIG), digits, tmp_path / "plain")
    given = fit(make_config(CONFIG), digits, tmp_path / "hostile")
    assert given.history()["loss"] == wanted.history()["loss"]
    for one, other in zip(
        load(given.model_path).get_weights(),
        load(wanted.model_path).get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    assert settings() == hostile


def test_a_setting_that_cuts_training_short_is_refused(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(keras.config, "max_epochs", lambda: 1)
    with pytest.raises(UsageError, match=r"Unset KERAS_MAX_EPOCHS .*max_epochs=1"):
        fit(make_config(CONFIG), digits, tmp_path)


def test_settings_come_back_after_an_error(hostile):
    with pytest.raises(ZeroDivisionError), float32():
        assert settings() == ("float32", "float32", 1e-7, "channels_last")
        1 / 0  # noqa: B018
    assert settings() == hostile


def tf32():
    """Return whether convolutions and products may be rounded to TF32 on CUDA."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow

        options = tensorflow.config.experimental
        return [options.tensor_float_32_execution_enabled()]
    backends = pytest.importorskip("torch").backends
    if keras.backend.backend() != "torch":
        pytest.skip("on a GPU only")
    if hasattr(backends.cudnn, "conv"):
        parts = backends.cudnn.conv, backends.cuda.matmul
        return [one.fp32_precision == "tf32" for one in parts]
    return [backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32]


def test_tf32_is_off_unless_it_is_asked_for_and_comes_back():
    before = tf32()
    assert any(before)  # the library's own default
    with float32():
        assert not any(tf32())
        with float32(tf32=True):
            assert all(tf32())
        assert not any(tf32())
    assert tf32() == before


def test_evaluation_and_training_are_without_tf32(digits, tmp_path, monkeypatch):
    tf32()  # skips where there is none
    seen = []

    class Asks(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(any(tf32()))

    own = keras.Model.fit

    def asking(self, *given, callbacks, **more):
        return own(self, *given, callbacks=[*callbacks, Asks()], **more)

    monkeypatch.setattr(keras.Model, "fit", asking)
    fit(make_config(CONFIG), digits, tmp_path / "float32")
    assert seen and not any(seen)
    seen.clear()
    monkeypatch.setattr(backend, "device", lambda: "cuda:0 (none)")
    fit(make_config({**CONFIG, "precision": "tf32"}), digits, tmp_path / "tf32")
    assert seen and all(seen)
    answer = keras.layers.Lambda(lambda x: seen.append(any(tf32())) or x)
    image = keras.Input(SHAPE)
    model = keras.Model(image, answer(image))
    seen.clear()
    model_denoiser(model)(images())
    assert seen and not any(seen)


def test_tf32_is_for_cuda(monkeypatch):
    monkeypatch.setattr(backend, "device", lambda: "cpu")
    with pytest.raises(UsageError, match=r"tf32 needs a CUDA.*precision='tf32'"):
        use_fast_steps(build(plan(1, 8)), "tf32")


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="torch's steps")
def test_an_unmeasured_device_takes_kerass_own_steps(monkeypatch):
    from keras_dae.training.fast import steps as torch_steps

    model = build(plan(1, 8))
    model.compile("adam", "mse")
    assert torch_steps.answer(model) is not None
    monkeypatch.setattr(torch_steps, "torch_device", lambda: "mps")
    assert torch_steps.answer(model) is None
    assert not torch_steps.accelerate(model)
    assert model.train_function is None


def command(tmp_path, *arguments, **more):
    root = str(Path(keras_dae.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-m", "keras_dae", *arguments],
        env={**os.environ, "PYTHONPATH": root, **more},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )


def test_a_settings_file_that_keras_refuses_is_one_sentence(tmp_path):
    (tmp_path / "keras.json").write_text(json.dumps({"floatx": "float8"}))
    train = ["train", "--depth", "1", "--latent", "8", "--data", "mnist5k"]
    done = command(tmp_path, *train, KERAS_HOME=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "Error: keras could not be imported: Invalid `floatx` configuration."
    )
    assert "Traceback" not in done.stderr


def test_metal_is_asked_for_where_there_is_none(tmp_path):
    pytest.importorskip("jax")
    train = ["train", "--depth", "1", "--latent", "8", "--data", "mnist5k"]
    done = command(tmp_path, *train, "--device", "mps", KERAS_BACKEND="jax")
    assert done.returncode == 2
    assert "jax finds no Metal device here" in done.stderr


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="settings of torch")
@pytest.mark.parametrize("deterministic", [True, False])
def test_kernels_repeat_where_asked_and_all_is_as_before(deterministic):
    import torch

    def settings():
        cudnn = torch.backends.cudnn
        return (
            cudnn.deterministic,
            cudnn.benchmark,
            torch.are_deterministic_algorithms_enabled(),
            torch.utils.deterministic.fill_uninitialized_memory,
        )

    before = settings()
    with float32(deterministic=deterministic):
        assert settings()[:3] == (deterministic, not deterministic, deterministic)
    assert settings() == before


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="settings of torch")
def test_a_denoiser_is_trained_without_tf32():
    """torch rounds convolutions to TF32 on CUDA unless it is told not to."""
    from torch import backends

    named = hasattr(getattr(backends.cudnn, "conv", None), "fp32_precision")
    seen = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            cudnn = backends.cudnn
            seen.append(
                cudnn.conv.fp32_precision == "ieee" if named else not cudnn.allow_tf32
            )

    denoiser = keras_dae.Denoiser(plan(1, 8), noise="gaussian")
    images = np.zeros((8, 28, 28), np.uint8)
    images[:, 3] = 255
    denoiser.fit(images, epochs=1, batch_size=4, verbose=0, callbacks=[Look()])
    assert seen == [True, True]
