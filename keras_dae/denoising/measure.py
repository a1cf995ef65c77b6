"""Compare pages with clean pages, before and after denoising."""

from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.evaluation.metrics import METRICS, measure_all, summarise
from keras_dae.images.io.formats import read_file
from keras_dae.images.io.pictures import RANGES, Picture, UnreadableError, to_unit
from keras_dae.images.ranges import Range, fill_gaps, value_range


def units(
    values: list[np.ndarray], picture: Picture, ranges: list[Range]
) -> list[np.ndarray]:
    """Return values of a picture's pages as float32 in [0, 1]."""
    return [
        to_unit(page.spread(array), *limits, page.inverted)
        for array, limits, page in zip(values, ranges, picture.pages, strict=True)
    ]


def clean_pages(
    path: Path,
    picture: Picture,
    ranges: list[Range],
    asked: Range | None,
    megapixels: float,
) -> list[np.ndarray]:
    """Read the clean image of a picture: float32 on its scale, one array per page.

    Raises:
        UnreadableError: the clean image cannot be read, or its shape differs, or its
            type differs and so does the scale.
    """
    try:
        clean = read_file(path, megapixels)
        for page in clean.pages:
            fill_gaps(page)
            value_range(page, asked)
    except UnreadableError as error:
        raise UnreadableError(
            f"has no usable clean image: {path} {error.mended}"
        ) from error
    shapes = [page.spread(page.values).shape for page in clean.pages]
    wanted = [page.spread(page.values).shape for page in picture.pages]
    if shapes != wanted:
        raise UnreadableError(
            f"has pages of shape {wanted}, but the clean image {path} has {shapes}"
        )
    values = [page.values for page in clean.pages]
    scales = [
        _scale(array.dtype, page.values.dtype, limits, path)
        for array, page, limits in zip(values, picture.pages, ranges, strict=True)
    ]
    return units(values, clean, scales)


def _scale(
    clean: np.dtype[Any], noisy: np.dtype[Any], limits: Range, path: Path
) -> Range:
    """Return the values of a clean page that are scaled to 0 and 1.

    They are those of the noisy page if the types are equal, else the ranges of both
    types.

    Raises:
        UnreadableError: the noisy page has a range of its own and another type.
    """
    if clean == noisy:
        return limits
    if limits == RANGES.get(noisy.name) and clean.name in RANGES:
        return RANGES[clean.name]
    raise UnreadableError(
        f"has values of type {noisy.name} from {limits[0]:g} to {limits[1]:g}, which "
        f"cannot be compared with the {clean.name} values of the clean image {path}"
    )


def measure(
    clean: list[np.ndarray], answers: list[np.ndarray]
) -> dict[str, float | None]:
    """Return the mean of each metric over pages, or None if a page is too small.

    PSNR, in dB, is computed from the mean MSE.

    Args:
        clean: float32 pages in [0, 1], (H, W, C).
        answers: denoised pages of the same shapes.
    """
    pages = [
        measure_all(truth[None], answer[None])
        for truth, answer in zip(clean, answers, strict=True)
    ]
    measured = set.intersection(*map(set, pages))
    of_pages = {name: np.concatenate([p[name] for p in pages]) for name in measured}
    row = summarise(of_pages, clean[0].size)
    return {name: row[name] for name in METRICS}
