"""Score runs and files on the test images."""

import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.lib.format import write_array

from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.evaluation.metrics import added_metrics, psnr_of
from keras_dae.evaluation.scoring import (
    TEST_DRAWS,
    ImageFigures,
    TestBench,
    run_row,
    score_model,
)
from keras_dae.evaluation.walled import WalledModel, live_maps_of, open_model
from keras_dae.images.datasets import load
from keras_dae.images.frozen import images_held
from keras_dae.models.architectures import DAESpec, architecture_row
from keras_dae.models.live_maps import dead_maps
from keras_dae.study.common.trained import group_of, told_apart
from keras_dae.study.nine.references import references
from keras_dae.system import backend
from keras_dae.system.path_names import stems
from keras_dae.system.storage import is_file, read_json, replacing
from keras_dae.training.config import RunConfig, table_order
from keras_dae.training.records import check_data
from keras_dae.training.runs import RunFolder

# Number of test images used to find dead latent maps.
LIVE_IMAGES = 2000


@dataclass(frozen=True)
class Scored:
    """The result of an evaluation of runs: scores for people, errors for statistics.

    Attributes:
        results: content of `results.json`, without the claims.
        images: metrics of each model for each test image, in the order of
            `results["models"]`: metric -> values of shape (images,).
        specs: model name -> architecture, for autoencoders.
        folders: the runs, in the order of `results["models"]`.
        bench: the frozen test images.
    """

    results: dict[str, Any]
    images: list[ImageFigures]
    specs: dict[str, DAESpec]
    folders: list[RunFolder]
    bench: TestBench

    @property
    def errors(self) -> dict[str, np.ndarray]:
        """Model name -> test errors, shape (seeds, images)."""
        found: dict[str, list[np.ndarray]] = {}
        for row, of_images in zip(self.results["models"], self.images, strict=True):
            found.setdefault(row["name"], []).append(of_images["mse"])
        return {name: np.stack(parts) for name, parts in found.items()}


def setting_of(config: RunConfig, data: str) -> dict[str, Any]:
    """Return what runs must share to be compared: data, noise and targets.

    Args:
        config: the run.
        data: the name of its data set.
    """
    return {
        **{"data": data, "noise": config.make_noise(), "data_seed": config.data_seed},
        "patches": config.make_cut(),
        "train_images": config.train_images,
        "validation_images": config.validation_images,
        "targets": config.targets,
    }


def evaluate(
    folders: Iterable[RunFolder],
    data_dir: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
    engine: str = "keras",
    *,
    affine: bool = False,
) -> list[Scored]:
    """Score runs on the test images; return one result per training set and noise.

    Args:
        folders: runs; each is scored on the data set and noise of its training.
        data_dir: folder with the files of the data sets.
        say: called with a line about the current step.
        engine: inference engine, a row of `engines.ENGINES`.
        affine: also measure the best affine maps, which takes up to a minute.
    """
    groups: dict[tuple[Any, ...], list[RunFolder]] = {}
    for folder in sorted(folders, key=lambda one: table_order(one.config())):
        config = folder.config()
        if not folder.model_path.exists():
            say(f"{folder.path} has no finished epoch yet; skipped.")
            continue
        setting = setting_of(config, folder.data)
        groups.setdefault(tuple(setting.values()), []).append(folder)
    if not groups:
        raise KerasDAEError("None of the runs has finished an epoch.")
    scored = []
    for (data, noise, data_seed, cut, *limits), members in groups.items():
        splits = load(data, data_dir, data_seed, cut=cut)
        for note in splits.notes:
            say(note)
        for folder in members:
            check_data(folder, splits)
        splits = splits.limited(limits[0], validation=limits[1])
        bench = TestBench(splits, noise, data_seed, TEST_DRAWS)
        scored.append(_score(members, bench, say, engine, affine))
    return scored


def evaluate_files(
    paths: Iterable[Path],
    config: RunConfig,
    data_dir: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
    engine: str = "keras",
) -> Scored:
    """Score `.keras` files on the test images of a configuration.

    Args:
        paths: the files.
        config: data set and noise; the rest is not used.
        data_dir: folder with the files of the data sets.
        say: called with a line about the current step.
        engine: inference engine, a row of `engines.ENGINES`.
    """
    paths = list({path.resolve(): path for path in paths}.values())
    missing = [str(path) for path in paths if not is_file(path)]
    if missing:
        raise UsageError(f"There is no model file {missing[0]}.")
    splits = load(config.data, data_dir, config.data_seed, cut=config.make_cut())
    for note in splits.notes:
        say(note)
    noise, seed = config.make_noise(), config.data_seed
    bench = TestBench(splits, noise, seed, TEST_DRAWS)
    rows, images = [], []
    for path, name in zip(paths, stems(paths), strict=True):
        say(f"scoring {path}")
        row, of_images = score_model(bench, open_model(path), engine, str(path))
        rows.append({"name": name, "file": str(path), **row})
        images.append(of_images)
    return Scored(_results(bench, rows), images, {}, [], bench)


