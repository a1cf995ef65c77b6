"""The train and test steps of `model.fit` on torch, with less around the arithmetic.

keras's own step takes thousands of Python calls, copies each image into another
layout before a transposed convolution and crops it after, and adds biases apart. The
steps here compute the same losses, gradients and updates (to rounding) from the same
variables: the model, its optimizer and its metrics stay keras's, and so do `fit`, its
callbacks and the saved file. `benchmarks/` measures what it saves.

A layer, loss or optimizer that is not in the tables below leaves the model to keras.
"""

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from math import cos, pi, sqrt
from typing import Any

import keras
import numpy as np
import torch
import torch.nn.functional as torch_nn
from keras import layers
from keras.src.backend.torch.core import get_device
from torch import Tensor

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu_,
    "sigmoid": torch.sigmoid,
    "linear": lambda x: x,
}
# Below this many channels, a transposed convolution towards an image is fastest as one
# convolution; above it, as a matrix product (benchmarks/README.md).
FEW_CHANNELS = 8
# Images that a test step takes at a time: few enough for the processor's caches.
TEST_BATCH = 128
# glibc's numbers for the two thresholds of mallopt.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def accelerate(
    model: keras.Model, precision: str = "float32", batch_size: int | None = None
) -> bool:
    """Give `model`, compiled, the lean steps where they compute what keras would.

    Args:
        model: compiled with its loss and optimizer.
        precision: of the training steps' convolutions, as `fit` takes it.
        batch_size: images of a step, where `fit` hands over several batches at once;
            None where it hands over one.

    Returns:
        Whether they do; if not, the steps stay keras's own.
    """
    forward = _forward(model)
    if forward is None or not _is_plain(model):
        model.train_step = in_precision(precision, model.train_step)
        return False
    steps = LeanSteps(model, forward, precision, batch_size)
    # fit and evaluate make these functions only where there are none.
    model.train_function, model.test_function = steps.train, steps.test
    _keep_freed_memory()
    return True


def in_precision(precision: str, run: Callable[..., Any]) -> Callable[..., Any]:
    """Return `run` with its convolutions and matrix products in bfloat16, if asked.

    torch's autocast rounds what these take; sums within them, the loss, gradients of
    the weights, the weights and the optimizer stay float32, and so does the file.
    """
    if precision == "float32":
        return run
    kind = torch.device(get_device()).type

    def rounded(*given: Any) -> Any:
        with torch.autocast(kind, dtype=torch.bfloat16):
            return run(*given)

    return rounded


