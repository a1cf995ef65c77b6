"""Each way of computing a convolution gives torch's own numbers."""

import keras
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as torch_nn  # noqa: E402

from keras_dae.models.architectures import plan  # noqa: E402
from keras_dae.models.builders import build  # noqa: E402
from keras_dae.training.fast import convolutions as torch_convolutions  # noqa: E402
from keras_dae.training.fast.convolutions import (  # noqa: E402
    by_gradient,
    by_phase,
    convolution,
    folded,
    in_order,
    transpose,
)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def images(channels, height, width):
    return drawn(3, height, width, channels).permute(0, 3, 1, 2)


def like_images(one):
    """Tell whether values of one pixel lie beside one another, as in channels_last."""
    return one.stride(1) == 1


def gradients(compute, *given, dtype=torch.float32):
    """Return the answer, and the gradients of a sum that weighs each value apart."""
    given = [one.to(dtype).clone().requires_grad_() for one in given]
    answer = compute(*given)
    weights = drawn(*answer.shape, seed=1).to(answer.dtype)
    return [answer.detach(), *torch.autograd.grad(answer, given, weights)]


def assert_as_exact(ours, theirs, *given):
    """Ours is as near to what float64 gives as torch's own, within a small factor."""
    exact = gradients(theirs, *given, dtype=torch.float64)
    found, torchs = gradients(ours, *given), gradients(theirs, *given)
    for one, other, true in zip(found, torchs, exact, strict=True):
        assert one.shape == true.shape
        assert one.dtype == torch.float32
        error, usual, largest = (
            float(values.abs().max()) for values in (one - true, other - true, true)
        )
        assert error <= 4 * usual + 1e-6 * largest


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("side", [(8, 8), (13, 13), (9, 12), (16, 11), (5, 5)])
@pytest.mark.parametrize(
    ("given", "made"), [(48, 4), (4, 48), (16, 1), (3, 16), (8, 8)]
)
def test_convolutions_of_stride_one(given, made, side, size):
    kernel, bias = drawn(size, size, given, made), drawn(made)
    x, padding = images(given, *side), size // 2

    def ours(x, kernel, bias):
        return convolution(kernel, bias, 1, padding, x)

    def theirs(x, kernel, bias):
        weight = kernel.permute(3, 2, 0, 1).contiguous()
        return torch_nn.conv2d(x.contiguous(), weight, bias, 1, padding)

    assert_as_exact(ours, theirs, x, kernel, bias)


@pytest.mark.parametrize("side", [(8, 8), (13, 13), (9, 12), (5, 5)])
@pytest.mark.parametrize(("given", "made"), [(4, 48), (48, 4), (4, 1), (48, 1), (6, 5)])
@pytest.mark.parametrize(
    ("size", "stride", "crop"), [(3, 1, 1), (4, 2, 0), (7, 3, 0), (12, 4, 0), (4, 2, 1)]
)
def test_transposes(size, stride, crop, given, made, side):
    kernel, bias = drawn(size, size, made, given), drawn(made)
    x = images(given, *side)

    def ours(x, kernel, bias):
        return transpose(kernel, bias, stride, crop, x)

    def theirs(x, kernel, bias):
        weight = kernel.permute(3, 2, 0, 1).contiguous()
        return torch_nn.conv_transpose2d(x.contiguous(), weight, bias, stride, crop)

    assert_as_exact(ours, theirs, x, kernel, bias)


@pytest.mark.parametrize("way", [by_gradient, by_phase, folded])
@pytest.mark.parametrize("channels", [4, 48])
def test_each_way_towards_an_image(way, channels):
    kernel, bias = drawn(4, 4, 1, channels), drawn(1)
    x = images(channels, 13, 10)
    expected = torch_nn.conv_transpose2d(x, kernel.permute(3, 2, 0, 1), bias, 2, 1)
    assert torch.allclose(way(kernel, bias, 2, 1, x), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("given", "made", "stride"), [(48, 4, 1), (4, 48, 1), (48, 1, 2), (4, 1, 2)]
)
def test_bfloat16_rounds_what_autocast_would(given, made, stride):
    """The ways round where torch's own would; the gradients come back as float32."""
    size, crop = 4 - stride % 2, stride % 2
    kernel, bias = drawn(size, size, made, given), drawn(made)
    x = images(given, 9, 9)

    def exact(x, kernel, bias):
        return transpose(kernel, bias, stride, crop, x)

    def ours(x, kernel, bias):
        with torch.autocast("cpu", torch.bfloat16):
            return exact(x, kernel, bias).float()

    rounded, full = (gradients(run, x, kernel, bias) for run in (ours, exact))
    for one, other in zip(rounded[:-1], full[:-1], strict=True):  # not the bias
        assert one.dtype == other.dtype
        assert 1e-4 < float((one - other).abs().max() / other.abs().max()) < 0.02


