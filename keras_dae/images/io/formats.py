"""Image formats: what is in a file is found by its content and read whole.

A row of `FORMATS` reads an open file into a `Picture` and writes one of the same
kind. Headers are looked at before any memory is taken for pixels.
"""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from keras_dae.images.io import npy, tiff
from keras_dae.images.io.pictures import (
    MAX_MEGAPIXELS,
    Picture,
    UnreadableError,
    check_size,
    page_of,
    upright,
)
from keras_dae.system.storage import reason

ORIENTATION = 0x0112
# Pillow's modes with the values that they are read as.
MODES = {"1", "L", "LA", "RGB", "RGBA", "P", "PA", "I;16", "I;16B", "I"}
# How each format is written. What a lossy format loses is not lost twice: WebP is
# written without loss, and JPEG with as little as it can.
SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "BMP": {},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True, "exact": True},
}


@dataclass(frozen=True)
class Format:
    """One kind of image file.

    Attributes:
        suffixes: what the names of its files end in.
        starts: whether the first bytes are of it.
        read: (file, most megapixels) -> Picture.
        write: (Picture, file) -> nothing; the picture's pages as they are.
    """

    suffixes: tuple[str, ...]
    starts: Callable[[bytes], bool]
    read: Callable[[BinaryIO, float], Picture]
    write: Callable[[Picture, BinaryIO], None]


def read_picture(
    file: BinaryIO, suffix: str | None = None, megapixels: float = MAX_MEGAPIXELS
) -> Picture:
    """Read an image of any of the `FORMATS`.

    Args:
        file: open for reading, seekable.
        suffix: what the file's name ends in, to be checked against what it holds;
            None where it has no name.
        megapixels: the most to hold in memory.

    Raises:
        UnreadableError: empty, truncated, damaged, too large, not an image, or one
            of another format than its name says.
    """
    head = file.read(32)
    file.seek(0)
    if not head:
        raise UnreadableError("is empty (0 bytes)")
    found = [name for name, row in FORMATS.items() if row.starts(head)]
    if not found:
        raise UnreadableError(f"is no image of a kind read here ({', '.join(FORMATS)})")
    (name,) = found
    if suffix is not None and suffix.lower() not in FORMATS[name].suffixes:
        raise UnreadableError(
            f"is a {name} image, whatever its name says; rename it to end in "
            f"{FORMATS[name].suffixes[0]}"
        )
    try:
        return FORMATS[name].read(file, megapixels)
    except UnreadableError:
        raise
    except MemoryError as error:
        raise UnreadableError("takes more memory than there is") from error
    except Exception as error:  # damage shows as almost any exception in decoders
        raise UnreadableError(
            f"is a damaged or truncated {name} image ({_first_line(error)})"
        ) from error


def read_file(path: Path, megapixels: float = MAX_MEGAPIXELS) -> Picture:
    """Read an image file; raises `UnreadableError` as `read_picture` does."""
    try:
        with path.open("rb") as file:
            return read_picture(file, path.suffix, megapixels)
    except OSError as error:
        raise UnreadableError(f"cannot be read: {reason(error)}") from error


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")[:120]


def format_of(path: Path) -> str | None:
    """Return the format that a file's name stands for, None where it is no image's."""
    suffix = path.suffix.lower()
    for name, row in FORMATS.items():
        if suffix in row.suffixes:
            return name
    return None


