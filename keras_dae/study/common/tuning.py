"""Filters with parameters and corrections chosen on validation images."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from keras_dae.evaluation.baselines import Denoiser
from keras_dae.evaluation.corrections import PLAIN, Curve, corrections
from keras_dae.evaluation.filters import Filter, tune_each
from keras_dae.evaluation.scoring import TestBench
from keras_dae.images.frozen import VALIDATION, frozen_arrays
from keras_dae.study.common.loaders import Facts, Loaded
from keras_dae.study.common.store import Store
from keras_dae.system import backend
from keras_dae.training.progress import new_progress

NO_SIZE: Facts = {"parameters": 0, "bytes": 0, "macs": None}


def filter_name(name: str, correction: str = PLAIN) -> str:
    """Return the name of a tuned filter: 'median, tuned', 'median, tuned, curve'."""
    return f"{name}, tuned" + ("" if correction == PLAIN else f", {correction}")


def tuned_filter(
    bench: TestBench,
    name: str,
    row: Filter,
    store: Store,
    used: Mapping[str, Any],
    correction: str,
) -> Loaded:
    """Return a corrected filter with the best parameters on validation images.

    Args:
        bench: the images and the noise to tune for.
        name: its row of `FILTERS`.
        row: that row.
        store: where the choice is stored.
        used: what the choice depends on.
        correction: a key of `corrections(bench.noise)`.
    """
    every = store.figures(f"tuned {name}", used, lambda: choose(bench, name, row))
    found = every[correction]
    if found["settings"] not in row.settings():  # the file may have been edited
        found = choose(bench, name, row)[correction]
    facts = {key: found[key] for key in ("settings", "tuned_on")}
    return corrected(row, found), {**NO_SIZE, **facts}


def corrected(row: Filter, found: Mapping[str, Any]) -> Denoiser:
    """Return a filter from the result of `choose`: parameters, and a curve or None."""
    denoise, curve = row.denoiser(found["settings"]), found["curve"]
    return denoise if curve is None else Curve(**curve).after(denoise)


def choose(bench: TestBench, name: str, row: Filter) -> dict[str, Any]:
    """Return for each correction the best parameters of a filter, and its curve."""
    splits, fits = bench.splits, corrections(bench.noise)
    noisy, clean = frozen_arrays(
        splits.validation[: max(row.tune_images, row.curve_images)],
        bench.noise,
        seed=bench.seed,
        split=VALIDATION,
        low=splits.low,
        high=splits.high,
    )
    few, many = slice(row.tune_images), slice(row.curve_images)
    with new_progress() as display:
        total = sum(1 for _ in row.settings())
        task = display.add_task(f"choosing {name}", total=total, note="")
        found = tune_each(
            row, noisy[few], clean[few], fits, lambda: display.advance(task)
        )
    chosen = {}
    for correction, best in found.items():
        tuned_on = {"split": "validation", "images": len(noisy[few]), "mse": best.error}
        curve = None
        if correction != PLAIN:
            answers = row.denoiser(best.settings)(noisy[many])
            curve = fits[correction](answers, clean[many])
        chosen[correction] = {
            **{"settings": best.settings, "tuned_on": tuned_on},
            "curve": None if curve is None else asdict(curve),
        }
    return chosen


def versions(row: Filter) -> dict[str, str]:
    """Return package -> version for the packages of a filter."""
    packages = {"numpy", "scipy", *row.packages}
    return {name: backend.package_version(name) for name in sorted(packages)}
