"""Convolutions and transposed convolutions on torch, by the fastest method on CPUs.

torch's own functions are slow if one side has few channels, and its transposed
convolution is always slow. Each function here gives the same numbers up to rounding;
`benchmarks/operations.py` compares their speed.

Images are NCHW tensors in torch's channels_last layout. Kernels have the shapes of
keras: (height, width, in, out) for a convolution, (height, width, out, in) for a
transposed one. Both have the channels of the smaller image last. In memory they can be
in another order, that of `in_order`, which saves a copy per step.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as torch_nn
from torch import Tensor

# Below this number of channels, a transposed convolution towards an image is fastest as
# one convolution; above it, as a product at each pixel (benchmarks/README.md).
FEW_CHANNELS = 8
# A processor computes 16 output channels at a time. If the channels of one kernel row
# together are no more than that, a convolution is faster row by row.
LANES = 16

Way = Callable[[Tensor, Tensor, int, int, Tensor], Tensor]


def convolution(
    kernel: Tensor, bias: Tensor, stride: int, padding: int, x: Tensor
) -> Tensor:
    """Return the convolution of `x`, with this padding on each side."""
    return _convolution(kernel.permute(3, 2, 0, 1), bias, stride, padding, x)


def transpose(
    kernel: Tensor, bias: Tensor, stride: int, crop: int, x: Tensor
) -> Tensor:
    """Return the transposed convolution, cropped by so many pixels on each side."""
    size, _, made, channels = kernel.shape
    if stride == 1:  # a convolution with the flipped kernel
        weight = kernel.permute(2, 3, 0, 1).flip(2, 3)
        return _convolution(weight, bias, 1, size - 1 - crop, x)
    if x.device.type != "cpu":
        weight = kernel.permute(3, 2, 0, 1)
        return torch_nn.conv_transpose2d(x, weight, bias, stride, crop)
    x, kernel = _rounded(x, kernel)
    if made > 1:
        (bias,) = _rounded(bias)
        return _apply(_Transpose, by_gradient, kernel, bias, stride, crop, x)
    way = by_phase if channels <= FEW_CHANNELS else folded
    return _apply(_Transpose, way, kernel, bias, stride, crop, x)


def in_order(kernel: Tensor, stride: int, *, transposed: bool) -> Tensor:
    """Return `kernel` with its values in the memory order that torch uses."""
    towards_image = transposed and stride > 1 and kernel.shape[2] == 1
    if towards_image and kernel.device.type == "cpu":
        return kernel  # the methods towards an image split it anyway
    first = 2 if transposed and stride == 1 else 3
    return kernel.movedim(first, 0).contiguous().movedim(0, first)


def _convolution(
    weight: Tensor, bias: Tensor, stride: int, padding: int, x: Tensor
) -> Tensor:
    made, given, size, _ = weight.shape
    by_row = (
        x.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")  # torch's own is faster
        and (stride, size % 2, 2 * padding) == (1, 1, size - 1)
        and size > 1
        and min(made, given) * size <= LANES <= max(made, given)
    )
    if not by_row:
        return torch_nn.conv2d(x, weight, bias, stride, padding)
    return _apply(_ToFew if made < given else _FromFew, weight, bias, x)


def _apply(function: type[torch.autograd.Function], *given: Any) -> Tensor:
    answer: Tensor = function.apply(*given)  # type: ignore[no-untyped-call]
    return answer


def _rounded(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return tensors rounded as in autocast, which skips custom functions."""
    if not torch.is_autocast_enabled("cpu"):
        return tensors
    return tuple(one.to(torch.get_autocast_dtype("cpu")) for one in tensors)


def _gradient(
    answer: Tensor,
    image: Tensor,
    weight: Tensor,
    stride: int,
    padding: int,
    of: str,
) -> Tensor:
    """Return the gradient of a convolution with respect to its 'image' or 'weight'.

    `answer` is the gradient of the output. Only the shape of the tensor in question is
    used.
    """
    wanted = [of == "image", of == "weight", False]
    found = torch.ops.aten.convolution_backward(
        *(answer, image, weight, None, [stride] * 2, [padding] * 2, [1, 1]),
        *(False, [0, 0], 1, wanted),
    )
    gradient: Tensor = found[wanted.index(True)]
    return gradient


class _Transpose(torch.autograd.Function):
    """A transposed convolution by any method, with the gradients of a convolution.

    On CPUs torch's own transposed convolution takes several times as long, and in
    bfloat16, which has no fast path, eight times.
    """

    @staticmethod
    def forward(
        context: Any,
        way: Way,
        kernel: Tensor,
        bias: Tensor,
        stride: int,
        crop: int,
        x: Tensor,
    ) -> Tensor:
        context.save_for_backward(x, kernel)
        context.place = stride, crop
        return way(kernel, bias, stride, crop, x)

    @staticmethod
    def backward(context: Any, *given: Tensor) -> Any:
        x, kernel = context.saved_tensors
        weight, gradient = kernel.permute(3, 2, 0, 1), _channels_last(given[0])
        by_bias = gradient.sum((0, 2, 3))
        gradient, (stride, crop) = gradient.to(x.dtype), context.place
        by_x = torch_nn.conv2d(gradient, weight, None, stride, crop)
        by_weight = _gradient(x, gradient, weight, stride, crop, "weight")
        return None, by_weight.permute(2, 3, 1, 0), by_bias, None, None, by_x


def _plus(bias: Tensor, image: Tensor) -> Tensor:
    # A new tensor, since autograd does not allow in-place changes of its views.
    return image + bias.view(1, -1, 1, 1)


