"""Measure every denoiser once on the same noisy test images."""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from statistics import fmean, stdev
from typing import Any

import numpy as np

from keras_dae.evaluation.baselines import Denoiser
from keras_dae.evaluation.engines import BATCH
from keras_dae.evaluation.metrics import METRICS, psnr_of
from keras_dae.evaluation.scoring import TestBench, draw_errors, mean_of
from keras_dae.study.common.candidates import KINDS, NO_NETWORK, Candidate
from keras_dae.study.common.store import Result, Store
from keras_dae.system import backend
from keras_dae.system.streams import stream
from keras_dae.training.progress import new_progress

DRAWS = 2000
LEVEL = 0.05
Measured = tuple[Candidate, Result]


def measure_all(
    bench: TestBench,
    candidates: Iterable[Candidate],
    store: Store,
    shown: np.ndarray,
    *,
    fresh: bool = False,
) -> list[Measured]:
    """Return each candidate with its result, from the store if it is there.

    Args:
        bench: the test images.
        candidates: what to measure.
        store: stores each result immediately.
        shown: indices of the test images whose outputs are kept for the figure.
        fresh: ignore stored results.
    """
    candidates, found = list(candidates), []
    with new_progress() as display:
        task = display.add_task("the board", total=len(candidates), note="")

        def work(one: Candidate) -> Result:
            display.stop()  # tuning a filter shows its own progress bar
            try:
                return measure(bench, one, shown)
            finally:
                display.start()

        for one in candidates:
            display.update(task, note=one.name)
            depends = _depends(bench, one, shown)
            result = store.get(one.name, depends, partial(work, one), fresh=fresh)
            found.append((one, result))
            display.advance(task)
    return found


def measure(bench: TestBench, one: Candidate, shown: np.ndarray) -> Result:
    """Return a candidate measured on the test images.

    Returns:
        Figures: test, parameters, bytes, macs, ms_per_image, images, measured_on, and
        facts about the candidate. Arrays: `errors`, the mean squared error of each test
        image, and `answers`, the denoised shown images, uint8 (n, H, W, C).
    """
    denoise, facts = one.load()
    answers = np.asarray(denoise(bench.take(shown)[0]))
    if one.kind not in NO_NETWORK:  # the first call may build and compile
        denoise(next(bench.batches(BATCH))[0])
    timed = _Timed(denoise, wall=facts.get("clock") == "wall")
    # A denoiser too slow for all images is measured on one draw of the noise.
    scored_on = replace(bench, draws=1) if one.images else bench
    of_draws = list(scored_on.measure_draws(timed, one.images))
    of_images = mean_of(of_draws)
    count = len(of_images["mse"])
    figures = {
        "images": count,
        "test": bench.summary(of_images),
        **draw_errors(of_draws),
        **facts,
        "ms_per_image": 1000 * timed.seconds / (count * scored_on.draws),
        "measured_on": f"{backend.hardware()}, {backend.thread_words()}",
    }
    return Result(figures, {"errors": of_images["mse"], "answers": _grey(answers)})


def _depends(
    bench: TestBench, one: Candidate, shown: np.ndarray
) -> dict[str, Any] | None:
    """Return everything that a measurement depends on; None if not known."""
    if one.fingerprint is None:
        return None
    return {
        "candidate": [one.kind, one.name, one.images, one.fingerprint],
        "test": bench.fingerprint,
        "metrics": list(METRICS),
        "shown": shown.tolist(),
        "device": backend.device() if one.kind not in NO_NETWORK else None,
    }


def _grey(images: np.ndarray) -> np.ndarray:
    """Return images in [0, 1] as uint8, which is enough for a figure."""
    grey: np.ndarray = np.round(255 * np.clip(images, 0, 1)).astype(np.uint8)
    return grey