def answer(model: keras.Model) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return `model` as a function of float32 arrays (N, H, W, C), lean as the steps.

    None where the model has layers that are not in the tables below: `predict` is for
    those.
    """
    forward = _forward(model)
    if forward is None:
        return None

    def run(noisy: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            x = torch.from_numpy(noisy).to(get_device()).permute(0, 3, 1, 2)
            return np.asarray(forward(x).permute(0, 2, 3, 1).cpu())

    return run


def _forward(model: keras.Model) -> Callable[[Tensor], Tensor] | None:
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


class LeanSteps:
    """Train and test steps of one compiled model on NHWC batches."""

    def __init__(
        self,
        model: keras.Model,
        forward: Callable[[Tensor], Tensor],
        precision: str,
        batch_size: int | None,
    ) -> None:
        self.model, self.forward = model, forward
        self.batch_size = batch_size
        self.training_loss = in_precision(precision, self._loss)
        self.optimizer = model.optimizer
        (tracker,) = model.metrics
        self.total, self.count = tracker.total.value, tracker.count.value
        self.variables = list(model.trainable_variables)
        self.weights = [variable.value for variable in self.variables]
        self.moments: tuple[list[Tensor], list[Tensor]] | None = None

    def train(self, data: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """Take a step on each batch in `[(noisy, clean)]`; return the last logs."""
        ((noisy, clean),) = data
        for pair in _parts(noisy, clean, self.batch_size):
            loss = self.training_loss(*pair)
            gradients = torch.autograd.grad(loss, self.weights)
            with torch.no_grad():
                self._update(gradients)
                logs = self._log(loss, len(pair[0]))
        return logs

    def test(self, data: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """Take the loss of `[(noisy, clean)]`; return the logs."""
        ((noisy, clean),) = data
        with torch.no_grad():
            for pair in _parts(noisy, clean, TEST_BATCH):
                logs = self._log(self._loss(*pair), len(pair[0]))
        return logs

    def _loss(self, noisy: Tensor, clean: Tensor) -> Tensor:
        # Seen as NCHW, an NHWC batch is in torch's channels_last layout as it is.
        answer = self.forward(noisy.permute(0, 3, 1, 2))
        return torch_nn.mse_loss(answer, clean.permute(0, 3, 1, 2))

    def _log(self, loss: Tensor, images: int) -> dict[str, Tensor]:
        self.total.add_(loss, alpha=images)
        self.count.add_(images)
        return {"loss": loss}

    def _update(self, gradients: tuple[Tensor, ...]) -> None:
        """Take keras's step of Adam, on its own variables."""
        adam = self.optimizer
        if self.moments is None:
            if not adam.built:
                adam.build(self.variables)
            self.moments = (
                [variable.value for variable in adam._momentums],
                [variable.value for variable in adam._velocities],
            )
            self.iterations = adam.iterations.value
            self.step = int(self.iterations)
        means, squares = self.moments
        rate = rate_at(adam._learning_rate, self.step)
        self.step += 1
        correction = sqrt(1 - adam.beta_2**self.step) / (1 - adam.beta_1**self.step)
        torch._foreach_lerp_(means, gradients, 1 - adam.beta_1)
        torch._foreach_mul_(squares, adam.beta_2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - adam.beta_2)
        divisors = torch._foreach_sqrt(squares)
        torch._foreach_add_(divisors, adam.epsilon)
        torch._foreach_addcdiv_(self.weights, means, divisors, -rate * correction)
        self.iterations.add_(1)


def _parts(
    noisy: Tensor, clean: Tensor, size: int | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images in batches of at most `size`; None leaves them together."""
    size = size or len(noisy)
    yield from zip(torch.split(noisy, size), torch.split(clean, size), strict=True)


def rate_at(schedule: Any, step: int) -> float:
    """Return the learning rate of `step`: a cosine's in plain Python, for speed."""
    if type(schedule) is not keras.optimizers.schedules.CosineDecay:
        rate = schedule(step) if callable(schedule) else schedule
        return float(rate)
    peak, start = schedule.warmup_target, schedule.initial_learning_rate
    if peak is not None and step < schedule.warmup_steps:
        return float(start + (peak - start) * step / schedule.warmup_steps)
    if peak is None:
        peak, done = start, step
    else:
        done = step - schedule.warmup_steps
    left = 0.5 * (1 + cos(pi * min(done / schedule.decay_steps, 1)))
    return float(peak * ((1 - schedule.alpha) * left + schedule.alpha))


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

    def run(x: Tensor) -> Tensor:
        weight = kernel.permute(3, 2, 0, 1)  # from (height, width, out, in)
        return activation(
            torch_nn.conv_transpose2d(x, weight, bias, stride, _padding(layer))
        )

    return run


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


def _is_plain(model: keras.Model) -> bool:
    """Tell whether loss, metrics and optimizer are those that the steps compute."""
    adam = model.optimizer
    return (
        model.loss == "mse"
        and len(model.metrics) == 1
        and isinstance(adam, keras.optimizers.Adam)
        and not (adam.amsgrad or adam.weight_decay or adam.use_ema)
        and not (adam.clipnorm or adam.clipvalue or adam.global_clipnorm)
        and not (adam.gradient_accumulation_steps or adam.loss_scale_factor)
        and not model.jit_compile
    )


def _keep_freed_memory() -> None:
    """Ask glibc to keep what a step frees: the next one needs as much.

    By default each step returns its largest blocks to the system and touches fresh
    pages again, which costs more than a tenth of the step.
    """
    if not sys.platform.startswith("linux"):
        return
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        for parameter in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            mallopt(parameter, 2**31 - 1)
