"""Classical filters, with parameters chosen on the validation images.

Each row of `FILTERS` is a library call on one image or on all, and the parameters to
choose from. Outputs are clipped to [0, 1], the range of clean images.
"""

import importlib.util
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from scipy import ndimage, signal

from keras_dae.evaluation.baselines import Denoiser
from keras_dae.evaluation.corrections import PLAIN, Fit
from keras_dae.evaluation.metrics import mse

Settings = dict[str, Any]
# answer(noisy, **settings) -> denoised, both of shape (N, H, W, C)
Answer = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Filter:
    """One row of `FILTERS`.

    Attributes:
        answer: the library call.
        grid: parameter -> the values to choose from.
        packages: packages that it imports.
        tune_images: choose on the first N validation images.
        curve_images: fit a curve on the first N validation images.
        test_images: score the first N test images; None for all.
    """

    answer: Answer
    grid: dict[str, tuple[Any, ...]] = field(hash=False)
    packages: tuple[str, ...] = ("scipy",)
    tune_images: int = 1000
    curve_images: int = 300
    test_images: int | None = None

    @property
    def missing(self) -> str | None:
        """The first package that is not installed, None if all are."""
        for package in self.packages:
            if importlib.util.find_spec(MODULES.get(package, package)) is None:
                return package
        return None

    def settings(self) -> Iterator[Settings]:
        """Yield each combination of parameters."""
        for values in product(*self.grid.values()):
            yield dict(zip(self.grid, values, strict=True))

    def denoiser(self, settings: Settings) -> Denoiser:
        """Return the filter with these parameters."""
        return lambda noisy: np.clip(self.answer(noisy, **settings), 0, 1).astype(
            np.float32
        )


# Name of a package, if its module has another name.
MODULES = {"scikit-image": "skimage", "PyWavelets": "pywt"}


def each(noisy: np.ndarray, call: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Apply `call` to each channel of each image, float64 of shape (H, W)."""
    planes = np.moveaxis(noisy, -1, 1).astype(np.float64)
    answers = np.stack([call(plane) for image in planes for plane in image])
    return np.moveaxis(answers.reshape(planes.shape), 1, -1)


def mean(noisy: np.ndarray, size: int) -> np.ndarray:
    """Return the mean over `size` x `size` pixels."""
    return np.asarray(ndimage.uniform_filter(noisy, (0, size, size, 0)))


def median(noisy: np.ndarray, size: int) -> np.ndarray:
    """Return the median over `size` x `size` pixels."""
    return np.asarray(ndimage.median_filter(noisy, (1, size, size, 1)))


def gaussian(noisy: np.ndarray, sigma: float) -> np.ndarray:
    """Return the mean weighted by a Gaussian of standard deviation `sigma`, pixels."""
    return np.asarray(ndimage.gaussian_filter(noisy, (0, sigma, sigma, 0)))


def wiener(noisy: np.ndarray, size: int, noise: float | None) -> np.ndarray:
    """Return the adaptive Wiener filter; `noise` is its variance, None estimates it."""
    with np.errstate(divide="ignore", invalid="ignore"):  # windows of one value
        answer = each(noisy, lambda plane: signal.wiener(plane, size, noise))
    return np.where(np.isfinite(answer), answer, noisy)


def total_variation(noisy: np.ndarray, weight: float) -> np.ndarray:
    """Return the image denoised by total variation (A. Chambolle)."""
    from skimage.restoration import denoise_tv_chambolle

    return each(noisy, lambda plane: denoise_tv_chambolle(plane, weight=weight))


def wavelet(noisy: np.ndarray, **settings: Any) -> np.ndarray:
    """Return the image denoised by wavelet shrinkage."""
    from skimage.restoration import denoise_wavelet

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a level too deep for a small image
        return each(noisy, lambda plane: denoise_wavelet(plane, **settings))


def non_local_means(noisy: np.ndarray, **settings: Any) -> np.ndarray:
    """Return each pixel as the mean of pixels with similar neighbourhoods."""
    from skimage.restoration import denoise_nl_means

    return each(noisy, lambda plane: denoise_nl_means(plane, **settings))


def bm3d(noisy: np.ndarray, sigma_psd: float) -> np.ndarray:
    """Return the image denoised by BM3D (K. Dabov et al., 2007)."""
    from bm3d import bm3d as answer

    return each(noisy, lambda plane: np.asarray(answer(plane, sigma_psd)))


SIZES = (3, 5, 7)
FILTERS: dict[str, Filter] = {
    "mean": Filter(mean, {"size": SIZES}),
    "median": Filter(median, {"size": SIZES}),
    "Gaussian": Filter(
        gaussian, {"sigma": (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0)}
    ),
    "Wiener": Filter(
        wiener, {"size": SIZES, "noise": (None, 0.03, 0.05, 0.08, 0.1, 0.15, 0.2)}
    ),
    "total variation": Filter(
        total_variation,
        {"weight": (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.6)},
        ("scikit-image",),
    ),
    "wavelets": Filter(
        wavelet,
        {
            "wavelet": ("haar", "db2", "sym4", "bior4.4"),
            "method": ("BayesShrink", "VisuShrink"),
            "mode": ("soft", "hard"),
            "sigma": (0.05, 0.1, 0.2, 0.3, 0.4),
            "wavelet_levels": (1, 2),
        },
        ("scikit-image", "PyWavelets"),
        tune_images=200,
    ),
    "non-local means": Filter(
        non_local_means,
        {
            "h": (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4),
            "patch_size": (3, 5),
            "patch_distance": (5, 9),
        },
        ("scikit-image",),
        tune_images=200,
    ),
    "BM3D": Filter(
        bm3d,
        {"sigma_psd": (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4)},
        ("bm3d",),
        tune_images=40,
        curve_images=100,
        test_images=500,
    ),
}


@dataclass(frozen=True)
class Tuned:
    """The parameters of a filter with the lowest validation error, given a correction.

    Attributes:
        settings: the parameters.
        error: mean squared error on the images that they were chosen on.
    """

    settings: Settings
    error: float


def tune(
    row: Filter,
    noisy: np.ndarray,
    clean: np.ndarray,
    advance: Callable[[], None] = lambda: None,
) -> tuple[Settings, float]:
    """Return the parameters with the lowest mean squared error, and that error.

    Args:
        row: the filter.
        noisy: noisy validation images, (N, H, W, C); do not use the test split.
        clean: the clean images.
        advance: called after each combination.
    """
    found = tune_each(row, noisy, clean, {PLAIN: lambda *_: None}, advance)[PLAIN]
    return found.settings, found.error


def tune_each(
    row: Filter,
    noisy: np.ndarray,
    clean: np.ndarray,
    fits: Mapping[str, Fit],
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Tuned]:
    """Return for each correction the parameters with the lowest mean squared error.

    Args:
        row: the filter.
        noisy: noisy validation images, (N, H, W, C); do not use the test split.
        clean: the clean images.
        fits: result of `corrections.corrections`.
        advance: called after each combination.
    """
    best: dict[str, Tuned] = {}
    for settings in row.settings():
        answers = row.denoiser(settings)(noisy)
        for name, fit in fits.items():
            curve = fit(answers, clean)
            corrected = answers if curve is None else curve(answers)
            error = float(mse(clean, corrected).mean())
            if name not in best or error < best[name].error:
                best[name] = Tuned(settings, error)
        advance()
    return best