def _results(
    bench: TestBench, rows: list[dict[str, Any]], affine: bool = False
) -> dict[str, Any]:
    """Return `rows` with the baselines, and a description of the measurement."""
    return {
        "dataset": bench.splits.describe(),
        "noise": bench.describe_noise(),
        "test_draws": bench.draws,
        "hardware": backend.hardware(),
        "backend": backend.versions(),
        "models": rows,
        "floors": references(bench, affine=affine),
    }


def _score(
    folders: list[RunFolder],
    bench: TestBench,
    say: Callable[[str], None],
    engine: str,
    affine: bool,
) -> Scored:
    rows: list[dict[str, Any]] = []
    images: list[ImageFigures] = []
    specs: dict[str, DAESpec] = {}
    names = told_apart(folder.config() for folder in folders)
    for folder in folders:
        say(f"scoring {folder.path.name}")
        model = open_model(folder.model_path)
        scored, of_images = score_model(bench, model, engine, str(folder.model_path))
        name = names[group_of(folder.config())]
        row = {**run_row(folder, scored), "name": name}
        rows.append(row)
        images.append(of_images)
        spec = folder.config().plan(bench.splits.image_shape)
        if isinstance(spec, DAESpec):
            specs[row["name"]] = spec
            row["live_maps"] = _live_maps(model, folder.path.name, bench, say)
    results = _results(bench, rows, affine)
    results["trained_with"] = _trained_with(folders)
    results["architectures"] = [architecture_row(spec) for spec in specs.values()]
    return Scored(results, images, specs, folders, bench)


def _live_maps(
    model: keras.Model | WalledModel,
    name: str,
    bench: TestBench,
    say: Callable[[str], None],
) -> list[float]:
    """Return the `live_maps` of a run on the first test images; report dead ones."""
    most = images_held(bench.splits.image_shape)
    count = min(LIVE_IMAGES, len(bench.splits.test), most)
    noisy, _ = bench.take(np.arange(count))
    shares = live_maps_of(model, noisy)
    if told := dead_maps(shares, f"{count:,} test images"):
        say(f"{name}: {told}")
    return shares


def image_rows(scored: Iterable[Scored]) -> Iterator[dict[str, Any]]:
    """Yield a row for each model and test image: run, index and its metrics.

    PSNR is infinite, and therefore empty, if an image is reproduced exactly. A metric
    is empty if the images are too small for it.
    """
    names = ("ssim", *added_metrics())
    for one in scored:
        for run, of_images in zip(_places(one), one.images, strict=True):
            for index, error in enumerate(of_images["mse"]):
                yield {
                    "run": run,
                    "index": index,
                    "mse": float(error),
                    "psnr": psnr_of(error) if error > 0 else None,
                    **{
                        name: float(of_images[name][index])
                        if name in of_images
                        else None
                        for name in names
                    },
                }


def write_errors(path: Path, scored: Iterable[Scored]) -> None:
    """Write the MSE of each test image to an npz file, float32, one array per run.

    The name of an array is that of the run folder or of the file, or the path if
    several share the name.
    """
    scored = list(scored)
    names = stems(place for one in scored for place in _places(one))
    images = [of_images for one in scored for of_images in one.images]
    with (
        replacing(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        # numpy.savez takes names as keywords, so an array could not be named "file".
        for name, of_images in zip(names, images, strict=True):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                write_array(file, of_images["mse"].astype(np.float32))


def _places(scored: Scored) -> list[str]:
    """Return the path of each run or file."""
    if scored.folders:
        return [str(folder.path) for folder in scored.folders]
    return [row["file"] for row in scored.results["models"]]


def _trained_with(folders: list[RunFolder]) -> list[dict[str, Any]]:
    """Return the distinct settings in which the runs were trained."""
    found = []
    for folder in folders:
        if not folder.environment_path.exists():
            continue
        record = read_json(folder.environment_path)
        setting = {
            key: record.get(key)
            for key in (
                "backend",
                "device",
                "threads",
                "hardware",
                "commit",
                "versions",
            )
        }
        if setting not in found:
            found.append(setting)
    return found


def best_runs(scored: Scored) -> dict[str, RunFolder]:
    """Return the run with the lowest final validation loss for each model."""
    best: dict[str, tuple[float, RunFolder]] = {}
    for row, folder in zip(scored.results["models"], scored.folders, strict=True):
        candidate = (row["val_loss"], folder)
        if row["name"] not in best or candidate[0] < best[row["name"]][0]:
            best[row["name"]] = candidate
    return {name: folder for name, (_, folder) in best.items()}
