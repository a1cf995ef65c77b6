"""Score denoisers on arrays of clean images."""

from numbers import Integral
from typing import Any

from keras_dae.errors import check, is_a
from keras_dae.evaluation.baselines import Denoiser
from keras_dae.evaluation.metrics import METRICS
from keras_dae.evaluation.scoring import TestBench
from keras_dae.images.noise import Noise
from keras_dae.images.splits import Splits

Scores = dict[str, float | None]


def bench_of(
    images: Any, noise: Noise, value_range: tuple[float, float], seed: int = 0
) -> TestBench:
    """Return a test bench with the given clean images, (N, H, W, C), as test images.

    Args:
        images: clean images.
        noise: noise to add, drawn once for all denoisers.
        value_range: image values that are scaled to 0 and 1.
        seed: seed for the noise.

    Raises:
        UsageError: there is no image, or the seed is not a whole number from 0.
    """
    check(len(images) > 0, "There must be at least one image.", shape=images.shape)
    check(is_a(seed, Integral) and seed >= 0, "seed must be a whole number.", seed=seed)
    low, high = value_range
    # Nothing is trained or selected here, so the other splits are placeholders.
    splits = Splits("arrays", images, images, images, {}, low, high, sha256="")
    return TestBench(splits, noise, seed)


def score(bench: TestBench, denoise: Denoiser) -> Scores:
    """Return each row of `METRICS` for a function of noisy float32 images.

    `mse` is the mean over images and pixels, `psnr` that of this mean, in dB (None if
    it is 0), `ssim` the mean over images (None for images below 11x11 pixels).

    Raises:
        KerasDAEError: an output has another shape, or is not finite.
    """
    row, _ = bench.measure(denoise)
    return {name: row[name] for name in METRICS}
