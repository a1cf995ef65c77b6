"""Which values are scaled to 0 and 1: given ones, or those of the type or data."""

from numbers import Real
from typing import Any

import numpy as np

from keras_dae.errors import UsageError, check, is_a
from keras_dae.images.io.pictures import (
    COUNTS,
    RANGES,
    Page,
    UnreadableError,
    as_type,
)
from keras_dae.images.patches import Patches
from keras_dae.images.rows import Images, extremes

# Data of 12 and 14 bits are stored in 16 bits: lower maxima indicate such counts.
FEW_BITS = 1 << 14
PERCENTILES = (0.1, 99.9)
_SAMPLE = 1 << 20  # values sampled for the percentiles of a page
SMALLEST, LARGEST = 1e-30, 1e30  # between values that float32 can scale
MAX_GAPS = 0.1  # largest share of values that are not finite
Range = tuple[float, float]


def check_values(known: dict[str, Any]) -> None:
    """Raise `ValueError` or `LookupError` unless a record of a range can be used."""
    dtype, low, high = known["dtype"], float(known["low"]), float(known["high"])
    if dtype not in (*RANGES, *COUNTS):
        raise ValueError(f"values of the type {dtype!r}")
    if not (SMALLEST <= high - low <= LARGEST and abs(low) <= LARGEST):
        raise ValueError(f"values from {low:g} to {high:g}")


