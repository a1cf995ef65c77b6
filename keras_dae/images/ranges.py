"""Which image values become 0 and 1: those of the type, unless others are told."""

from typing import Any

import numpy as np

from keras_dae.errors import UsageError, check
from keras_dae.images.io.pictures import RANGES
from keras_dae.images.patches import Patches
from keras_dae.images.rows import Images, extremes


def range_of(
    images: Images, low: float | None = None, high: float | None = None
) -> tuple[float, float]:
    """Return the image values that become 0 and 1.

    Without `low` and `high` the type decides: 0 to 255 for uint8, 0 to 65535 for
    uint16, 0 to 1 for floats and booleans.

    Args:
        images: (N, H, W, C) or any other shape.
        low: value that becomes 0, or None.
        high: value that becomes 1, or None; given with `low` or not at all.

    Raises:
        UsageError: only one of the two, `low` not below `high`, a type without a
            range of its own, or floats outside [0, 1] without a range.

    Example:
        >>> range_of(np.zeros((1, 8, 8, 1), "uint8"))
        (0.0, 255.0)
    """
    if low is not None or high is not None:
        check(
            low is not None and high is not None and low < high,
            "low and high are given together, and low is below high.",
            low=low,
            high=high,
        )
        return float(low), float(high)  # type: ignore[arg-type]
    name = images.dtype.name
    if name not in RANGES:
        raise UsageError(
            f"Images of type {name} have no range of their own; low and high say "
            f"which values become 0 and 1. Types with a range: {', '.join(RANGES)}."
        )
    if images.dtype.kind == "f" and not isinstance(images, Patches):
        check_unit(images)
    return RANGES[name]


def check_unit(images: Images) -> None:
    """Refuse float images that are not within [0, 1].

    Raises:
        UsageError: says which values there are.
    """
    least, most = extremes(images)
    if not (least >= 0 and most <= 1):
        raise UsageError(
            "Float images must lie in [0, 1], unless a range (low, high) says which "
            f"values become 0 and 1. Received: values from {least:g} to {most:g}."
        )


def same_share(
    trained: tuple[str, float, float], dtype: np.dtype[Any]
) -> tuple[float, float]:
    """Return the range, in values of `dtype`, that a model was trained on.

    Args:
        trained: type of the training images, and the values that became 0 and 1.
        dtype: type of the images that the range is for.

    A model trained on uint8 images from 50 to 150 takes uint16 images from 12850 to
    38550. Where either type has no range of its own, and where floats were trained on
    another range than [0, 1] (counts), the values stay as they are.

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
