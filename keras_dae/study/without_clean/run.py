"""Measure runs trained without clean images, with figure and report."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keras_dae.images.datasets import load
from keras_dae.study.common.progress import Progress, quiet
from keras_dae.study.common.store import Store
from keras_dae.study.common.trained import one_setting
from keras_dae.study.report.publish import publish
from keras_dae.study.without_clean import figures
from keras_dae.study.without_clean.measure import measure
from keras_dae.system.storage import read_json
from keras_dae.training.runs import RunFolder


def without_clean(
    folders: Iterable[RunFolder],
    out: Path,
    data_dir: Path | None = None,
    *,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Measure runs; write `without-clean/without_clean.json`, a figure and the report.

    Args:
        folders: finished runs with the same data set.
        out: folder of a study, whose `results.json` has the errors of clean targets.
        data_dir: folder with the files of the data sets.
        progress: called with a description and the fraction done.

    Raises:
        UsageError: the runs have several data sets.
    """
    folders = list(folders)
    data, config = one_setting(folders)
    splits = load(data, data_dir, config.data_seed, cut=config.make_cut())
    study = out / "results.json"
    clean = read_json(study) if study.is_file() else None
    with Store.opened(out) as store:
        results = measure(folders, clean, splits, store, progress)
    return publish(
        out, "without_clean", results, {"without-clean": figures.errors(results)}
    )
