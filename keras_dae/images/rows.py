"""Images that stay in a file and are read a few rows at a time.

This supports data sets larger than memory. `find_member` finds an array in an npz file,
`Stored` reads rows of it, `Rows` represents some of its images, and `blocks` iterates
over them in bounded memory.
"""

import math
import os
import struct
import weakref
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.lib import format as npy

from keras_dae.errors import KerasDAEError, check

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


class Stored:
    """An array in a file, in C order; its rows are read when they are asked for.

    The file is read, not mapped to memory: a memory map would crash the process if the
    file became shorter.

    Args:
        path: the file, which stays open.
        offset: where in the file the array starts, bytes.
        dtype: type of a value.
        shape: (N, ...).
    """

    def __init__(
        self, path: Path, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...]
    ) -> None:
        self.path, self.offset, self.dtype, self.shape = path, offset, dtype, shape
        self.ndim, self.size = len(shape), math.prod(shape)
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.offset, self.dtype, self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def with_channel(self) -> Self:
        """Return the same array with a last axis of length 1."""
        return type(self)(self.path, self.offset, self.dtype, (*self.shape, 1))

    def __getitem__(self, key: Any) -> np.ndarray:
        """Return the rows of a slice or of whole numbers, or one row, as a new array.

        Raises:
            KerasDAEError: the file has become shorter.
        """
        if isinstance(key, slice):
            rows: Any = range(len(self))[key]
        else:
            rows = np.asarray(key, np.int64)
            if rows.size and not -len(self) <= rows.min() <= rows.max() < len(self):
                raise IndexError(f"rows of an array of {len(self):,}")
            rows = rows % len(self)
        if isinstance(rows, range) and rows.step == 1:
            found = np.empty((len(rows), *self.shape[1:]), self.dtype)
            self._read(found, rows.start)
            return found
        found = np.empty((*np.shape(rows), *self.shape[1:]), self.dtype)
        flat = found.reshape(-1, *self.shape[1:])
        for place, row in zip(flat, np.ravel(rows).tolist(), strict=True):
            self._read(place, row)
        return found

    def _read(self, into: np.ndarray, row: int) -> None:
        """Fill an array with what the file holds from a row on."""
        length = math.prod(self.shape[1:]) * self.dtype.itemsize
        left: Any = memoryview(into.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
        place = self.offset + row * length
        while left.nbytes:
            count = os.preadv(self._file, [left], place)
            if not count:
                raise KerasDAEError(f"{self.path} changed while it was read.")
            left, place = left[count:], place + count


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


def check_plain(images: Any) -> None:
    """Raise `UsageError` for a masked array, whose mask would be lost."""
    check(
        not isinstance(images, np.ma.MaskedArray),
        "Masked arrays are not supported; fill them first, as in `images.filled(0)`.",
        images=type(images).__name__,
    )


def as_images(images: Images) -> Images:
    """Return images as (N, H, W, C); those of shape (N, H, W) get one channel.

    Raises:
        UsageError: the number of axes is wrong.
    """
    # Tensors of a backend have other types.
    if not isinstance(getattr(images, "dtype", None), np.dtype):
        images = np.asarray(images)
    check_plain(images)
    check(
        images.ndim in (3, 4),
        "Images must have the shape (N, H, W, C) or (N, H, W).",
        shape=tuple(images.shape),
    )
    if images.ndim == 4:
        return images
    if isinstance(images, Stored):
        return images.with_channel()
    with_channel: Images = images[..., np.newaxis]
    return with_channel


def extremes(images: Images) -> tuple[float, float]:
    """Return the smallest and the largest value; NaN if there is a NaN.

    Raises:
        UsageError: there is no image.
    """
    check(len(images) > 0, "There must be at least one image.", shape=images.shape)
    lowest, highest = zip(*((b.min(), b.max()) for b in blocks(images)), strict=True)
    return float(np.min(lowest)), float(np.max(highest))


def find_member(
    path: Path, archive: zipfile.ZipFile, name: str
) -> tuple[int, np.dtype[Any], tuple[int, ...]] | None:
    """Return where an npz file holds an array: offset in bytes, type and shape.

    The member is read once in pieces, to verify its checksum.

    Args:
        path: the file.
        archive: the same file, opened.
        name: a member that is stored uncompressed.

    Returns:
        None where the array is in Fortran's order, or in a format for other things
        than images.

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
        raise ValueError(f"{name} holds no plain array of its length")
    return None if fortran or not shape else (offset, dtype, shape)


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
