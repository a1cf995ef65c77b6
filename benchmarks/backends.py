"""Milliseconds a training step on each backend, beside batches that lie ready.

On jax and tensorflow `fit` and its steps are keras's own; what this project adds is the
generator that draws the next batch in a thread. Beside it stands the same `fit` on the
same batches, drawn before and held: neither noise nor order costs it anything. On torch
both sides take the project's steps, so that the ratio is what the noise costs there.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from benchmarks.alternate import compare
from benchmarks.training import BATCH, digits
from keras_dae import backend
from keras_dae.models.architectures import DAESpec, paper_specs

# By depth: what an epoch starts with weighs little only where it is long.
STEPS = {1: 600, 3: 100, 5: 50}


def ours(spec: DAESpec, steps: int) -> Callable[[], float]:
    """Return a call of `fit` on the generator: milliseconds a step."""
    from keras_dae.images.noise import Gaussian
    from keras_dae.images.pairs import NoisyCleanPairs

    pairs = NoisyCleanPairs(
        digits(steps * BATCH), Gaussian(), batch_size=BATCH, seed=0, prefetch=True
    )
    model, pairs.at_once = _model(spec)
    return _fit(model, pairs, steps)


def plain(spec: DAESpec, steps: int) -> Callable[[], float]:
    """Return a call of `fit` on batches that lie ready: milliseconds a step."""
    import keras
    import numpy as np

    from keras_dae.images.noise import Gaussian
    from keras_dae.images.pairs import NoisyCleanPairs

    pairs = NoisyCleanPairs(digits(steps * BATCH), Gaussian(), batch_size=BATCH, seed=0)
    model, pairs.at_once = _model(spec)
    held = [tuple(map(np.asarray, pairs[number])) for number in range(len(pairs))]

    class Held(keras.utils.PyDataset):
        def __len__(self) -> int:
            return len(held)

        def __getitem__(self, number: int) -> Any:
            return held[number]

    return _fit(model, Held(), steps)


def _model(spec: DAESpec) -> tuple[Any, int]:
    """Return the compiled model, and the batches that it takes at a time."""
    import keras

    from keras_dae.models.builders import build
    from keras_dae.training.fitting import AT_ONCE, hasten

    model = build(spec)
    model.compile(keras.optimizers.Adam(1e-3), loss="mse")
    return model, AT_ONCE if hasten(model, batch_size=BATCH) else 1


def _fit(model: Any, pairs: Any, steps: int) -> Callable[[], float]:
    def run() -> float:
        began = time.perf_counter()
        model.fit(pairs, shuffle=False, verbose=0)
        return 1000 * (time.perf_counter() - began) / steps

    return run


@contextmanager
def _chosen(name: str) -> Iterator[None]:
    """Start processes on a backend."""
    before = os.environ.get("KERAS_BACKEND")
    os.environ["KERAS_BACKEND"] = name
    try:
        yield
    finally:
        if before is None:
            del os.environ["KERAS_BACKEND"]
        else:
            os.environ["KERAS_BACKEND"] = before


def rows(rounds: int = 5) -> list[dict[str, Any]]:
    """Compare the two on each backend that is installed, at 8x8."""
    found = []
    for name in ("torch", "jax", "tensorflow"):
        if find_spec(backend.BACKENDS[name]) is None:
            continue
        for spec in paper_specs():
            if spec.latent_shape[0] != 8 or (spec.depth == 5 and name != "torch"):
                continue
            with _chosen(name):
                row = compare(
                    *("backends", f"{spec.name} on {name}", ours, plain),
                    arguments={"spec": spec, "steps": STEPS[spec.depth]},
                    threads=backend.useful_threads(spec.macs * BATCH)
                    or backend.available_cores(),
                    rounds=rounds if name == "torch" else 3,
                )
            found.append(row)
    return found
