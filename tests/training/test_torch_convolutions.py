"""Each way of computing a convolution gives torch's own numbers."""

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as torch_nn  # noqa: E402

from keras_dae.training import torch_convolutions  # noqa: E402
from keras_dae.training.torch_convolutions import (  # noqa: E402
    by_gradient,
    by_phase,
    convolution,
    folded,
    in_blocks,
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


def test_few_channels_are_computed_in_blocks(monkeypatch):
    """Where it is slower, towards small images, it is not taken."""
    asked = []

    def noted(*given):
        asked.append(given[-1].shape[-1])
        return in_blocks(*given)

    monkeypatch.setattr(torch_convolutions, "in_blocks", noted)
    kernel, bias = drawn(3, 3, 48, 4), drawn(4)
    for side in (5, 8):
        convolution(kernel, bias, 1, 1, images(48, side, side))
    assert asked == [8]


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
