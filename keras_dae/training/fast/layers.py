"""A model as a function of torch tensors, with less around the arithmetic than keras's.

keras's own call copies each image into another layout before a transposed convolution
and crops it after, and adds biases apart. What is here gives the same numbers, to
rounding, from the same variables.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import torch
import torch.nn.functional as torch_nn
from keras import layers
from torch import Tensor

from keras_dae.system.private import uses
from keras_dae.training.fast.convolutions import convolution, in_order, transpose

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu_,
    "sigmoid": torch.sigmoid,
    "linear": lambda x: x,
}


def forward(model: keras.Model) -> Callable[[Tensor], Tensor] | None:
    """Return the model as a function of NCHW tensors; None where a layer is unknown."""
    steps = _graph(model)
    if steps is None:
        return None
    if all(given == (place,) for place, (_, given) in enumerate(steps)):
        return partial(_chain, [run for run, _ in steps])

    def run(x: Tensor) -> Tensor:
        found = [x]
        for step, given in steps:
            found.append(step(*(found[place] for place in given)))
        return found[-1]

    return run


def _chain(steps: list[Callable[[Tensor], Tensor]], x: Tensor) -> Tensor:
    # Nothing is held that the next layer does not need.
    for step in steps:
        x = step(x)
    return x


def _graph(
    model: keras.Model,
) -> list[tuple[Callable[..., Tensor], tuple[int, ...]]] | None:
    """Return each layer as a function, with the places of what it takes.

    Place 0 is the image, place n what the n-th layer gives; the last one is the answer.
    """
    first, *others = model.layers
    if not isinstance(first, layers.InputLayer) or len(model.outputs) != 1:
        return None
    places, steps = {id(first.output): 0}, []
    for layer in others:
        run = _operation(layer)
        if run is None or uses(layer) != 1:
            return None
        given = layer.input if isinstance(layer.input, list) else [layer.input]
        if any(id(one) not in places for one in given):
            return None
        steps.append((run, tuple(places[id(one)] for one in given)))
        places[id(layer.output)] = len(steps)
    return steps if model.outputs[0] is others[-1].output else None


def _operation(layer: keras.Layer) -> Callable[..., Tensor] | None:
    """Return `layer` as a function of NCHW tensors, or None where it is not known."""
    if type(layer) in OTHERS:
        return OTHERS[type(layer)](layer)
    make = OPERATIONS.get(type(layer))
    if make is None or not _is_usual(layer):
        return None
    activation = ACTIVATIONS.get(layer.activation.__name__)
    return make(layer, activation) if activation else None


def _is_usual(layer: keras.Layer) -> bool:
    """Tell whether a convolution has nothing that the functions below leave out."""
    square = len(set(layer.kernel_size)) == len(set(layer.strides)) == 1
    # 'same' pads, or crops, evenly where these hold; elsewhere more on one side.
    side, stride = layer.input.shape[1:3], layer.strides[0]
    centred = layer.padding == "valid" or (
        (layer.kernel_size[0] - stride) % 2 == 0
        and layer.kernel_size[0] >= stride
        and not any((edge or 1) % stride for edge in side)
    )
    return (
        square
        and centred
        and layer.use_bias
        and layer.data_format == "channels_last"
        and set(layer.dilation_rate) == {1}
        and getattr(layer, "groups", 1) == 1
        and (layer.kernel_regularizer, layer.bias_regularizer) == (None, None)
        and (layer.kernel_constraint, layer.bias_constraint) == (None, None)
        and layer.activity_regularizer is None
        and layer.dtype_policy.name == "float32"
        and layer.trainable
    )


def _convolution(
    layer: layers.Conv2D, activation: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    return _with(layer, convolution, activation)


def _transpose(
    layer: layers.Conv2DTranspose, activation: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    if layer.padding == "valid" and layer.output_padding not in (0, (0, 0)):
        return partial(_keras_call, layer)
    return _with(layer, transpose, activation)


def _with(
    layer: keras.Layer,
    compute: Callable[..., Tensor],
    activation: Callable[[Tensor], Tensor],
) -> Callable[[Tensor], Tensor]:
    """Return the layer's arithmetic, then its activation."""
    # The rows that 'same' adds, or a transpose crops, on each side.
    same = (layer.kernel_size[0] - layer.strides[0]) // 2
    padding = same if layer.padding == "same" else 0
    kernel, bias = layer.kernel.value, layer.bias.value
    run = partial(compute, kernel, bias, layer.strides[0], padding)
    return lambda x: activation(run(x))


def lay_out(model: keras.Model) -> None:
    """Put the kernels of `model` in memory as torch's convolutions want them.

    Shapes and values stay, and so does what is saved.
    """
    for layer in model.layers:
        if type(layer) in OPERATIONS:
            kernel, stride = layer.kernel.value, layer.strides[0]
            transposed = type(layer) is layers.Conv2DTranspose
            kernel.data = in_order(kernel.detach(), stride, transposed=transposed)


def _keras_call(layer: keras.Layer, x: Tensor) -> Tensor:
    answer: Tensor = layer(x.permute(0, 2, 3, 1))
    return answer.permute(0, 3, 1, 2)


OPERATIONS: dict[type, Callable[..., Callable[[Tensor], Tensor]]] = {
    layers.Conv2D: _convolution,
    layers.Conv2DTranspose: _transpose,
}


def _pool(layer: layers.MaxPooling2D) -> Callable[..., Tensor] | None:
    if layer.padding != "valid" or layer.data_format != "channels_last":
        return None
    return partial(
        torch_nn.max_pool2d, kernel_size=layer.pool_size, stride=layer.strides
    )


def _concatenate(layer: layers.Concatenate) -> Callable[..., Tensor] | None:
    if layer.axis not in (-1, 3):
        return None
    return lambda *given: torch.cat(given, 1)


def _add(layer: layers.Add) -> Callable[..., Tensor]:
    return lambda *given: sum(given[1:], given[0])


def _activation(layer: layers.Activation) -> Callable[..., Tensor] | None:
    name = layer.activation.__name__
    # Not in place: others may take what this layer takes.
    return torch.relu if name == "relu" else ACTIVATIONS.get(name)


# Layers without weights, in graphs that are no chain.
OTHERS: dict[type, Callable[[Any], Callable[..., Tensor] | None]] = {
    layers.MaxPooling2D: _pool,
    layers.Concatenate: _concatenate,
    layers.Add: _add,
    layers.Activation: _activation,
}
