"""Calibrate the intervals of a denoiser on training and validation images."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_dae.errors import KerasDAEError, check
from keras_dae.evaluation.baselines import Denoiser
from keras_dae.images.estimates import SMALLEST, describe, middle
from keras_dae.images.frozen import MEASURED, VALIDATION, frozen_pairs
from keras_dae.images.noise import Noise
from keras_dae.images.noise_words import describe_noise
from keras_dae.images.splits import Splits
from keras_dae.uncertainty.intervals import Intervals, fit_intervals
from keras_dae.uncertainty.spread import Spread, fit_spread

LEVEL, CONFIDENCE = 0.9, 0.9
TRAIN_IMAGES = 8000
LEAST_IMAGES = 20  # smallest number of training and of validation images
# Values (pixels times channels) of the images that are in memory at once.
MOST_PIXELS = 1 << 25
LOOKED_AT = 2000  # validation images whose noise, mean and spread are estimated
USUAL = (0.005, 0.995)  # quantiles of these; an image beyond them counts as unlike
MEASURES = {"sigma": "estimated noise", "mean": "mean", "std": "standard deviation"}
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Answered:
    """Noisy images, outputs of a denoiser and clean images: float32, (N, H, W, C).

    Outputs are clipped to [0, 1].
    """

    noisy: np.ndarray
    answer: np.ndarray
    clean: np.ndarray


@dataclass(frozen=True)
class Uncertainty:
    """Computes intervals for the outputs of a denoiser.

    Attributes:
        spread: predicts the spread of each pixel.
        intervals: half widths from the spread.
        level: the share of an image's pixels to cover, on average.
        confidence: the probability, over validation images, that the level holds.
        usual: ranges of estimated noise, mean and standard deviation over validation
            images; empty if the images are too small for an estimate.
        facts: what it was calibrated on, as JSON values.
    """

    spread: Spread
    intervals: Intervals
    level: float
    confidence: float
    usual: dict[str, tuple[float, float]]
    facts: dict[str, Any]

    def interval(
        self, noisy: np.ndarray, answer: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and the upper bound of each pixel's interval, in [0, 1].

        Args:
            noisy: the input, float32 (N, H, W, C) in [0, 1].
            answer: the outputs, of the same shape.
        """
        answer = answer.clip(0, 1)
        return self.intervals.bounds(answer, self.spread(noisy.clip(0, 1), answer))

    def unlike(self, unit: np.ndarray) -> str | None:
        """Return how an image differs from those of the calibration; None if not.

        Args:
            unit: a noisy image, float32 in [0, 1], (H, W, C).
        """
        if not self.usual or min(unit.shape[:2]) < SMALLEST:
            return None
        seen = describe(middle(unit).clip(0, 1))
        found = [
            f"{MEASURES[key]} {seen[key]:.3f} (calibration {low:.3f}-{high:.3f})"
            for key, (low, high) in self.usual.items()
            if not low <= seen[key] <= high
        ]
        return ", ".join(found) or None


def answers_to(
    denoise: Denoiser, splits: Splits, part: str, noise: Noise, seed: int, count: int
) -> Answered:
    """Return the outputs of a denoiser for the first images of a part of the data.

    Args:
        denoise: a function of noisy float32 images (N, H, W, C).
        splits: the data set.
        part: 'train', 'validation' or 'test'.
        noise: noise to add.
        seed: seed for the noise.
        count: largest number of images; all if there are fewer.

    Raises:
        KerasDAEError: outputs are not finite, or have another shape.
    """
    images = splits.limited(**{part: min(count, len(getattr(splits, part)))})
    stream = {"train": MEASURED, "validation": VALIDATION, "test": "test"}[part]
    limits = {"low": splits.low, "high": splits.high}
    found = []
    for noisy, clean in frozen_pairs(
        getattr(images, part), noise, seed=seed, split=stream, **limits
    ):
        answer = np.asarray(denoise(noisy))
        if answer.shape != clean.shape or not np.isfinite(answer).all():
            raise KerasDAEError(
                "The denoiser returns another shape, or values that are not finite."
            )
        found.append((noisy.clip(0, 1), answer.clip(0, 1), clean))
    return Answered(*(np.concatenate(one) for one in zip(*found, strict=True)))


def calibrate(
    denoise: Denoiser,
    splits: Splits,
    noise: Noise,
    *,
    level: float = LEVEL,
    confidence: float = CONFIDENCE,
    train_images: int = TRAIN_IMAGES,
    validation_images: int | None = None,
    seed: int = 0,
    progress: Progress = lambda what, share: None,
) -> Uncertainty:
    """Return the calibrated intervals of a denoiser. Test images are not used.

    The spread is fitted on training images, and the intervals on validation images.
    With probability `confidence` over these, the intervals cover at least the share
    `level` of an image's pixels, on average over similar images.

    Args:
        denoise: a function of noisy float32 images (N, H, W, C).
        splits: clean images.
        noise: noise to add.
        level: the share of pixels to cover, in [0.5, 0.99].
        confidence: in [0.5, 0.999].
        train_images: use at most the first N training images.
        validation_images: use at most the first N validation images; None uses all.
        seed: seed for noise and initial weights.
        progress: called with a description and the fraction done, from 0 to 1.

    Raises:
        UsageError: a value is out of range, or there are too few images.
        KerasDAEError: outputs are not finite, or there are too few images to certify.
    """
    check(0.5 <= level <= 0.99, "level must lie in [0.5, 0.99].", level=level)
    check(
        0.5 <= confidence <= 0.999,
        "confidence must lie in [0.5, 0.999].",
        confidence=confidence,
    )
    counts = {
        "train": _count(splits, "train", train_images),
        "validation": _count(splits, "validation", validation_images),
    }
    progress("denoising training images", 0.0)
    seen = answers_to(denoise, splits, "train", noise, seed, counts["train"])
    progress("fitting the spread", 0.2)
    spread = fit_spread(seen.noisy, seen.answer, seen.clean, level=level, seed=seed)
    progress("denoising validation images", 0.6)
    held = answers_to(denoise, splits, "validation", noise, seed, counts["validation"])
    progress("intervals", 0.8)
    intervals = fit_intervals(
        held.answer,
        held.clean,
        spread(held.noisy, held.answer),
        level=level,
        delta=1 - confidence,
    )
    facts = {
        "data": splits.name,
        "data_sha256": splits.sha256,
        "image_shape": list(splits.image_shape),
        "images": counts,
        "noise": describe_noise(noise),
        "seed": seed,
    }
    usual = _usual(held.noisy)
    return Uncertainty(spread, intervals, level, confidence, usual, facts)


def _count(splits: Splits, part: str, asked: int | None) -> int:
    images = getattr(splits, part)
    check(
        len(images) >= LEAST_IMAGES and (asked is None or asked >= LEAST_IMAGES),
        f"A calibration needs at least {LEAST_IMAGES} {part} images.",
        images=len(images),
        asked=asked,
    )
    pixels = int(np.prod(splits.image_shape))
    most = max(LEAST_IMAGES, MOST_PIXELS // pixels)
    return min(len(images), most, asked or len(images))


def _usual(noisy: np.ndarray) -> dict[str, tuple[float, float]]:
    """Return the range of each measure over noisy images."""
    if min(noisy.shape[1:3]) < SMALLEST:
        return {}
    rows = [describe(middle(image)) for image in noisy[:LOOKED_AT]]
    return {
        key: (
            float(np.quantile([row[key] for row in rows], USUAL[0])),
            float(np.quantile([row[key] for row in rows], USUAL[1])),
        )
        for key in MEASURES
    }
