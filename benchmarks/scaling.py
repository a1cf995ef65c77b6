"""How the cost of training grows with four things, and the slopes."""

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_dae.models.architectures import plan
from keras_dae.system import backend

REPEATS = 3
BATCHES = (16, 32, 64, 128, 256)
DEPTHS = (2, 3, 4, 6, 8)
SIZES = (14, 28, 56, 112)
COUNTS = (500, 1_000, 2_000, 4_000)


def _seconds(depth: int, size: int, batch_size: int, images: int) -> float:
    """Return the least seconds that an epoch took: others may share the cores."""
    import time

    import keras

    from benchmarks.training import digits
    from keras_dae.images.noise import Gaussian
    from keras_dae.images.pairs import NoisyCleanPairs
    from keras_dae.models.builders import build
    from keras_dae.training.loop import use_fast_steps

    tiles = -(-size // 28)
    pixels = np.tile(digits(images), (1, tiles, tiles, 1))[:, :size, :size]
    spec = plan(depth, (size - 4) // 2 + 1, (size, size, 1), filters=32)
    model = build(spec)
    model.compile(keras.optimizers.Adam(1e-3), loss="mse")
    use_fast_steps(model)
    pairs = NoisyCleanPairs(
        pixels, Gaussian(), batch_size=batch_size, seed=0, prefetch=True
    )
    model.fit(pairs, shuffle=False, verbose=0)
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        model.fit(pairs, shuffle=False, verbose=0)
        taken.append(time.perf_counter() - began)
    return min(taken)


# What grows -> its values, and the seconds of an epoch and its images at one of them.
GROWTHS: dict[str, tuple[tuple[int, ...], Callable[[int], tuple[float, int]]]] = {
    "training images": (COUNTS, lambda n: (_seconds(3, 28, 64, n), 1)),
    "image side": (SIZES, lambda n: (_seconds(3, n, 32, 320), 320)),
    "depth": (DEPTHS, lambda n: (_seconds(n, 28, 64, 640), 640)),
    "batch size": (BATCHES, lambda n: (_seconds(1, 28, n, 10_240), 10_240)),
}


def rows() -> list[dict[str, Any]]:
    """Return what was measured and, for each thing that grows, the slope in log-log."""
    backend.select("auto", backend.available_cores())
    found = []
    for grows, (values, measure) in GROWTHS.items():
        costs = []
        for value in values:
            seconds, images = measure(value)
            costs.append(1000 * seconds / images)
        slope = float(np.polyfit(np.log(values), np.log(costs), 1)[0])
        found.append(
            {
                "bench": "scaling",
                "model": grows,
                "values": list(values),
                "milliseconds": costs,
                "per": "epoch" if grows == "training images" else "image",
                "slope": slope,
            }
        )
    return found


def figure(rows: list[dict[str, Any]]) -> Any:
    """Return the figure of these rows: one panel for each thing that grows."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(11, 3.2), layout="constrained")
    drawn.suptitle("How the cost of training grows, in log-log", fontsize=11)
    for axis, row in zip(drawn.subplots(1, len(rows)), rows, strict=True):
        axis.loglog(row["values"], row["milliseconds"], "o-", color="#0072B2")
        axis.set_xticks(row["values"], [f"{value:,}" for value in row["values"]])
        cost = row["milliseconds"]
        axis.set_yticks(cost, [f"{value:.3g}" for value in cost])
        axis.minorticks_off()
        axis.set_xlabel(row["model"])
        axis.set_ylabel(f"ms an {row['per']}")
        axis.set_title(f"slope {row['slope']:.2f}", fontsize=10)
        axis.grid(alpha=0.3)
    return drawn
