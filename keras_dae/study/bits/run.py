"""Measure the bits of models and of image formats, with figures and report."""

import time
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.errors import KerasDAEError, check
from keras_dae.evaluation.bits import constriction_package
from keras_dae.evaluation.engines import model_denoiser
from keras_dae.evaluation.scoring import TestBench, load_for
from keras_dae.images.datasets import Splits
from keras_dae.images.datasets import load as load_data
from keras_dae.images.noise_words import describe_noise, noise_label
from keras_dae.study.bits import figures, turns
from keras_dae.study.bits.codecs import CODECS, codec_rows
from keras_dae.study.bits.measure import LatentBench, Samples, draw, measure_model
from keras_dae.study.common.loaders import file_sha256
from keras_dae.study.common.progress import Progress, quiet
from keras_dae.study.common.store import Store
from keras_dae.study.common.trained import one_setting
from keras_dae.study.report.publish import publish
from keras_dae.system import backend
from keras_dae.training.config import RunConfig
from keras_dae.training.records import check_data
from keras_dae.training.runs import RunFolder, model_name

CODEC_IMAGES = 500  # number of test images to save in each format
MODEL_SHARE = 0.9  # share of the total time, for the progress display


def bits(
    folders: Iterable[RunFolder],
    files: Mapping[str, Path],
    out: Path,
    config: RunConfig,
    data_dir: Path | None = None,
    *,
    images: int = 10_000,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Measure the bits of models; write `bits/bits.json`, figures and the report.

    Results are stored, so that a repeated call measures only what is missing.

    Args:
        folders: runs; their data and noise must be the same.
        files: name -> `.keras` file.
        out: folder of the study.
        config: data and noise if there are no runs.
        data_dir: folder with the files of the data sets.
        images: use the first N test images; all if there are fewer.
        progress: called with a description and the fraction done.

    Raises:
        UsageError: the runs differ in data set or noise.
        KerasDAEError: a model has no latent, or constriction is not installed.
    """
    constriction_package()  # raises early if it is not installed
    folders = list(folders)
    config, data = _setting(folders, config)
    splits = load_data(data, data_dir, config.data_seed, cut=config.make_cut())
    for folder in folders:
        check_data(folder, splits)
    splits = splits.limited(test=min(images, len(splits.test)))
    bench = TestBench(splits, config.make_noise(), config.data_seed)
    models = _named(files, folders)
    with Store.opened(out) as store:
        results = _measure(splits, bench, models, store, progress)
    drawn = {"bits": figures.curves(results)}
    if results["turns"]:
        drawn["bits-claims"] = figures.claims(results)
    return publish(out, "bits", results, drawn)


def _setting(folders: list[RunFolder], config: RunConfig) -> tuple[RunConfig, str]:
    """Return the configuration and data set of all runs, or the given ones."""
    if not folders:
        return config, config.data
    data, config = one_setting(folders)
    noises = {noise_label(describe_noise(f.config().make_noise())) for f in folders}
    check(
        len(noises) == 1,
        "Bits are compared for a single noise. Give runs with the same noise.",
        noises=sorted(noises),
    )
    return config, data


def _named(files: Mapping[str, Path], folders: Iterable[RunFolder]) -> dict[str, Path]:
    """Return name -> model file; names of runs have rates, and seeds if needed."""
    found = dict(files)
    for folder in folders:
        if not folder.model_path.exists():
            raise KerasDAEError(f"{folder.path} has not finished an epoch.")
        config = folder.config()
        name = model_name(config)
        name += f", rate {config.rate:g}" if config.rate else ""
        if name in found:
            name += f", seed {config.seed}"
        if name in found:
            name = str(folder.path)
        found[name] = folder.model_path
    return found


def _measure(
    splits: Splits,
    bench: TestBench,
    models: Mapping[str, Path],
    store: Store,
    progress: Progress,
) -> dict[str, Any]:
    """Return the content of `bits.json`."""
    samples = draw(splits, bench.noise, bench.seed)
    noise = bench.describe_noise()
    specs = {spec.name: spec for spec in turns.specs_of(list(models))}
    rows = []
    for number, (name, path) in enumerate(models.items()):

        def told(share: float, number: int = number, name: str = name) -> None:
            progress(f"Bits of {name}", MODEL_SHARE * (number + share) / len(models))

        told(0.0)
        depends = {
            **{"model": file_sha256(path), "noise": noise, "data": splits.sha256},
            "test": len(splits.test),
        }
        found = store.figures(
            f"bits of {name}", depends, partial(_model_row, bench, path, samples, told)
        )
        place = specs.get(name)
        shape = {"depth": place.depth, "latent": place.sizes[-1]} if place else {}
        rows.append({"name": name, "kind": "model", **shape, **found})
    best = min(rows, key=lambda row: row["val_mse"])["name"]
    progress("Image formats", MODEL_SHARE)
    depends = {"formats of": file_sha256(models[best]), "noise": noise}
    formats = store.figures(
        "bits of formats",
        {**depends, "data": splits.sha256, "test": len(splits.test)},
        partial(_formats, bench, models[best], best),
    )
    return {
        "dataset": splits.describe(),
        "noise": noise,
        "hardware": backend.hardware(),
        "backend": backend.versions(),
        "pixels": bench.pixels,
        "rows": rows,
        "formats": formats["rows"],
        "format_images": min(CODEC_IMAGES, len(splits.test)),
        "after": best,
        "turns": turns.turns(rows),
        "core_minutes": round(
            sum(part["core_seconds"] for part in (*rows, formats)) / 60, 1
        ),
    }


def _model_row(
    bench: TestBench, path: Path, samples: Samples, told: Any
) -> dict[str, Any]:
    return measure_model(LatentBench(load_for(bench.splits, path), samples), told)


def _formats(bench: TestBench, path: Path, name: str) -> dict[str, Any]:
    """Return the rows of each format, for clean, noisy and denoised test images."""
    began = time.process_time()
    noisy, clean = bench.take(np.arange(min(CODEC_IMAGES, len(bench.splits.test))))
    denoised = model_denoiser(load_for(bench.splits, path))(noisy)
    sources = {"clean": clean, "noisy": noisy, f"after {name}": denoised}
    rows = [
        {"source": source, **row}
        for source, images in sources.items()
        for codec in CODECS
        for row in codec_rows(codec, clean, images)
    ]
    return {"rows": rows, "core_seconds": round(time.process_time() - began, 1)}
