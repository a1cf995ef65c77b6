"""Images that stay in a mapped file and are read a few rows at a time.

This supports data sets larger than memory. `map_member` maps an array of an npz file,
`Rows` represents some of its images, and `blocks` iterates over them in bounded memory.
"""

import math
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.lib import format as npy

from keras_dae.errors import check

BLOCK_BYTES = 2**24
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_LOCAL_HEADER = struct.Struct("<4s22xHH")


class Images(Protocol):
    """Images (N, H, W, C) that return arrays for slices and integer arrays.

    NumPy arrays and `Rows` are examples.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of images, height, width, channels."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the values."""
        ...

    @property
    def ndim(self) -> int:
        """Number of axes."""
        ...

    @property
    def size(self) -> int:
        """Number of values."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any, /) -> Any: ...


class Rows:
    """Some images of `base`, in the order of `index`; read on request, read-only.

    Args:
        base: images (N, H, W, C), which are not copied.
        index: indices of the images in `base`, integers (n,).
    """

    def __init__(self, base: Images, index: np.ndarray) -> None:
        self.base, self.index = base, index
        self.shape: tuple[int, ...] = (len(index), *base.shape[1:])
        self.dtype, self.ndim = base.dtype, len(self.shape)
        self.size = math.prod(self.shape)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Return the images of a slice or of integer indices, as a new array."""
        rows: np.ndarray = self.base[self.index[key]]
        return rows


def whole_numbers(count: int) -> np.ndarray:
    """Return 0 to count - 1, in 4 bytes each if possible."""
    return np.arange(count, dtype=np.uint32 if count <= 2**32 else np.int64)


def blocks(images: Images) -> Iterator[np.ndarray]:
    """Yield all of `images` in order, at most about `BLOCK_BYTES` at a time."""
    row = math.prod(images.shape[1:]) * images.dtype.itemsize
    step = max(1, BLOCK_BYTES // max(1, row))
    for start in range(0, len(images), step):
        yield images[start : start + step]


def as_images(images: Images) -> Images:
    """Return images as (N, H, W, C); those of shape (N, H, W) get one channel.

    Raises:
        UsageError: the number of axes is wrong.
    """
    check(
        images.ndim in (3, 4),
        "Images must have the shape (N, H, W, C) or (N, H, W).",
        shape=tuple(images.shape),
    )
    if images.ndim == 4:
        return images
    with_channel: Images = images[..., np.newaxis]
    return with_channel


def extremes(images: Images) -> tuple[float, float]:
    """Return the smallest and the largest value; NaN if there is a NaN."""
    lowest, highest = zip(*((b.min(), b.max()) for b in blocks(images)), strict=True)
    return float(np.min(lowest)), float(np.max(highest))


def map_member(path: Path, archive: zipfile.ZipFile, name: str) -> np.ndarray | None:
    """Return an array of an npz file as a read-only `np.memmap`.

    The member is read once in pieces, to verify its checksum.

    Args:
        path: the file.
        archive: the same file, opened.
        name: a member that is stored uncompressed.

    Returns:
        The array, or None if the format of the member is not for images.

    Raises:
        ValueError: the array holds objects, or its length is not that of the header.
        zipfile.BadZipFile: the archive is damaged.
    """
    info = archive.getinfo(name)
    with archive.open(info) as member:
        while member.read(BLOCK_BYTES):
            pass
    with path.open("rb") as raw:
        raw.seek(info.header_offset)
        # The lengths in the central directory may differ from those in this header.
        head = raw.read(_LOCAL_HEADER.size)
        _, name_length, extra_length = _LOCAL_HEADER.unpack(head)
        start = raw.seek(name_length + extra_length, 1)
        read_header = _HEADERS.get(npy.read_magic(raw))
        if read_header is None:
            return None
        shape, fortran, dtype = read_header(raw)
        offset = raw.tell()
    length = math.prod(shape) * dtype.itemsize
    if dtype.hasobject or offset - start + length != info.file_size:
        raise ValueError(f"{name} is not a plain array of the stated length")
    order: Literal["F", "C"] = "F" if fortran else "C"
    mapped: np.ndarray = np.memmap(path, dtype, "r", offset, shape, order)
    return mapped


def normalise(images: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return `images` as float32, min-max normalized to [0, 1] (paper, section 2.2).

    Args:
        images: any real type and shape.
        low: value that is scaled to 0; smaller ones are clipped to it.
        high: value that is scaled to 1; larger ones are clipped to it.
    """
    scaled, reach = np.empty(images.shape, np.float32), np.float32(high - low)
    # The first operation converts to float32, which saves a pass over the data.
    if low == 0:
        np.divide(images, reach, out=scaled, dtype=np.float32)
    else:
        np.subtract(images, np.float32(low), out=scaled, dtype=np.float32)
        scaled /= reach
    if images.dtype == np.uint8 and low <= 0 and high >= 255:
        return scaled  # nothing to clip
    return np.clip(scaled, 0.0, 1.0, out=scaled)
