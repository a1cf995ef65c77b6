"""Files of images as arrays: npz and IDX, each looked at before it is believed."""

import gzip
import lzma
import math
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.images.rows import Images, blocks, check_length, extremes, map_member
from keras_dae.system.storage import array_sha256, is_file, reason

NPZ_KEYS = ("x_train", "y_train", "x_test", "y_test")
# Arrays from this size on stay in their file, where it holds them uncompressed.
MAPPED_BYTES = 64 * 2**20
# A compressed array that large may not be that much smaller in its file: images that
# hold anything are not, and what says so is made to fill the memory.
MOST_EXPANDED = 100
MAX_IDX = 64 * 2**20  # bytes; MNIST's kind of files hold 47 million at most


@dataclass(frozen=True)
class Arrays:
    """A data set as it was read: x (N, H, W) or (N, H, W, C), y (N,) or None.

    Plain arrays are in memory; images of any other kind stay where they are, and are
    read a batch at a time.
    """

    x_train: Images
    y_train: np.ndarray | None
    x_test: Images
    y_test: np.ndarray | None

    def sha256(self) -> str:
        """Return the hash of the content, whatever file it came from."""
        arrays = (self.x_train, self.y_train, self.x_test, self.y_test)
        return array_sha256(*(array for array in arrays if array is not None))


def read_npz(path: Path) -> Arrays:
    """Read `x_train`, `x_test` and, where present, `y_train`, `y_test`.

    Images are (N, H, W) or (N, H, W, C), uint8, or floats within [0, 1]. Arrays of
    `MAPPED_BYTES` or more that `numpy.savez` wrote stay in the file, mapped.

    Raises:
        UsageError: no such file.
        KerasDAEError: damaged, arrays missing, arrays that are no images, or
            compressed ones that do not fit into memory.
    """
    if not is_file(path):
        raise UsageError(f"There is no data file {path}.")
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            found = {key: _read(path, file, key) for key in NPZ_KEYS if key in file}
    except KerasDAEError:
        raise  # a ValueError too, but it says all there is to say
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise KerasDAEError(f"{path} is not a readable npz file.") from error
    except (zlib.error, lzma.LZMAError) as error:
        raise KerasDAEError(f"{path} is not a readable npz file.") from error
    except OSError as error:
        raise KerasDAEError(f"Cannot read {path}: {reason(error)}.") from error
    except (TypeError, RuntimeError, MemoryError, SyntaxError, TokenError) as error:
        # A bare array is no archive; a damaged header claims another format or size, or
        # is no Python literal.
        raise KerasDAEError(f"{path} is not a readable npz archive.") from error
    # What is no array in the archive comes as bytes.
    found = {k: value for k, value in found.items() if isinstance(value, np.ndarray)}
    missing = [key for key in ("x_train", "x_test") if key not in found]
    if missing:
        raise KerasDAEError(
            f"{path} lacks {' and '.join(missing)}; an npz data set holds x_train and "
            "x_test, and may hold y_train and y_test."
        )
    for part in ("train", "test"):
        _check_images(path, f"x_{part}", found[f"x_{part}"])
        if f"y_{part}" in found:
            _check_labels(path, part, found[f"y_{part}"], len(found[f"x_{part}"]))
    if (found["x_train"].dtype == np.uint8) != (found["x_test"].dtype == np.uint8):
        raise KerasDAEError(
            f"x_train and x_test in {path} must both be uint8 or both be floats."
        )
    return Arrays(
        *(found["x_train"], found.get("y_train")),
        *(found["x_test"], found.get("y_test")),
    )


def _read(path: Path, file: Any, key: str) -> Any:
    """Return one array of an opened npz file: mapped, if large, or in memory."""
    name = key if key in file.zip.namelist() else f"{key}.npy"
    info = file.zip.getinfo(name)
    check_length(file.zip, info)
    if info.file_size < MAPPED_BYTES:
        return file[key]
    if info.compress_type == zipfile.ZIP_STORED:
        mapped = map_member(path, file.zip, name)
        return file[key] if mapped is None else mapped
    too_large = KerasDAEError(
        f"{key} in {path} is compressed and takes {info.file_size / 1e9:,.1f} GB, more "
        "than fits into memory; save it with numpy.savez in place of "
        "numpy.savez_compressed, and it is read from the file as needed."
    )
    # Read whole, and then split into copies of its rows.
    if 2 * info.file_size > memory():
        raise too_large
    if info.file_size > MOST_EXPANDED * info.compress_size:
        raise KerasDAEError(
            f"{key} in {path} takes {info.compress_size:,} bytes there and "
            f"{info.file_size:,} in memory, more than {MOST_EXPANDED} times as many; "
            "images are not like that, but numpy.savez writes a file that is read."
        )
    try:
        return file[key]
    except MemoryError:
        raise too_large from None


def memory() -> float:
    """Return the machine's memory in bytes; infinite where it is not told."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return float("inf")


def _check_images(path: Path, key: str, images: Images) -> None:
    if images.ndim not in (3, 4) or 0 in images.shape:
        raise KerasDAEError(
            f"{key} in {path} must have shape (N, H, W) or (N, H, W, C), none of them "
            f"0. Received: shape {images.shape}."
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
            f"y_{part} in {path} must hold one whole number for each of the {images} "
            f"images. Received: shape {labels.shape}, {labels.dtype}."
        )


def read_idx(path: Path) -> np.ndarray:
    """Read a gzipped IDX file of unsigned bytes: (N, H, W) images or (N,) labels.

    Raises:
        KerasDAEError: not gzip, not IDX, of another length than its header says, or
            larger than `MAX_IDX`.
    """
    try:
        with gzip.open(path) as file:
            shape = _idx_shape(file.read(4), file)
            length = math.prod(shape)
            # No array of NumPy's has larger axes, not even one without images.
            bounded = math.prod(max(1, side) for side in shape) <= MAX_IDX
            # One byte more than there should be tells a longer file.
            raw = file.read(length + 1) if bounded else b""
    except (OSError, EOFError, zlib.error) as error:
        raise KerasDAEError(f"{path} is not a readable gzip file.") from error
    if not shape or not bounded or len(raw) != length:
        raise KerasDAEError(f"{path} is not an IDX file of unsigned bytes.")
    return np.frombuffer(raw, np.uint8).reshape(shape)


def _idx_shape(head: bytes, file: Any) -> tuple[int, ...]:
    """Return the shape that an IDX header says; empty where it is none."""
    axes = head[3] if head[:3] == b"\0\0\x08" and len(head) == 4 else 0
    sizes = file.read(4 * axes)
    if not 1 <= axes <= 4 or len(sizes) != 4 * axes:
        return ()
    return tuple(np.frombuffer(sizes, ">u4").tolist())
