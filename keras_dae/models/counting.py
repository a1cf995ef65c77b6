"""Count the multiply-adds of a Keras model in the same way as `DAESpec.macs`."""

from collections.abc import Callable
from math import prod
from typing import Any

import keras


def _convolution(layer: Any) -> int:
    """Each output value is a sum over the kernel and the channels of its group."""
    return _pixels(layer, layer.output) * _size(layer.kernel)


def _transpose(layer: Any) -> int:
    """Each input value is spread over the kernel, as in the mirrored convolution."""
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


# Class -> multiply-adds per image. Other layers (activations, pooling, normalization,
# merging) work value by value and are not counted.
COUNTERS: dict[str, Callable[[Any], int]] = {
    "Conv2D": _convolution,
    "DepthwiseConv2D": _convolution,
    "SeparableConv2D": _separable,
    "Conv2DTranspose": _transpose,
    "Dense": _dense,
}


def macs(model: keras.Model) -> int | None:
    """Return the multiply-adds per image, or None if the input size is variable.

    Padding is included, biases are not, and a layer that a model calls several times
    counts once.
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
