"""Measure runs with classifiers, with figures and report."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.errors import UsageError
from keras_dae.evaluation.scoring import finished_epochs
from keras_dae.images.datasets import load
from keras_dae.study.classification import figures as reading
from keras_dae.study.classification.bench import ClassificationBench
from keras_dae.study.classification.measure import TRAINED_ON
from keras_dae.study.classification.measure import classify as measure_reading
from keras_dae.study.common import candidates, trained
from keras_dae.study.common.candidates import Candidate
from keras_dae.study.common.progress import Progress, quiet
from keras_dae.study.common.store import Store
from keras_dae.study.report.publish import publish
from keras_dae.training.patience import saved_epoch
from keras_dae.training.runs import RunFolder


def classify(
    folders: Iterable[RunFolder],
    out: Path,
    data_dir: Path | None = None,
    *,
    trained_on: Iterable[str] = TRAINED_ON,
    filters: Iterable[str] | None = None,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Measure runs with classifiers; write `classification.json` and figures.

    Args:
        folders: runs with the same data set and noise.
        out: folder of the study.
        data_dir: folder with the files of the data sets.
        trained_on: training images of classifiers: 'clean', 'noisy', 'denoised'.
        filters: rows of `FILTERS` to measure too; None uses all.
        progress: called with a description and the fraction done.

    Raises:
        UsageError: the runs differ in data set or noise, or a filter is unknown.
        KerasDAEError: the data set has no labels, or no run is finished.
    """
    folders = list(folders)
    data, config = trained.one_setting(folders)
    noises = {folder.config().make_noise() for folder in folders}
    if len(noises) > 1:
        raise UsageError(
            "Recovered accuracy needs a single noise. Give runs with the same noise. "
            f"Received: runs of {len(noises)} noises."
        )
    splits = load(data, data_dir, config.data_seed, cut=config.make_cut())
    models = trained.runs(folders, splits)
    noise, seed = config.make_noise(), config.data_seed
    steps = max(_steps(one) for one in folders if one.model_path.exists())
    with Store.opened(out) as store:
        bench = ClassificationBench(splits, noise, seed, store, progress, steps)
        others = [
            *candidates.floors(bench.bench),
            *candidates.filters(bench.bench, store, names=filters),
        ]
        others = candidates.quick(others)
        results = measure_reading(bench, models, others, trained_on=trained_on)
    drawn = {
        "classification-accuracy": reading.accuracies(results),
        "classification-sigma": reading.curves(results),
        "classification-confusions": reading.confusions(results),
    }
    blocks = _worst(bench, trained.best_of_each(models), results)
    if blocks:
        drawn["classification-worst"] = reading.worst(blocks)
    return publish(out, "classification", results, drawn)


def _steps(folder: RunFolder) -> int:
    """Return the training steps of a run, up to the saved weights."""
    config, losses = folder.config(), finished_epochs(folder)["val_loss"]
    images = int(folder.record()["dataset"]["train"])
    return (1 + saved_epoch(config, losses)) * config.epoch_steps(images)


def _worst(
    bench: ClassificationBench, models: list[Candidate], results: dict[str, Any]
) -> list[reading.Misread]:
    """Return the worst cases of the models with the fewest and the most errors."""
    of = {row["name"]: row for row in results["confusions"] if row["worst"]}
    order = sorted(
        (one for one in models if one.name in of),
        key=lambda one: of[one.name]["misread"],
    )
    blocks = []
    for one in dict.fromkeys(order[index].name for index in (0, -1) if order):
        model = next(other for other in order if other.name == one)
        cases = of[one]["worst"]
        shown = np.array([case["image"] for case in cases])
        names = results["classes"]
        words = [
            f"{names[case['true']]}, read as {names[case['read']]}" for case in cases
        ]
        noisy, clean = bench.bench.take(shown)
        blocks.append(reading.Misread(one, clean, noisy, model.denoise(noisy), words))
    return blocks
