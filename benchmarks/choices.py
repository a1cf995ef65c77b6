"""Measure, on the validation split, what the paper leaves open.

    python benchmarks/choices.py --data-dir DIR --out artifacts/paper/choices.json

Two tables, each row measured on 12,000 training and 4,000 validation images of MNIST
with the recipe of `configs/paper.toml` cut to `EPOCHS` epochs:

- geometry: other kernels, schedules and widths for the nine;
- start: what happens to the latent maps without each measure of the starting weights.

Rows that the output file already holds are not measured again. A Markdown page of the
same name is written beside it.
"""

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keras_dae.images.datasets import Splits, load
from keras_dae.models.architectures import Conv, DAESpec, plan
from keras_dae.system import backend
from keras_dae.system.storage import read_json, write_json, write_text
from keras_dae.training.config import RunConfig, make_config, read_toml

TRAIN, VALIDATION = 12_000, 4_000
EPOCHS, START_EPOCHS, START_SEEDS = 4, 1, range(3)
ROOT = Path(__file__).parents[1]


def same(filters: int, count: int) -> tuple[Conv, ...]:
    """Return `count` 3x3 convolutions that keep the size."""
    return (Conv(filters, 3, 1, "same"),) * count


def spec(*layers: Conv) -> DAESpec:
    """Return the architecture of these convolutions; the last one gives 4 maps."""
    return DAESpec(28, 1, (*layers[:-1], replace(layers[-1], filters=4)))


# (what is compared, candidate, architecture)
GEOMETRIES: list[tuple[str, str, DAESpec]] = [
    ("DAE_1_13", "4x4/2", spec(Conv(4, 4, 2))),
    ("DAE_1_13", "16x16/1", spec(Conv(4, 16, 1))),
    ("DAE_1_8", "7x7/3", spec(Conv(4, 7, 3))),
    ("DAE_1_8", "14x14/2", spec(Conv(4, 14, 2))),
    ("DAE_1_5", "8x8/5", spec(Conv(4, 8, 5))),
    ("DAE_1_5", "12x12/4", spec(Conv(4, 12, 4))),
    ("DAE_1_5", "16x16/3", spec(Conv(4, 16, 3))),
    ("DAE_3_8", "7x7/3, 48 filters", plan(3, 8, filters=48)),
    (
        "DAE_3_8",
        "4x4/2, 6x6, 32 filters",
        spec(Conv(32, 4, 2), Conv(32, 6), *same(32, 1)),
    ),
    ("DAE_3_5", "4x4/2, 5x5/2, 32 filters", plan(3, 5, filters=32)),
    ("DAE_3_5", "12x12/4, 32 filters", spec(Conv(32, 12, 4), *same(32, 2))),
    ("DAE_5_5", "reduce first, 48 filters", plan(5, 5, filters=48)),
    (
        "DAE_5_5",
        "a 3x3 between the reductions, 48 filters",
        spec(Conv(48, 4, 2), *same(48, 1), Conv(48, 5, 2), *same(48, 2)),
    ),
]


@dataclass(frozen=True)
class Start:
    """A start of the weights, as departures from the one that `build` gives."""

    about: str
    centred: bool = True
    output_scale: float = 1.0
    output_bias: float | None = None
    warmup: bool = True


STARTS = [
    Start("as built"),
    Start("kernels not centred", centred=False),
    Start("no warm-up", warmup=False),
    Start("last kernel at He's scale", output_scale=10.0),
    Start("output bias 0", output_bias=0.0),
    Start(
        "none of these",
        centred=False,
        output_scale=10.0,
        output_bias=0.0,
        warmup=False,
    ),
]


def cut(splits: Splits) -> Splits:
    """Return the first images of each split."""
    return replace(
        splits, train=splits.train[:TRAIN], validation=splits.validation[:VALIDATION]
    )


def centred_axis(kernel: Any) -> int:
    """Return the axis of a centred kernel that holds its input channels."""
    return min((2, 3), key=lambda axis: abs(kernel.mean(axis=(0, 1, axis))).max())


def fit_once(
    architecture: DAESpec, config: RunConfig, splits: Splits, start: Start
) -> dict[str, Any]:
    """Train once; return validation MSE, seconds and how alive the latent maps are."""
    import numpy as np

    from keras_dae.images.pairs import EpochClock, NoisyCleanPairs
    from keras_dae.models.builders import build, encoder
    from keras_dae.training.feeding import validation_arrays
    from keras_dae.training.fitting import mean_bias
    from keras_dae.training.loop import use_fast_steps
    from keras_dae.training.optimizers import make_optimizer

    pairs = NoisyCleanPairs(
        splits.train,
        config.make_noise(),
        batch_size=config.batch_size,
        seed=config.seed,
    )
    bias = mean_bias(splits) if start.output_bias is None else start.output_bias
    model = build(architecture, seed=config.seed, output_bias=bias)
    weights = model.get_weights()
    if not start.centred:
        rng = np.random.default_rng([config.seed, 1])
        for kernel in weights[:-2:2]:
            # A Gaussian kernel's mean over what an output channel sees is independent
            # of the rest: adding it back gives a kernel that was never centred.
            axis = centred_axis(kernel)
            means = kernel.mean(axis=(0, 1, axis), keepdims=True)
            spread = kernel.std() / np.sqrt(kernel.size / means.size)
            kernel += rng.normal(0, spread, means.shape).astype("float32")
    weights[-2] *= np.float32(start.output_scale)
    model.set_weights(weights)
    model.compile(optimizer=make_optimizer(config, len(pairs)), loss="mse")
    use_fast_steps(model)
    noisy, clean = validation_arrays(config, splits)
    began = time.perf_counter()
    history = model.fit(
        pairs,
        epochs=config.epochs,
        shuffle=False,
        verbose=0,
        callbacks=[EpochClock(pairs)],
    ).history
    seconds = time.perf_counter() - began
    maps = np.asarray(encoder(model).predict(noisy[:1000], verbose=0))
    alive = (maps > 0).mean(axis=(0, 1, 2))
    return {
        "seed": config.seed,
        "val_mse": float(model.evaluate(noisy, clean, batch_size=1000, verbose=0)),
        "loss": float(history["loss"][-1]),
        "seconds": round(seconds, 1),
        "latent_maps_active": [round(float(share), 4) for share in alive],
    }


