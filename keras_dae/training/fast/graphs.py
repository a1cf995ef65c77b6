"""Training steps as one CUDA graph, which Python launches instead of single kernels.

A step of these models has some hundred small kernels, and launching one takes longer
than computing it. Forward pass, loss, gradients, optimizer and metric of one batch are
captured once, on tensors at fixed addresses. Each step then copies its batch there and
replays the graph. The learning rate is also such a tensor. The numbers are those of
`LeanSteps`, whose variables are used.

A batch of another size, such as the last one of an epoch, takes the lean step. So does
every batch if a capture fails; the record of the run then states the reason.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from keras_dae.training.fast.optimizers import Update
from keras_dae.training.fast.steps import LeanSteps

# Steps before the capture, in which libraries choose kernels and allocate memory.
WARM_STEPS = 3
Body = Callable[[], None]


class Plain:
    """Runs a step without a graph, on any device; for tests."""

    def warm(self, body: Body) -> None:
        """Compute a real step before the capture."""
        body()

    def capture(self, body: Body) -> Body:
        """Return a function that runs `body`; compute nothing yet."""
        return body


class CudaGraph:
    """Captures a step on its own stream."""

    def __init__(self) -> None:
        self.stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def warm(self, body: Body) -> None:
        """Compute a real step before the capture."""
        current = torch.cuda.current_stream()
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            body()
        current.wait_stream(self.stream)

    def capture(self, body: Body) -> Body:
        """Return a function that replays `body`; compute nothing yet."""
        graph = torch.cuda.CUDAGraph()
        # Other threads continue to allocate pinned memory for the next batches.
        with torch.cuda.graph(
            graph, stream=self.stream, capture_error_mode="thread_local"
        ):
            body()
        replay: Body = graph.replay
        return replay


class GraphSteps(LeanSteps):
    """`LeanSteps` whose training steps on full batches are captured.

    Attributes:
        why: the reason why there is no graph, in one sentence; None if there is one.
    """

    def __init__(self, *given: Any, graph: Plain | CudaGraph) -> None:
        super().__init__(*given)
        self.graph = graph
        self.why: str | None = None
        self._warmed = 0
        self._replay: Body | None = None
        self._batch: tuple[Tensor, ...] = ()
        self._rates: list[Tensor] = []
        self._logs: dict[str, Tensor] = {}

    def step(self, update: Update, noisy: Tensor, clean: Tensor) -> dict[str, Tensor]:
        """Take a step on one batch; return its logs, which the next step overwrites."""
        if self.why is not None or len(noisy) != (self.batch_size or len(noisy)):
            return super().step(update, noisy, clean)
        if self._batch and self._batch[0].shape != noisy.shape:
            return super().step(update, noisy, clean)
        rates = update.next_rates()
        self._fill(rates, noisy, clean)

        def body() -> None:
            self._logs = self.compute(update, self._rates, *self._batch)

        if self._warmed < WARM_STEPS:
            self._warmed += 1
            self.graph.warm(body)
        elif self._replay is not None or self._capture(body):
            assert self._replay is not None
            self._replay()
        else:
            return self.compute(update, rates, noisy, clean)
        return self._logs

    def describe(self) -> dict[str, str | None]:
        """Return how training steps are computed, for the record of a run."""
        return {"kind": "lean" if self.why else "graph", "why": self.why}

    def _fill(self, rates: Sequence[float], noisy: Tensor, clean: Tensor) -> None:
        """Copy rates and batch to the tensors of the graph."""
        if not self._batch:
            self._batch = torch.empty_like(noisy), torch.empty_like(clean)
            self._rates = [torch.zeros((), device=noisy.device) for _ in rates]
        for place, value in zip(self._batch, (noisy, clean), strict=True):
            place.copy_(value)
        for place, rate in zip(self._rates, rates, strict=True):
            place.fill_(rate)

    def _capture(self, body: Body) -> bool:
        """Capture the step; return whether that succeeded."""
        try:
            self._replay = self.graph.capture(body)
        except RuntimeError as error:
            first = (str(error).splitlines() or ["no reason given"])[0][:200]
            self.why = f"The step could not be captured as a CUDA graph: {first}"
            self._batch, self._rates = (), []
        return self._replay is not None
