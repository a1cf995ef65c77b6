"""Choose, on the validation split, what the balanced families leave open.

    python -m benchmarks.families --data-dir DIR --out artifacts/paper/families.json

Two tables, on 12,000 training and 4,000 validation images of MNIST, with the recipe of
`configs/paper.toml` cut to a few epochs:

- order: whether the two reducing convolutions towards 5x5 stand together or apart;
- start: how many latent maps die for each starting bias of the latent.

The test images are not loaded. Rows that the file holds are not measured again.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.choices import cut
from keras_dae.images.datasets import Splits, load
from keras_dae.models.architectures import Conv, DAESpec
from keras_dae.models.families import (
    BALANCED_FIELD,
    BALANCED_MACS,
    BALANCED_PARAMETERS,
    KERNELS,
    plan_family,
    with_widths,
)
from keras_dae.system import backend
from keras_dae.system.storage import read_json, write_json
from keras_dae.training.config import RunConfig, make_config, read_toml

ROOT = Path(__file__).parents[1]
FAMILY_TARGETS = {
    "equal-parameters": ("parameters", BALANCED_PARAMETERS),
    "equal-macs": ("macs", BALANCED_MACS),
}
ORDER_SEEDS, ORDER_EPOCHS = range(3), 4
BIASES, BIAS_SEEDS, BIAS_EPOCHS = (0.0, 0.5, 1.0), range(8), 1
ACTIVE_IMAGES = 1000


def apart(depth: int, family: str) -> DAESpec:
    """Return the 5x5 member whose remaining convolutions stand at both resolutions.

    The first of them follow the first reduction, one more than follow the second.
    Kernels and widths follow the rule of `plan_balanced`.
    """
    free = depth - 2
    early = free - free // 2
    members = []
    for kernel in KERNELS:
        rows = [Conv(8, 4, 2), *[Conv(8, kernel, 1, "same")] * early]
        rows += [Conv(8, 5, 2), *[Conv(8, 3, 1, "same")] * (free - early)]
        rows[-1] = replace(rows[-1], filters=4)
        members.append(DAESpec(28, 1, tuple(rows)))
    spec = min(members, key=lambda row: abs(row.receptive_field - BALANCED_FIELD))
    attribute, target = FAMILY_TARGETS[family]
    return with_widths(spec, attribute, target)


def measure(
    spec: DAESpec, config: RunConfig, splits: Splits, latent_bias: float
) -> dict[str, Any]:
    """Train once; return the validation MSE and how active each latent map is."""
    import numpy as np

    from keras_dae.images.pairs import NoisyCleanPairs
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
    bias = mean_bias(splits)
    model = build(spec, seed=config.seed, output_bias=bias, latent_bias=latent_bias)
    model.compile(optimizer=make_optimizer(config, len(pairs)), loss="mse")
    use_fast_steps(model)
    model.fit(pairs, epochs=config.epochs, verbose=0)
    noisy, clean = validation_arrays(config, splits)
    maps = np.asarray(encoder(model).predict(noisy[:ACTIVE_IMAGES], verbose=0))
    return {
        "seed": config.seed,
        "parameters": spec.parameters,
        "macs": spec.macs,
        "receptive_field": spec.receptive_field,
        "val_mse": float(model.evaluate(noisy, clean, batch_size=1000, verbose=0)),
        "latent_maps_active": [
            round(float(share), 4) for share in (maps > 0).mean(axis=(0, 1, 2))
        ],
    }


def jobs() -> Iterator[tuple[str, dict[str, Any], DAESpec, int, int, float]]:
    """Yield (table, what names the row, architecture, seed, epochs, latent bias)."""
    for seed in ORDER_SEEDS:
        for family in FAMILY_TARGETS:
            for depth in (5, 3):
                for order, spec in (
                    ("together", plan_family(family, depth, 5, (28, 28, 1))),
                    ("apart", apart(depth, family)),
                ):
                    names = {"family": family, "depth": depth, "order": order}
                    yield "order", names, spec, seed, ORDER_EPOCHS, BIASES[1]
    for seed in BIAS_SEEDS:
        for depth in (5, 3):
            for latent in (13, 8, 5):
                spec = plan_family("equal-parameters", depth, latent, (28, 28, 1))
                for bias in BIASES:
                    names = {"model": spec.name, "latent_bias": bias}
                    yield "start", names, spec, seed, BIAS_EPOCHS, bias


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
    rows = {table: list(found.get(table, [])) for table in ("order", "start")}
    for table, names, spec, seed, epochs, bias in jobs():
        key = {**names, "seed": seed}
        if any(key.items() <= row.items() for row in rows[table]):
            continue
        config = make_config(
            recipe, {"depth": spec.depth, "epochs": epochs, "seed": seed}
        )
        rows[table].append({**names, **measure(spec, config, splits, bias)})
        print(table, rows[table][-1], flush=True)
        about = {
            "dataset": splits.describe(),
            "epochs": {"order": ORDER_EPOCHS, "start": BIAS_EPOCHS},
            "hardware": f"{backend.hardware()}, 1 thread",
        }
        write_json(options.out, {**about, **rows})


if __name__ == "__main__":
    main()