PAGE = """# What the paper leaves open, measured

The paper fixes depth, latent shape, activations, loss, optimiser and epochs; kernels,
strides, widths and the start of the weights are open. The nine of this project follow
three rules: a reducing convolution's kernel is at least twice its stride, so that each
pixel is seen and drawn from two positions an axis; reductions come first, with as few
convolutions as strides up to 3 allow, since work at the latent's size is cheap; the
rest are 3x3. Widths bring the models of depth 3, and of depth 5, within a factor of 1.8
in parameters. At each depth the largest latent has the fewest parameters, so that
the number of parameters cannot be why it wins.

The tables are of the validation split, {train:,} training and {validation:,} validation
images of MNIST, sigma 0.5 clipped, by `python benchmarks/choices.py` ({hardware}). The
test images are not touched. Short runs rank candidates; their errors are above those of
the full study.

## Geometry ({epochs} epochs, seed 0)

| model | candidate | parameters | multiply-adds | validation MSE | seconds |
|---|---|---|---|---|---|
{geometry}

## The start of the weights (DAE_3_5, {start_epochs} epoch, seeds 0 to 2)

A latent map that is active on no pixel of 1,000 noisy images is dead, and a latent of
100 values has lost 25 of them for good. Each row leaves out one measure of the start
that `build` gives: kernels centred over what they see, a warm-up of the learning rate,
a last kernel at a tenth of He's scale, an output bias at logit(mean pixel).

| start | dead maps of 12 | active on under 5 % | validation MSE, worst seed |
|---|---|---|---|
{start}
"""


def page(found: dict[str, Any]) -> str:
    """Return both tables as Markdown."""
    geometry = [
        f"| {row['model']} | {row['candidate']} | {row['parameters']:,} | "
        f"{row['macs']:,} | {row['val_mse']:.5f} | {row['seconds']:.0f} |"
        for row in found["geometry"]
    ]
    start = []
    for name in dict.fromkeys(row["start"] for row in found["start"]):
        rows = [row for row in found["start"] if row["start"] == name]
        active = [share for row in rows for share in row["latent_maps_active"]]
        start.append(
            f"| {name} | {sum(share == 0 for share in active)} | "
            f"{sum(share < 0.05 for share in active)} | "
            f"{max(row['val_mse'] for row in rows):.5f} |"
        )
    return PAGE.format(
        train=found["dataset"]["train"],
        validation=found["dataset"]["validation"],
        hardware=found["hardware"],
        epochs=found["epochs"]["geometry"],
        start_epochs=found["epochs"]["start"],
        geometry="\n".join(geometry),
        start="\n".join(start),
    )


def main() -> None:
    """Measure what is missing and write the file after each row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    backend.select("cpu", 1)
    splits = cut(load("mnist", options.data_dir))
    recipe = read_toml(ROOT / "configs" / "paper.toml")
    found = read_json(options.out) if options.out.exists() else {}
    rows = {
        "geometry": list(found.get("geometry", [])),
        "start": list(found.get("start", [])),
    }

    def keep(table: str, row: dict[str, Any]) -> None:
        rows[table].append(row)
        print(table, row, flush=True)
        found = {
            "dataset": splits.describe(),
            "epochs": {"geometry": EPOCHS, "start": START_EPOCHS},
            "hardware": f"{backend.hardware()}, 1 thread",
            **rows,
        }
        write_json(options.out, found)
        write_text(options.out.with_suffix(".md"), page(found))

    done = {(row["model"], row["candidate"]) for row in rows["geometry"]}
    for model, candidate, architecture in GEOMETRIES:
        if (model, candidate) in done:
            continue
        config = make_config(recipe, {"depth": architecture.depth, "epochs": EPOCHS})
        measured = fit_once(architecture, config, splits, STARTS[0])
        sizes = {"parameters": architecture.parameters, "macs": architecture.macs}
        keep("geometry", {"model": model, "candidate": candidate, **sizes, **measured})
    done = {(row["start"], row["seed"]) for row in rows["start"]}
    for start in STARTS:
        for seed in START_SEEDS:
            if (start.about, seed) in done:
                continue
            changes = {"depth": 3, "latent": 5, "epochs": START_EPOCHS, "seed": seed}
            config = make_config(
                recipe, changes, {} if start.warmup else {"warmup_steps": 0}
            )
            measured = fit_once(plan(3, 5), config, splits, start)
            keep("start", {"start": start.about, "model": "DAE_3_5", **measured})


if __name__ == "__main__":
    main()
