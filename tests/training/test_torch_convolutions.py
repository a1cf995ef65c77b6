"""Convolutions by the faster ways give the numbers of torch's own."""

import os
from itertools import pairwise

import pytest

from keras_dae.models.architectures import plan
from keras_dae.models.builders import build

if os.environ.get("KERAS_BACKEND") != "torch":
    pytest.skip("they are torch's", allow_module_level=True)

import torch
import torch.nn.functional as torch_nn
from torch import Tensor

from keras_dae.training import torch_convolutions
from keras_dae.training.torch_convolutions import convolution, in_order, transpose
from keras_dae.training.torch_layers import lay_out


def gradients(answer: Tensor, *inputs: Tensor) -> list[Tensor]:
    torch.manual_seed(1)
    found = torch.autograd.grad(answer, inputs, torch.randn(answer.shape))
    return [answer.detach(), *found]


def largest_gaps(found: list[Tensor], wanted: list[Tensor]) -> list[float]:
    return [
        float((one - other).abs().max() / other.abs().max())
        for one, other in zip(found, wanted, strict=True)
    ]


def inputs(given: int, size: int, *channels: int) -> list[Tensor]:
    torch.manual_seed(0)
    x = torch.randn(3, 9, 7, given).permute(0, 3, 1, 2)
    kernel = torch.randn(size, size, *channels)
    return [one.requires_grad_() for one in (x, kernel, torch.randn(channels[-1]))]


@pytest.fixture()
def rows_taken(monkeypatch):
    """Count the convolutions that are taken row by row."""
    taken, own = [], torch_convolutions.row_by_row

    def counted(*given):
        taken.append(given)
        return own(*given)

    monkeypatch.setattr(torch_convolutions, "row_by_row", counted)
    return taken


# Channels in and out, the kernel's size, whether one side has few beside the other's.
CASES = [
    *[(48, 4, 3, True), (4, 48, 3, True), (16, 5, 3, True), (5, 16, 3, True)],
    *[(20, 3, 5, True), (3, 20, 5, True), (16, 2, 7, True), (1, 16, 3, True)],
    *[(16, 6, 3, False), (15, 4, 3, False), (4, 4, 3, False), (16, 4, 1, False)],
]


@pytest.mark.parametrize(("given", "made", "size", "few"), CASES)
def test_a_convolution_is_torchs_own(given, made, size, few, rows_taken):
    x, kernel, bias = inputs(given, size, given, made)
    weight, padding = kernel.permute(3, 2, 0, 1), size // 2
    found = gradients(convolution(kernel, bias, 1, padding, x), x, kernel, bias)
    wanted = gradients(torch_nn.conv2d(x, weight, bias, 1, padding), x, kernel, bias)
    assert max(largest_gaps(found, wanted)) < 1e-5
    # Towards few channels forward, from few channels back.
    assert len(rows_taken) == few


@pytest.mark.parametrize(("given", "made", "size", "few"), CASES)
def test_a_transpose_is_torchs_own(given, made, size, few, rows_taken):
    x, kernel, _ = inputs(given, size, made, given)
    bias, crop = torch.randn(made, requires_grad=True), size // 2
    weight = kernel.permute(3, 2, 0, 1)
    found = gradients(transpose(kernel, bias, 1, crop, x), x, kernel, bias)
    wanted = gradients(
        torch_nn.conv_transpose2d(x, weight, bias, 1, crop), x, kernel, bias
    )
    assert max(largest_gaps(found, wanted)) < 1e-5
    assert len(rows_taken) == few


@pytest.mark.parametrize(("stride", "padding"), [(2, 1), (1, 0), (1, 2)])
def test_what_changes_the_image_is_not_taken_row_by_row(stride, padding, rows_taken):
    x, kernel, bias = inputs(16, 3, 16, 2)
    weight = kernel.permute(3, 2, 0, 1)
    found = convolution(kernel, bias, stride, padding, x)
    wanted = torch_nn.conv2d(x, weight, bias, stride, padding)
    assert torch.equal(found, wanted)
    assert rows_taken == []


@pytest.mark.parametrize("channels", [4, 20])
@pytest.mark.parametrize("made", [1, 3])
@pytest.mark.parametrize(("size", "stride", "crop"), [(4, 2, 0), (7, 3, 0), (5, 2, 1)])
def test_a_strided_transpose_is_torchs_own(channels, made, size, stride, crop):
    x, kernel, _ = inputs(channels, size, made, channels)
    bias, place = torch.randn(made, requires_grad=True), (stride, crop)
    weight = kernel.permute(3, 2, 0, 1)
    found = gradients(transpose(kernel, bias, *place, x), x, kernel, bias)
    wanted = gradients(
        torch_nn.conv_transpose2d(x, weight, bias, *place), x, kernel, bias
    )
    assert max(largest_gaps(found, wanted)) < 1e-5


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("stride", "made"), [(1, 1), (1, 6), (2, 1), (2, 6)])
def test_another_order_in_memory_keeps_shape_and_values(transposed, stride, made):
    kernel = torch.randn(3, 3, made, 5)
    found = in_order(kernel, stride, transposed=transposed)
    assert found.shape == kernel.shape
    assert torch.equal(found, kernel)
    ordered = sorted(found.stride(), reverse=True)
    assert ordered[-1] == 1
    assert all(one >= other for one, other in pairwise(ordered))


def test_kernels_lie_as_torchs_convolutions_want_them():
    model = build(plan(5, 5), seed=0)
    before = model.get_weights()
    lay_out(model)
    assert all(
        (one == other).all()
        for one, other in zip(before, model.get_weights(), strict=True)
    )
    kernels = [layer.kernel.value for layer in model.layers[1:]]
    axes = [(3, 2, 0, 1)] * 5 + [(2, 3, 0, 1)] * 3 + [(3, 2, 0, 1)]
    for kernel, order in zip(kernels[:-1], axes, strict=True):
        weight = kernel.permute(order)
        assert weight.is_contiguous(memory_format=torch.channels_last)
    assert kernels[-1].is_contiguous()
