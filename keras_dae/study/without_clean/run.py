"""Measure runs that never saw a clean image; draw and publish it."""

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
        folders: finished runs of one data set.
        out: folder of a study, whose `results.json` gives the errors of clean targets.
        data_dir: folder of the data sets' files.
        progress: told what is being done.

    Raises:
        UsageError: runs of several data sets.
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
