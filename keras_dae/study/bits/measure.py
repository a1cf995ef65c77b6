"""Measure bits and error of models. Steps are chosen on validation images."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_dae.evaluation.bits import LatentCoder, fit_coder
from keras_dae.evaluation.engines import halves
from keras_dae.evaluation.metrics import mse
from keras_dae.evaluation.walled import WalledModel
from keras_dae.images.datasets import Splits
from keras_dae.images.frozen import MEASURED, TEST, VALIDATION, frozen_arrays
from keras_dae.images.noise import Noise

# Bits per pixel; for 28x28 pixels these are 49 to 1,109 bits.
RATES = tuple(float(rate) for rate in 2.0 ** np.arange(-4, 1, 0.5))
# Steps relative to the spread of the latent, tried on validation images.
STEPS = tuple(float(step) for step in 2.0 ** np.arange(-4, 3, 0.5))
MORE = 0.01  # relative increase of the error by quantization, for "at 1 % more"
FIT_IMAGES = 16_000  # training images to fit the coder on
VALIDATION_IMAGES = 4_000
STREAM = 1_000  # test images that are coded together
ALONE = 100  # test images that are also coded separately

Point = dict[str, Any]


@dataclass(frozen=True)
class Samples:
    """Noisy and clean images of the three splits, each float32 (N, H, W, C)."""

    train: np.ndarray
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]


def draw(splits: Splits, noise: Noise, seed: int) -> Samples:
    """Return the images to measure on; test images are the same in every study."""
    drawn: dict[str, Any] = {"seed": seed, "low": splits.low, "high": splits.high}
    train, _ = frozen_arrays(splits.train[:FIT_IMAGES], noise, split=MEASURED, **drawn)
    held_out = splits.validation[:VALIDATION_IMAGES]
    validation = frozen_arrays(held_out, noise, split=VALIDATION, **drawn)
    test = frozen_arrays(splits.test, noise, split=TEST, **drawn)
    return Samples(train, validation, test)


class LatentBench:
    """The latents of a model for the three splits, and its decoder.

    Args:
        model: a model with a layer named 'latent' on all paths.
        samples: the images.

    Raises:
        KerasDAEError: the model has no such layer.
    """

    def __init__(self, model: keras.Model | WalledModel, samples: Samples) -> None:
        encode, self.decode = halves(model)
        self.clean = {"validation": samples.validation[1], "test": samples.test[1]}
        self.pixels = int(np.prod(samples.train.shape[1:]))
        self.train = encode(samples.train)
        self.latents = {
            "validation": encode(samples.validation[0]),
            "test": encode(samples.test[0]),
        }
        self.values = int(np.prod(self.train.shape[1:]))
        self.spread = float(np.sqrt(self.train.var(axis=0).mean()))

    def error(self, part: str, latents: np.ndarray | None = None) -> float:
        """Return the mean MSE of decoded latents (N, D); None uses the exact ones."""
        exact = self.latents[part]
        given = exact if latents is None else latents.reshape(exact.shape)
        return float(mse(self.clean[part], self.decode(given)).mean())

    def trial(self, step: float) -> Point:
        """Return step, estimated bits and MSE on validation images."""
        coder, latents = fit_coder(self.train, step), self.latents["validation"]
        rounded = coder.dequantise(coder.quantise(latents))
        bits = coder.expected_bits(latents)
        return {"step": step, "bits": bits, "mse": self.error("validation", rounded)}

    def point(self, step: float) -> Point:
        """Return step, bits and MSE on test images, decoded from the bytes alone."""
        coder, latents = fit_coder(self.train, step), self.latents["test"]
        size, decoded = 0, []
        for start in range(0, len(latents), STREAM):
            part = latents[start : start + STREAM]
            data = coder.encode(part)
            size += len(data)
            decoded.append(coder.dequantise(coder.decode(data, len(part))))
        return {
            "step": step,
            "bits": 8 * size / len(latents),
            "expected_bits": coder.expected_bits(latents),
            "mse": self.error("test", np.concatenate(decoded)),
        }

    def detail(self, step: float) -> Point:
        """Return `point`, the bits without prediction, and those of separate images."""
        coder, latents = fit_coder(self.train, step), self.latents["test"]
        plain = fit_coder(self.train, step, contexts=1)
        return {
            **self.point(step),
            "without_neighbours": plain.expected_bits(latents),
            "alone": alone_bits(coder, latents[:ALONE]),
            "expected_alone": coder.expected_bits(latents[:ALONE]),
        }


def alone_bits(coder: LatentCoder, latents: np.ndarray) -> float:
    """Return the mean bits of images that are coded separately."""
    sizes = [
        len(coder.encode(latents[place : place + 1])) for place in range(len(latents))
    ]
    return 8 * float(np.mean(sizes))


def measure_model(
    bench: LatentBench, told: Callable[[float], None] = lambda share: None
) -> dict[str, Any]:
    """Return the rate-distortion curve of a model.

    Args:
        bench: the model and its latents.
        told: called with the fraction done, from 0 to 1.

    Returns:
        The number of latent values, the exact test and validation MSE, the trials on
        validation images, a test point for each reachable rate of `RATES`, and the
        point at `MORE`, which is None if no step reaches it.
    """
    began, total = time.process_time(), len(STEPS) + len(RATES) + 1
    trials = []
    for number, tried in enumerate(STEPS):
        trials.append(bench.trial(tried * bench.spread))
        told((number + 1) / total)
    exact = bench.error("validation")
    points = []
    for number, rate in enumerate(RATES):
        step = step_of_bits(trials, rate * bench.pixels)
        if step is not None:
            points.append({"rate": rate, **bench.point(step)})
        told((len(STEPS) + number + 1) / total)
    step = step_of_error(trials, (1 + MORE) * exact)
    return {
        "values": bench.values,
        "mse": bench.error("test"),
        "val_mse": exact,
        "trials": trials,
        "points": points,
        "more": None if step is None else bench.detail(step),
        "core_seconds": round(time.process_time() - began, 1),
    }


def step_of_bits(trials: list[Point], bits: float) -> float | None:
    """Return the step at which validation latents take so many bits.

    It is interpolated linearly in log step; None outside the tried steps.
    """
    return _step([trial["bits"] for trial in trials], trials, bits)


def step_of_error(trials: list[Point], error: float) -> float | None:
    """Return the step at which validation images have this MSE; None outside."""
    return _step([trial["mse"] for trial in trials], trials, error)


def _step(values: list[float], trials: list[Point], wanted: float) -> float | None:
    """Return the smallest step between the trials where `values` cross `wanted`."""
    steps = np.log([trial["step"] for trial in trials])
    for place in range(len(values) - 1):
        one, other = values[place : place + 2]
        if min(one, other) <= wanted <= max(one, other) and one != other:
            share = (wanted - one) / (other - one)
            return float(
                np.exp(steps[place] + share * (steps[place + 1] - steps[place]))
            )
    return None
