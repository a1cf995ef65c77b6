"""Validation loss after the first of 15 epochs, each of the nine, seeds 0 to 4.

    python benchmarks/first_epoch.py --data-dir DIR --study artifacts/paper

Takes what the study's runs hold and trains one epoch of what is missing; the runs
stay where they are and can be resumed. An all-black answer scores 0.112 here: a model
that has fallen onto that plateau is seen at once.
"""

import argparse
from pathlib import Path

from keras_dae import backend
from keras_dae.images.datasets import load
from keras_dae.models.architectures import paper_specs
from keras_dae.storage import write_json
from keras_dae.training.config import make_config, read_toml
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


def main() -> None:
    """Fill in what is missing and write `first_epoch.json` into the study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--study", type=Path, required=True)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    backend.select("auto", options.threads)
    splits = load("mnist", options.data_dir)
    recipe = read_toml(ROOT / "configs" / "paper.toml")
    rows = []
    for seed in SEEDS:
        for spec in paper_specs():
            from keras_dae.training.fitting import fit

            latent = spec.latent_shape[0]
            values = {"depth": spec.depth, "latent": latent, "seed": seed}
            config = make_config(recipe, values)
            folder = RunFolder(options.study / "runs" / run_name(config, "mnist"))
            if not (folder.config_path.exists() and folder.history()["loss"]):
                try:
                    progress = FirstEpoch(
                        spec.name, epochs=15, images=48_000, quiet=True
                    )
                    fit(
                        config,
                        splits,
                        folder.path.parent,
                        resume=True,
                        progress=progress,
                    )
                except EnoughError:
                    pass
            val_loss = folder.history()["val_loss"][0]
            rows.append({"name": spec.name, "seed": seed, "val_loss": val_loss})
            print(rows[-1], flush=True)
    write_json(
        options.study / "first_epoch.json",
        {"dataset": splits.describe(), "rows": rows},
    )


if __name__ == "__main__":
    main()
