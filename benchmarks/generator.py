"""How fast noisy and clean pairs are drawn, beside NumPy drawing the noise alone.

    python benchmarks/generator.py --rounds 200 --out generator.json

Both sides give batches of 128 images of 28x28 on one core. Ours are whole training
batches of `NoisyCleanPairs` (prefetch off): rows taken in drawn order, normalised,
noise drawn, scaled, added and clipped; once by compiled code, where numba is installed,
and once by NumPy, to the same numbers. The peer, `np.random.default_rng`, draws as
many float32 standard normals into fresh arrays and does nothing with them, so that a
ratio of 1 would mean that all else is free. The two take turns in short rounds, and
time is the processor's, so that other work on the machine slows both alike.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.images.drawing import compiled
from keras_dae.images.noise import Gaussian, Noise
from keras_dae.images.pairs import NoisyCleanPairs
from keras_dae.system.storage import write_text

IMAGES, BATCH, BATCHES = 48_000, 128, 20
SHAPE = (BATCH, 28, 28, 1)
Row = dict[str, Any]


class ByNumPy(Gaussian):
    """The same noise, which NumPy draws: compiled code takes `Gaussian` alone."""


def seconds(draw: Callable[[int], Any], round_: int) -> float:
    """Return the processor's time for the batches of one round."""
    began = time.process_time()
    for batch in range(round_ * BATCHES, (round_ + 1) * BATCHES):
        draw(batch)
    return time.process_time() - began


def measure(rounds: int = 200) -> list[Row]:
    """Return a row for each way: images/s of both sides (medians) and their ratio.

    `low` and `high` are the quartiles of the ratio over the rounds.
    """
    drawn = np.random.default_rng(0)
    images = drawn.integers(0, 256, (IMAGES, *SHAPE[1:]), dtype=np.uint8)
    rows = [_measured("NumPy alone", ByNumPy(), images, rounds)]
    if compiled(Gaussian(), images) is not None:
        rows.insert(0, _measured("compiled", Gaussian(), images, rounds))
    return rows


def _measured(way: str, noise: Noise, images: np.ndarray, rounds: int) -> Row:
    pairs = NoisyCleanPairs(images, noise, batch_size=BATCH, seed=0)
    whole = IMAGES // BATCH
    rng = np.random.default_rng(0)
    sides: list[Callable[[int], Any]] = [
        lambda batch: pairs[batch % whole],
        lambda batch: rng.standard_normal(SHAPE, dtype=np.float32),
    ]
    spent = np.empty((rounds, 2))
    for side in (0, 1):
        seconds(sides[side], 0)  # to warm up
    for round_ in range(rounds):
        # Each goes first in turn.
        for side in (0, 1) if round_ % 2 else (1, 0):
            spent[round_, side] = seconds(sides[side], round_)
    ours, peer = BATCHES * BATCH / np.median(spent, axis=0)
    low, ratio, high = np.quantile(spent[:, 1] / spent[:, 0], [0.25, 0.5, 0.75])
    return {
        "bench": "generator",
        "model": f"gaussian, {way}",
        "ours": float(ours),
        "peer": float(peer),
        "ratio": float(ratio),
        "low": float(low),
        "high": float(high),
    }


def main() -> None:
    """Measure, print, and write the rows where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    text = json.dumps(measure(options.rounds), indent=1) + "\n"
    print(text, end="")
    if options.out is not None:
        write_text(options.out, text)


if __name__ == "__main__":
    main()
