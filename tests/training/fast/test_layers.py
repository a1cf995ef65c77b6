"""Each setting of each layer of the lean pass: computed as by keras, or left to it."""

import inspect
import os
import re

import keras
import numpy as np
import pytest
from keras import layers

from keras_dae.models.architectures import plan
from keras_dae.models.builders import build, decoder, encoder

if os.environ.get("KERAS_BACKEND") != "torch":
    pytest.skip("the lean steps are torch's", allow_module_level=True)

import torch

from keras_dae.training.fast.layers import OPERATIONS, OTHERS
from keras_dae.training.fast.steps import accelerate, answer

# Values of each setting of a layer, beside those that its other rows share.
ANY_LAYER = {
    "name": ["named"],
    "dtype": ["float32", "mixed_bfloat16", "float64", "bfloat16"],
    "autocast": [False],
    "trainable": [False],
    "activity_regularizer": ["l2"],
}
ANY_CONVOLUTION = {
    "filters": [1, 3],
    "kernel_size": [1, 2, 4, (3, 3), (3, 5), (1, 3)],
    "strides": [2, 3, (2, 2), (2, 1), 4],
    "padding": ["same", "valid"],
    "dilation_rate": [2, (1, 2)],
    "activation": [
        *("relu", "sigmoid", "linear", None, "tanh", "gelu", "leaky_relu"),
        *(layers.LeakyReLU(), layers.ReLU(max_value=0.1), layers.PReLU),
        *(keras.activations.relu, lambda x: 3 * x),
    ],
    "use_bias": [False],
    "kernel_initializer": ["he_normal"],
    "bias_initializer": ["ones"],
    "kernel_regularizer": ["l2"],
    "bias_regularizer": ["l1"],
    "kernel_constraint": ["non_neg"],
    "bias_constraint": [keras.constraints.MaxNorm(0.01)],
}
SETTINGS = {
    layers.Conv2D: {**ANY_LAYER, **ANY_CONVOLUTION, "groups": [2]},
    layers.Conv2DTranspose: {
        **ANY_LAYER,
        **ANY_CONVOLUTION,
        "output_padding": [0, None],
    },
    layers.MaxPooling2D: {
        **ANY_LAYER,
        "pool_size": [2, 3, (2, 1)],
        "strides": [1, 2, (1, 2)],
        "padding": ["same", "valid"],
    },
    layers.Concatenate: {**ANY_LAYER, "axis": [-1, 1, 2, 3]},
    layers.Add: ANY_LAYER,
    layers.Subtract: ANY_LAYER,
    layers.Activation: {**ANY_LAYER, "activation": ANY_CONVOLUTION["activation"]},
}
NEEDED = {
    layers.Conv2D: {"filters": 2, "kernel_size": 3, "activation": "relu"},
    layers.Conv2DTranspose: {"filters": 2, "kernel_size": 3, "activation": "relu"},
    layers.Activation: {"activation": "relu"},
}
# Settings that change what another one does.
TOGETHER = [
    (layers.Conv2D, {"kernel_size": 5, "strides": 3, "padding": "same"}),
    (layers.Conv2D, {"kernel_size": 4, "strides": 2, "padding": "same"}),
    (layers.Conv2D, {"kernel_size": 2, "strides": 4, "padding": "same"}),
    *(
        (
            layers.Conv2DTranspose,
            {
                **{"kernel_size": size, "strides": stride, "padding": padding},
                "output_padding": added,
            },
        )
        for size in (2, 3, 4, 5)
        for stride in (1, 2, 3)
        for padding in ("same", "valid")
        for added in (None, 0, 1, (0, 0))
        if added != 1 or stride > 1
    ),
    (layers.MaxPooling2D, {"pool_size": 3, "strides": 2, "padding": "same"}),
]
ROWS = [
    *(
        (kind, {key: value})
        for kind, settings in SETTINGS.items()
        for key, values in settings.items()
        for value in values
    ),
    *TOGETHER,
]


def named(value):
    """Return a name that is the same in every process: no address."""
    named = getattr(value, "__name__", None)
    return named or re.sub(r"<.*?(\w+) object at .*>", r"\1", str(value))


def row_name(row):
    if isinstance(row, type):
        return row.__name__
    return ",".join(f"{key}={named(value)}" for key, value in row.items())


def model_of(kind, settings):
    """Return a model with the layer between two convolutions, compiled."""
    keras.utils.set_random_seed(4)
    start = keras.Input((12, 12, 2))
    x = layers.Conv2D(4, 3, padding="same")(start)
    settings = {
        key: value() if isinstance(value, type) else value
        for key, value in {**NEEDED.get(kind, {}), **settings}.items()
    }
    layer = kind(**settings)
    x = layer(
        [x, x] if kind in (layers.Add, layers.Subtract, layers.Concatenate) else x
    )
    x = layers.Conv2D(2, 3, padding="same")(x)
    model = keras.Model(start, x)
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    return model


