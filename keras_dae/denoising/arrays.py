"""Denoise arrays and image files with a loaded model."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.denoising.similar_patches import learn_from
from keras_dae.denoising.tile_model import Tiled, TileModel
from keras_dae.denoising.tiles import BATCH
from keras_dae.denoising.widths import unlike
from keras_dae.errors import check, legible
from keras_dae.images.io.formats import read_file
from keras_dae.images.io.pictures import (
    COUNTS,
    RANGES,
    Page,
    UnreadableError,
    from_unit,
    is_grey,
    page_of,
    to_unit,
)
from keras_dae.images.ranges import given_range, range_of
from keras_dae.images.rows import check_plain
from keras_dae.uncertainty.calibrate import Uncertainty

# A function of images that returns the values that are scaled to 0 and 1.
RangeOf = Callable[[np.ndarray], tuple[float, float]]
# A function of images (N, H, W, C), float32 in [0, 1], that returns their denoiser.
ModelOf = Callable[[np.ndarray], Tiled]


def denoise_by_itself(
    image: Any, *, value_range: tuple[float, float] | None = None, strength: float = 1.0
) -> Any:
    """Denoise an image without a model, by its own similar patches (NL-Ridge).

    The noise must be independent from pixel to pixel. It is estimated from the image as
    a function of brightness. The images of a batch must have the same noise.

    Args:
        image: a path, an image (H, W) or (H, W, C) with C 1 or 3 (2 or 4 with alpha,
            which is not changed), or a batch (N, H, W) or (N, H, W, C); uint8, uint16,
            bool or float. Each side must be at least 16 pixels. A file is treated like
            an array of its pixels.
        value_range: image values that are scaled to 0 and 1; values outside are cut
            off. The default is the range of the type, as in `Denoiser`.
        strength: blend of input and output, from 0 (the input) to 1 (the output).

    Returns:
        An array of the same shape and type; a list for a file with several pages.

    Raises:
        UsageError: the shape or type is not that of an image, floats are outside
            [0, 1] without `value_range`, or strength is outside [0, 1].
        KerasDAEError: the file cannot be read, or the image is too small.

    Example:
        >>> noisy = np.random.default_rng(0).normal(128, 20, (32, 48)).astype("uint8")
        >>> bool(denoise_by_itself(noisy).std() < 0.5 * noisy.std())
        True
    """
    limits = (None, None) if value_range is None else given_range(value_range)
    return denoise_any(
        learn_from, image, lambda images: range_of(images, *limits), strength
    )


def denoise_any(
    model_of: ModelOf, image: Any, range_of: RangeOf, strength: float
) -> Any:
    """Denoise an image, a batch or the pages of a file.

    Args:
        model_of: returns the denoiser of a page or batch.
        image: a path, (H, W), (H, W, C), (N, H, W) or (N, H, W, C).
        range_of: returns the values that are scaled to 0 and 1.
        strength: from 0 (the input) to 1 (the output of the model).
    """

    def of_page(page: Page) -> np.ndarray:
        batch, inverted = page.values[None], page.inverted
        return page.joined(_denoise(model_of, batch, range_of, strength, inverted)[0])

    check(0 <= strength <= 1, "strength must be from 0 to 1.", strength=strength)
    check(
        not hasattr(image, "getexif"),
        "Give the path of the image or an array: a Pillow image has a mode and an "
        "orientation that an array does not show.",
        image=image,
    )
    if isinstance(image, str | Path):
        try:
            pages = read_file(Path(image)).pages
        except UnreadableError as error:
            raise UnreadableError(f"{legible(image)} {error}") from error
        found = [of_page(page) for page in pages]
        return found[0] if len(found) == 1 else found
    check_plain(image)
    array = np.asarray(image)
    if array.ndim == 3 and array.shape[-1] in (2, 4):
        return of_page(page_of(array))
    batch = _as_batch(array)
    return _denoise(model_of, batch, range_of, strength).reshape(array.shape)


def _denoise(
    model_of: ModelOf,
    images: np.ndarray,
    range_of: RangeOf,
    strength: float,
    inverted: bool = False,
) -> np.ndarray:
    """Denoise a batch (N, H, W, C); the result has the same type."""
    grey = np.array([is_grey(image) for image in images])
    if grey.any():
        found = np.empty_like(images)
        for rows, channels in ((grey, 1), (~grey, 3)):
            if rows.any():
                some = images[rows][..., :channels]
                found[rows] = _denoise(model_of, some, range_of, strength, inverted)
        return found
    name = images.dtype.name
    check(
        name in (*RANGES, *COUNTS),
        f"Images must be of one of the types {', '.join((*RANGES, *COUNTS))}.",
        type=name,
    )
    if strength == 0:
        return images.copy()
    low, high = range_of(images)
    unit = to_unit(images, low, high, inverted=inverted).clip(0, 1)
    answers = _answers(model_of(unit), unit)
    answers = unit + np.float32(strength) * (answers - unit)
    return from_unit(answers, images.dtype, low, high, inverted=inverted)


def with_interval(
    model: TileModel, array: np.ndarray, range_of: RangeOf, found: Uncertainty
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Denoise an image or batch, and return the bounds of each pixel's interval.

    Warns if images are unlike the images of the calibration.

    Args:
        model: the model.
        array: (H, W), (H, W, C), (N, H, W) or (N, H, W, C).
        range_of: returns the values that are scaled to 0 and 1.
        found: the calibrated intervals of the model.
    """
    images = _as_batch(array)
    check(
        not any(map(is_grey, images)),
        "Give grey images with one channel; the three channels of these are equal.",
        shape=array.shape,
    )
    low, high = range_of(images)
    unit = to_unit(images, low, high, inverted=False).clip(0, 1)
    strange = [unlike(found, one, model.sides) for one in unit]
    if words := next(filter(None, strange), None):
        count = sum(one is not None for one in strange)
        warnings.warn(
            f"{count} of {len(unit)} images: the first is {words}.", stacklevel=3
        )
    answers = _answers(model, unit)
    lower, upper = (
        (low + (high - low) * end).astype(np.float32).reshape(array.shape)
        for end in found.interval(unit, answers)
    )
    answer = from_unit(answers, images.dtype, low, high, inverted=False)
    return answer.reshape(array.shape), lower, upper


def _answers(model: Tiled, unit: np.ndarray) -> np.ndarray:
    """Return the outputs for float32 images in [0, 1] of any size."""
    if model.sides == unit.shape[1:3]:
        parts = np.split(unit, range(BATCH, len(unit), BATCH))
        return np.concatenate([*map(model.predictor(), parts)])
    return np.stack([model.denoise(one) for one in unit])


def _as_batch(array: np.ndarray) -> np.ndarray:
    """Return an image or a batch as (N, H, W, C)."""
    check(array.size > 0, "There must be at least one pixel.", shape=array.shape)
    if array.ndim == 2:
        return array[None, ..., None]
    if array.ndim == 3:
        return array[None] if array.shape[-1] in (1, 3) else array[..., None]
    check(
        array.ndim == 4 and array.shape[-1] in (1, 3),
        "An image must have the shape (H, W) or (H, W, C), a batch (N, H, W) or "
        "(N, H, W, C), with C 1 or 3.",
        shape=array.shape,
    )
    return array
