"""Milliseconds a training step: `model.fit` beside a plain PyTorch loop."""

import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.alternate import compare
from keras_dae.models.architectures import DAESpec, paper_specs, plan
from keras_dae.system import backend

BATCH = 64  # the study's
SECONDS = 1.0  # about what one side takes in one round


def digits(count: int) -> np.ndarray:
    """Return `count` genuine digits, repeated where there are not enough."""
    from keras_dae.images.datasets import load

    train = load("mnist5k").train
    return np.asarray(train)[np.arange(count) % len(train)]


def fit(spec: DAESpec, steps: int, batch_size: int) -> Callable[[], float]:
    """Return a call that fits for `steps` steps: milliseconds a step."""
    from keras_dae.images.noise import Gaussian

    model, at_once = compiled(spec, batch_size)
    return timed(model, drawn(Gaussian(), steps, batch_size, at_once), steps)


def drawn(noise: Any, steps: int, batch_size: int, at_once: int) -> Any:
    """Return the pairs of so many steps, each next item drawn in a thread."""
    from keras_dae.images.pairs import NoisyCleanPairs

    pairs = NoisyCleanPairs(
        digits(steps * batch_size),
        noise,
        batch_size=batch_size,
        seed=0,
        prefetch=True,
    )
    pairs.at_once = at_once
    return pairs


def compiled(spec: DAESpec, batch_size: int) -> tuple[Any, int]:
    """Return the model, ready to be fitted, and the batches that it takes at a time."""
    import keras

    from keras_dae.models.builders import build
    from keras_dae.training.loop import batches_at_once, use_fast_steps

    model = build(spec)
    model.compile(keras.optimizers.Adam(1e-3), loss="mse")
    lean = use_fast_steps(model, batch_size=batch_size)
    return model, batches_at_once(spec.macs * batch_size, lean)


def timed(model: Any, pairs: Any, steps: int) -> Callable[[], float]:
    """Return a call that fits `model` for another epoch: milliseconds a step."""
    from keras_dae.images.pairs import EpochClock

    epochs, clock = itertools.count(), [EpochClock(pairs)]

    def run() -> float:
        epoch = next(epochs)
        chosen = {"initial_epoch": epoch, "epochs": epoch + 1, "callbacks": clock}
        began = time.perf_counter()
        model.fit(pairs, shuffle=False, verbose=0, **chosen)
        return 1000 * (time.perf_counter() - began) / steps

    return run


def own_threads(spec: DAESpec) -> int:
    """Return the threads that `train` takes by itself."""
    return backend.useful_threads(spec.macs * BATCH) or backend.available_cores()


def loop(spec: DAESpec, steps: int, batch_size: int) -> Callable[[], float]:
    """Return a call of the plain loop for `steps` steps: milliseconds a step."""
    import torch

    from benchmarks.plain_torch import device_of, network, train

    net = network(spec)
    device = device_of(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    images = torch.from_numpy(digits(steps * batch_size)).to(device)

    def run() -> float:
        began = time.perf_counter()
        train(net, optimizer, images, batch_size)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return 1000 * (time.perf_counter() - began) / steps

    return run


def rows(rounds: int = 5) -> list[dict[str, Any]]:
    """Compare the two at each of the nine, each with the threads it is fastest with.

    Ours are those that `train` takes by itself. The peer has all cores, and where ours
    takes one of them, one as well: the row is that of the faster.
    """
    found = []
    for spec in paper_specs():
        own, cores = own_threads(spec), backend.available_cores()
        beside = [
            compare(
                *("training", spec.name, fit, loop),
                arguments={"spec": spec, "steps": _steps(spec), "batch_size": BATCH},
                threads=(own, theirs),
                rounds=rounds,
            )
            for theirs in sorted({own, cores})
        ]
        found.append(min(beside, key=lambda row: float(row["peer"])))
    return found


def thread_rows(rounds: int = 3) -> list[dict[str, Any]]:
    """Compare `fit` on one thread with `fit` on all cores, by the size of a step."""
    specs = [plan(1, 8), *(plan(3, 8, filters=width) for width in (4, 8, 16, 32))]
    return [
        compare(
            *("threads", f"{spec.macs * BATCH / 1e6:.1f}M multiply-adds", fit, fit),
            arguments={"spec": spec, "steps": _steps(spec), "batch_size": BATCH},
            threads=(1, backend.available_cores()),
            rounds=rounds,
        )
        for spec in specs
    ]


def _steps(spec: DAESpec) -> int:
    """Return steps of about equal length in time, from the multiply-adds."""
    return max(15, min(400, int(SECONDS * 4e10 / (spec.macs * 6 * BATCH))))
