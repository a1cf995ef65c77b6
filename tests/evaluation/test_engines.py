"""ONNX Runtime answers what keras answers, or says why it does not."""

import os

import keras
import numpy as np
import pytest

from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.evaluation import engines
from keras_dae.evaluation.engines import difference, model_denoiser
from keras_dae.models.architectures import plan
from keras_dae.models.builders import build

torch_alone = pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND") != "torch", reason="keras exports ONNX from torch"
)
NOISY = np.random.default_rng(1).random((7, 28, 28, 1), dtype=np.float32)


@torch_alone
@pytest.mark.parametrize("shape", [(1, 13), (3, 5)])
def test_onnx_answers_as_keras_does(shape):
    model = build(plan(*shape), seed=3)
    one, other = (model_denoiser(model, name) for name in ("onnx", "keras"))
    np.testing.assert_allclose(one(NOISY), other(NOISY), atol=1e-6)
    assert one(NOISY[:2]).shape == (2, 28, 28, 1)
    assert 0 < difference(one) < 1e-6
    assert difference(other) == 0


@torch_alone
def test_answers_that_differ_are_refused(monkeypatch):
    model = build(plan(1, 8), seed=3)
    monkeypatch.setattr(engines, "by_keras", lambda model: lambda noisy: noisy)
    with pytest.raises(KerasDAEError, match=r"from those of keras for DAE_1_8"):
        model_denoiser(model, "onnx")


def test_absent_packages_and_other_backends_are_named(monkeypatch):
    model = build(plan(1, 8))
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    monkeypatch.setattr(engines.backend, "name", lambda: "torch")
    with pytest.raises(KerasDAEError, match=r"onnx, onnxscript, onnxruntime.*pip"):
        model_denoiser(model, "onnx")
    monkeypatch.setattr(engines.backend, "name", lambda: "jax")
    with pytest.raises(UsageError, match="needs the torch backend"):
        model_denoiser(model, "onnx")
    with pytest.raises(UsageError, match="tensorrt"):
        model_denoiser(model, "tensorrt")


def test_models_outside_the_lean_tables_are_answered_by_predict():
    given = keras.Input((28, 28, 1))
    model = keras.Model(given, keras.layers.Multiply()([given, given]))
    np.testing.assert_allclose(model_denoiser(model)(NOISY), NOISY**2, rtol=1e-6)
