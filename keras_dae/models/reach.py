"""Radius of the receptive field of a model, which tiles of an image must overlap."""

from dataclasses import dataclass
from math import ceil, lcm

import keras
from keras import layers

from keras_dae.system.private import uses

POINTWISE = (
    layers.Activation,
    layers.Add,
    layers.Average,
    layers.BatchNormalization,
    layers.Concatenate,
    layers.Dropout,
    layers.ELU,
    layers.InputLayer,
    layers.LeakyReLU,
    layers.Maximum,
    layers.Multiply,
    layers.ReLU,
    layers.Rescaling,
    layers.Subtract,
)
CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
POOLS = (layers.AveragePooling2D, layers.MaxPooling2D)


@dataclass(frozen=True)
class Reach:
    """The input pixels that one output pixel depends on.

    Attributes:
        pixels: distance of the farthest input pixel along an axis, an upper bound.
        period: the output is equivariant to shifts by multiples of so many pixels.
    """

    pixels: int
    period: int


def reach(model: keras.Model) -> Reach | None:
    """Return the reach of `model`; None if a layer is not known to be local.

    Args:
        model: a functional or sequential model of images of any size.

    Example:
        >>> from keras_dae.models.photo import PhotoSpec, build_photo
        >>> reach(build_photo(PhotoSpec(channels=3)))
        Reach(pixels=16, period=2)
    """
    # Tensor -> (distance of the farthest pixel, input pixels per step).
    seen = {id(tensor): (0.0, 1.0) for tensor in model.inputs}
    period = 1
    for layer in model.layers:
        if isinstance(layer, layers.InputLayer):
            continue
        given = layer.input if isinstance(layer.input, list) else [layer.input]
        if uses(layer) != 1 or any(id(x) not in seen for x in given):
            return None
        far, step = (max(values) for values in zip(*(seen[id(x)] for x in given)))  # noqa: B905
        moved = _through(layer, far, step)
        if moved is None:
            return None
        seen[id(layer.output)] = moved
        period = lcm(period, ceil(moved[1]))
    return Reach(ceil(seen[id(model.outputs[0])][0]), period)


def _through(layer: keras.Layer, far: float, step: float) -> tuple[float, float] | None:
    """Return reach and step after a layer, from those of its input."""
    if isinstance(layer, POINTWISE):
        return far, step
    if isinstance(layer, layers.Conv2DTranspose):
        step /= max(layer.strides)
        return far + ceil((max(layer.kernel_size) - 1) / 2) * step, step
    if isinstance(layer, CONVOLUTIONS):
        kernel = (max(layer.kernel_size) - 1) * max(layer.dilation_rate)
        return far + ceil(kernel / 2) * step, step * max(layer.strides)
    if isinstance(layer, POOLS):
        return far + (max(layer.pool_size) - 1) * step, step * max(layer.strides)
    if isinstance(layer, layers.UpSampling2D) and layer.interpolation == "nearest":
        return far, step / max(layer.size)
    return None
