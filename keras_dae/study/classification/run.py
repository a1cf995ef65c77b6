"""Measure runs by what classifiers read; draw and publish it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.errors import UsageError
from keras_dae.images.datasets import load
from keras_dae.study.board import entries
from keras_dae.study.classification import figures as reading
from keras_dae.study.classification.exam import Exam
from keras_dae.study.classification.measure import LESSONS
from keras_dae.study.classification.measure import classify as measure_reading
from keras_dae.study.common import contenders
from keras_dae.study.common.cells import tuned_cells
from keras_dae.study.common.progress import Progress, quiet
from keras_dae.study.report.publish import publish
from keras_dae.system.locks import held
from keras_dae.training.runs import RunFolder


def classify(
    folders: Iterable[RunFolder],
    out: Path,
    data_dir: Path | None = None,
    *,
    lessons: Iterable[str] = LESSONS,
    filters: Iterable[str] | None = None,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Measure runs by what classifiers read; write `classification.json` and figures.

    Args:
        folders: runs of one data set and noise.
        out: folder of the study.
        data_dir: folder of the data sets' files.
        lessons: 'clean', 'noisy', 'denoised': what classifiers are trained on.
        filters: rows of `FILTERS` to read after; None takes all.
        progress: told what is being done.

    Raises:
        UsageError: runs of several data sets or noises, or an unknown filter.
        KerasDAEError: the data set has no labels, or no run is finished.
    """
    folders = list(folders)
    data, config = contenders.one_setting(folders)
    noises = {folder.config().make_noise() for folder in folders}
    if len(noises) > 1:
        raise UsageError(
            "Accuracy recovered is of one noise; name the runs of one. Received: "
            f"runs of {len(noises)} noises."
        )
    splits = load(data, data_dir, config.data_seed, cut=config.make_cut())
    noise, steps = config.make_noise(), max(map(_steps, folders))
    exam = Exam(splits, noise, config.data_seed, out, progress, steps)
    models = contenders.models(folders, splits)
    kept = tuned_cells(out)
    others = [
        *entries.floors(exam.bench),
        *entries.filters(exam.bench, names=filters, kept=kept),
    ]
    board = contenders.of_board(exam.bench, others)
    with held(exam.folder, "The folder of classifiers"):
        results = measure_reading(exam, models, board, lessons=lessons)
    drawn = {
        "classification-accuracy": reading.accuracies(results),
        "classification-sigma": reading.curves(results),
        "classification-confusions": reading.confusions(results),
    }
    blocks = _worst(exam, contenders.best_of_each(models), results)
    if blocks:
        drawn["classification-worst"] = reading.worst(blocks)
    return publish(out, "classification", results, drawn)


def _steps(folder: RunFolder) -> int:
    """Return the steps of a run's training."""
    config = folder.config()
    images = int(folder.record()["dataset"]["train"])
    return config.epochs * -(-images // config.batch_size)


def _worst(
    exam: Exam, models: list[contenders.Contender], results: dict[str, Any]
) -> list[reading.Misread]:
    """Return the worst cases of the models with the fewest and the most misread."""
    noisy, clean = exam.bench.pairs
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
        answer = model.denoise(noisy[shown])
        blocks.append(reading.Misread(one, clean[shown], noisy[shown], answer, words))
    return blocks
