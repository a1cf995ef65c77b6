"""Calibrate several models and measure their intervals, with figures and report."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keras_dae.evaluation.engines import model_denoiser
from keras_dae.evaluation.walled import open_model
from keras_dae.images.datasets import load
from keras_dae.study.common.progress import Progress, quiet
from keras_dae.study.common.store import Store
from keras_dae.study.report.publish import publish
from keras_dae.study.uncertainty import figures
from keras_dae.study.uncertainty.measure import Settings, measure, settings
from keras_dae.system.storage import read_json
from keras_dae.uncertainty.calibrate import answers_to
from keras_dae.uncertainty.records import from_json

SHOWN = 10  # test images in the figure


def uncertainty(
    models: Iterable[tuple[str, Path]],
    out: Path,
    data_dir: Path | None = None,
    *,
    data: str = "auto",
    validation_images: int | None = None,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Calibrate models and measure the coverage of their intervals.

    Args:
        models: names and `.keras` files, for one data set.
        out: folder of the study; results go to its folder `uncertainty`.
        data_dir: folder with the files of the data sets.
        data: the data set.
        validation_images: use the first N validation images; None uses all.
        progress: called with a description and the fraction done.
    """
    models = list(models)
    splits = load(data, data_dir)
    given = settings(splits, validation_images=validation_images)
    folder = out / "uncertainty"
    with Store.opened(out) as store:
        results = measure(models, given, folder, store, progress=progress)
        example = _example(*models[0], given, folder)
    drawn = {
        "uncertainty-coverage": figures.coverage(results),
        "uncertainty-images": figures.images(example),
    }
    return publish(out, "uncertainty", results, drawn)


def _example(name: str, path: Path, given: Settings, folder: Path) -> figures.Example:
    """Return the first test images with the intervals of a calibrated model."""
    model = open_model(path)
    denoise = model_denoiser(model)
    found = from_json(read_json(folder / f"{name}.json"), model)
    seen = answers_to(denoise, given.splits, "test", given.noise, given.seed, SHOWN)
    lower, upper = found.interval(seen.noisy, seen.answer)
    parts = (seen.clean, seen.noisy, seen.answer, lower, upper)
    return figures.Example(name, *(part[..., 0] for part in parts))