@pytest.fixture()
def rows_taken(monkeypatch):
    """Note the convolutions that are taken row by row."""
    taken, own = [], torch_convolutions.row_by_row

    def noted(*given):
        taken.append(given)
        return own(*given)

    monkeypatch.setattr(torch_convolutions, "row_by_row", noted)
    return taken


@pytest.mark.parametrize(
    ("given", "made", "size", "few"),
    [
        *[(48, 4, 3, True), (4, 48, 3, True), (16, 5, 3, True), (5, 16, 3, True)],
        *[(20, 3, 5, True), (3, 20, 5, True), (16, 2, 7, True), (1, 16, 3, True)],
        *[(16, 6, 3, False), (15, 4, 3, False), (4, 4, 3, False), (16, 4, 1, False)],
    ],
)
def test_few_channels_are_taken_row_by_row(given, made, size, few, rows_taken):
    """Once: forward towards few channels, back from few."""
    kernel, bias, padding = drawn(size, size, given, made), drawn(made), size // 2
    x = images(given, 9, 7)

    def ours(x, kernel, bias):
        return convolution(kernel, bias, 1, padding, x)

    def theirs(x, kernel, bias):
        return torch_nn.conv2d(x, kernel.permute(3, 2, 0, 1), bias, 1, padding)

    assert_as_exact(ours, theirs, x, kernel, bias)
    assert len(rows_taken) == few


@pytest.mark.parametrize(("stride", "padding"), [(2, 1), (1, 0), (1, 2)])
def test_what_changes_the_image_is_not_taken_row_by_row(stride, padding, rows_taken):
    kernel, bias, x = drawn(3, 3, 16, 2), drawn(2), images(16, 9, 7)
    expected = torch_nn.conv2d(x, kernel.permute(3, 2, 0, 1), bias, stride, padding)
    assert torch.equal(convolution(kernel, bias, stride, padding, x), expected)
    assert rows_taken == []


def test_bfloat16_is_left_to_torchs_own(rows_taken):
    """Which is the faster one there."""
    kernel, bias, x = drawn(3, 3, 48, 4), drawn(4), images(48, 13, 13)
    with torch.autocast("cpu", torch.bfloat16):
        assert convolution(kernel, bias, 1, 1, x).dtype == torch.bfloat16
    assert rows_taken == []


@pytest.mark.parametrize(
    ("given", "made", "stride"),
    [(48, 4, 1), (4, 48, 1), (48, 16, 2), (48, 1, 2), (4, 1, 2)],
)
def test_answers_and_gradients_keep_the_layout(given, made, stride):
    """One in another layout makes the next layer several times slower."""
    x = images(given, 9, 9).requires_grad_()
    kernel, bias = drawn(3, 3, made, given), drawn(made)
    answer = transpose(kernel, bias, stride, 1, x)
    (gradient,) = torch.autograd.grad(answer, x, torch.ones(answer.shape))
    assert like_images(gradient)
    assert made == 1 or like_images(answer)


@pytest.mark.parametrize(
    ("given", "made", "stride"), [(48, 4, 1), (48, 16, 2), (48, 1, 2)]
)
def test_other_devices_take_torchs_own(given, made, stride, monkeypatch):
    """The ways are fast on CPUs; a device without content stands for the others."""
    monkeypatch.setattr(torch_convolutions, "_apply", None)
    x, kernel, bias = (
        torch.empty(shape, device="meta")
        for shape in ((2, given, 9, 9), (3, 3, made, given), (made,))
    )
    expected = torch_nn.conv_transpose2d(x, kernel.permute(3, 2, 0, 1), bias, stride, 1)
    assert transpose(kernel, bias, stride, 1, x).shape == expected.shape


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("stride", "made"), [(1, 1), (1, 6), (2, 1), (2, 6)])
def test_another_order_in_memory_keeps_shape_and_values(transposed, stride, made):
    kernel = drawn(3, 3, made, 5)
    found = in_order(kernel, stride, transposed=transposed)
    assert found.shape == kernel.shape
    assert torch.equal(found, kernel)
    # Without gaps: what is made like it keeps its order, which `AdamUpdate` relies on.
    assert torch.empty_like(found).stride() == found.stride()


def test_kernels_lie_as_torchs_convolutions_want_them():
    if keras.config.backend() != "torch":
        pytest.skip("kernels are torch's tensors")
    from keras_dae.training.fast.layers import lay_out

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
