"""Measure denoisers on kinds and strengths of noise they were not made for."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from statistics import mean
from typing import Any

from keras_dae.errors import UsageError, check
from keras_dae.evaluation.corrections import corrections
from keras_dae.evaluation.metrics import METRICS
from keras_dae.evaluation.scoring import TestBench
from keras_dae.images.datasets import Splits
from keras_dae.images.noise import NOISES
from keras_dae.images.noise_words import parse_noise
from keras_dae.study.common import candidates
from keras_dae.study.common.candidates import NOISY, Candidate
from keras_dae.study.common.store import Store
from keras_dae.system import backend

# Kind -> strengths, the weakest first; few photons are strong noise.
GRID: dict[str, tuple[float, ...]] = {
    "gaussian": (0.1, 0.25, 0.5, 0.75, 1.0),
    "salt-pepper": (0.05, 0.1, 0.3, 0.5),
    "poisson": (16, 4, 2, 1),
    "speckle": (0.25, 0.5, 1, 2),
    "uniform": (0.25, 0.5, 0.75, 1),
    "blur": (0.5, 1, 1.5, 2),
    "masking": (0.1, 0.3, 0.5, 0.7),
}
Grid = Mapping[str, tuple[float, ...]]
# Rows of `FILTERS` that are tuned in seconds. They are tuned for each noise and
# strength, since users of a filter adjust it to their noise.
TUNED = ("mean", "median", "Gaussian", "Wiener", "total variation")
TUNE_IMAGES = 200


def strengths_of(kind: str) -> tuple[float, ...]:
    """Return the strengths of a kind: a row of `GRID`, else its default.

    Raises:
        UsageError: the kind is unknown.
    """
    noise = parse_noise(kind)
    return GRID.get(kind) or (getattr(noise, fields(NOISES[kind])[0].name),)


def parse_grid(texts: Iterable[str]) -> Grid:
    """Return noises and strengths written as `gaussian:0.1,0.5`; GRID for none.

    A kind without strengths uses those of `GRID`.

    Raises:
        UsageError: a kind is unknown, or a strength is not a number or out of range.
    """
    grid: dict[str, tuple[float, ...]] = {}
    for text in texts:
        kind, _, strengths = text.partition(":")
        check(kind in NOISES, f"noise must be one of {', '.join(NOISES)}.", noise=kind)
        before = grid.get(kind, ())
        if not strengths:
            grid[kind] = tuple(dict.fromkeys((*before, *strengths_of(kind))))
            continue
        try:
            added = [float(one) for one in strengths.split(",")]
        except ValueError:
            raise UsageError(
                "Strengths must be numbers separated by commas, as in "
                f"gaussian:0.1,0.5. Received: noise={text!r}."
            ) from None
        for one in added:
            parse_noise(f"{kind}:{one:g}")
        grid[kind] = tuple(dict.fromkeys((*before, *added)))
    return grid or GRID


def measure(
    splits: Splits,
    models: list[Candidate],
    store: Store,
    *,
    tuned: Iterable[str] = TUNED,
    grid: Grid = GRID,
    seed: int = 0,
    progress: Callable[[str, float], None] = lambda what, share: None,
) -> dict[str, Any]:
    """Return the content of `robustness.json`. Results are stored and reused.

    Args:
        splits: the data set; all of its test images are used.
        models: denoisers that do not depend on the noise.
        store: stores the measurements.
        tuned: rows of `FILTERS`, tuned for each noise and strength on validation
            images.
        grid: kind of noise -> strengths, the weakest first.
        seed: seed for the noise.
        progress: called with a description and the fraction done, from 0 to 1.
    """
    rows: list[dict[str, Any]] = []
    first, tuned = candidates.baselines(splits, [NOISY]), list(tuned)
    noises = [
        parse_noise(f"{kind}:{strength:g}")
        for kind, strengths in grid.items()
        for strength in strengths
    ]
    total = sum(
        1 + len(tuned) * len(corrections(noise)) + len(models) for noise in noises
    )
    for kind, strengths in grid.items():
        for strength in strengths:
            noise = parse_noise(f"{kind}:{strength:g}")
            bench = TestBench(splits, noise, seed)
            suited = candidates.filters(
                bench, store, names=tuned, tune_images=TUNE_IMAGES, untuned=False
            )
            for one in (*first, *candidates.quick(suited), *models):
                progress(f"{one.name} on {kind} {strength:g}", len(rows) / total)
                rows.append(
                    {
                        "name": one.name,
                        "kind": one.broad_kind,
                        **one.about,
                        "noise": kind,
                        "strength": strength,
                        "test": _figures(store, bench, one),
                    }
                )
    return {
        "dataset": splits.describe(),
        "hardware": backend.hardware(),
        "backend": backend.versions(),
        "clip": True,
        "seed": seed,
        "strengths": {kind: fields(NOISES[kind])[0].name for kind in grid},
        "grid": {kind: list(strengths) for kind, strengths in grid.items()},
        "rows": rows,
        "gains": list(gains(rows)),
    }


def _figures(store: Store, bench: TestBench, one: Candidate) -> dict[str, Any]:
    depends = {
        **{"test": bench.fingerprint, "metrics": list(METRICS)},
        **{"denoiser": one.fingerprint, "images": one.images},
    }

    def measure() -> dict[str, Any]:
        return bench.summary(bench.measure_images(one.denoise, one.images))

    found: dict[str, Any] = store.figures(f"{one.name} robust", depends, measure)
    return found


def gains(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the gain of each denoiser for each noise, and the noise with the highest.

    The gain is PSNR after minus PSNR before, in dB, averaged over strengths and seeds.
    `best` is the noise with the highest gain. Needs rows of 'noisy input'.
    """
    before = {
        (row["noise"], row["strength"]): row["test"]["psnr"]
        for row in rows
        if row["name"] == NOISY
    }
    for name in dict.fromkeys(row["name"] for row in rows if row["name"] != NOISY):
        own = [row for row in rows if row["name"] == name]
        found: dict[str, float] = {}
        for kind in dict.fromkeys(row["noise"] for row in own):
            pairs = [
                (row["test"]["psnr"], before.get((kind, row["strength"])))
                for row in own
                if row["noise"] == kind
            ]
            differences = [
                after - first
                for after, first in pairs
                if after is not None and first is not None
            ]
            if differences:
                found[kind] = mean(differences)
        if found:
            best = max(found, key=found.__getitem__)
            yield {"name": name, "kind": own[0]["kind"], "gain": found, "best": best}
