"""Milliseconds a training step on each backend, beside batches that lie ready.

On jax and tensorflow `fit` and its steps are keras's own; what this project adds is the
generator that draws the next batch in a thread. Beside it stands the same `fit` of the
same model on the same batches, drawn before and held: neither noise nor order costs it
anything. On torch both take the project's steps, so that the ratio is what the noise
costs there; once with numba's help, where it is installed, and once without.

Both take turns in one process. Two processes that are alike differ by 3 %, by where
they lie in memory, which is more than what the noise costs. An epoch's first batches
are drawn at the end of the epoch before, as they are where that is validated.
"""

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from benchmarks.alternate import compare_within
from benchmarks.generator import ByNumPy
from benchmarks.training import BATCH, compiled, drawn, own_threads, timed
from keras_dae.models.architectures import DAESpec, paper_specs
from keras_dae.system import backend

# By depth: what an epoch starts with weighs little only where it is long.
STEPS = {1: 960, 3: 200, 5: 104}


def drawn_and_held(
    spec: DAESpec, steps: int, batch_size: int, by_numpy: bool = False
) -> Callable[[], float]:
    """Return a call of `fit`, on drawn and on held pairs in turn: milliseconds a step.

    With `by_numpy` NumPy draws the noise, also where numba is there.
    """
    import keras
    import numpy as np

    from keras_dae.images.noise import Gaussian

    model, at_once = compiled(spec, batch_size)
    pairs = drawn(ByNumPy() if by_numpy else Gaussian(), steps, batch_size, at_once)
    held = [tuple(map(np.asarray, pairs[number])) for number in range(len(pairs))]

    class Held(keras.utils.PyDataset):
        def __len__(self) -> int:
            return len(held)

        def __getitem__(self, number: int) -> Any:
            return held[number]

    turns = itertools.cycle(timed(model, data, steps) for data in (pairs, Held()))
    return lambda: next(turns)()


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


def rows() -> list[dict[str, Any]]:
    """Compare the two on each backend that is installed, at 8x8."""
    found = []
    for name in ("torch", "jax", "tensorflow"):
        if find_spec(backend.BACKENDS[name]) is None:
            continue
        with _chosen(name):
            for spec in paper_specs():
                if spec.latent_shape[0] == 8 and (spec.depth < 5 or name == "torch"):
                    found += _compared(name, spec)
    return found


def _compared(name: str, spec: DAESpec) -> list[dict[str, Any]]:
    """Return the rows of one model: with numba's help on torch also without."""
    title = f"{spec.name} on {name}"
    ways = {title: False}
    if name == "torch" and find_spec("numba") is not None:
        ways[f"{title}, without numba"] = True
    arguments = {"spec": spec, "steps": STEPS[spec.depth], "batch_size": BATCH}
    return [
        compare_within(
            *("backends", title, drawn_and_held),
            arguments={**arguments, "by_numpy": by_numpy},
            threads=own_threads(spec),
            rounds=4,
            starts=3 if name == "torch" and not by_numpy else 1,
        )
        for title, by_numpy in ways.items()
    ]
