"""Test errors of models trained without clean images, compared with clean targets."""

from collections.abc import Callable, Iterable, Mapping
from statistics import mean, stdev
from typing import Any

from keras_dae.errors import check
from keras_dae.evaluation.engines import model_denoiser
from keras_dae.evaluation.metrics import mse
from keras_dae.evaluation.scoring import TestBench, finished_epochs, first_draw
from keras_dae.evaluation.walled import open_model
from keras_dae.images.clipping import clipped_mean
from keras_dae.images.datasets import Splits
from keras_dae.images.noise import Gaussian
from keras_dae.images.noise_words import describe_noise, noise_label
from keras_dae.images.unbiased import is_clipped
from keras_dae.study.common.loaders import file_sha256
from keras_dae.study.common.store import Store
from keras_dae.system import backend
from keras_dae.training.records import check_data
from keras_dae.training.runs import RunFolder, model_name

Row = dict[str, Any]


def measure(
    folders: Iterable[RunFolder],
    clean: Mapping[str, Any] | None,
    splits: Splits,
    store: Store,
    progress: Callable[[str, float], None] = lambda what, share: None,
) -> dict[str, Any]:
    """Return the content of `without_clean.json`; no run is measured twice.

    Args:
        folders: finished runs with the same data set, with any targets and noise.
        clean: content of the study's `results.json`. Its rows are used for clean
            targets if they were measured on the same noisy test images, except for
            models with a run on clean targets in `folders`; None for no rows.
        splits: the data set.
        store: stores the measurements.
        progress: called with a description and the fraction done, from 0 to 1.
    """
    folders = list(folders)
    benches: dict[str, TestBench] = {}
    rows: list[Row] = []
    for number, folder in enumerate(folders):
        progress(f"measuring {folder.path.name}", number / len(folders))
        check_data(folder, splits)
        config = folder.config()
        noise = config.make_noise()
        label = noise_label(describe_noise(noise))
        if label not in benches:  # shared by all runs
            benches[label] = TestBench(splits, noise, config.data_seed)
        rows.append(_row(folder, benches[label], label, store))
    clean_too = {(r["model"], r["noise"]) for r in rows if r["targets"] == "clean"}
    missing = {(row["model"], row["noise"]) for row in rows} - clean_too
    for label, bench in benches.items():
        studied = _clean_rows(clean, bench, label)
        rows += [row for row in studied if (row["model"], label) in missing]
    return {
        "dataset": splits.describe(),
        "hardware": backend.hardware(),
        "backend": backend.versions(),
        "noises": [_noise(bench, label) for label, bench in benches.items()],
        "rows": rows,
        "groups": groups(rows),
    }


def _row(folder: RunFolder, bench: TestBench, label: str, store: Store) -> Row:
    """Return the test error of one run."""
    config, history = folder.config(), finished_epochs(folder)

    def measured() -> float:
        return float(bench.errors(model_denoiser(open_model(folder.model_path))).mean())

    depends = {"model": file_sha256(folder.model_path), "test": bench.fingerprint}
    few = f" ({config.train_images:,} images)" if config.train_images else ""
    return {
        **{
            "model": model_name(config) + few,
            "targets": config.targets,
            "noise": label,
        },
        **{"seed": config.seed, "epochs": len(history["loss"])},
        "mse": store.figures(folder.path.name, depends, measured),
        "seconds": round(sum(history["seconds"]) + sum(history["val_seconds"]), 1),
    }


def _clean_rows(
    study: Mapping[str, Any] | None, bench: TestBench, label: str
) -> list[Row]:
    """Return the rows of a study that were measured on the noisy images of `bench`."""
    noise = bench.describe_noise()["test_sha256"]
    if study is None or study["noise"].get("test_sha256") != noise:
        return []
    return [
        {
            **{"model": row["name"], "targets": "clean", "noise": label},
            **{"seed": row["seed"], "epochs": row["epochs"]},
            # `bench` has the first draw of the test noise alone.
            "mse": first_draw(row),
            "seconds": row["seconds"],
        }
        for row in study["models"]
    ]


def _noise(bench: TestBench, label: str) -> dict[str, Any]:
    """Return a noise with its error, and the lowest error of naive noisy targets."""
    sigma = bench.noise.sigma if is_clipped(bench.noise) else 0.0
    naive, noisy = 0.0, 0.0
    for seen, clean in bench.batches():
        noisy += float(mse(clean, seen).sum())
        naive += float(mse(clean, clipped_mean(clean, sigma)).sum())
    images = len(bench.splits.test)
    return {
        "noise": label,
        **bench.describe_noise(),
        "noisy": noisy / images,
        "naive": naive / images if isinstance(bench.noise, Gaussian) else None,
    }


def groups(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return the mean over seeds for each noise, model and kind of targets.

    Each group holds `noise`, `model`, `targets`, `epochs`, `seeds`, `mse` and `spread`
    (the standard deviation over seeds, None for one). Over the seeds for which there is
    also a run on clean targets with the same epochs, it holds `excess`, the relative
    increase of the error compared with clean targets, with its standard error (None for
    one seed). Both are None if there is no such run.
    """
    found: dict[tuple[str, str, str, int], dict[int, float]] = {}
    for row in rows:
        key = row["noise"], row["model"], row["targets"], row["epochs"]
        of_seeds = found.setdefault(key, {})
        check(
            row["seed"] not in of_seeds,
            "Each seed counts once. Give one run of each model, targets and seed.",
            model=row["model"],
            targets=row["targets"],
            seed=row["seed"],
        )
        of_seeds[row["seed"]] = row["mse"]
    answer = []
    for (noise, model, targets, epochs), errors in found.items():
        clean = found.get((noise, model, "clean", epochs), {})
        seeds = sorted(set(errors) & set(clean)) if targets != "clean" else []
        shares = [errors[seed] / clean[seed] - 1 for seed in seeds]
        answer.append(
            {
                **{"noise": noise, "model": model, "targets": targets},
                **{"epochs": epochs, "seeds": sorted(errors)},
                "mse": mean(errors.values()),
                "spread": stdev(errors.values()) if len(errors) > 1 else None,
                "excess": _over(errors, clean, seeds),
                "excess_error": stdev(shares) / len(shares) ** 0.5
                if len(shares) > 1
                else None,
            }
        )
    return answer


def _over(
    errors: dict[int, float], clean: dict[int, float], seeds: list[int]
) -> float | None:
    """Return how much larger the mean error is than that of clean targets."""
    if not seeds:
        return None
    return mean(errors[s] for s in seeds) / mean(clean[s] for s in seeds) - 1