def value_range(page: Page, asked: Range | None = None) -> Range:
    """Return the values that are scaled to 0 and 1.

    The default is the range of the type of the page; for counts it is a pair of
    percentiles of the page (see `by_data`).

    Args:
        page: a page without gaps (see `fill_gaps`).
        asked: (low, high) in the units of the file.

    Raises:
        UnreadableError: values are not finite, or outside the given range.
    """
    least, most = float(page.values.min()), float(page.values.max())
    if not np.isfinite([least, most]).all():
        raise UnreadableError("holds values that are not finite (NaN or infinity)")
    if asked is not None:
        low, high = asked
        if least < low or most > high:
            raise UnreadableError(
                f"holds values from {least:g} to {most:g}, outside [{low:g}, {high:g}]",
                "--range LOW..HIGH sets the values of black and white",
            )
        return low, high
    if by_data(page) and most > least:
        flat = page.values.reshape(-1)
        sample = flat[:: max(1, flat.size // _SAMPLE)]
        low, high = np.percentile(sample.astype(np.float64), PERCENTILES).tolist()
        return (low, high) if high > low else (least, most)
    name = page.values.dtype.name
    if name in RANGES and not by_data(page):
        return RANGES[name]
    # All values are equal, to any number.
    return RANGES[name] if name == "uint16" else (least, least + max(1.0, abs(least)))


def by_data(page: Page) -> bool:
    """Return whether a page holds counts, whose range is not that of their type.

    Counts are integers of a type without a range, 16-bit values that use at most 14
    bits, and floats outside [0, 1].
    """
    values = page.values
    if values.dtype.name in COUNTS:
        return True
    if values.dtype == np.uint16:
        return bool(values.max() < FEW_BITS)
    return values.dtype.kind == "f" and bool(values.min() < 0 or values.max() > 1)


def fill_gaps(page: Page) -> np.ndarray | None:
    """Replace values that are not finite by the nearest finite one, in place.

    Values beyond `LARGEST`, which some programs store for missing ones, count as not
    finite.

    Returns the replaced values in an array that is 0 elsewhere, or None if all values
    are finite.

    Raises:
        UnreadableError: more of them than `MAX_GAPS`.
    """
    values = page.values
    # A comparison with NaN is false.
    if values.dtype.kind != "f" or -LARGEST < values.min() <= values.max() < LARGEST:
        return None
    gaps = ~(np.abs(values) < LARGEST)
    share = float(gaps.mean())
    if share > MAX_GAPS:
        raise UnreadableError(
            f"holds {100 * share:.0f} % values that are not finite (NaN or infinity), "
            f"more than {100 * MAX_GAPS:.0f} %"
        )
    before = np.where(gaps, values, 0)
    page.values = values.copy()
    for channel in range(values.shape[2]):
        page.values[..., channel] = _filled(values[..., channel], gaps[..., channel])
    return before if gaps.any() else None


def _filled(values: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    if gaps.all():
        return np.zeros_like(values)
    from scipy.ndimage import distance_transform_edt  # slow to import

    rows, columns = distance_transform_edt(
        gaps, return_distances=False, return_indices=True
    )
    return np.asarray(values[rows, columns])


def put_back(values: np.ndarray, before: np.ndarray | None) -> np.ndarray:
    """Return denoised values with the gaps that `fill_gaps` filled restored."""
    return values if before is None else np.where(before == 0, values, before)


def beyond(values: np.ndarray, limits: Range) -> np.ndarray | None:
    """Return how far values lie outside their range; None if all are inside.

    Stars and hot pixels do. Values beyond a percentile are restored after denoising.
    """
    least, most = values.min(), values.max()
    if least >= limits[0] and most <= limits[1]:
        return None
    exact = values.astype(np.float64)
    return np.asarray(exact - exact.clip(*limits))


def put_beyond(values: np.ndarray, excess: np.ndarray | None) -> np.ndarray:
    """Return denoised values plus the excess from `beyond`."""
    if excess is None:
        return values
    whole = as_type(values + excess, values.dtype)
    return np.asarray(np.where(excess == 0, values, whole))


def given_range(given: Any) -> Range:
    """Return a range that a user gave as two numbers, low and high.

    Raises:
        UsageError: it is something else, or `low` is not below `high`.
    """
    check(
        isinstance(given, tuple | list)
        and len(given) == 2
        and all(is_a(end, Real) for end in given),
        "value_range must be two numbers, (low, high).",
        value_range=given,
    )
    low, high = map(float, given)
    check(
        low < high <= LARGEST and low >= -LARGEST,
        f"low must be below high, and both finite (at most {LARGEST:g}).",
        low=low,
        high=high,
    )
    return low, high


def range_of(
    images: Images, low: float | None = None, high: float | None = None
) -> tuple[float, float]:
    """Return the image values that are scaled to 0 and 1.

    Without `low` and `high` the type decides: 0 to 255 for uint8, 0 to 65535 for
    uint16, 0 to 1 for floats and booleans.

    Args:
        images: (N, H, W, C) or any other shape.
        low: value that is scaled to 0, or None.
        high: value that is scaled to 1, or None. Give both or neither.

    Raises:
        UsageError: only one of the two is given, `low` is not below `high`, the type
            has no default range, or floats are outside [0, 1] without a range.

    Example:
        >>> range_of(np.zeros((1, 8, 8, 1), "uint8"))
        (0.0, 255.0)
    """
    if low is not None and high is not None:
        return given_range((low, high))
    check(low is None and high is None, "Give both low and high.", low=low, high=high)
    name = images.dtype.name
    if name not in RANGES:
        raise UsageError(
            f"Images of type {name} have no default range. Give low and high, the "
            "values that are scaled to 0 and 1. Types with a range: "
            f"{', '.join(RANGES)}."
        )
    if images.dtype.kind == "f" and not isinstance(images, Patches):
        check_unit(images)
    return RANGES[name]


def check_unit(images: Images) -> None:
    """Refuse float images that are not within [0, 1].

    Raises:
        UsageError: values are outside [0, 1].
    """
    least, most = extremes(images)
    if not (least >= 0 and most <= 1):
        raise UsageError(
            "Float images must lie in [0, 1], unless a range (low, high) says which "
            "values are scaled to 0 and 1. "
            f"Received: values from {least:g} to {most:g}."
        )


def same_share(
    trained: tuple[str, float, float], dtype: np.dtype[Any]
) -> tuple[float, float]:
    """Return the range, in values of `dtype`, that a model was trained on.

    A model trained on uint8 images from 50 to 150 takes uint16 images from 12850 to
    38550. Values are not converted if one of the types has no default range, or if
    floats were trained on a range other than [0, 1] (counts).

    Args:
        trained: type of the training images, and the values that were scaled to 0 and
            1.
        dtype: type of the images to denoise.

    Example:
        >>> same_share(("uint8", 50, 150), np.dtype("uint16"))
        (12850.0, 38550.0)
    """
    name, low, high = trained
    if name == dtype.name or name not in RANGES or dtype.name not in RANGES:
        return low, high
    start, end = RANGES[name]
    if not start <= low < high <= end:
        return low, high
    to_start, to_end = RANGES[dtype.name]
    scale = (to_end - to_start) / (end - start)
    return to_start + (low - start) * scale, to_start + (high - start) * scale
