"""Estimate the lowest possible error from networks that differ in their seed.

    python -m benchmarks.ceiling RUN... --out artifacts/paper/ceiling.json

RUN are finished run folders with the same data and noise, at least two seeds of each
model. The error of the mean of n outputs is the mean error of the networks minus what
they differ (A. Krogh and J. Vedelsby, "Neural Network Ensembles, Cross Validation, and
Active Learning", 1995): with e the mean squared error of one network, and d the mean
squared difference between two, it is e - (n - 1) / n * d / 2. With ever more seeds it
approaches e - d / 2. No denoiser has a lower error than the posterior mean, so this
limit is an estimate of an upper bound for the lowest possible error.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.errors import check
from keras_dae.evaluation.engines import model_denoiser
from keras_dae.evaluation.metrics import mse
from keras_dae.evaluation.scoring import TEST_DRAWS, TestBench
from keras_dae.images.datasets import load
from keras_dae.models.files import load as load_model
from keras_dae.system import backend
from keras_dae.system.storage import write_json
from keras_dae.training.records import check_data
from keras_dae.training.runs import RunFolder, find_all, model_name


@dataclass(frozen=True)
class Pairwise:
    """Errors of networks and differences between them, for each image.

    Attributes:
        names: the model of each network; the seeds of one model share it.
        errors: mean squared error of each network, shape (networks, images).
        gaps: mean squared difference between the outputs of two networks, shape
            (networks, networks, images).
    """

    names: list[str]
    errors: np.ndarray
    gaps: np.ndarray

    def of(self, *models: str) -> list[int]:
        """Return the numbers of the networks of these models."""
        return [at for at, name in enumerate(self.names) if name in models]

    def mean_error(self, members: Sequence[int]) -> np.ndarray:
        """Return the error of the mean output of these networks, for each image."""
        apart = sum(self.gaps[pair] for pair in combinations(members, 2))
        error: np.ndarray = (
            self.errors[members].mean(axis=0) - apart / len(members) ** 2
        )
        return error

    def limit(self, *models: str) -> np.ndarray:
        """Return the estimated error of the mean of infinitely many networks.

        Each model has the same share in the mean. An image's value can be negative;
        only the mean over images is an estimate.
        """
        within = {one: self._gap(combinations(self.of(one), 2)) for one in models}
        alone = [self.errors[self.of(one)].mean(0) - within[one] / 2 for one in models]
        apart = sum(
            self._gap(product(self.of(one), self.of(other)))
            - (within[one] + within[other]) / 2
            for one, other in combinations(models, 2)
        )
        limit: np.ndarray = np.mean(alone, axis=0) - apart / len(models) ** 2
        return limit

    def _gap(self, pairs: Any) -> np.ndarray:
        gap: np.ndarray = np.mean([self.gaps[pair] for pair in pairs], axis=0)
        return gap


def measure(bench: TestBench, networks: dict[RunFolder, str]) -> Pairwise:
    """Return errors and differences on the test images, averaged over the draws."""
    denoisers = [model_denoiser(load_model(one.model_path)) for one in networks]
    count, images = len(denoisers), len(bench.splits.test)
    errors, gaps = np.zeros((count, images)), np.zeros((count, count, images))
    for draw in range(bench.draws):
        start = 0
        for noisy, clean in bench.batches(draw=draw):
            outputs = [np.asarray(denoise(noisy)) for denoise in denoisers]
            rows = slice(start, start := start + len(noisy))
            for one, output in enumerate(outputs):
                errors[one, rows] += mse(clean, output) / bench.draws
                for other in range(one):
                    gap = mse(outputs[other], output) / bench.draws
                    gaps[one, other, rows] += gap
                    gaps[other, one, rows] += gap
    return Pairwise(list(networks.values()), errors, gaps)


def report(found: Pairwise) -> dict[str, Any]:
    """Return errors of networks, of means and of limits; errors are over images."""
    models = list(dict.fromkeys(found.names))
    groups = [[one] for one in models] + ([models] if len(models) > 1 else [])
    means, limits = [], []
    for group in groups:
        members = found.of(*group)
        about = {"models": group, "networks": len(members)}
        means.append({**about, **_summary(found.mean_error(members))})
        limits.append({**about, **_summary(found.limit(*group))})
    return {
        "networks": [
            {"model": name, **_summary(errors)}
            for name, errors in zip(found.names, found.errors, strict=True)
        ],
        "means": means,
        "limits": limits,
    }


def _summary(values: np.ndarray) -> dict[str, float]:
    error = values.std(ddof=1) / len(values) ** 0.5
    return {"mse": float(values.mean()), "standard_error": float(error)}


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    backend.select("cpu", None)
    networks = {one: model_name(one.config()) for one in find_all(given.runs)}
    names = list(networks.values())
    check(
        min(map(names.count, names)) > 1,
        "Each model needs at least two seeds.",
        runs=", ".join(names),
    )
    first = next(iter(networks)).config()
    check(
        len({(r.config().make_noise(), r.config().data_seed) for r in networks}) == 1,
        "All models need the same noise and data seed.",
        runs=", ".join(names),
    )
    splits = load(first.data, given.data_dir, first.data_seed, cut=first.make_cut())
    for folder in networks:
        check_data(folder, splits)
    noise = first.make_noise()
    bench = TestBench(splits, noise, first.data_seed, draws=TEST_DRAWS)
    found = report(measure(bench, networks))
    for row, folder in zip(found["networks"], networks, strict=True):
        config = folder.config()
        row |= {"seed": config.seed, "epochs": config.epochs}
        row["validation"] = folder.history()["val_loss"][-1]
    record = {
        "dataset": splits.describe(),
        "noise": bench.describe_noise(),
        "draws": bench.draws,
        "hardware": backend.hardware(),
        "backend": backend.versions(),
        **found,
    }
    write_json(given.out, record)
    for kind in ("means", "limits"):
        for row in record[kind]:
            print(
                f"{kind}: {' and '.join(row['models'])}, {row['networks']} networks: "
                f"{row['mse']:.5f} ± {row['standard_error']:.5f}"
            )


if __name__ == "__main__":
    main()
