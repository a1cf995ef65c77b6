"""The content of an image file: pages of values in their original type."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_dae.errors import KerasDAEError
from keras_dae.system.parcels import carried

MAX_MEGAPIXELS = 256
MAX_PAGES = 65_536
# No supported format compresses more pixels into a byte, except for images of a single
# colour. Larger claims are attempts to exhaust the memory.
PIXELS_A_BYTE, HONEST_MEGAPIXELS = 8256, 16
# Types that pixels may have -> the range that becomes [0, 1].
RANGES = {
    "bool": (0.0, 1.0),
    "uint8": (0.0, 255.0),
    "uint16": (0.0, 65535.0),
    "float16": (0.0, 1.0),
    "float32": (0.0, 1.0),
    "float64": (0.0, 1.0),
}
# Integers without a fixed range: their range is that of the data.
COUNTS = ("int8", "int16", "int32", "int64", "uint32", "uint64")


@carried
class UnreadableError(KerasDAEError):
    """A file that cannot be read as an image. The message lacks the name of the file.

    Attributes:
        mended: the message, with the option of `denoise` that lifts the restriction, if
            there is one.
    """

    def __init__(self, what: str, option: str = "") -> None:
        super().__init__(what)
        self.mended = f"{what}; {option}" if option else what


@carried
@dataclass
class Page:
    """One image of a file.

    Attributes:
        values: (H, W, C) with C 1 or 3, of a type in `RANGES`, upright. If the three
            channels of a file are equal, the image is grey and C is 1.
        alpha: (H, W) transparency, which is not changed; None if there is none.
        inverted: whether the file stores 0 as white (some TIFF files).
        copies: number of channels in the file per channel of `values`, 1 or 3.
        extra: page data for the writer of the format.
    """

    values: np.ndarray
    alpha: np.ndarray | None = None
    inverted: bool = False
    copies: int = 1
    extra: dict[str, Any] = field(default_factory=dict)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Return values like those of the page with all channels of the file."""
        return np.repeat(values, self.copies, axis=2) if self.copies > 1 else values

    def joined(self, values: np.ndarray) -> np.ndarray:
        """Return `values` with the alpha of the page: (H, W) or (H, W, 2..4)."""
        values = self.spread(values)
        if self.alpha is not None:
            values = np.concatenate([values, self.alpha[..., None]], axis=2)
        return values[..., 0] if values.shape[2] == 1 else values


@carried
@dataclass
class Picture:
    """The pages and the format of a file.

    Attributes:
        format: a row of `FORMATS`.
        pages: at least one page.
        extra: file data for the writer of the format.
        note: what cannot be kept, in a few words; empty if nothing is lost.
    """

    format: str
    pages: list[Page]
    extra: dict[str, Any] = field(default_factory=dict)
    note: str = ""


def page_of(array: np.ndarray, **attributes: Any) -> Page:
    """Return a page from an array (H, W) or (H, W, 1..4); channel 2 or 4 is alpha.

    Raises:
        UnreadableError: the shape or type is not supported, or there is no pixel.
    """
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4):
        raise UnreadableError(
            f"holds an array of shape {array.shape}; only grey and RGB images, with or "
            "without alpha, are supported"
        )
    if array.size == 0:
        raise UnreadableError(f"holds no pixel (shape {array.shape})")
    check_type(array.dtype)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    alpha = array[..., -1] if array.shape[2] in (2, 4) else None
    values = array if alpha is None else array[..., :-1]
    if is_grey(values):
        values, attributes = values[..., :1], {"copies": 3, **attributes}
    return Page(values, alpha, **attributes)


def is_grey(values: np.ndarray) -> bool:
    """Return whether values (..., C) have three channels, all of them equal.

    A model of colour images cannot denoise such an image: it expects other noise in
    each channel, so noise that all of them share looks like content.
    """
    exact = values.dtype.kind == "f"
    return values.shape[-1] == 3 and all(
        np.array_equal(values[..., 0], values[..., other], equal_nan=exact)
        for other in (1, 2)
    )


