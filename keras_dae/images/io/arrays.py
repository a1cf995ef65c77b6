"""Data sets in npz and IDX files. Every file is checked before it is used."""

import gzip
import math
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.images.rows import Images, Stored, blocks, extremes, find_member
from keras_dae.system.limits import bounds_of
from keras_dae.system.parcels import carried
from keras_dae.system.storage import array_sha256, is_file, reason
from keras_dae.system.walls import FILES

NPZ_KEYS = ("x_train", "y_train", "x_test", "y_test")
# Uncompressed arrays of at least this size stay in their file.
STORED_BYTES = 64 * 2**20
MAX_INFLATED = 512 << 20  # bytes of one compressed array
MAX_IDX = 64 << 20  # bytes; files in the format of MNIST hold at most 47 million


@dataclass(frozen=True)
class Arrays:
    """A data set: x (N, H, W) or (N, H, W, C), y (N,) or None.

    Plain arrays are in memory. Other kinds of images stay in their file and are read
    one batch at a time.
    """

    x_train: Images
    y_train: np.ndarray | None
    x_test: Images
    y_test: np.ndarray | None

    def sha256(self) -> str:
        """Return the hash of the content, independent of the file format."""
        arrays = (self.x_train, self.y_train, self.x_test, self.y_test)
        return array_sha256(*(array for array in arrays if array is not None))


@carried
@dataclass(frozen=True)
class Place:
    """Where a file holds an array that is read row by row."""

    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def of(self, path: Path) -> Stored:
        """Return the array.

        Raises:
            KerasDAEError: the file is gone.
        """
        try:
            return Stored(path, self.offset, self.dtype, self.shape)
        except OSError as error:
            raise KerasDAEError(f"{path} changed while it was read.") from error


def read_npz(path: Path) -> Arrays:
    """Read `x_train`, `x_test` and, if present, `y_train`, `y_test`.

    Images are (N, H, W) or (N, H, W, C), uint8, or floats within [0, 1]. Arrays of
    `STORED_BYTES` or more that `numpy.savez` wrote stay in the file.

    Raises:
        UsageError: there is no such file.
        KerasDAEError: the file is damaged, or arrays are missing or are not images.
    """
    found = _within(path, "open_npz", STORED_BYTES)
    parts: list[Any] = [
        part.of(path) if isinstance(part, Place) else part
        for part in map(found.get, ("x_train", "y_train", "x_test", "y_test"))
    ]
    return Arrays(*parts)


def read_idx(path: Path) -> np.ndarray:
    """Read a gzipped IDX file of unsigned bytes: (N, H, W) images or (N,) labels.

    Raises:
        UsageError: there is no such file.
        KerasDAEError: the file is not gzip or not IDX, or its length does not match its
            header.
    """
    array: np.ndarray = _within(path, "open_idx")
    return array


def _within(path: Path, function: str, *arguments: Any) -> Any:
    """Return the result of a function of this module, run in `walls.FILES`."""
    if not is_file(path):
        raise UsageError(f"There is no data file {path}.")
    hint = ""
    if path.suffix == ".npz":
        hint = "; a file written by numpy.savez is read on demand"
    return FILES.call(
        f"{__name__}:{function}",
        *(str(path), *arguments),
        bounds=bounds_of(path),
        refuse=lambda words: KerasDAEError(f"{path} {words}{hint}."),
    )


def open_npz(name: str, stored: int = STORED_BYTES) -> dict[str, Any]:
    """Read a data set, in the process of `walls.FILES`: arrays, or their `Place`."""
    path = Path(name)
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            found = {
                key: _read(path, file, key, stored) for key in NPZ_KEYS if key in file
            }
    except OSError as error:
        raise KerasDAEError(f"Cannot read {path}: {reason(error)}.") from error
    except (KerasDAEError, MemoryError):
        raise
    except Exception as error:  # damaged files raise many kinds of exceptions
        raise KerasDAEError(f"{path} is not a readable npz file.") from error
    # Members of the archive that are not arrays are returned as bytes.
    kinds = (np.ndarray, Stored)
    found = {key: value for key, value in found.items() if isinstance(value, kinds)}
    missing = [key for key in ("x_train", "x_test") if key not in found]
    if missing:
        raise KerasDAEError(
            f"{path} lacks {' and '.join(missing)}; an npz data set must hold x_train "
            "and x_test, and can hold y_train and y_test."
        )
    for part in ("train", "test"):
        _check_images(path, f"x_{part}", found[f"x_{part}"])
        if f"y_{part}" in found:
            _check_labels(path, part, found[f"y_{part}"], len(found[f"x_{part}"]))
    if (found["x_train"].dtype == np.uint8) != (found["x_test"].dtype == np.uint8):
        raise KerasDAEError(
            f"x_train and x_test in {path} must both be uint8 or both be floats."
        )
    return {
        key: Place(one.offset, one.dtype, one.shape) if isinstance(one, Stored) else one
        for key, one in found.items()
    }


