"""Metrics of a denoised image, computed in float64; the clean image comes first.

A metric maps two arrays of shape (N, H, W, C) to one value per image, shape (N,).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_dae.errors import check

DATA_RANGE = 1.0
SSIM_SIGMA, SSIM_WINDOW = 1.5, 11


def _check_pair(clean: np.ndarray, denoised: np.ndarray, smallest: int = 1) -> None:
    check(
        clean.ndim == 4
        and clean.shape == denoised.shape
        and min(clean.shape[1:3]) >= smallest,
        "clean and denoised must have the same shape (N, H, W, C)"
        + (f", H and W at least {smallest}." if smallest > 1 else "."),
        clean=clean.shape,
        denoised=denoised.shape,
    )
    check(
        all(np.issubdtype(one.dtype, np.floating) for one in (clean, denoised)),
        "clean and denoised must be floating-point arrays with values in [0, 1].",
        clean=str(clean.dtype),
        denoised=str(denoised.dtype),
    )


def mse(clean: np.ndarray, denoised: np.ndarray) -> np.ndarray:
    """Return the mean squared error over pixels, one value per image, (N,).

    Args:
        clean: clean images, floating point in [0, 1], (N, H, W, C).
        denoised: denoised images of the same shape.

    Raises:
        UsageError: the shapes differ, or an array holds integers.

    Example:
        >>> clean = np.zeros((2, 8, 8, 1))
        >>> mse(clean, clean + 0.1).round(4).tolist()
        [0.01, 0.01]
    """
    _check_pair(clean, denoised)
    difference = clean.astype(np.float64) - denoised
    errors: np.ndarray = np.square(difference, out=difference).mean(axis=(1, 2, 3))
    return errors


def psnr_of(error: float) -> float:
    """Return the peak signal-to-noise ratio, in dB, of a mean squared error > 0."""
    return float(10 * np.log10(DATA_RANGE**2 / error))


def psnr(clean: np.ndarray, denoised: np.ndarray) -> np.ndarray:
    """Return the peak signal-to-noise ratio in dB, one value per image, (N,).

    It is infinite for an image that is reproduced exactly. For arguments and errors
    see `mse`.

    Example:
        >>> clean = np.zeros((2, 8, 8, 1))
        >>> psnr(clean, clean + 0.1).round(2).tolist()
        [20.0, 20.0]
    """
    with np.errstate(divide="ignore"):
        return 10 * np.log10(DATA_RANGE**2 / mse(clean, denoised))


def ssim(clean: np.ndarray, denoised: np.ndarray) -> np.ndarray:
    """Return the structural similarity, one value per image, (N,); mean over channels.

    Gaussian window of sigma 1.5 over 11x11 pixels, data range 1, population
    covariance, without the border of 5 pixels (Z. Wang et al., "Image Quality
    Assessment: From Error Visibility to Structural Similarity", 2004). It equals that
    of scikit-image with `gaussian_weights=True, use_sample_covariance=False`.

    Args:
        clean: clean images, floating point in [0, 1], (N, H, W, C).
        denoised: denoised images of the same shape.

    Raises:
        UsageError: images are below 11x11 pixels, the shapes differ, or an array holds
            integers.
    """
    _check_pair(clean, denoised, SSIM_WINDOW)
    x, y = clean.astype(np.float64), denoised.astype(np.float64)
    mean_x, mean_y = _window(x), _window(y)
    variance_x = _window(x * x) - mean_x**2
    variance_y = _window(y * y) - mean_y**2
    covariance = _window(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * DATA_RANGE) ** 2, (0.03 * DATA_RANGE) ** 2
    values = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    )
    border = SSIM_WINDOW // 2
    means: np.ndarray = values[:, border:-border, border:-border].mean(axis=(1, 2, 3))
    return means


def _window(images: np.ndarray) -> np.ndarray:
    sigma = (0, SSIM_SIGMA, SSIM_SIGMA, 0)
    from scipy.ndimage import gaussian_filter  # not needed for `--help`

    filtered: np.ndarray = gaussian_filter(images, sigma, truncate=3.5)
    return filtered


@dataclass(frozen=True)
class Metric:
    """One row of `METRICS`.

    Attributes:
        measure: `measure(clean, denoised)`, two arrays of shape (N, H, W, C) with
            values in [0, 1], returns one value per image, shape (N,).
        label: the heading of its column in tables.
        digits: decimal places in tables.
        smallest: smallest side of images that it can measure, in pixels.
        lower_is_better: whether a lower value is better, as it is for an error.
    """

    measure: Callable[[np.ndarray, np.ndarray], np.ndarray]
    label: str
    digits: int = 3
    smallest: int = 1
    lower_is_better: bool = False

    def text(self, values: Iterable[float | None], missing: str = "") -> str:
        """Return the mean as text, or `missing` if a value is not known."""
        given = list(values)
        known = [value for value in given if value is not None]
        if not known or len(known) < len(given):
            return missing
        return f"{np.mean(known):.{self.digits}f}"


METRICS: dict[str, Metric] = {
    "mse": Metric(mse, "MSE", 5, lower_is_better=True),
    "psnr": Metric(psnr, "PSNR, dB", 2),
    "ssim": Metric(ssim, "SSIM", 3, SSIM_WINDOW),
}
_BUILT_IN = tuple(METRICS)


def added_metrics() -> dict[str, Metric]:
    """Return the rows of `METRICS` other than mse, psnr and ssim.

    Tables have fixed columns for the built-in metrics, and append one for each of
    these.
    """
    return {name: row for name, row in METRICS.items() if name not in _BUILT_IN}


def measure_all(clean: np.ndarray, denoised: np.ndarray) -> dict[str, np.ndarray]:
    """Return metric -> one value per image, for each metric except psnr.

    PSNR is computed from the MSE, see `summarise`. Metrics that need larger images are
    left out.

    Raises:
        UsageError: a metric does not return one value per image.
    """
    side = min(clean.shape[1:3])
    found = {}
    for name, row in METRICS.items():
        if name == "psnr" or side < row.smallest:
            continue
        found[name] = values = np.asarray(row.measure(clean, denoised))
        check(
            values.shape == (len(clean),),
            f"The metric {name} must return one value per image, shape "
            f"({len(clean)},).",
            shape=values.shape,
        )
    return found


def summarise(of_images: Mapping[str, np.ndarray], pixels: int) -> dict[str, Any]:
    """Return the summary of a row from the values of its images.

    Args:
        of_images: result of `measure_all`, for all images.
        pixels: values per image; the paper's loss sums over them (section 3.1).

    Returns:
        `mse`, `mse_sum`, `psnr` (of the mean error), `psnr_mean_image` (mean over
        images), `ssim`, and the mean of each metric added to `METRICS`. A value is None
        if it is not finite or was not measured.
    """
    errors = of_images["mse"]
    mean = float(errors.mean())
    exact = bool((errors == 0).any())
    return {
        "mse": mean,
        "mse_sum": mean * pixels,
        "psnr": psnr_of(mean) if mean > 0 else None,
        "psnr_mean_image": None if exact else float((-10 * np.log10(errors)).mean()),
        **{name: _mean(of_images.get(name)) for name in ("ssim", *added_metrics())},
    }


def _mean(values: np.ndarray | None) -> float | None:
    if values is None or not np.isfinite(values).all():
        return None
    return float(values.mean())