def _channels_last(image: Tensor) -> Tensor:
    # The strides of a single channel are ambiguous; torch infers the layout from them.
    images, channels, height, width = image.shape
    rows = image.permute(0, 2, 3, 1).reshape(images, -1)
    return rows.view(images, height, width, channels).permute(0, 3, 1, 2)


def by_gradient(
    kernel: Tensor, bias: Tensor, stride: int, crop: int, x: Tensor
) -> Tensor:
    """Compute the transposed convolution as the gradient of a convolution."""
    size, _, made, _ = kernel.shape
    height, width = ((side - 1) * stride + size - 2 * crop for side in x.shape[2:])
    image = x.new_empty((len(x), height, width, made)).permute(0, 3, 1, 2)
    weight = kernel.permute(3, 2, 0, 1)
    answer = _gradient(x, image, weight, stride, crop, "image")
    pixels = answer.permute(0, 2, 3, 1)
    if pixels.is_contiguous():  # row by row, since bfloat16 is slow pixel by pixel
        pixels.view(len(x), height, -1).add_(bias.repeat(width))
        return answer
    return answer.add_(bias.view(1, -1, 1, 1))


def by_phase(kernel: Tensor, bias: Tensor, stride: int, crop: int, x: Tensor) -> Tensor:
    """Compute it as one convolution at low resolution whose channels are interleaved.

    Output pixel `stride * i + p` depends only on the kernel rows p, p + stride, ...
    Each phase p is a convolution with these rows, and the phases are the channels here.
    """
    size, _, filters, channels = kernel.shape
    taps = -(-size // stride)
    extra = taps * stride - size  # zero padding of the kernel, so that phases are equal
    whole = torch_nn.pad(kernel, (0, 0, 0, 0, 0, extra, 0, extra)) if extra else kernel
    weight = (
        whole.view(taps, stride, taps, stride, filters, channels)
        .permute(1, 3, 4, 5, 0, 2)
        .reshape(stride * stride * filters, channels, taps, taps)
        .flip(2, 3)
    )
    pixels = _interleaved(torch_nn.conv2d(x, weight, None, 1, taps - 1), stride)
    rows, columns = (slice(crop, side - extra - crop) for side in pixels.shape[1:3])
    return _plus(bias, pixels[:, rows, columns].permute(0, 3, 1, 2))


def _interleaved(phases: Tensor, stride: int) -> Tensor:
    """Return NHWC pixels of NCHW phases, whose channels are (row, column, filter)."""
    images, channels, height, width = phases.shape
    filters = channels // stride**2
    return (
        phases.permute(0, 2, 3, 1)
        .reshape(images, height, width, stride, stride, filters)
        .permute(0, 1, 3, 2, 4, 5)
        .reshape(images, height * stride, width * stride, filters)
    )


def folded(kernel: Tensor, bias: Tensor, stride: int, crop: int, x: Tensor) -> Tensor:
    """Compute it as a product at each pixel; overlapping patches are added."""
    size, channels = kernel.shape[0], kernel.shape[3]
    weight = kernel.permute(2, 0, 1, 3).reshape(-1, channels, 1, 1)
    patches = torch_nn.conv2d(x, weight).flatten(2)
    grown = size - stride - 2 * crop
    out = (x.shape[2] * stride + grown, x.shape[3] * stride + grown)
    image = torch_nn.fold(patches, out, size, padding=crop, stride=stride)
    return _plus(bias, image)


class _ToFew(torch.autograd.Function):
    """A convolution to few channels that keeps the image size."""

    @staticmethod
    def forward(context: Any, weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
        context.save_for_backward(x, weight)
        return row_by_row(weight, bias, x)

    @staticmethod
    def backward(context: Any, *given: Tensor) -> Any:
        x, weight = context.saved_tensors
        (gradient,) = given
        padding = weight.shape[2] // 2
        by_x = _gradient(gradient, x, weight, 1, padding, "image")
        # With the few channels as input and the many as output the lanes are full: this
        # gives the flipped kernel of the reverse convolution.
        turned = weight.transpose(0, 1)
        by_weight = _gradient(x, gradient, turned, 1, padding, "weight")
        by_weight = by_weight.flip(2, 3).transpose(0, 1)
        return by_weight, gradient.sum((0, 2, 3)), by_x


class _FromFew(torch.autograd.Function):
    """A convolution from few channels, whose image gradient is one to few channels."""

    @staticmethod
    def forward(context: Any, weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
        context.save_for_backward(x, weight)
        return torch_nn.conv2d(x, weight, bias, 1, weight.shape[2] // 2)

    @staticmethod
    def backward(context: Any, *given: Tensor) -> Any:
        x, weight = context.saved_tensors
        (gradient,) = given
        by_x = row_by_row(weight.flip(2, 3).transpose(0, 1), None, gradient)
        by_weight = _gradient(gradient, x, weight, 1, weight.shape[2] // 2, "weight")
        return by_weight, gradient.sum((0, 2, 3)), by_x


def row_by_row(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    """Convolve with stride 1, with the kernel rows as channels of a kernel of height 1.

    The result of kernel row r belongs r rows further up, where it is added.
    """
    made, given, size, _ = weight.shape
    rows = weight.permute(2, 0, 3, 1).reshape(size * made, 1, size, given)
    found = torch_nn.conv2d(x, rows.permute(0, 3, 1, 2), None, 1, size // 2)
    parts = [
        part[:, :, row : row + x.shape[2]]
        for row, part in enumerate(torch.split(found, made, 1))
    ]
    answer = parts[0] + parts.pop() if bias is None else _plus(bias, parts[0])
    for part in parts[1:]:
        answer += part
    return answer
