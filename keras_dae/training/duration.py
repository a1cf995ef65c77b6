"""Estimate how long a sweep takes on this machine's CPU, without importing keras."""

import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from keras_dae.images.splits import Splits
from keras_dae.system.backend import available_cores
from keras_dae.training.config import RunConfig
from keras_dae.training.jobs import Job, epochs_done
from keras_dae.training.runs import RunFolder, run_name

SIDE, PRODUCTS, SECONDS = 64, 100, 0.1  # of the timed matrix products
# A training step costs three forward passes and a constant overhead per call, expressed
# as multiply-adds at the rate of a matrix product. Steps of DAE_1_8, DAE_3_8 and
# DAE_5_8 on one thread of an AMD EPYC are within 30 % of it.
PASSES, CALLS = 2.9, 1.2e8
# A validation image costs one forward pass; a training image costs three.
FORWARD = 1 / 3


def sweep_seconds(
    configs: Iterable[RunConfig], splits: Splits, out: Path, jobs: int | None
) -> float | None:
    """Estimate the seconds for the remaining epochs of a sweep.

    Args:
        configs: the runs.
        splits: their data.
        out: the folder of runs.
        jobs: runs in parallel; None for one per core.

    Returns:
        None on a machine with a CUDA device, whose speed is not known.
    """
    if Path("/dev/nvidiactl").exists():
        return None
    rate, total, longest = _rate(), 0.0, 0.0
    for config in configs:
        used = splits.limited(config.train_images, validation=config.validation_images)
        job = Job(config, RunFolder(out / run_name(config, config.data)))
        macs = config.plan(used.image_shape).macs * config.batch_size
        step = (CALLS + PASSES * macs) / rate
        validation = FORWARD * len(used.validation) / config.batch_size
        steps = config.epoch_steps(len(used.train)) + validation
        seconds = (config.epochs - epochs_done(job)) * steps * step
        total, longest = total + seconds, max(longest, seconds)
    return max(longest, total / (jobs or available_cores()))


def duration_words(
    configs: list[RunConfig], splits: Splits, out: Path, jobs: int | None
) -> str | None:
    """Return a sentence with the number and estimated time of runs, if it is known."""
    seconds = sweep_seconds(configs, splits, out, jobs)
    if not seconds:
        return None
    runs = "1 run takes" if len(configs) == 1 else f"{len(configs)} runs take"
    return f"{runs} about {time_words(seconds)} here"


def _rate() -> float:
    """Return the multiply-adds per second of one core, in a matrix product.

    The matrices are small enough for a single thread, and the fastest of many products
    counts. On a busy machine several threads would wait for each other, and the waiting
    would count as computing.
    """
    matrix = np.ones((SIDE, SIDE), np.float32)
    fastest, left = float("inf"), SECONDS
    while left > 0:
        began = time.process_time()
        for _ in range(PRODUCTS):
            matrix @ matrix
        spent = time.process_time() - began
        fastest, left = min(fastest, spent), left - spent
    return PRODUCTS * SIDE**3 / fastest


def time_words(seconds: float) -> str:
    """Return a duration as text: '40 s', '12 min', '3.5 h'.

    Example:
        >>> time_words(754)
        '13 min'
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
