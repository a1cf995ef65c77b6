"""Shapes and weights worked out from a configuration are those that keras makes."""

import json

import keras
import pytest
from keras import layers

from keras_dae.models.gate import CLASSES, inspect
from keras_dae.models.layers import LAYERS, MisfitError
from keras_dae.models.sizes import MODELS, measure

IMAGE = (12, 10, 4)
# Each layer, in more than one way where its options change what it makes.
CALLS = [
    layers.Conv2D(3, 3),
    layers.Conv2D(3, (3, 2), strides=2, padding="same", use_bias=False),
    layers.Conv2D(4, 3, dilation_rate=2, groups=2),
    layers.Conv2DTranspose(3, 4, strides=2),
    layers.Conv2DTranspose(3, 3, strides=2, padding="same"),
    layers.Conv2DTranspose(3, 3, strides=2, output_padding=1),
    layers.Conv2DTranspose(3, 3, strides=2, padding="same", output_padding=0),
    layers.SeparableConv2D(5, 3, depth_multiplier=2),
    layers.DepthwiseConv2D(3, depth_multiplier=3, padding="same"),
    layers.Dense(7),
    layers.Dense(7, use_bias=False),
    layers.Activation("relu"),
    layers.ReLU(),
    layers.LeakyReLU(),
    layers.PReLU(),
    layers.PReLU(shared_axes=[1, 2]),
    layers.ELU(),
    layers.Softmax(),
    layers.BatchNormalization(),
    layers.BatchNormalization(axis=1, scale=False),
    layers.LayerNormalization(),
    layers.LayerNormalization(axis=[-2, -1], center=False),
    layers.GroupNormalization(2),
    layers.MaxPooling2D(2),
    layers.MaxPooling2D(3, strides=2, padding="same"),
    layers.AveragePooling2D((2, 3)),
    layers.GlobalAveragePooling2D(),
    layers.GlobalAveragePooling2D(keepdims=True),
    layers.UpSampling2D((2, 3)),
    layers.ZeroPadding2D(((1, 2), (3, 4))),
    layers.ZeroPadding2D(2),
    layers.Cropping2D(((1, 2), (3, 0))),
    layers.Flatten(),
    layers.Reshape((-1, 8)),
    layers.Reshape((10, 12, 4)),
    layers.Permute((3, 1, 2)),
    layers.Rescaling(2.0),
    layers.Dropout(0.1),
    layers.SpatialDropout2D(0.1),
    layers.GaussianNoise(0.1),
    layers.GaussianDropout(0.1),
]
MERGES = [
    layers.Add(), layers.Subtract(), layers.Multiply(), layers.Average(),
    layers.Maximum(), layers.Concatenate(), layers.Concatenate(axis=1),
]  # fmt: skip


def config_of(model):
    return json.loads(json.dumps(keras.saving.serialize_keras_object(model)))


def sizes_of(model):
    return measure(config_of(model))


@pytest.mark.parametrize("layer", CALLS, ids=lambda layer: layer.name)
def test_a_layer_is_as_keras_makes_it(layer):
    image = keras.Input(IMAGE)
    model = keras.Model(image, layer(image))
    found = sizes_of(model)
    assert found.inputs == [IMAGE]
    assert found.outputs == [tuple(model.output_shape[1:])]
    assert found.weights == model.count_params()


@pytest.mark.parametrize("layer", MERGES, ids=lambda layer: layer.name)
def test_a_merge_is_as_keras_makes_it(layer):
    image = keras.Input(IMAGE)
    model = keras.Model(image, layer([image, layers.Conv2D(4, 1)(image)]))
    found = sizes_of(model)
    assert found.outputs == [tuple(model.output_shape[1:])]
    assert found.weights == model.count_params()


def test_every_layer_of_the_list_is_tried():
    tried = {type(layer).__name__ for layer in (*CALLS, *MERGES)}
    assert tried == set(LAYERS)
    assert {*LAYERS, *MODELS} < CLASSES


def test_models_within_models_and_shared_layers(tmp_path):
    image = keras.Input(IMAGE)
    shared = layers.Conv2D(4, 3, padding="same")
    inner = keras.Sequential([keras.Input(IMAGE), layers.Conv2D(4, 1), layers.PReLU()])
    twice = inner(shared(shared(image)))
    model = keras.Model(image, inner(layers.Add()([twice, image])))
    found = sizes_of(model)
    assert found.outputs == [IMAGE]
    assert found.weights == model.count_params()
    path = tmp_path / "model.keras"
    keras.saving.save_model(model, path)
    inspect(path)


def test_sides_left_open_stay_open():
    image = keras.Input((None, None, 1))
    x = layers.Conv2D(4, 3, strides=2, padding="same")(image)
    model = keras.Model(image, layers.UpSampling2D()(x))
    found = sizes_of(model)
    assert found.outputs == [(None, None, 4)]
    assert found.values == 4 * 256 * 256  # an open side counts as 256
    assert found.weights == model.count_params()


def test_growth_through_concatenation_is_counted():
    image = keras.Input((4, 4, 1))
    x = image
    for _ in range(12):
        x = layers.Concatenate()([x, x])
    config = config_of(keras.Model(image, layers.Conv2D(1, 1)(x)))
    assert measure(config).weights == 2**12 + 1
    config["config"]["layers"][-1]["config"]["filters"] = 1 << 20
    with pytest.raises(MisfitError, match="weights"):
        measure(config)


@pytest.mark.parametrize(
    ("layer", "config", "shapes", "says"),
    [
        ("Conv2D", {}, [(4,)], "a tensor of 1 axes"),
        ("Conv2D", {}, [(8, 8, None)], "an open number of channels"),
        ("Dense", {"units": 3}, [(None,)], "an open number of values"),
        ("PReLU", {"shared_axes": 3}, [(4,)], "shared_axes=3"),
        ("PReLU", {}, [(None, 4)], "an open number of values"),
        ("BatchNormalization", {"axis": 1}, [(None, 4)], "an open number of values"),
        ("BatchNormalization", {"axis": 9}, [(3, 4)], "axis=9"),
        ("Add", {}, [(3,), (3, 4)], "tensors that do not fit"),
        ("ZeroPadding2D", {"padding": [1, 2, 3]}, [(8, 8, 1)], r"padding=\[1, 2, 3\]"),
        ("Reshape", {"target_shape": 4}, [(4,)], "target_shape=4"),
        ("Reshape", {"target_shape": [3]}, [(4,)], r"target_shape=\[3\]"),
        ("Permute", {"dims": [1, 1]}, [(2, 3)], r"dims=\[1, 1\]"),
    ],
)
def test_what_no_layer_takes_is_refused(layer, config, shapes, says):
    with pytest.raises(MisfitError, match=says):
        LAYERS[layer](config, shapes)
