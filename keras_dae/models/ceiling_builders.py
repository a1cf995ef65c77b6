"""Build a functional Keras model of built-in layers from a `CeilingSpec`."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_dae.models.builders import DEFAULT_OUTPUT_BIAS, OUTPUT_SCALE, he_normal
from keras_dae.models.ceilings import NOISY, UP, CeilingSpec, Node
from keras_dae.system.numerics import float32
from keras_dae.system.streams import stream

LAST = "channels_last"
# Kind of node -> Keras layer. A node with several inputs takes them as a list.
LAYERS: dict[str, Callable[[Node], Any]] = {
    "conv": lambda node: layers.Conv2D(
        node.filters,
        node.kernel_size,
        padding="same",
        activation=node.activation,
        data_format=LAST,
        name=node.name,
    ),
    "transpose": lambda node: layers.Conv2DTranspose(
        node.filters,
        node.kernel_size,
        strides=UP,
        activation=node.activation,
        data_format=LAST,
        name=node.name,
    ),
    "pool": lambda node: layers.MaxPooling2D(UP, data_format=LAST, name=node.name),
    "concatenate": lambda node: layers.Concatenate(axis=-1, name=node.name),
    "add": lambda node: layers.Add(name=node.name),
    "activation": lambda node: layers.Activation(node.activation, name=node.name),
}


@float32()
def build_ceiling(
    spec: CeilingSpec, *, seed: int = 0, output_bias: float = DEFAULT_OUTPUT_BIAS
) -> keras.Model:
    """Build the denoiser that `spec` describes.

    Input and output are float32 of shape (batch, H, W, C), the output in (0, 1).

    Args:
        spec: the graph, from `keras_dae.models.ceilings.plan_ceiling`.
        seed: seed for the weights, which are the same on every backend.
        output_bias: initial bias of the last layer, `logit(mean pixel)` of the training
            images.
    """
    tensors = {NOISY: keras.Input(spec.image_shape, name=NOISY)}
    for node in spec.nodes:
        given = [tensors[name] for name in node.inputs]
        made = LAYERS[node.kind](node)
        tensors[node.name] = made(given if len(given) > 1 else given[0])
    model = keras.Model(tensors[NOISY], tensors["denoised"], name=spec.name)
    for name, weights in ceiling_weights(spec, seed, output_bias).items():
        model.get_layer(name).set_weights(weights)
    return model


def ceiling_weights(
    spec: CeilingSpec, seed: int, output_bias: float
) -> dict[str, list[np.ndarray]]:
    """Draw the initial kernel and bias of each node, as `build` does for an encoder.

    The last kernel starts at a tenth of the He scale and the last bias at
    `output_bias`, for the reasons given in `builders`.
    """
    rng = stream("ceiling weights", seed)
    weights = {}
    for node, given in spec.kernels():
        side = node.kernel_size
        if node.kind == "transpose":
            # keras stores the kernel of a transposed convolution as (height, width,
            # out, in). If the stride equals its side, one output pixel has one input
            # pixel.
            kernel = he_normal(rng, (side, side, node.filters, given), given, inputs=3)
        else:
            shape = (side, side, given, node.filters)
            kernel = he_normal(rng, shape, side * side * given, inputs=2)
        weights[node.name] = [kernel, np.zeros(node.filters, "float32")]
    last = weights[node.name]
    last[0] *= np.float32(OUTPUT_SCALE)
    last[1] += np.float32(output_bias)
    return weights