def _read(path: Path, file: Any, key: str, stored_from: int) -> Any:
    """Return one array of an opened npz file: `Stored`, if large, or in memory."""
    name = key if key in file.zip.namelist() else f"{key}.npy"
    info = file.zip.getinfo(name)
    large = key.startswith("x_") and info.file_size >= stored_from
    if info.compress_type != zipfile.ZIP_STORED and info.file_size > MAX_INFLATED:
        raise KerasDAEError(
            f"{key} in {path} takes {info.file_size >> 20:,} MiB uncompressed, more "
            f"than {MAX_INFLATED >> 20}; numpy.savez writes a file that is read as it "
            "is needed."
        )
    if large and info.compress_type == zipfile.ZIP_STORED:
        place = find_member(path, file.zip, name)
        return file[key] if place is None else Stored(path, *place)
    return file[key]


def memory() -> float:
    """Return the memory of the machine in bytes; infinite if unknown."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return float("inf")


def _check_images(path: Path, key: str, images: Images) -> None:
    if images.ndim not in (3, 4) or 0 in images.shape:
        raise KerasDAEError(
            f"{key} in {path} must have a non-empty shape (N, H, W) or (N, H, W, C). "
            f"Received: shape {images.shape}."
        )
    if images.dtype == np.uint8:
        return
    if images.dtype.kind != "f":
        raise KerasDAEError(
            f"{key} in {path} must be uint8, or floats within [0, 1]. "
            f"Received: {images.dtype}."
        )
    if any(np.isnan(block).any() for block in blocks(images)):
        raise KerasDAEError(f"{key} in {path} holds NaN; floats must be within [0, 1].")
    low, high = extremes(images)
    if not (low >= 0 and high <= 1):
        raise KerasDAEError(
            f"{key} in {path} holds floats outside [0, 1]. "
            f"Received: {low:g} to {high:g}."
        )


def _check_labels(path: Path, part: str, labels: np.ndarray, images: int) -> None:
    if labels.shape != (images,) or labels.dtype.kind not in "iu":
        raise KerasDAEError(
            f"y_{part} in {path} must hold one integer for each of the {images} "
            f"images. Received: shape {labels.shape}, {labels.dtype}."
        )


def open_idx(path: str) -> np.ndarray:
    """Read a gzipped IDX file, in the process of `walls.FILES`."""
    try:
        with gzip.open(path) as file:
            shape = _idx_shape(file.read(4), file)
            # Reading one extra byte detects a file that is too long.
            raw = file.read(min(math.prod(shape), MAX_IDX) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise KerasDAEError(f"{path} is not a readable gzip file.") from error
    if not shape or len(raw) != math.prod(shape):
        raise KerasDAEError(f"{path} is not an IDX file of unsigned bytes.")
    try:
        return np.frombuffer(raw, np.uint8).reshape(shape)
    except ValueError as error:  # an axis too long for NumPy
        words = f"{path} is not an IDX file of unsigned bytes."
        raise KerasDAEError(words) from error


def _idx_shape(head: bytes, file: Any) -> tuple[int, ...]:
    """Return the shape in an IDX header; empty if it is not a valid header."""
    axes = head[3] if head[:3] == b"\0\0\x08" and len(head) == 4 else 0
    sizes = file.read(4 * axes)
    if not 1 <= axes <= 4 or len(sizes) != 4 * axes:
        return ()
    return tuple(np.frombuffer(sizes, ">u4").tolist())
