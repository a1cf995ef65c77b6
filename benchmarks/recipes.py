"""What `configs/fast.toml` rests on: each of its choices, and what it was chosen over.

    python -m benchmarks.recipes --data-dir DIR

Trains the model of each row of `VARIANTS` on the full MNIST by the recipe with a few
keys changed, one thread, and writes the last validation MSE of each seed (the recipe's
2,000 images) to `recipes.json`. Rows that are there are not measured again.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

from rich.console import Console
from rich.table import Table

from keras_dae.images.datasets import load
from keras_dae.system import backend
from keras_dae.system.storage import read_json, write_json
from keras_dae.training.config import make_config, read_toml

HERE = Path(__file__).parent
OUT = HERE / "recipes.json"
RECIPE = HERE.parent / "configs" / "fast.toml"
ADAM = {"optimizer": "adam", "bias_lr_ratio": 1, "latent_bias": None}
Variant = tuple[int, int, str, dict[str, Any], range]

# Depth, latent, what is changed, the keys, seeds.
VARIANTS: list[Variant] = [
    (1, 13, "nothing", {}, range(3)),
    (1, 13, "Adam, rate 0.15", {**ADAM, "learning_rate": 0.15}, range(3)),
    (1, 13, "the latent's bias 0.5", {"latent_bias": 0.5}, range(3)),
    (1, 13, "biases at the kernels' rate", {"bias_lr_ratio": 1}, range(3)),
    (1, 5, "nothing", {}, range(3)),
    (1, 5, "Adam, rate 0.1", {**ADAM, "learning_rate": 0.1}, range(3)),
    (1, 5, "kernels' rate 0.05", {"learning_rate": 0.05, "bias_lr_ratio": 3}, range(3)),
    (5, 8, "nothing", {}, range(1)),
    (5, 8, "a cosine", {"schedule": "cosine"}, range(1)),
]


def measure(variant: Variant, splits: Any) -> dict[str, Any]:
    """Return the row of one variant, all its seeds trained."""
    from keras_dae.training.fitting import fit

    depth, latent, about, changes, seeds = variant
    errors = []
    for seed in seeds:
        shape = {"depth": depth, "latent": latent, "seed": seed}
        config = make_config(read_toml(RECIPE), shape, changes)
        with tempfile.TemporaryDirectory() as folder:
            errors.append(fit(config, splits, Path(folder)).history()["val_loss"][-1])
    return {
        **{"model": f"DAE_{depth}_{latent}", "changed": about, "keys": changes},
        **{"recipe": config.model_dump(mode="json"), "val_mse": errors},
    }


def table(rows: list[dict[str, Any]]) -> Table:
    """Return the rows as a table."""
    shown = Table(title="fast.toml and what it was chosen over: validation MSE")
    for column in ("model", "changed", "mean", "seeds"):
        shown.add_column(column, justify="right" if column == "mean" else "left")
    for row in rows:
        each = " ".join(f"{error:.5f}" for error in row["val_mse"])
        shown.add_row(row["model"], row["changed"], f"{mean(row['val_mse']):.5f}", each)
    return shown


def main() -> None:
    """Measure what is missing, write the file after each row, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path)
    options = parser.parse_args()
    backend.select("cpu", 1)
    splits = load("mnist", options.data_dir)
    kept = read_json(OUT)["rows"] if OUT.exists() else []
    rows = {(row["model"], row["changed"]): row for row in kept}
    about = {"hardware": f"{backend.hardware()}, 1 thread", "schema": 1}
    for variant in VARIANTS:
        key = f"DAE_{variant[0]}_{variant[1]}", variant[2]
        if key not in rows:
            rows[key] = measure(variant, splits)
            write_json(
                OUT,
                {**about, "versions": backend.versions(), "rows": list(rows.values())},
            )
    Console().print(table(list(rows.values())))


if __name__ == "__main__":
    main()
