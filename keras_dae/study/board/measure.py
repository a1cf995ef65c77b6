"""The board: every denoiser measured on the same noisy test images, once.

What is measured is kept, one file a denoiser, under a name that says what it depends
on: data, noise, file, parameters and library versions. A second call, or one after a
kill, measures only what is not there.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from keras_dae import __version__
from keras_dae.evaluation.baselines import Denoiser
from keras_dae.evaluation.engines import BATCH
from keras_dae.evaluation.metrics import psnr_of
from keras_dae.evaluation.scoring import TestBench, draw_errors, mean_of
from keras_dae.study.board.entries import KINDS, Entry
from keras_dae.system import backend
from keras_dae.system.fingerprint import code_sha256
from keras_dae.system.storage import replacing
from keras_dae.system.streams import stream
from keras_dae.training.progress import new_progress

MEASURED = 3  # raised when what a kept file holds, or how it is measured, changes
DRAWS = 2000
LEVEL = 0.05


@dataclass(frozen=True)
class Measured:
    """One entry and what it was measured to be.

    Attributes:
        entry: what was measured.
        figures: test, parameters, bytes, macs, ms_per_image, images, measured_on, and
            what the entry says of its making.
        errors: mean squared error of each test image that was scored.
        answers: the shown images denoised, uint8, (n, H, W, C).
    """

    entry: Entry
    figures: dict[str, Any]
    errors: np.ndarray
    answers: np.ndarray


def measure_all(
    bench: TestBench,
    entries: Iterable[Entry],
    kept: Path,
    shown: np.ndarray,
    *,
    fresh: bool = False,
) -> list[Measured]:
    """Return each entry measured, from its file in `kept` where it is there.

    Args:
        bench: the test images.
        entries: what to measure.
        kept: folder of the measurements; each one is written as soon as it is made.
        shown: places of the test images whose answers are kept for the figure.
        fresh: measure again what is there.
    """
    entries = list(entries)
    found = []
    with new_progress() as display:
        task = display.add_task("the board", total=len(entries), note="")
        for entry in entries:
            display.update(task, note=entry.name)
            path = kept / _file_name(bench, entry, shown)
            known = None if fresh or entry.depends is None else _read(path, entry)
            if known is None:
                # A filter shows a bar of its own while it is tuned.
                display.stop()
                known = measure(bench, entry, shown)
                display.start()
                if entry.depends is not None:
                    _write(path, known)
            found.append(known)
            display.advance(task)
    return found


def measure(bench: TestBench, entry: Entry, shown: np.ndarray) -> Measured:
    """Return an entry measured on the test images."""
    noisy, _ = bench.pairs
    brought = entry.make()
    answers = np.asarray(brought.denoise(noisy[shown]))
    if entry.kind not in ("floor", "filter"):
        brought.denoise(noisy[:BATCH])  # a first call may build and compile
    timed = _Timed(brought.denoise)
    # One too slow for all images is asked for one draw of the noise alone.
    scored_on = replace(bench, draws=1) if entry.images else bench
    of_draws = list(scored_on.measure_draws(timed, entry.images))
    of_images = mean_of(of_draws)
    count = len(of_images["mse"])
    figures = {
        "images": count,
        "test": bench.summary(of_images),
        **draw_errors(of_draws),
        **brought.facts,
        "ms_per_image": 1000 * timed.seconds / (count * scored_on.draws),
        "measured_on": f"{backend.hardware()}, {backend.threads()} threads",
    }
    return Measured(entry, figures, of_images["mse"], _grey(answers))


def _grey(images: np.ndarray) -> np.ndarray:
    """Return images in [0, 1] as uint8, which is enough for a figure."""
    grey: np.ndarray = np.round(255 * np.clip(images, 0, 1)).astype(np.uint8)
    return grey


class _Timed:
    """A denoiser that adds up the seconds it takes.

    On a CPU these are the processor's, of all threads together: what others run beside
    it then hardly counts. A GPU's are those of the clock on the wall.
    """

    def __init__(self, denoise: Denoiser) -> None:
        self.denoise, self.seconds = denoise, 0.0
        on_cpu = backend.device() == "cpu"
        self.clock = time.process_time if on_cpu else time.perf_counter

    def __call__(self, noisy: np.ndarray) -> np.ndarray:
        began = self.clock()
        answer = self.denoise(noisy)
        self.seconds += self.clock() - began
        return answer


def _file_name(bench: TestBench, entry: Entry, shown: np.ndarray) -> str:
    """Return a name that changes with everything that a measurement depends on."""
    depends = {
        "measured": MEASURED,
        "code": [__version__, code_sha256()],
        "entry": [entry.kind, entry.name, entry.images, entry.depends],
        "data": bench.splits.describe(),
        "noise": [bench.describe_noise(), bench.seed, bench.draws],
        "shown": shown.tolist(),
        "device": backend.device() if entry.kind not in ("floor", "filter") else None,
    }
    key = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()
    word = "".join(c if c.isalnum() else "_" for c in entry.name)
    return f"{word[:40]}-{key[:16]}.npz"


def _write(path: Path, known: Measured) -> None:
    figures = np.frombuffer(json.dumps(known.figures).encode(), np.uint8)
    with replacing(path) as temporary:
        np.savez(temporary, figures=figures, errors=known.errors, answers=known.answers)


def _read(path: Path, entry: Entry) -> Measured | None:
    """Return a kept measurement, None where there is none or it is damaged."""
    try:
        # Opened here, since numpy leaves a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            figures = json.loads(kept["figures"].tobytes())
            return Measured(entry, figures, kept["errors"], kept["answers"])
    except Exception:  # numpy reports damage as almost any exception
        return None


def board_rows(measured: Iterable[Measured]) -> list[dict[str, Any]]:
    """Return the rows of the board, lowest test error first; a group is one row."""
    groups: dict[tuple[str, str], list[Measured]] = {}
    for one in measured:
        groups.setdefault((one.entry.kind, one.entry.group), []).append(one)
    rows = [_row(members) for members in groups.values()]
    return sorted(rows, key=lambda row: row["test"]["mse"])


def _row(members: list[Measured]) -> dict[str, Any]:
    first = members[0]
    tests = [one.figures["test"] for one in members]
    test = {key: _mean([each[key] for each in tests]) for key in tests[0]}
    error = fmean(each["mse"] for each in tests)
    test["psnr"] = psnr_of(error) if error > 0 else None
    low, high = interval(np.mean([one.errors for one in members], axis=0))
    seeds = [one.entry.about["seed"] for one in members if "seed" in one.entry.about]
    about = {k: v for k, v in first.entry.about.items() if k not in ("seed", "file")}
    files = [one.entry.about["file"] for one in members if "file" in one.entry.about]
    return {
        "name": first.entry.name,
        "kind": first.entry.kind,
        "latent": None,
        **about,
        **first.figures,
        **_draws(members),
        "seeds": seeds,
        "test": test,
        "test_std": _spread(tests),
        "mse_low": low,
        "mse_high": high,
        "bytes": _rounded([one.figures["bytes"] for one in members]),
        "ms_per_image": _mean([one.figures["ms_per_image"] for one in members]),
        "files": files,
    }


def _draws(members: list[Measured]) -> dict[str, list[float]]:
    """Return the error of each draw of the noise, means over seeds."""
    draws = [one.figures.get("test_draws", []) for one in members]
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
        errors: one an image, shape (images,); of several seeds their mean.
        seed: what the images are drawn anew from; the same ones for every row.
    """
    rng, images = stream("intervals", seed), len(errors)
    means = [errors[rng.integers(images, size=images)].mean() for _ in range(DRAWS)]
    low, high = np.quantile(means, (LEVEL / 2, 1 - LEVEL / 2))
    return float(low), float(high)


def board(
    bench: TestBench, measured: list[Measured], say: Callable[[str], None]
) -> dict[str, Any]:
    """Return what `board.json` holds."""
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
