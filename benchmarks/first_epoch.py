"""Validation loss after the first of 15 epochs, each of the nine, seeds 0 to 4.

    python benchmarks/first_epoch.py --data-dir DIR --study artifacts/paper

Takes what the study's runs hold and trains one epoch of what is missing, into `--runs`.
An all-black answer scores 0.112 here: a model
that has fallen onto that plateau is seen at once.
"""

import argparse
from contextlib import suppress
from pathlib import Path

from keras_dae.images.datasets import Splits, load
from keras_dae.models.architectures import paper_specs
from keras_dae.system import backend
from keras_dae.system.storage import write_json
from keras_dae.training.config import RunConfig, make_config, read_toml
from keras_dae.training.progress import FitProgress
from keras_dae.training.runs import RunFolder, run_name

ROOT = Path(__file__).parents[1]
SEEDS = range(5)


class EnoughError(Exception):
    """The first epoch is over."""


class FirstEpoch(FitProgress):
    """End a training after its first epoch; what it wrote stays."""

    def epoch(self, number: int, entry: dict[str, float]) -> None:
        """Stop the training."""
        raise EnoughError


def first_epoch(config: RunConfig, splits: Splits, places: list[Path]) -> float:
    """Return the validation loss after epoch 1; trains it in the last of `places`."""
    from keras_dae.training.fitting import fit

    for place in places:
        folder = RunFolder(place / run_name(config, splits.name))
        if folder.config_path.exists() and folder.history()["loss"]:
            return folder.history()["val_loss"][0]
    progress = FirstEpoch("", epochs=config.epochs, images=1, quiet=True)
    with suppress(EnoughError):
        fit(config, splits, places[-1], resume=True, progress=progress)
    return folder.history()["val_loss"][0]


def main() -> None:
    """Fill in what is missing and write `first_epoch.json` into the study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--study", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("artifacts/runs"))
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    backend.select("auto", options.threads)
    splits = load("mnist", options.data_dir)
    recipe = read_toml(ROOT / "configs" / "paper.toml")
    places = [options.study / "runs", options.runs]
    rows = []
    for seed in SEEDS:
        for spec in paper_specs():
            model = {"depth": spec.depth, "latent": spec.latent_shape[0], "seed": seed}
            config = make_config(recipe, model)
            val_loss = first_epoch(config, splits, places)
            rows.append({"name": spec.name, "seed": seed, "val_loss": val_loss})
            print(rows[-1], flush=True)
    write_json(
        options.study / "first_epoch.json",
        {
            "dataset": splits.describe(),
            "epochs": make_config(recipe).epochs,
            "hardware": backend.hardware(),
            "rows": rows,
        },
    )


if __name__ == "__main__":
    main()
