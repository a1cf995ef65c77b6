"""Measure denoisers on many noises, with figures and report."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keras_dae.images.datasets import load
from keras_dae.study.common import trained
from keras_dae.study.common.progress import Progress, quiet
from keras_dae.study.common.store import Store
from keras_dae.study.report.publish import publish
from keras_dae.study.robustness import figures
from keras_dae.study.robustness import measure as robust
from keras_dae.training.runs import RunFolder


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
        folders: runs with the same data set.
        files: `.keras` files.
        out: folder of the study.
        data_dir: folder with the files of the data sets.
        data: the data set, if there are no runs.
        grid: kind of noise -> strengths.
        images: test images per noise and strength; all if there are fewer.
        filters: rows of `FILTERS`, tuned for each noise on validation images.
        progress: called with a description and the fraction done.

    Raises:
        UsageError: the runs have several data sets, or a filter is unknown.
    """
    folders, seed, cut = list(folders), 0, None
    if folders:
        data, config = trained.one_setting(folders)
        seed, cut = config.data_seed, config.make_cut()
    splits = load(data, data_dir, seed, cut=cut)
    splits = splits.limited(test=min(images, len(splits.test)))
    models = trained.runs(folders, splits) if folders else []
    models += trained.files(files, splits, {one.name for one in models})
    with Store.opened(out) as store:
        results = robust.measure(
            *(splits, models, store),
            tuned=filters,
            grid=grid,
            seed=seed,
            progress=progress,
        )
    drawn = {"robustness-gain": figures.gain_table(results)}
    for metric in figures.METRICS:
        if any(row["test"][metric] is not None for row in results["rows"]):
            drawn[f"robustness-{metric}"] = figures.strengths(results, metric)
    return publish(out, "robustness", results, drawn)
