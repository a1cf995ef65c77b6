"""Pages beside clean ones: what was there before denoising, and what after."""

from pathlib import Path

import numpy as np

from keras_dae.evaluation.metrics import SSIM_WINDOW, mse, psnr_of, ssim
from keras_dae.images.io.formats import read_file
from keras_dae.images.io.pictures import Picture, UnreadableError, to_unit
from keras_dae.images.ranges import Range, fill_gaps, value_range


def units(
    values: list[np.ndarray], picture: Picture, ranges: list[Range]
) -> list[np.ndarray]:
    """Return values of a picture's pages as float32 in [0, 1]."""
    return [
        to_unit(array, *limits, page.inverted)
        for array, limits, page in zip(values, ranges, picture.pages, strict=True)
    ]


def clean_pages(
    path: Path,
    picture: Picture,
    ranges: list[Range],
    asked: Range | None,
    megapixels: float,
) -> list[np.ndarray]:
    """Read the clean image of a picture: float32 on its scale, a page each.

    Raises:
        UnreadableError: it cannot be read, or is of another shape.
    """
    try:
        clean = read_file(path, megapixels)
        for page in clean.pages:
            fill_gaps(page)
            value_range(page, asked)
    except UnreadableError as error:
        raise UnreadableError(f"has no clean image: {path} {error.mended}") from error
    shapes = [page.values.shape for page in clean.pages]
    wanted = [page.values.shape for page in picture.pages]
    if shapes != wanted:
        raise UnreadableError(
            f"has pages of shape {wanted}; those of the clean image {path} are {shapes}"
        )
    return units([page.values for page in clean.pages], clean, ranges)


def measure(
    clean: list[np.ndarray], answers: list[np.ndarray]
) -> dict[str, float | None]:
    """Return MSE (mean over pages), its PSNR in dB, and mean SSIM, None if too small.

    Args:
        clean: float32 pages in [0, 1], (H, W, C).
        answers: pages of the same shapes.
    """
    pairs = [
        (truth[None], answer[None])
        for truth, answer in zip(clean, answers, strict=True)
    ]
    error = float(np.mean([mse(*pair)[0] for pair in pairs]))
    large = all(min(truth.shape[1:3]) >= SSIM_WINDOW for truth, _ in pairs)
    return {
        "mse": error,
        "psnr": psnr_of(error) if error > 0 else None,
        "ssim": float(np.mean([ssim(*pair)[0] for pair in pairs])) if large else None,
    }
