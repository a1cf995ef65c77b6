"""Calibrated intervals of several models on one data set, and their coverage.

The learnt spread is compared with one that needs no training: the variance of an error
is about 0.32 f (1 - f), where f is the output. It is calibrated in the same way.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.evaluation.baselines import Denoiser
from keras_dae.evaluation.engines import model_denoiser
from keras_dae.evaluation.scoring import check_shape
from keras_dae.evaluation.walled import open_model
from keras_dae.images.noise import Noise
from keras_dae.images.noise_words import describe_noise, noise_label, parse_noise
from keras_dae.images.splits import Splits
from keras_dae.study.common.loaders import file_sha256
from keras_dae.study.common.store import Store
from keras_dae.system import backend
from keras_dae.system.storage import write_json
from keras_dae.uncertainty.calibrate import (
    CONFIDENCE,
    LEVEL,
    Answered,
    Uncertainty,
    answers_to,
    calibrate,
)
from keras_dae.uncertainty.coverage import measure as coverage
from keras_dae.uncertainty.coverage import unlike_share
from keras_dae.uncertainty.intervals import fit_intervals
from keras_dae.uncertainty.records import to_json
from keras_dae.uncertainty.spread import TINY

SIGMA = 0.5
SHIFTED = (0.3, 0.7)  # noise that the guarantee does not cover
SHIFTED_IMAGES = 1000  # test images with such noise
UNLIKE_IMAGES = 500  # test images used for the share of warnings
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Settings:
    """What the models are calibrated and measured on.

    Attributes:
        splits: the data set.
        noise: noise to add.
        shifted: other noises, which were not used to calibrate.
        validation_images: use the first N validation images; None uses all.
        seed: seed for the noise.
    """

    splits: Splits
    noise: Noise
    shifted: tuple[Noise, ...]
    validation_images: int | None = None
    seed: int = 0

    def describe(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return {
            "dataset": self.splits.describe(),
            "noise": describe_noise(self.noise),
            "shifted": [describe_noise(one) for one in self.shifted],
            "validation_images": self.validation_images,
            "seed": self.seed,
            "level": LEVEL,
            "confidence": CONFIDENCE,
        }


def settings(splits: Splits, **options: Any) -> Settings:
    """Return settings of clipped Gaussian noise, with a weaker and a stronger one."""
    shifted = tuple(parse_noise(f"gaussian:{one:g}") for one in SHIFTED)
    return Settings(splits, parse_noise(f"gaussian:{SIGMA:g}"), shifted, **options)


def measure(
    models: Iterable[tuple[str, Path]],
    given: Settings,
    out: Path,
    store: Store,
    *,
    progress: Progress = lambda what, share: None,
) -> dict[str, Any]:
    """Return the content of `uncertainty.json`; each model is calibrated once.

    Args:
        models: names and `.keras` files.
        given: data and noise.
        out: folder of this experiment. The calibration of each model is stored there as
            `NAME.json`.
        store: stores the results.
        progress: called with a description and the fraction done, from 0 to 1.
    """
    models = list(models)
    rows = []
    for number, (name, path) in enumerate(models):

        def told(what: str, share: float, name: str = name, done: int = number) -> None:
            progress(f"{name}: {what}", (done + share) / len(models))

        depends = {"model": file_sha256(path), "name": name, **given.describe()}

        def row(path: Path = path, name: str = name, told: Progress = told) -> Any:
            return _row(name, path, given, told)

        kept = store.figures(f"uncertainty of {name}", {"uncertainty": depends}, row)
        write_json(out / f"{name}.json", kept.pop("calibration"))
        rows.append(kept)
    return {
        **given.describe(),
        "hardware": backend.hardware(),
        "backend": backend.versions(),
        "core_minutes": round(sum(row["core_seconds"] for row in rows) / 60, 1),
        "rows": rows,
    }


def _row(name: str, path: Path, given: Settings, told: Progress) -> dict[str, Any]:
    began = time.process_time()
    model = open_model(path)
    check_shape(model, given.splits, name)
    denoise = model_denoiser(model)
    found = calibrate(
        denoise,
        given.splits,
        given.noise,
        validation_images=given.validation_images,
        seed=given.seed,
        progress=lambda what, share: told(what, share / 2),
    )
    told("test images", 0.5)
    row = {
        "name": name,
        "calibration": to_json(found, model),
        "certified": found.intervals.certified,
        "groups": len(found.intervals.groups),
        "test": report(denoise, found, given, given.noise, len(given.splits.test)),
        "shifted": [
            report(denoise, found, given, noise, SHIFTED_IMAGES)
            for noise in given.shifted
        ],
    }
    told("the spread without training", 0.8)
    row["free"] = _free(denoise, given)
    row["core_seconds"] = round(time.process_time() - began, 1)
    return row


def report(
    denoise: Denoiser, found: Uncertainty, given: Settings, noise: Noise, images: int
) -> dict[str, Any]:
    """Return coverage on test images for a noise, and the share of warnings."""
    seen = answers_to(denoise, given.splits, "test", noise, given.seed, images)
    spread = found.spread(seen.noisy, seen.answer)
    bounds = found.intervals.bounds(seen.answer, spread)
    return {
        "noise": noise_label(describe_noise(noise)),
        **coverage(seen, bounds, spread),
        "unlike": unlike_share(found, seen.noisy[:UNLIKE_IMAGES]),
    }


def shifts(
    denoise: Denoiser, found: Uncertainty, splits: Splits, noise: Noise, seed: int
) -> list[dict[str, Any]]:
    """Return `report` for the noise of the calibration, and for two others."""
    given = replace(settings(splits, seed=seed), noise=noise)
    counts = [len(splits.test), *(SHIFTED_IMAGES for _ in given.shifted)]
    noises = (noise, *given.shifted)
    return [
        report(denoise, found, given, one, count)
        for one, count in zip(noises, counts, strict=True)
    ]


def free_spread(answer: np.ndarray) -> np.ndarray:
    """Return the standard deviation of an error, predicted without training.

    Example:
        >>> float(free_spread(np.array([0.5]))[0])
        0.2828427...
    """
    spread: np.ndarray = np.sqrt(0.32 * answer * (1 - answer)).clip(TINY, 1)
    return spread.astype(np.float32)


def _free(denoise: Denoiser, given: Settings) -> dict[str, Any]:
    """Return the coverage on test images of intervals by `free_spread`."""

    def answered(part: str, count: int) -> tuple[Answered, np.ndarray]:
        seen = answers_to(denoise, given.splits, part, given.noise, given.seed, count)
        return seen, free_spread(seen.answer)

    held = given.splits.validation
    seen, spread = answered("validation", given.validation_images or len(held))
    intervals = fit_intervals(
        seen.answer, seen.clean, spread, level=LEVEL, delta=1 - CONFIDENCE
    )
    seen, spread = answered("test", len(given.splits.test))
    return coverage(seen, intervals.bounds(seen.answer, spread), spread)
