"""A model as a function of torch tensors, with less around the arithmetic than keras's.

keras's own call copies each image into another layout before a transposed convolution
and crops it after, and adds biases apart. What is here gives the same numbers, to
rounding, from the same variables; `benchmarks/operations.py` measures the ways.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import torch
import torch.nn.functional as torch_nn
from keras import layers
from torch import Tensor

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu_,
    "sigmoid": torch.sigmoid,
    "linear": lambda x: x,
}
# Below this many channels, a transposed convolution towards an image is fastest as one
# convolution; above it, as a matrix product (benchmarks/README.md).
FEW_CHANNELS = 8


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
        if run is None or len(layer._inbound_nodes) != 1:
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
    kernel, bias = layer.kernel.value, layer.bias.value
    stride, padding = layer.strides[0], _padding(layer)

    def run(x: Tensor) -> Tensor:
        # keras keeps (height, width, in, out), torch wants (out, in, height, width).
        weight = kernel.permute(3, 2, 0, 1)
        return activation(torch_nn.conv2d(x, weight, bias, stride, padding))

    return run


def _transpose(
    layer: layers.Conv2DTranspose, activation: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    kernel, bias = layer.kernel.value, layer.bias.value
    size, stride = layer.kernel_size[0], layer.strides[0]
    if layer.padding == "valid" and layer.output_padding not in (0, (0, 0)):
        return partial(_keras_call, layer)
    if stride == 1:
        turned = partial(_as_convolution, kernel, bias, size - 1 - _padding(layer))
        return lambda x: activation(turned(x))
    if layer.filters == 1:  # an image: torch's own transpose is slow towards few
        channels = kernel.shape[-1]
        way = _by_phase if channels <= FEW_CHANNELS else _folded
        drawn = partial(way, kernel, bias, stride, _padding(layer))
        return lambda x: activation(drawn(x))

    back = partial(_backwards, kernel, bias, stride, _padding(layer))
    return lambda x: activation(back(x))


def _padding(layer: keras.Layer) -> int:
    """Return the rows that 'same' adds, or a transpose crops, on each side."""
    if layer.padding == "valid":
        return 0
    return int(layer.kernel_size[0] - layer.strides[0]) // 2


def _keras_call(layer: keras.Layer, x: Tensor) -> Tensor:
    answer: Tensor = layer(x.permute(0, 2, 3, 1))
    return answer.permute(0, 3, 1, 2)


def _as_convolution(kernel: Tensor, bias: Tensor, padding: int, x: Tensor) -> Tensor:
    """Transpose with stride 1: the convolution with the kernel turned round."""
    weight = kernel.permute(2, 3, 0, 1).flip(2, 3)
    return torch_nn.conv2d(x, weight, bias, 1, padding)


class _Backwards(torch.autograd.Function):
    """A convolution's gradient by its input, as a layer: what a transpose is.

    torch's own transpose on CPUs takes twice the time of this gradient, and in
    bfloat16, for which it has no fast path, eight times.
    """

    @staticmethod
    def forward(
        context: Any, x: Tensor, weight: Tensor, bias: Tensor, stride: int, crop: int
    ) -> Tensor:
        made, size = weight.shape[1:3]
        height, width = ((side - 1) * stride + size - 2 * crop for side in x.shape[2:])
        image = x.new_empty((len(x), height, width, made)).permute(0, 3, 1, 2)
        context.save_for_backward(x, weight)
        context.place = ([stride] * 2, [crop] * 2)
        answer: Tensor = _gradients(x, image, weight, context.place, "input")[0]
        return answer.add_(bias.view(1, -1, 1, 1))

    @staticmethod
    def backward(context: Any, *given: Tensor) -> Any:
        x, weight = context.saved_tensors
        (gradient,) = given
        by_x = torch_nn.conv2d(gradient, weight, None, *context.place)
        by_weight = _gradients(x, gradient, weight, context.place, "weight")[1]
        return by_x, by_weight, gradient.sum((0, 2, 3)), None, None


def _gradients(
    answer: Tensor,
    image: Tensor,
    weight: Tensor,
    place: tuple[list[int], list[int]],
    wanted: str,
) -> Any:
    """Return the gradients of a convolution from `image`, where `answer` is its."""
    return torch.ops.aten.convolution_backward(
        *(answer, image, weight, None, *place, [1, 1], False, [0, 0], 1),
        [wanted == "input", wanted == "weight", False],
    )


def _backwards(
    kernel: Tensor, bias: Tensor, stride: int, crop: int, x: Tensor
) -> Tensor:
    """Transpose with a stride, between wide layers."""
    weight = kernel.permute(3, 2, 0, 1)  # from (height, width, out, in)
    if x.device.type != "cpu":
        return torch_nn.conv_transpose2d(x, weight, bias, stride, crop)
    if torch.is_autocast_enabled("cpu"):
        rounded = torch.get_autocast_dtype("cpu")
        x, weight, bias = (one.to(rounded) for one in (x, weight, bias))
    transpose: Callable[..., Tensor] = _Backwards.apply
    return transpose(x, weight, bias, stride, crop)


def _by_phase(
    kernel: Tensor, bias: Tensor, stride: int, crop: int, x: Tensor
) -> Tensor:
    """Transpose as one convolution at the small size, its channels then interleaved.

    Output pixel `stride * i + p` sees the kernel's rows p, p + stride, ... alone: each
    phase p is a convolution with these, and the phases are the channels here.
    """
    size, _, filters, channels = kernel.shape
    taps = -(-size // stride)
    extra = taps * stride - size  # zeros behind the kernel, so that phases are equal
    whole = torch_nn.pad(kernel, (0, 0, 0, 0, 0, extra, 0, extra)) if extra else kernel
    weight = (
        whole.view(taps, stride, taps, stride, filters, channels)
        .permute(1, 3, 4, 5, 0, 2)
        .reshape(stride * stride * filters, channels, taps, taps)
        .flip(2, 3)
    )
    phases = torch_nn.conv2d(x, weight, None, 1, taps - 1).permute(0, 2, 3, 1)
    images, height, width, _ = phases.shape
    pixels = (
        phases.reshape(images, height, width, stride, stride, filters)
        .permute(0, 1, 3, 2, 4, 5)
        .reshape(images, height * stride, width * stride, filters)
    )
    rows, columns = (
        slice(crop, side * stride - extra - crop) for side in (height, width)
    )
    return (pixels[:, rows, columns] + bias).permute(0, 3, 1, 2)


def _folded(kernel: Tensor, bias: Tensor, stride: int, crop: int, x: Tensor) -> Tensor:
    """Transpose as one matrix product, its patches then added up where they overlap."""
    size, _, filters, channels = kernel.shape
    images, _, height, width = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(-1, channels)
    patches = (
        (rows @ kernel.view(size * size * filters, channels).t())
        .view(images, height * width, size * size, filters)
        .permute(0, 3, 2, 1)
        .reshape(images, filters * size * size, height * width)
    )
    grown = size - stride - 2 * crop
    out = (height * stride + grown, width * stride + grown)
    image = torch_nn.fold(patches, out, size, padding=crop, stride=stride)
    return image + bias.view(1, -1, 1, 1)


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
