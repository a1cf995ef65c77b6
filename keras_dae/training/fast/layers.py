"""A model as a function of torch tensors, with less overhead than in keras.

keras copies each image to another layout before a transposed convolution and crops it
afterwards, and adds biases separately. The functions here give the same numbers up to
rounding, from the same variables.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import torch
import torch.nn.functional as torch_nn
from keras import activations, layers
from torch import Tensor

from keras_dae.system.private import calls, first_input, functional
from keras_dae.training.fast.convolutions import convolution, in_order, transpose

# Keyed by the function itself, since user layers and functions can have any name.
ACTIVATIONS: dict[Any, Callable[[Tensor], Tensor]] = {
    activations.relu: torch.relu_,
    activations.sigmoid: torch.sigmoid,
    activations.linear: lambda x: x,
}
# Settings that a convolution must have to be computed here, if the layer has them.
# Activation, kernel size, strides, padding and output padding are checked in
# `_activation_of` and `_is_usual`; filters and initializers can have any value.
SETTINGS: dict[str, Any] = {
    "data_format": "channels_last",
    "dilation_rate": (1, 1),
    "groups": 1,
    "kernel_regularizer": None,
    "bias_regularizer": None,
    "kernel_constraint": None,
    "bias_constraint": None,
    "lora_enabled": False,
    "trainable": True,
}


def forward(model: keras.Model) -> Callable[[Tensor], Tensor] | None:
    """Return the model as a function of NCHW tensors; None if a layer is unknown."""
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
    # Tensors that the next layer does not need are freed.
    for step in steps:
        x = step(x)
    return x


def _graph(
    model: keras.Model,
) -> list[tuple[Callable[..., Tensor], tuple[int, ...]]] | None:
    """Return each layer as a function, with the indices of its inputs.

    Index 0 is the image, index n the output of the n-th layer; the last one is the
    output of the model. Calls of the same layers in another model, such as an encoder,
    are ignored.
    """
    if type(model) is not functional() or len(model.outputs) != 1:
        return None  # a subclass can compute anything
    if [(len(x.shape), x.dtype) for x in model.inputs] != [(4, "float32")]:
        return None
    places: dict[int, int] = {id(model.inputs[0]): 0}
    steps, seen = [], set()
    for node in calls(model):
        run = _operation(node)
        if run is None or id(node.operation) in seen:
            return None
        seen.add(id(node.operation))
        steps.append((run, tuple(places[id(x)] for x in node.input_tensors)))
        places[id(node.outputs[0])] = len(steps)
    return steps if places[id(model.outputs[0])] == len(steps) > 0 else None


def _operation(node: Any) -> Callable[..., Tensor] | None:
    """Return a call of a layer as a function of NCHW tensors; None if not known."""
    layer, kind = node.operation, type(node.operation)
    if kind not in {*OPERATIONS, *OTHERS} or not _is_float32(layer):
        return None
    if any(value is not None for value in node.arguments.kwargs.values()):
        return None
    if kind in OTHERS:
        return OTHERS[kind](layer)
    activation = _activation_of(layer)
    if activation is None or not _is_usual(layer, node.input_tensors[0].shape[1:3]):
        return None
    return OPERATIONS[kind](layer, activation)


def _activation_of(layer: keras.Layer) -> Callable[[Tensor], Tensor] | None:
    """Return the activation of a layer on tensors, or None if unknown."""
    known = (run for one, run in ACTIVATIONS.items() if one is layer.activation)
    return next(known, None)


def _is_float32(layer: keras.Layer) -> bool:
    """Return whether a layer computes in float32 and adds nothing to the loss."""
    return layer.dtype_policy.name == "float32" and layer.activity_regularizer is None


def _is_usual(layer: keras.Layer, sides: tuple[int | None, ...]) -> bool:
    """Return whether the functions below support all settings of a convolution."""
    if any(getattr(layer, key, value) != value for key, value in SETTINGS.items()):
        return False
    if len(set(layer.kernel_size)) != 1 or len(set(layer.strides)) != 1:
        return False
    size, stride = layer.kernel_size[0], layer.strides[0]
    added = getattr(layer, "output_padding", None)
    if layer.padding == "valid":
        # By default, keras adds rows if the kernel is smaller than the stride.
        transposed = isinstance(layer, layers.Conv2DTranspose)
        default = not transposed or size >= stride
        return default if added is None else set(_pair(added)) == {0}
    # Under these conditions 'same' pads, or crops, both sides equally. Variable sizes
    # are checked in each call.
    even = (size - stride) % 2 == 0 and size >= stride
    return even and added is None and not any((one or 0) % stride for one in sides)


def _pair(value: Any) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value, value)


def _takes_any_size(layer: keras.Layer) -> bool:
    return None in first_input(layer).shape[1:3]


def _convolution(
    layer: layers.Conv2D, activation: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    return _with(layer, convolution, activation)


def _transpose(
    layer: layers.Conv2DTranspose, activation: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    return _with(layer, transpose, activation)


def _with(
    layer: keras.Layer,
    compute: Callable[..., Tensor],
    activation: Callable[[Tensor], Tensor],
) -> Callable[[Tensor], Tensor]:
    """Return the layer's arithmetic, then its activation."""
    # The padding of 'same', or the crop of its transpose, on each side.
    same = (layer.kernel_size[0] - layer.strides[0]) // 2
    padding = same if layer.padding == "same" else 0
    kernel, stride = layer.kernel.value, layer.strides[0]
    bias = (
        layer.bias.value
        if layer.use_bias
        else torch.zeros(layer.filters, device=kernel.device)
    )
    run = partial(compute, kernel, bias, stride, padding)
    if layer.padding == "same" and stride > 1 and _takes_any_size(layer):
        divides = type(layer) is layers.Conv2D  # the crop of a transpose is always even

        def of_any_size(x: Tensor) -> Tensor:
            if divides and (x.shape[2] % stride or x.shape[3] % stride):
                return _keras_call(layer, x)
            return activation(run(x))

        return of_any_size
    return lambda x: activation(run(x))


def lay_out(model: keras.Model) -> None:
    """Reorder the kernels of `model` in memory for torch's convolutions.

    Shapes, values and the saved file do not change.
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


def _subtract(layer: layers.Subtract) -> Callable[..., Tensor]:
    return lambda first, second: first - second


def _activation(layer: layers.Activation) -> Callable[..., Tensor] | None:
    # Not in place: others may take what this layer takes.
    relu = layer.activation is activations.relu
    return torch.relu if relu else _activation_of(layer)


# Layers without weights, in graphs that are no chain.
OTHERS: dict[type, Callable[[Any], Callable[..., Tensor] | None]] = {
    layers.MaxPooling2D: _pool,
    layers.Concatenate: _concatenate,
    layers.Add: _add,
    layers.Subtract: _subtract,
    layers.Activation: _activation,
}
