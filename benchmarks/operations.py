"""Ways of computing a layer on torch: `torch_convolutions` chose from these.

    python benchmarks/operations.py

Milliseconds of a forward and backward pass, one thread, batches of 64, the least of
some repetitions, in float32 and with bfloat16 in the convolutions; and the largest
difference from torch's own transpose, in float32.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as torch_nn
from torch import Tensor

from keras_dae.system.backend import keep_freed_memory
from keras_dae.training.fast.convolutions import (
    _convolution,
    _rounded,
    _Transpose,
    by_gradient,
    by_phase,
    folded,
)

BATCH = 64
# channels in, channels out, side of the input, kernel, stride: the nine's transposes
TRANSPOSES = [
    *[(4, 1, 13, 4, 2), (4, 1, 8, 7, 3), (4, 1, 5, 12, 4)],
    *[(48, 1, 13, 4, 2), (64, 1, 8, 7, 3), (48, 48, 5, 5, 2), (32, 32, 5, 5, 2)],
]
CONVOLUTIONS = [(32, 13), (40, 13), (48, 13), (64, 8), (48, 5)]


def milliseconds(run: Callable[[], object], repeats: int = 5, times: int = 20) -> float:
    """Return the least milliseconds that one call took."""
    for _ in range(3):
        run()
    least = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        for _ in range(times):
            run()
        least = min(least, (time.perf_counter() - began) / times)
    return 1000 * least


def channels_last(*shape: int) -> Tensor:
    """Return random values in the layout that a batch of images has."""
    return torch.randn(*shape).to(memory_format=torch.channels_last)


def torch_transpose(kernel: Tensor, bias: Tensor, stride: int, x: Tensor) -> Tensor:
    """Transpose by torch's own function."""
    return torch_nn.conv_transpose2d(x, kernel.permute(3, 2, 0, 1), bias, stride)


def _whole(way, kernel: Tensor, bias: Tensor, stride: int, x: Tensor) -> Tensor:
    """Transpose in one way, its gradients by torch."""
    return way(kernel, bias, stride, 0, x)


def _apart(way, kernel: Tensor, bias: Tensor, stride: int, x: Tensor) -> Tensor:
    """Transpose in one way, its gradients by a convolution each."""
    x, kernel, bias = _rounded(x, kernel, bias)
    return _Transpose.apply(way, kernel, bias, stride, 0, x)


def transposes() -> None:
    """Print the ways of a strided transposed convolution."""
    ways: dict[str, Callable[[Tensor, Tensor, int, Tensor], Tensor]] = {
        "torch": torch_transpose
    }
    for name, way in (
        ("one convolution, phases interleaved", by_phase),
        ("product at each pixel, patches added", folded),
    ):
        ways[name] = partial(_whole, way)
        ways[f"{name}, back by convolutions"] = partial(_apart, way)
    ways["a convolution's gradient"] = partial(_apart, by_gradient)
    for given, made, side, size, stride in TRANSPOSES:
        x = channels_last(BATCH, given, side, side).requires_grad_()
        kernel = torch.randn(size, size, made, given).requires_grad_()
        bias = torch.zeros(made).requires_grad_()
        expected = torch_transpose(kernel, bias, stride, x).detach()
        print(f"transpose {given} -> {made}, {side}x{side}, kernel {size}/{stride}")
        print(f"  {'':60} float32  bfloat16")
        for name, way in ways.items():
            answer = way(kernel, bias, stride, x)
            ones = torch.ones_like(answer)

            def run(
                *rounded,
                way=way,
                ones=ones,
                x=x,
                kernel=kernel,
                bias=bias,
                stride=stride,
            ):
                with torch.autocast("cpu", torch.bfloat16, enabled=bool(rounded)):
                    answer = way(kernel, bias, stride, x)
                ones = ones.to(answer.dtype)
                return torch.autograd.grad(answer, (x, kernel, bias), ones)

            away = float((answer.detach() - expected).abs().max())
            times = milliseconds(run), milliseconds(partial(run, True))
            print(f"  {name:60} {times[0]:7.2f} {times[1]:7.2f} ms  {away:.0e}")


def few_channels() -> None:
    """Print a 3x3 convolution from, or to, four channels: torch's and row by row."""
    for channels, side in CONVOLUTIONS:
        for given, made in ((channels, 4), (4, channels)):
            x = channels_last(BATCH, given, side, side).requires_grad_()
            kernel = torch.randn(3, 3, given, made)
            weight = kernel.permute(3, 2, 0, 1).requires_grad_()
            bias = torch.zeros(made).requires_grad_()
            print(f"3x3 convolution {given} -> {made}, {side}x{side}")
            for name, way in (
                ("torch", partial(torch_nn.conv2d, x, weight, bias, 1, 1)),
                ("row by row", partial(_convolution, weight, bias, 1, 1, x)),
            ):

                def run(way=way, x=x, weight=weight, bias=bias):
                    answer = way()
                    ones = torch.ones_like(answer)
                    return torch.autograd.grad(answer, (x, weight, bias), ones)

                print(f"  {name:60} {milliseconds(run):7.2f} ms")


def layouts() -> None:
    """Print a 3x3 convolution in both layouts, and its kernel's gradient two ways."""
    for channels, side in CONVOLUTIONS:
        print(f"3x3 convolution, {channels} channels, {side}x{side}")
        shape = (BATCH, channels, side, side)
        for name, layout in (
            ("channels_last", torch.channels_last),
            ("channels_first", torch.contiguous_format),
        ):
            x, gradient = (torch.randn(shape).to(memory_format=layout) for _ in "xg")
            weight = torch.randn(channels, channels, 3, 3).to(memory_format=layout)
            x.requires_grad_()
            weight.requires_grad_()

            def run(x=x, weight=weight, gradient=gradient):
                answer = torch_nn.conv2d(x, weight, None, 1, 1)
                return torch.autograd.grad(answer, (x, weight), gradient)

            print(f"  {name:60} {milliseconds(run):7.2f} ms")
        padded = torch_nn.pad(torch.randn(shape), (1, 1, 1, 1)).permute(0, 2, 3, 1)
        padded = padded.contiguous()
        rows = torch.randn(BATCH * side * side, channels)
        x = channels_last(*shape)
        gradient = channels_last(*shape)
        weight = channels_last(channels, channels, 3, 3)

        def product(padded=padded, rows=rows, side=side, channels=channels):
            shifts = [(i, j) for i in range(3) for j in range(3)]
            columns = [padded[:, i : i + side, j : j + side] for i, j in shifts]
            return torch.cat(columns, -1).view(-1, 9 * channels).t() @ rows

        def direct(x=x, gradient=gradient, weight=weight, channels=channels):
            return torch.ops.aten.convolution_backward(
                *(gradient, x, weight, [channels], [1, 1], [1, 1], [1, 1]),
                *(False, [0, 0], 1, [False, True, False]),
            )

        for name, way in (
            ("kernel's gradient: torch", direct),
            ("by product", product),
        ):
            print(f"  {name:60} {milliseconds(way):7.2f} ms")


def main() -> None:
    """Print all comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--fresh-pages", action="store_true", help="leave glibc as it is"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.fresh_pages:
        keep_freed_memory("torch")
    transposes()
    few_channels()
    layouts()


if __name__ == "__main__":
    main()
