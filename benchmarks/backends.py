"""Milliseconds a training step on each backend, beside batches that lie ready.

On jax and tensorflow `fit` and its steps are keras's own; what this project adds is the
generator that draws the next batch in a thread. Beside it stands the same `fit` on the
same batches, drawn before and held: neither noise nor order costs it anything. On torch
both sides take the project's steps, so that the ratio is what the noise costs there;
once with numba's help, where it is installed, and once without.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from benchmarks.alternate import compare
from benchmarks.training import (
    BATCH,
    compiled,
    digits,
    fit,
    fit_with,
    own_threads,
    timed,
)
from keras_dae import backend
from keras_dae.models.architectures import DAESpec, paper_specs

# By depth: what an epoch starts with weighs little only where it is long.
STEPS = {1: 600, 3: 100, 5: 50}


def plain(spec: DAESpec, steps: int, batch_size: int) -> Callable[[], float]:
    """Return a call of `fit` on batches that lie ready: milliseconds a step."""
    import keras
    import numpy as np

    from keras_dae.images.noise import Gaussian
    from keras_dae.images.pairs import NoisyCleanPairs

    model, at_once = compiled(spec, batch_size)
    images = digits(steps * batch_size)
    pairs = NoisyCleanPairs(images, Gaussian(), batch_size=batch_size, seed=0)
    pairs.at_once = at_once
    held = [tuple(map(np.asarray, pairs[number])) for number in range(len(pairs))]

    class Held(keras.utils.PyDataset):
        def __len__(self) -> int:
            return len(held)

        def __getitem__(self, number: int) -> Any:
            return held[number]

    return timed(model, Held(), steps)


def by_numpy(spec: DAESpec, steps: int, batch_size: int) -> Callable[[], float]:
    """Return `fit` on pairs that NumPy draws, not numba: milliseconds a step."""
    from benchmarks.generator import ByNumPy

    return fit_with(ByNumPy(), spec, steps, batch_size)


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


def rows(rounds: int = 3) -> list[dict[str, Any]]:
    """Compare the two on each backend that is installed, at 8x8."""
    found = []
    for name in ("torch", "jax", "tensorflow"):
        if find_spec(backend.BACKENDS[name]) is None:
            continue
        with _chosen(name):
            for spec in paper_specs():
                if spec.latent_shape[0] == 8 and (spec.depth < 5 or name == "torch"):
                    found += _compared(name, spec, rounds)
    return found


def _compared(name: str, spec: DAESpec, rounds: int) -> list[dict[str, Any]]:
    """Return the rows of one model: with numba's help on torch also without."""
    ways = {f"{spec.name} on {name}": fit}
    if name == "torch" and find_spec("numba") is not None:
        ways[f"{spec.name} on {name}, without numba"] = by_numpy
    arguments = {"spec": spec, "steps": STEPS[spec.depth], "batch_size": BATCH}
    return [
        compare(
            *("backends", title, ours, plain),
            arguments=arguments,
            threads=own_threads(spec),
            rounds=rounds,
            starts=3 if name == "torch" and ours is fit else 1,
        )
        for title, ours in ways.items()
    ]