@contextmanager
def _own_limits() -> Iterator[None]:
    """Let `check_size` alone decide how large an image may be."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _read_pillow(name: str, file: BinaryIO, megapixels: float) -> Picture:
    with _own_limits(), Image.open(file, formats=[name]) as image:
        check_size([image.size], megapixels, _length(file))
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            raise UnreadableError(
                f"holds an animation of {frames} frames; single images and "
                "TIFF files of several pages are read"
            )
        orientation = image.getexif().get(ORIENTATION, 1)
        exif = image.getexif()
        exif.pop(ORIENTATION, None)
        extra = {
            "icc_profile": image.info.get("icc_profile"),
            "dpi": image.info.get("dpi"),
            "exif": exif.tobytes() if exif else None,
        }
        array, note = _pixels(name, file, image)
    if extra["icc_profile"] and array.dtype == np.uint16 and array.ndim == 3:
        note = "the colour profile is not kept"
    if name == "BMP" and array.ndim == 3 and array.shape[2] == 4:
        raise UnreadableError("is a BMP image with alpha, which cannot be kept in BMP")
    page = page_of(np.ascontiguousarray(upright(array, orientation)))
    kept = {key: value for key, value in extra.items() if value is not None}
    return Picture(name, [page], kept, note)


def _pixels(name: str, file: BinaryIO, image: Image.Image) -> tuple[np.ndarray, str]:
    """Return the values as stored, and what could not be kept."""
    if name == "PNG" and _png_depth(file) == 16 and image.mode in ("RGB", "RGBA", "LA"):
        import imagecodecs  # Pillow reads colours of 16 bits as 8

        image.load()  # says what is damaged, by its checksums
        file.seek(0)
        return np.asarray(imagecodecs.png_decode(file.read())), ""
    if image.mode not in MODES:
        raise UnreadableError(
            f"is a {image.mode} image; grey and RGB ones are read, with or without "
            "alpha"
        )
    note, transparent = "", "transparency" in image.info
    if image.mode in ("P", "PA"):
        note = "its palette became RGB"
        alpha = transparent or image.mode == "PA"
        return np.asarray(image.convert("RGBA" if alpha else "RGB")), note
    if transparent and image.mode in ("1", "L", "RGB"):
        note = "its transparent colour became alpha"
        image = image.convert("RGBA" if image.mode == "RGB" else "LA")
    array = np.asarray(image)
    return (array.astype(np.uint16) if image.mode.startswith("I") else array), note


def _length(file: BinaryIO) -> int:
    """Return a file's bytes; it stays where it is."""
    place = file.tell()
    length = file.seek(0, 2)
    file.seek(place)
    return length


def _png_depth(file: BinaryIO) -> int:
    """Return the bits of a value, from byte 24 of a PNG file's header."""
    file.seek(24)
    depth = file.read(1)
    return depth[0] if depth else 0


def _write_pillow(picture: Picture, file: BinaryIO) -> None:
    (page,) = picture.pages
    array = np.ascontiguousarray(page.joined(page.values))
    if array.dtype == np.uint16 and array.ndim == 3:
        import imagecodecs

        file.write(imagecodecs.png_encode(array))
        return
    image = Image.fromarray(array)
    options = SAVE_OPTIONS[picture.format] | picture.extra
    if picture.format == "BMP":
        options.pop("exif", None)
        options.pop("icc_profile", None)
    image.save(file, format=picture.format, **options)


def _starts_with(*magics: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magics)


def _pillow(name: str, suffixes: tuple[str, ...], starts: Any) -> Format:
    return Format(suffixes, starts, partial(_read_pillow, name), _write_pillow)


FORMATS: dict[str, Format] = {
    "PNG": _pillow("PNG", (".png",), _starts_with(b"\x89PNG\r\n\x1a\n")),
    "JPEG": _pillow("JPEG", (".jpg", ".jpeg", ".jpe"), _starts_with(b"\xff\xd8\xff")),
    "TIFF": Format(
        (".tif", ".tiff"),
        _starts_with(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        tiff.read,
        tiff.write,
    ),
    "WEBP": _pillow(
        "WEBP",
        (".webp",),
        lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP",
    ),
    "BMP": _pillow("BMP", (".bmp", ".dib"), _starts_with(b"BM")),
    "NPY": Format((".npy",), _starts_with(b"\x93NUMPY"), npy.read, npy.write),
}


def encoded(picture: Picture) -> bytes:
    """Return a picture as the bytes of a file.

    Raises:
        UnreadableError: what was read of the file beside its pixels cannot be written.
    """
    buffer = io.BytesIO()
    try:
        FORMATS[picture.format].write(picture, buffer)
    except Exception as error:  # as in reading
        raise UnreadableError(
            f"cannot be written as {picture.format} again ({_first_line(error)})"
        ) from error
    return buffer.getvalue()
