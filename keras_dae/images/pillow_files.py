"""Image files read and written by Pillow: one picture with its metadata."""

import importlib.util
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, features

from keras_dae.images import carried
from keras_dae.images.io.pictures import (
    Picture,
    UnreadableError,
    check_size,
    page_of,
    upright,
)

# Modes of Pillow, with the type that they are read as.
MODES = {"1", "L", "LA", "RGB", "RGBA", "P", "PA", "I;16", "I;16B", "I"}
# Options for formats whose quality cannot be read from a file.
QUALITY = {"AVIF": 90, "HEIC": 90}
TRANSPARENT = "its transparent colour was converted to alpha"
PLUGIN = {"HEIC": "HEIF"}  # names in Pillow
_METADATA = ("icc_profile", "exif", "xmp")


def read(name: str, file: BinaryIO, megapixels: float) -> Picture:
    """Read the picture of a file; the first one if a camera stored several.

    Raises:
        UnreadableError: the picture is too large, animated or of an unsupported mode,
            or the library for its format is missing.
    """
    _check_library(name)
    with _own_limits(), Image.open(file, formats=[PLUGIN.get(name, name)]) as image:
        check_size([image.size], megapixels, _length(file))
        notes = [_frames(image)]
        orientation = image.getexif().get(carried.ORIENTATION, 1)
        array, note = _pixels(name, file, image)
        notes.append(note)
        content = _content(file)
        extra, lost = _carried(name, content, image, not note, orientation)
        notes.append(lost)
    if name == "BMP" and array.ndim == 3 and array.shape[2] == 4:
        raise UnreadableError("is a BMP image with alpha, which cannot be kept in BMP")
    page = page_of(np.ascontiguousarray(upright(array, orientation)))
    return Picture(name, [page], extra, "; ".join(filter(None, notes)))


def _check_library(name: str) -> None:
    if name == "HEIC":
        if importlib.util.find_spec("pillow_heif") is None:
            raise UnreadableError(
                "is a HEIC image; pip install 'keras-dae[heif]' adds support for it"
            )
        from pillow_heif import register_heif_opener

        register_heif_opener()
    if name == "AVIF" and not features.check("avif"):
        raise UnreadableError(
            "is an AVIF image, which this build of Pillow does not support"
        )


def _frames(image: Any) -> str:
    """Return a note on further pictures in a file."""
    frames = getattr(image, "n_frames", 1)
    if frames == 1:
        return ""
    if image.format in ("MPO", "HEIF"):
        return f"only the first of its {frames} pictures is kept"
    raise UnreadableError(
        f"holds an animation of {frames} frames; only single images and TIFF files "
        "with several pages are supported"
    )


def _carried(
    name: str, content: bytes, image: Any, kept_type: bool, orientation: int
) -> tuple[dict[str, Any], str]:
    """Return the metadata to write with the pixels, and a note on what is lost."""
    if name == "JPEG":
        extra = {"parts": carried.jpeg_segments(image)}
        after = carried.after_jpeg(content) if image.format == "JPEG" else 0
        lost = f"{after:,} bytes after the picture are not kept" if after else ""
        return extra | {"options": carried.jpeg_options(image)}, lost
    if name == "PNG":
        turned = orientation != 1
        parts = carried.png_chunks(content, kept_type, turned)
        exif = image.getexif()
        if turned and exif and not any(kind == b"eXIf" for kind, _ in parts):
            exif[carried.ORIENTATION] = 1
            parts.append((b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")))
        return {"parts": parts, "options": {}}, ""
    options = {key: image.info[key] for key in _METADATA if image.info.get(key)}
    if "exif" in options:
        options["exif"] = carried.upright_exif(options["exif"])
    if "xmp" in options:
        options["xmp"] = carried.upright_xmp(options["xmp"])
    lost = ""
    if name == "BMP":
        options = {"dpi": image.info["dpi"]} if "dpi" in image.info else {}
        # Version 5 of the header can link to a profile.
        if content[14:15] == b"\x7c" and content[70:74] in (b"DEBM", b"KNIL"):
            lost = "its colour profile is not kept"
    elif name == "WEBP":
        quality = carried.webp_quality(content)
        lossless = {"lossless": True, "exact": True}
        options |= lossless if quality is None else {"quality": quality}
    else:
        options["quality"] = QUALITY[name]
        lost = f"written with quality {QUALITY[name]}"
        if (depth := _deep(content)) > 8:
            lost += f", its {depth} bits as 8"
    return {"options": options}, lost


def _deep(content: bytes) -> int:
    """Return the bits per value of a HEIC or AVIF file, from its box `pixi`."""
    place = content.find(b"pixi", 0, 1 << 16)
    return content[place + 9] if 0 <= place < len(content) - 9 else 8


def _pixels(name: str, file: BinaryIO, image: Image.Image) -> tuple[np.ndarray, str]:
    """Return the stored values, and a note on what could not be kept."""
    if name == "PNG" and _png_depth(file) == 16 and image.mode in ("RGB", "RGBA", "LA"):
        import imagecodecs  # Pillow reduces 16-bit colours to 8 bits

        image.load()  # raises an error if a checksum fails
        told = TRANSPARENT if "transparency" in image.info else ""
        return np.asarray(imagecodecs.png_decode(_content(file))), told
    if image.mode not in MODES:
        raise UnreadableError(
            f"is a {image.mode} image; only grey and RGB images, with or "
            "without alpha, are supported"
        )
    note, transparent = "", "transparency" in image.info
    if image.mode in ("P", "PA"):
        note = "its palette was converted to RGB"
        alpha = transparent or image.mode == "PA"
        return np.asarray(image.convert("RGBA" if alpha else "RGB")), note
    if transparent and image.mode in ("1", "L", "RGB"):
        note = TRANSPARENT
        image = image.convert("RGBA" if image.mode == "RGB" else "LA")
    elif transparent:
        note = "its transparent colour is not kept"
    array = np.asarray(image)
    return (array.astype(np.uint16) if image.mode.startswith("I") else array), note


def _content(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()


def _length(file: BinaryIO) -> int:
    """Return the size of a file in bytes, without moving its position."""
    place = file.tell()
    length = file.seek(0, 2)
    file.seek(place)
    return length


def _png_depth(file: BinaryIO) -> int:
    """Return the bits per value, from byte 24 of the header of a PNG file."""
    file.seek(24)
    depth = file.read(1)
    return depth[0] if depth else 0


@contextmanager
def _own_limits() -> Iterator[None]:
    """Disable Pillow's size limit, since `check_size` decides."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def write(picture: Picture, file: BinaryIO) -> None:
    """Write a picture with similar encoder options and the metadata of its file."""
    (page,) = picture.pages
    array = np.ascontiguousarray(page.joined(page.values))
    content = _encoded(picture, array)
    if picture.format == "JPEG":
        content = carried.with_segments(content, picture.extra["parts"])
    elif picture.format == "PNG":
        content = carried.with_chunks(content, picture.extra["parts"])
    file.write(content)


def _encoded(picture: Picture, array: np.ndarray) -> bytes:
    if array.dtype == np.uint16 and array.ndim == 3:
        import imagecodecs

        return bytes(imagecodecs.png_encode(array))
    name, buffer = picture.format, io.BytesIO()
    image = Image.fromarray(array)
    image.save(buffer, PLUGIN.get(name, name), **picture.extra["options"])
    return buffer.getvalue()
