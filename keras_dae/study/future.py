"""The experiments that the paper leaves for later: measured, drawn and written.

Beside `study` the only module that joins the stages. Each function writes one JSON
file and its figures to the folder of a study, whose report then shows them.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from keras_dae.errors import UsageError
from keras_dae.images.datasets import load
from keras_dae.study.board import entries
from keras_dae.study.classification import figures as reading
from keras_dae.study.classification.exam import Exam
from keras_dae.study.classification.measure import LESSONS
from keras_dae.study.classification.measure import classify as measure_reading
from keras_dae.study.common import contenders, limits
from keras_dae.study.common.cells import tuned_cells
from keras_dae.study.depth_limit import measure as depth_limit
from keras_dae.study.nine.figures import save_png
from keras_dae.study.report.publish import command, write_report
from keras_dae.study.robustness import measure as robust
from keras_dae.system.locks import held
from keras_dae.system.storage import write_json
from keras_dae.training.config import RunConfig
from keras_dae.training.jobs import check_done
from keras_dae.training.runs import RunFolder, find_runs
from keras_dae.training.sweep import sweep

Progress = Callable[[str, float], None]


def quiet(what: str, share: float) -> None:
    """Show no progress."""


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
    exam = Exam(splits, config.make_noise(), config.data_seed, out, progress)
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
    return _write(out, "classification", results, drawn)


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


def robustness(
    folders: Iterable[RunFolder],
    files: Iterable[Path],
    out: Path,
    data_dir: Path | None = None,
    *,
    data: str = "auto",
    grid: robust.Grid = robust.GRID,
    images: int = 1000,
    filters: Iterable[str] = robust.TUNED,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Measure models and filters on many noises; write `robustness.json` and figures.

    Args:
        folders: runs of one data set.
        files: `.keras` files of any origin.
        out: folder of the study.
        data_dir: folder of the data sets' files.
        data: the data set, where there is no run to name it.
        grid: kind of noise -> strengths.
        images: test images a cell, the first ones; all where there are fewer.
        filters: rows of `FILTERS`, tuned for each noise on validation images.
        progress: told what is being done.

    Raises:
        UsageError: runs of several data sets, or an unknown filter.
    """
    folders, seed, cut = list(folders), 0, None
    if folders:
        data, config = contenders.one_setting(folders)
        seed, cut = config.data_seed, config.make_cut()
    splits = load(data, data_dir, seed, cut=cut)
    splits = splits.limited(test=min(images, len(splits.test)))
    models = contenders.models(folders, splits) if folders else []
    models += contenders.files(files, splits)
    with held(out / "robustness", "The folder of measurements"):
        results = robust.measure(
            splits, models, out, tuned=filters, grid=grid, seed=seed, progress=progress
        )
    drawn = {"robustness-gain": limits.gain_table(results)}
    for metric in limits.METRICS:
        if any(row["test"][metric] is not None for row in results["rows"]):
            drawn[f"robustness-{metric}"] = limits.strengths(results, metric)
    return _write(out, "robustness", results, drawn)


def limit_depth(
    configs: list[RunConfig],
    out: Path,
    *,
    jobs: int | None = None,
    data_dir: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Train depth by number of images; write `depth_limit.json` and its figure.

    The runs lie in `out/depth`, apart from those of the nine; those that are finished
    are not trained again, and finished ones of the same settings are shown beside
    those of `configs`.

    Raises:
        KerasDAEError: a run failed; says which, and why.
    """
    done = sweep(
        configs,
        out / "depth",
        jobs=jobs,
        data_dir=data_dir,
        device=device,
        threads=threads,
    )
    check_done(done)
    first = configs[0]
    splits = load(first.data, data_dir, first.data_seed, cut=first.make_cut())
    folders = {job.folder.path: job.folder for job in done}
    for folder in find_runs(out / "depth"):
        if depth_limit.comparable(folder, configs):
            folders.setdefault(folder.path, folder)
    results = depth_limit.measure(folders.values(), splits, out, progress)
    return _write(
        out, "depth_limit", results, {"depth-limit": limits.depth_limit(results)}
    )


def depth_configs(
    make: Callable[..., RunConfig],
    sizes: Iterable[int],
    depths: Iterable[int],
    seeds: int,
    *,
    whole: int,
    epochs: Iterable[int] = (),
    steps: int = depth_limit.STEPS,
) -> list[RunConfig]:
    """Return the runs of a study of depth, the smallest sets and depths first.

    Args:
        make: returns a configuration with the fields given by keyword.
        sizes: numbers of training images; `whole` stands for all.
        depths: convolutions a side.
        seeds: how many seeds, from 0.
        whole: how many training images there are.
        epochs: passes over each size; by default those that make `steps` steps.
        steps: steps of every training.

    Raises:
        UsageError: more images than there are, or other than one `epochs` a size.
    """
    sizes, given = list(sizes), list(epochs)
    if given and len(given) != len(sizes):
        raise UsageError(
            "--epochs takes one number for each of --train-images. Received: "
            f"{len(given)} for {len(sizes)}."
        )
    found = []
    for seed in range(seeds):
        for place, size in enumerate(sizes):
            batch = make().batch_size
            fields = {
                "train_images": None if size == whole else size,
                "epochs": given[place]
                if given
                else depth_limit.default_epochs(size, batch, steps),
                "seed": seed,
            }
            found += [make(depth=depth, **fields) for depth in depths]
    return found


def _write(
    out: Path, stem: str, results: dict[str, Any], drawn: dict[str, Figure]
) -> dict[str, Any]:
    """Write results and figures to the folder of a study, and its report anew."""
    results["command"] = command()
    write_json(out / f"{stem}.json", results)
    for name, figure in drawn.items():
        save_png(figure, out / "figures" / f"{name}.png")
    write_report(out)
    return results
