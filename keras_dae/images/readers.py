"""Files of images as arrays: npz and IDX, each looked at before it is believed."""

import gzip
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.storage import array_sha256, reason

NPZ_KEYS = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True)
class Arrays:
    """A data set as it was read: x (N, H, W) or (N, H, W, C), y (N,) or None."""

    x_train: np.ndarray
    y_train: np.ndarray | None
    x_test: np.ndarray
    y_test: np.ndarray | None

    def sha256(self) -> str:
        """Return the hash of the content, whatever file it came from."""
        arrays = (self.x_train, self.y_train, self.x_test, self.y_test)
        return array_sha256(*(array for array in arrays if array is not None))


def read_npz(path: Path) -> Arrays:
    """Read `x_train`, `x_test` and, where present, `y_train`, `y_test`.

    Images are (N, H, W) or (N, H, W, C), uint8, or floats within [0, 1].

    Raises:
        UsageError: no such file.
        KerasDAEError: damaged, arrays missing, or arrays that are no images.
    """
    if not path.is_file():
        raise UsageError(f"There is no data file {path}.")
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            found = {key: file[key] for key in NPZ_KEYS if key in file}
    except (ValueError, zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise KerasDAEError(f"{path} is not a readable npz file.") from error
    except OSError as error:
        raise KerasDAEError(f"Cannot read {path}: {reason(error)}.") from error
    except (TypeError, RuntimeError, MemoryError) as error:
        # A bare array is no archive; a damaged header claims another format or size.
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
    return Arrays(*(found.get(key) for key in NPZ_KEYS))  # type: ignore[arg-type]


def _check_images(path: Path, key: str, images: np.ndarray) -> None:
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
    if np.isnan(images).any():
        raise KerasDAEError(f"{key} in {path} holds NaN; floats must be within [0, 1].")
    if not (images.min() >= 0 and images.max() <= 1):
        raise KerasDAEError(
            f"{key} in {path} holds floats outside [0, 1]. "
            f"Received: {images.min():g} to {images.max():g}."
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
        KerasDAEError: not gzip, not IDX, or of another length than its header says.
    """
    try:
        raw = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise KerasDAEError(f"{path} is not a readable gzip file.") from error
    axes = raw[3] if raw[:3] == b"\0\0\x08" and len(raw) > 3 else 0
    axes = axes if len(raw) >= 4 + 4 * axes else 0
    shape = tuple(np.frombuffer(raw, ">u4", axes, 4).tolist()) if axes else ()
    if not axes or len(raw) != 4 + 4 * axes + int(np.prod(shape, dtype=object)):
        raise KerasDAEError(f"{path} is not an IDX file of unsigned bytes.")
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(shape)
