"""Measure runs by what classifiers read; draw and publish it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.errors import UsageError
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
    """Measure runs by what classifiers read; write `classification.json` and figures.

    Args:
        folders: runs of one data set and noise.
        out: folder of the study.
        data_dir: folder of the data sets' files.
        trained_on: 'clean', 'noisy', 'denoised': what classifiers are trained on.
        filters: rows of `FILTERS` to read after; None takes all.
        progress: told what is being done.

    Raises:
        UsageError: runs of several data sets or noises, or an unknown filter.
        KerasDAEError: the data set has no labels, or no run is finished.
    """
    folders = list(folders)
    data, config = trained.one_setting(folders)
    noises = {folder.config().make_noise() for folder in folders}
    if len(noises) > 1:
        raise UsageError(
            "Accuracy recovered is of one noise; name the runs of one. Received: "
            f"runs of {len(noises)} noises."
        )
    splits = load(data, data_dir, config.data_seed, cut=config.make_cut())
    models = trained.runs(folders, splits)
    noise, seed = config.make_noise(), config.data_seed
    steps = max(map(_steps, folders))
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
    """Return the steps of a run's training, up to the weights that are saved."""
    config, losses = folder.config(), folder.history()["val_loss"]
    images = int(folder.record()["dataset"]["train"])
    return (1 + saved_epoch(config, losses)) * -(-images // config.batch_size)


def _worst(
    bench: ClassificationBench, models: list[Candidate], results: dict[str, Any]
) -> list[reading.Misread]:
    """Return the worst cases of the models with the fewest and the most misread."""
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