class _Timed:
    """A denoiser that adds up the seconds it takes.

    On a CPU it measures CPU time of all threads together, which other processes hardly
    affect. On a GPU, and if `wall` is set, it measures wall time.
    """

    def __init__(self, denoise: Denoiser, *, wall: bool) -> None:
        self.denoise, self.seconds = denoise, 0.0
        on_cpu = backend.device() == "cpu" and not wall
        self.clock = time.process_time if on_cpu else time.perf_counter

    def __call__(self, noisy: np.ndarray) -> np.ndarray:
        began = self.clock()
        answer = self.denoise(noisy)
        self.seconds += self.clock() - began
        return answer


def board_rows(measured: Iterable[Measured]) -> list[dict[str, Any]]:
    """Return the rows of the comparison, lowest test error first; one row per group."""
    groups: dict[tuple[str, str], list[Measured]] = {}
    for one, result in measured:
        groups.setdefault(one.key, []).append((one, result))
    rows = [_row(members) for members in groups.values()]
    return sorted(rows, key=lambda row: row["test"]["mse"])


def _row(members: list[Measured]) -> dict[str, Any]:
    first, facts = members[0][0], [one.facts for one, _ in members]
    figures = [result.figures for _, result in members]
    tests = [one["test"] for one in figures]
    test = {key: _mean([each[key] for each in tests]) for key in tests[0]}
    error = fmean(each["mse"] for each in tests)
    test["psnr"] = psnr_of(error) if error > 0 else None
    low, high = interval(np.mean([one.arrays["errors"] for _, one in members], axis=0))
    return {
        "name": first.name,
        "kind": first.kind,
        "latent": None,
        **{key: value for key, value in first.about.items() if key != "seed"},
        **figures[0],
        **_draws(figures),
        "seeds": [one["seed"] for one in facts if "seed" in one],
        "test": test,
        "test_std": _spread(tests),
        "mse_low": low,
        "mse_high": high,
        "bytes": _rounded([one["bytes"] for one in figures]),
        "ms_per_image": _mean([one["ms_per_image"] for one in figures]),
        "files": [one["file"] for one in facts if "file" in one],
    }


def _draws(figures: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Return the error of each draw of the noise, averaged over seeds."""
    draws = [one.get("test_draws", []) for one in figures]
    if not all(draws):
        return {}
    return {"test_draws": [float(error) for error in np.mean(draws, axis=0)]}


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None


def _rounded(values: list[int | None]) -> int | None:
    mean = _mean(list(values))
    return None if mean is None else round(mean)


def _spread(tests: list[dict[str, Any]]) -> dict[str, float] | None:
    """Return the standard deviation over seeds (n - 1), None for one."""
    if len(tests) < 2:
        return None
    return {
        key: stdev(test[key] for test in tests)
        for key in tests[0]
        if all(test[key] is not None for test in tests)
    }


def interval(errors: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % bootstrap interval over images of the mean of `errors`.

    Args:
        errors: one per image, shape (images,); the mean over seeds if there are
            several.
        seed: seed for the resampling, the same for every row.
    """
    rng, images = stream("intervals", seed), len(errors)
    means = [errors[rng.integers(images, size=images)].mean() for _ in range(DRAWS)]
    low, high = np.quantile(means, (LEVEL / 2, 1 - LEVEL / 2))
    return float(low), float(high)


def board(
    bench: TestBench, measured: Iterable[Measured], say: Callable[[str], None]
) -> dict[str, Any]:
    """Return the content of `board.json`."""
    rows = board_rows(measured)
    for row in rows:
        if row["images"] < len(bench.splits.test):
            say(
                f"{row['name']} is slow and was scored on the first {row['images']:,} "
                "test images."
            )
    return {
        "dataset": bench.splits.describe(),
        "noise": bench.describe_noise(),
        "test_draws": bench.draws,
        "seeds": sorted({seed for row in rows for seed in row["seeds"]}),
        "hardware": backend.hardware(),
        "backend": backend.versions(),
        "kinds": [kind for kind in KINDS if any(row["kind"] == kind for row in rows)],
        "rows": rows,
    }
