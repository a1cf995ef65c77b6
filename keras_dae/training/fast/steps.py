"""The train and test steps of `model.fit` on torch, with less overhead.

The step of keras makes thousands of Python calls, copies each image to another layout
before a transposed convolution and crops it afterwards, and adds biases separately. The
steps here compute the same losses, gradients and updates up to rounding, from the same
variables. The model, its optimizer and its metrics remain those of keras, and so do
`fit`, its callbacks and the saved file. `benchmarks/` measures the speed.

If a layer is unknown to `fast.layers`, or the loss or optimizer is not supported, the
steps of keras are used.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import torch
import torch.nn.functional as torch_nn
from torch import Tensor

from keras_dae.errors import check
from keras_dae.models.batches import images_at_once, widest
from keras_dae.system.private import loss_weights, torch_device
from keras_dae.training.fast.layers import forward, lay_out
from keras_dae.training.fast.optimizers import Rate, Update, is_plain, update_of
from keras_dae.training.fast.rate import RateLoss

# Largest number of images per test step: few enough for the caches.
TEST_BATCH = 128
# Devices on which the steps were compared with those of keras.
MEASURED_ON = ("cpu", "cuda")


def accelerate(
    model: keras.Model,
    precision: str = "float32",
    batch_size: int | None = None,
    graph: bool | None = None,
    *,
    rate: float = 0,
    seed: int = 0,
) -> bool:
    """Replace the steps of a compiled `model` with equivalent lean steps if possible.

    Args:
        model: compiled with its loss and optimizer.
        precision: precision of convolutions in training steps, as in `fit`.
        batch_size: images per step, if `fit` passes several batches at once; None if it
            passes one.
        graph: whether a step is one CUDA graph; the default is True on CUDA only. True
            on other devices takes the same steps without a graph, for tests.
        rate: weight of the bits per pixel in the loss, see `RateLoss`; 0 for MSE alone.
        seed: seed for the noise on the latent.

    Returns:
        Whether the steps were replaced.

    Raises:
        UsageError: a rate is given, but the steps cannot be replaced.
    """
    run = forward(model) if _is_measured() else None
    if run is None or not _is_plain(model):
        check(not rate, "rate must be 0 for this model on this device.", rate=rate)
        model.train_step = in_precision(precision, model.train_step)
        return False
    lay_out(model)
    # A graph replays its capture, but the noise of the rate differs in each step.
    steps = _steps(False if rate else graph, model, run, precision, batch_size)
    if rate:
        steps.training_loss = in_precision(precision, RateLoss(model, rate, seed))
    # fit and evaluate create these functions only if they do not exist.
    model.train_function, model.test_function = steps.train, steps.test
    return True


def _steps(graph: bool | None, *given: Any) -> "LeanSteps":
    """Return the steps, captured as a graph if requested; see `accelerate`."""
    on_cuda = torch.device(torch_device()).type == "cuda"
    if not (on_cuda if graph is None else graph):
        return LeanSteps(*given)
    from keras_dae.training.fast.graphs import CudaGraph, GraphSteps, Plain

    return GraphSteps(*given, graph=CudaGraph() if on_cuda else Plain())


def describe_steps(model: keras.Model) -> dict[str, str | None]:
    """Return how the training steps of `model` are computed, for the record of a run.

    Returns:
        `kind`, one of 'graph', 'lean' and 'keras'; and `why`, a sentence on why it is
        not a faster one, or None.
    """
    steps = getattr(model.train_function, "__self__", None)
    if isinstance(steps, LeanSteps):
        return steps.describe()
    why = "a layer, the loss, its weights or the optimizer of this run"
    return {"kind": "keras", "why": f"The fast steps do not compute {why}."}


def in_precision(precision: str, run: Callable[..., Any]) -> Callable[..., Any]:
    """Return `run` with its convolutions and matrix products in bfloat16, if requested.

    The autocast of torch rounds their inputs. Sums within them, the loss, gradients of
    the weights, the weights and the optimizer stay float32, and so does the file.
    """
    if precision != "bfloat16":  # TF32 is set for the whole run
        return run
    kind = torch.device(torch_device()).type

    def rounded(*given: Any) -> Any:
        # Each weight is rounded once per step, so a cache has no use, and a CUDA graph
        # does not support it.
        with torch.autocast(kind, dtype=torch.bfloat16, cache_enabled=False):
            return run(*given)

    return rounded


def answer(model: keras.Model) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return `model` as a lean function of float32 arrays (N, H, W, C).

    None if the model has unsupported layers; use `predict` for those.
    """
    forward_pass = forward(model) if _is_measured() else None
    if forward_pass is None:
        return None

    def run(noisy: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            x = torch.from_numpy(noisy).to(torch_device()).permute(0, 3, 1, 2)
            return np.asarray(forward_pass(x).permute(0, 2, 3, 1).cpu())

    return run


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
        self.test_batch = images_at_once(widest(model) or 1, TEST_BATCH)
        self.training_loss = in_precision(precision, self._loss)
        (tracker,) = model.metrics
        self.total, self.count = tracker.total.value, tracker.count.value
        self.variables = list(model.trainable_variables)
        self.weights = [variable.value for variable in self.variables]
        # Created at the first step, since weights may be set after compiling.
        self.update: Update | None = None

    def train(self, data: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """Take a step on each batch in `[(noisy, clean)]`; return the last logs."""
        ((noisy, clean),) = data
        if self.update is None:
            self.update = update_of(self.model.optimizer, self.variables)
        for pair in _parts(noisy, clean, self.batch_size):
            logs = self.step(self.update, *pair)
        return logs

    def step(self, update: Update, noisy: Tensor, clean: Tensor) -> dict[str, Tensor]:
        """Take a step on one batch; return its logs."""
        return self.compute(update, update.next_rates(), noisy, clean)

    def compute(
        self, update: Update, rates: Sequence[Rate], noisy: Tensor, clean: Tensor
    ) -> dict[str, Tensor]:
        """Compute a step at these rates: loss, gradients, weights, metric."""
        loss = self.training_loss(noisy, clean)
        gradients = torch.autograd.grad(loss, self.weights)
        with torch.no_grad():
            update.move(rates, gradients)
            return self._log(loss.detach(), len(noisy))

    def describe(self) -> dict[str, str | None]:
        """Return how training steps are computed, for the record of a run."""
        return {"kind": "lean", "why": None}

    def test(self, data: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """Compute the loss of `[(noisy, clean)]`; return the logs."""
        ((noisy, clean),) = data
        with torch.no_grad():
            size = self.test_batch if noisy.device.type == "cpu" else None
            for pair in _parts(noisy, clean, size):
                logs = self._log(self._loss(*pair), len(pair[0]))
        return logs

    def _loss(self, noisy: Tensor, clean: Tensor) -> Tensor:
        # Viewed as NCHW, an NHWC batch is already in torch's channels_last layout.
        answer = self.forward(noisy.permute(0, 3, 1, 2))
        return torch_nn.mse_loss(answer, clean.permute(0, 3, 1, 2))

    def _log(self, loss: Tensor, images: int) -> dict[str, Tensor]:
        self.total.add_(loss, alpha=images)
        self.count.add_(images)
        return {"loss": loss}


def _parts(
    noisy: Tensor, clean: Tensor, size: int | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images in batches of at most `size`; None does not split them."""
    size = size or len(noisy)
    yield from zip(torch.split(noisy, size), torch.split(clean, size), strict=True)


def _is_measured() -> bool:
    return torch.device(torch_device()).type in MEASURED_ON


def _is_plain(model: keras.Model) -> bool:
    """Return whether loss, metrics and optimizer are supported."""
    return (
        model.loss == "mse"
        and len(model.metrics) == 1
        and is_plain(model.optimizer)
        and not model.jit_compile
        and not model.run_eagerly
        and loss_weights(model) is None
    )