def check_type(dtype: np.dtype[Any]) -> None:
    """Raise an error if the type of values is not supported."""
    if dtype.name not in (*RANGES, *COUNTS):
        raise UnreadableError(
            f"holds values of type {dtype.name}; supported are "
            f"{', '.join((*RANGES, *COUNTS))}"
        )


def alpha_note(channel: int) -> str:
    """Return a note on a channel that is read as alpha, counted from 1."""
    return f"channel {channel} is read as alpha and is not changed"


def check_size(
    sizes: Sequence[tuple[int, int]],
    megapixels: float = MAX_MEGAPIXELS,
    held: int | None = None,
) -> None:
    """Raise an error for more pixels than the limit, before memory is allocated.

    Args:
        sizes: width and height of each page, from the header of the file.
        megapixels: limit for all pages together.
        held: size of the file in bytes, None if its pixels are not compressed.
    """
    if len(sizes) > MAX_PAGES:
        raise UnreadableError(f"holds {len(sizes):,} pages, more than {MAX_PAGES:,}")
    total = sum(width * height for width, height in sizes) / 1e6
    if total > megapixels:
        raise UnreadableError(
            f"claims to hold {total:,.0f} megapixels, more than {megapixels:,.0f}",
            "--max-megapixels allows more",
        )
    if held is not None and total > HONEST_MEGAPIXELS + held * PIXELS_A_BYTE / 1e6:
        raise UnreadableError(
            f"claims to hold {total:,.0f} megapixels in {held:,} bytes, which is not "
            "possible"
        )


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """Return an array (H, W, ...) rotated according to the EXIF orientation, 1 to 8."""
    if orientation in (5, 6, 7, 8):
        array = np.swapaxes(array, 0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def to_unit(values: np.ndarray, low: float, high: float, inverted: bool) -> np.ndarray:
    """Return values as float32, scaled from low..high to 0..1, where 1 is white."""
    exact: type[np.floating[Any]] = np.float64 if _is_wide(values.dtype) else np.float32
    unit = values.astype(exact)
    if low:
        unit -= exact(low)
    unit *= exact(1 / (high - low))
    white = unit.astype(np.float32, copy=False)
    return 1 - white if inverted else white


def from_unit(
    unit: np.ndarray, dtype: np.dtype[Any], low: float, high: float, inverted: bool
) -> np.ndarray:
    """Return float32 values in [0, 1] in the type of a file, rounded if necessary."""
    unit = np.clip(unit, 0.0, 1.0)
    if inverted:
        unit = 1 - unit
    if dtype.kind == "b":
        return unit >= 0.5
    exact: type[np.floating[Any]] = np.float64 if _is_wide(dtype) else np.float32
    return as_type(unit.astype(exact) * exact(high - low) + exact(low), dtype)


def as_type(values: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Return floats in another type; integers are rounded and limited to the type."""
    if dtype.kind not in "iu":
        return np.asarray(values.astype(dtype))
    bounds = np.iinfo(dtype)
    most = float(bounds.max)
    if int(most) > bounds.max:  # 64-bit limits are not exact as floats
        most = float(np.nextafter(most, 0))
    return np.asarray(np.rint(values).clip(bounds.min, most).astype(dtype))


def _is_wide(dtype: np.dtype[Any]) -> bool:
    """Return whether values have more precision than float32."""
    return dtype.itemsize > (2 if dtype.kind in "iu" else 4)


def pad_to(image: np.ndarray, tile: tuple[int, int]) -> np.ndarray:
    """Return `image`, (H, W, C), padded by reflection to at least the size of a tile.

    Half of the padding is added on either side. An image of one pixel is repeated,
    since there is nothing to reflect.
    """
    missing = [max(0, t - s) for t, s in zip(tile, image.shape[:2], strict=True)]
    if not any(missing):
        return image
    widths = [(m // 2, m - m // 2) for m in missing]
    return np.pad(image, [*widths, (0, 0)], mode="reflect")


def unpad(padded: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the part that `pad_to` was given, from an array of the padded shape."""
    top, left = ((padded.shape[axis] - shape[axis]) // 2 for axis in (0, 1))
    return padded[top : top + shape[0], left : left + shape[1]]
