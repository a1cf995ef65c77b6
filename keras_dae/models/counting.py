"""Multiply-adds of a Keras model, counted as `DAESpec.macs` counts them."""

from collections.abc import Callable
from math import prod
from typing import Any

import keras


def _convolution(layer: Any) -> int:
    """Every output value is a sum over its kernel; groups see their own channels."""
    return _pixels(layer, layer.output) * _size(layer.kernel)


def _transpose(layer: Any) -> int:
    """Every input value is spread over its kernel: what the mirror costs."""
    return _pixels(layer, layer.input) * _size(layer.kernel)


def _separable(layer: Any) -> int:
    kernels = (layer.depthwise_kernel, layer.pointwise_kernel)
    return _pixels(layer, layer.output) * sum(map(_size, kernels))


def _dense(layer: Any) -> int:
    return int(prod(layer.output.shape[1:-1])) * _size(layer.kernel)


def _pixels(layer: Any, tensor: Any) -> int:
    shape = tensor.shape[1:]
    return int(prod(shape[1:] if layer.data_format == "channels_first" else shape[:-1]))


def _size(kernel: Any) -> int:
    return int(prod(kernel.shape))


# Class -> multiply-adds for one image. What is not here (activations, pooling,
# normalisation, joins) adds or scales values one by one and is not counted.
COUNTERS: dict[str, Callable[[Any], int]] = {
    "Conv2D": _convolution,
    "DepthwiseConv2D": _convolution,
    "SeparableConv2D": _separable,
    "Conv2DTranspose": _transpose,
    "Dense": _dense,
}


def macs(model: keras.Model) -> int | None:
    """Return the multiply-adds of one image, None where a size is left open.

    Padding counts as seen, biases do not count, and a layer that a model calls
    several times counts once.
    """
    total = 0
    for layer in model.layers:
        if hasattr(layer, "layers"):
            inner = macs(layer)
        else:
            counter = COUNTERS.get(type(layer).__name__)
            try:
                inner = counter(layer) if counter else 0
            except TypeError:  # a product with a size of None
                inner = None
        if inner is None:
            return None
        total += inner
    return total