def images(count, shape):
    return np.random.default_rng(1).random((count, *shape), dtype=np.float32)


@pytest.mark.parametrize(("kind", "settings"), ROWS, ids=row_name)
def test_each_setting_is_computed_as_by_keras_or_left_to_it(kind, settings):
    model = model_of(kind, settings)
    noisy = images(6, (12, 12, 2))
    wanted = model.predict(noisy, verbose=0)
    compute = answer(model)
    if compute is not None:
        found = compute(noisy)
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    clean = images(6, wanted.shape[1:])
    losses = {}
    for name in ("keras", "lean"):
        model = model_of(kind, settings)
        if name == "lean" and not accelerate(model):
            assert model.train_function is None
        history = model.fit(noisy, clean, batch_size=3, epochs=3, verbose=0).history
        losses[name] = history["loss"]
    np.testing.assert_allclose(losses["lean"], losses["keras"], rtol=1e-5)


def test_channels_first_is_left_to_keras():
    start = keras.Input((12, 12, 2))
    for layer in (
        layers.Conv2D(2, 3, padding="same", data_format="channels_first"),
        layers.Conv2DTranspose(2, 3, padding="same", data_format="channels_first"),
        layers.MaxPooling2D(2, data_format="channels_first"),
    ):
        assert answer(keras.Model(start, layer(start))) is None


@pytest.mark.parametrize("kind", SETTINGS, ids=row_name)
def test_no_setting_of_a_layer_is_missing_above(kind):
    settings = {*inspect.signature(kind.__init__).parameters}
    settings |= {*inspect.signature(layers.Layer.__init__).parameters}
    assert settings - {"self", "kwargs", "data_format"} <= set(SETTINGS[kind])
    assert set(SETTINGS) == {*OPERATIONS, *OTHERS}


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (layers.Conv2D, {"padding": "same"}),
        (layers.Conv2D, {"kernel_size": 5, "strides": 3, "padding": "same"}),
        (layers.Conv2DTranspose, {"strides": 2, "output_padding": 0}),
        (layers.Conv2DTranspose, {"strides": 3, "padding": "same"}),
        (layers.MaxPooling2D, {}),
        (layers.Concatenate, {}),
        (layers.Add, {}),
        (layers.Subtract, {}),
        (layers.Activation, {}),
    ],
    ids=row_name,
)
def test_usual_settings_are_computed_by_the_lean_pass(kind, settings):
    assert answer(model_of(kind, settings)) is not None


def _subclass(start, end):
    class Twice(keras.Model):
        def call(self, x, training=None):
            return 2 * super().call(x)

    return Twice(start, end)


class Plain(keras.Model):
    def __init__(self):
        super().__init__()
        self.layer = layers.Conv2D(1, 3, padding="same")

    def call(self, x):
        return self.layer(x)


def _lora():
    model = model_of(layers.Conv2D, {})
    model.layers[1].enable_lora(2)
    return model


def _own_relu():
    def relu(x):
        return 2 * x

    return model_of(layers.Conv2D, {"activation": relu})


def _vectors():
    start = keras.Input((8,))
    return keras.Model(start, layers.Activation("relu")(start))


def _bytes():
    start = keras.Input((8, 8, 1), dtype="uint8")
    return keras.Model(start, layers.Conv2D(1, 3, padding="same")(start))


def _subclassed():
    start = keras.Input((8, 8, 1))
    return _subclass(start, layers.Conv2D(1, 3, padding="same")(start))


@pytest.mark.parametrize(
    "make", [_lora, _own_relu, _vectors, _bytes, _subclassed, Plain], ids=named
)
def test_other_models_are_left_to_keras(make):
    assert answer(make()) is None


@pytest.mark.parametrize(
    "setting",
    [{"loss_weights": [2.0]}, {"run_eagerly": True}],
    ids=str,
)
def test_what_compile_asks_for_beyond_the_loss_is_left_to_keras(setting):
    model = build(plan(1, 8))
    model.compile("adam", "mse", **setting)
    assert not accelerate(model)
    model.fit(*[images(8, (28, 28, 1))] * 2, batch_size=4, verbose=0)


def test_taking_a_model_apart_leaves_it_its_lean_pass():
    model = build(plan(3, 8), seed=1)
    noisy = images(3, (28, 28, 1))
    wanted = model.predict(noisy, verbose=0)
    halves = encoder(model), decoder(model)
    assert answer(model) is not None
    x = noisy
    for half in halves:
        x = answer(half)(x)
    np.testing.assert_allclose(x, wanted, atol=1e-6)
    np.testing.assert_allclose(answer(model)(noisy), wanted, atol=1e-6)
    assert torch.is_grad_enabled()
