"""NumPy files as images: (H, W), (H, W, 1..4), (N, H, W) or (N, H, W, 1..4)."""

from math import prod
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy_format

from keras_dae.images.io.pictures import (
    Picture,
    UnreadableError,
    alpha_note,
    check_size,
    check_type,
    page_of,
)


def read(file: BinaryIO, megapixels: float) -> Picture:
    """Read an array. Three axes are N pages if the last one is longer than 4.

    Raises:
        UnreadableError: the shape or type is not supported, or the file is too short.
    """
    shape, dtype = _header(file)
    check_type(dtype)
    stacked = len(shape) == 4 or (len(shape) == 3 and shape[2] > 4)
    if not (stacked or len(shape) in (2, 3)) or prod(shape) == 0:
        raise UnreadableError(
            f"holds an array of shape {shape}; an image must be (H, W) or (H, W, C), "
            "several must be (N, H, W) or (N, H, W, C)"
        )
    height, width = shape[1:3] if stacked else shape[:2]
    count = (shape[0] if stacked else 1) * (2 if _has_two_channels(shape) else 1)
    check_size([(width, height)] * count, megapixels)
    start = file.tell()
    held = file.seek(0, 2) - start
    needed = prod(shape) * dtype.itemsize
    if held < needed:
        raise UnreadableError(
            f"is truncated: it has {held:,} of the {needed:,} bytes of its array"
        )
    file.seek(0)
    array = npy_format.read_array(file, allow_pickle=False)
    images = array if stacked else [array]
    note = alpha_note(4) if shape[-1] == 4 and len(shape) == 3 + stacked else ""
    if _has_two_channels(shape):
        images = [image[..., n] for image in images for n in range(2)]
        note = "its two channels are read as images, not as alpha"
    pages = [page_of(image) for image in images]
    return Picture("NPY", pages, {"shape": shape, "dtype": dtype}, note)


def _has_two_channels(shape: tuple[int, ...]) -> bool:
    return len(shape) > 2 and shape[-1] == 2


def _header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = npy_format.read_magic(file)
    readers = {
        (1, 0): npy_format.read_array_header_1_0,
        (2, 0): npy_format.read_array_header_2_0,
    }
    if version not in readers:
        raise UnreadableError(
            f"has NPY version {version}, which is not supported for images"
        )
    shape, _, dtype = readers[version](file)
    return shape, dtype


def write(picture: Picture, file: BinaryIO) -> None:
    """Write an array with the shape and type that was read."""
    arrays = [page.joined(page.values) for page in picture.pages]
    shape, dtype = picture.extra["shape"], picture.extra["dtype"]
    if _has_two_channels(shape):
        pairs = zip(arrays[::2], arrays[1::2], strict=True)
        arrays = [np.stack(pair, axis=-1) for pair in pairs]
    whole = np.concatenate([array.ravel() for array in arrays]).reshape(shape)
    np.save(file, whole.astype(dtype, copy=False), allow_pickle=False)
