"""Image formats. The format of a file is detected from its content.

A row of `FORMATS` reads an open file into a `Picture` and writes one in the same
format. Headers are checked before memory for pixels is allocated.
"""

import io
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from keras_dae.images import pillow_files
from keras_dae.images.io import npy, tiff
from keras_dae.images.io.pictures import (
    MAX_MEGAPIXELS,
    Picture,
    UnreadableError,
)
from keras_dae.images.kinds import check_kind
from keras_dae.system.limits import Bounds, bounds_of
from keras_dae.system.storage import reason
from keras_dae.system.walls import FILES

MOST_STREAM = 4 << 30  # bytes of an image that comes through standard input


@dataclass(frozen=True)
class Format:
    """One image format.

    Attributes:
        suffixes: file name extensions.
        starts: returns whether the first bytes are those of this format.
        read: (file, size limit in megapixels) -> Picture.
        write: (Picture, file) -> None.
    """

    suffixes: tuple[str, ...]
    starts: Callable[[bytes], bool]
    read: Callable[[BinaryIO, float], Picture]
    write: Callable[[Picture, BinaryIO], None]


def read_picture(
    file: BinaryIO, suffix: str | None = None, megapixels: float = MAX_MEGAPIXELS
) -> Picture:
    """Read an image in any of the `FORMATS`.

    Args:
        file: a seekable file, open for reading.
        suffix: extension of the file name, which is checked against the content; None
            if there is no name.
        megapixels: size limit.

    Raises:
        UnreadableError: the file is empty, truncated, damaged, too large, not an
            image, or its format does not match its name.
    """
    head = file.read(32)
    file.seek(0)
    if not head:
        raise UnreadableError("is empty (0 bytes)")
    found = [name for name, row in FORMATS.items() if row.starts(head)]
    if not found:
        raise UnreadableError(
            f"is not in a supported image format ({', '.join(FORMATS)})"
        )
    (name,) = found
    if suffix is not None and suffix.lower() not in FORMATS[name].suffixes:
        raise UnreadableError(_misnamed(name, suffix))
    try:
        return FORMATS[name].read(file, megapixels)
    except (UnreadableError, MemoryError):
        raise
    except Exception as error:  # damaged files raise many kinds of exceptions
        raise UnreadableError(
            f"is a damaged or truncated {name} image ({_first_line(error)})"
        ) from error


def read_file(path: Path, megapixels: float = MAX_MEGAPIXELS) -> Picture:
    """Read an image file in a restricted process; for errors see `read_picture`."""
    check_kind(path)
    problem = file_problem(path)
    if problem:
        raise UnreadableError(problem)
    return _within(bounds_of(path), "open_file", str(path.absolute()), megapixels)


def read_stream(stream: BinaryIO, megapixels: float = MAX_MEGAPIXELS) -> Picture:
    """Read an image without a name, otherwise as `read_file` does.

    Its bytes go through a temporary file, so that they take no memory here.
    """
    with tempfile.NamedTemporaryFile(prefix="keras-dae-") as kept:
        while part := stream.read(1 << 20):
            if kept.tell() + len(part) > MOST_STREAM:
                raise UnreadableError(f"is larger than {MOST_STREAM >> 20:,} MiB")
            kept.write(part)
        kept.flush()
        return _within(bounds_of(kept.name), "open_unnamed", kept.name, megapixels)


def _within(bounds: Bounds, function: str, *arguments: Any) -> Picture:
    name = f"{__name__}:{function}"
    picture = FILES.call(name, *arguments, bounds=bounds, refuse=UnreadableError)
    assert isinstance(picture, Picture)
    return picture


def open_file(path: str, megapixels: float) -> Picture:
    """Read an image file in the process of `walls.FILES`."""
    try:
        with Path(path).open("rb") as file:
            return read_picture(file, Path(path).suffix, megapixels)
    except OSError as error:
        raise UnreadableError(f"cannot be read: {reason(error)}") from error


def open_unnamed(path: str, megapixels: float) -> Picture:
    """Read an image without a suffix in the process of `walls.FILES`."""
    with Path(path).open("rb") as file:
        return read_picture(file, None, megapixels)


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")[:120]


def file_problem(path: Path) -> str:
    """Return why a path is not a file to open; empty if it is one.

    Only regular files are opened: reading a pipe could block forever.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "there is no such file"
    except (OSError, ValueError) as error:
        words = reason(error) if isinstance(error, OSError) else str(error)
        return f"cannot be read: {words}"
    if stat.S_ISREG(mode):
        return ""
    kinds = {stat.S_ISFIFO: "a named pipe", stat.S_ISDIR: "a folder"}
    kind = next((name for test, name in kinds.items() if test(mode)), "a device")
    return f"is {kind}, not a file; use - for standard input"


def unnamed_image(path: Path) -> str | None:
    """Return what is wrong with an image whose name does not end like that of one.

    Returns None if the first bytes are not those of an image.
    """
    if file_problem(path):
        return None
    try:
        with path.open("rb") as file:
            head = file.read(32)
    except OSError:
        return None
    found = [n for n in FORMATS if n not in WEAK and FORMATS[n].starts(head)]
    return _misnamed(found[0], path.suffix) if found else None


def _misnamed(name: str, suffix: str) -> str:
    """Return a message for a file whose name implies another format.

    Raw photographs and slides are TIFF files internally, but renaming does not make
    them readable as TIFF. The message therefore does not suggest it for TIFF.
    """
    words = f"is a {name} image, unlike its name"
    if name == "TIFF" and suffix and suffix.lower() not in _SUFFIXES:
        return f"{words}, in a variant that is not supported; save it as plain TIFF"
    return f"{words}; rename it to end in {FORMATS[name].suffixes[0]}"


def format_of(path: Path) -> str | None:
    """Return the format that the name of a file implies, or None."""
    suffix = path.suffix.lower()
    for name, row in FORMATS.items():
        if suffix in row.suffixes:
            return name
    return None


def _starts_with(*magics: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magics)


def _brand(head: bytes) -> bytes:
    """Return b"avif" or b"heic" for a file of that family, else b""."""
    if head[4:8] != b"ftyp":
        return b""
    brands = {head[8:12], *(head[n : n + 4] for n in range(16, 32, 4))}
    if brands & {b"avif", b"avis"}:
        return b"avif"
    heic = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
    return b"heic" if head[8:12] in heic else b""


def _pillow(name: str, suffixes: tuple[str, ...], starts: Any) -> Format:
    return Format(
        suffixes, starts, partial(pillow_files.read, name), pillow_files.write
    )


FORMATS: dict[str, Format] = {
    "PNG": _pillow("PNG", (".png",), _starts_with(b"\x89PNG\r\n\x1a\n")),
    "JPEG": _pillow(
        "JPEG",
        (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo"),
        _starts_with(b"\xff\xd8\xff"),
    ),
    "TIFF": Format(
        (".tif", ".tiff", ".btf", ".tf8", ".tf2"),
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
    "AVIF": _pillow("AVIF", (".avif",), lambda head: _brand(head) == b"avif"),
    "HEIC": _pillow(
        "HEIC", (".heic", ".heif", ".hif"), lambda head: _brand(head) == b"heic"
    ),
    "NPY": Format((".npy",), _starts_with(b"\x93NUMPY"), npy.read, npy.write),
}

# Files of other kinds can begin with the same bytes.
WEAK = ("BMP", "NPY")
_SUFFIXES = {suffix for row in FORMATS.values() for suffix in row.suffixes}


def encoded(picture: Picture) -> bytes:
    """Return a picture as the bytes of a file.

    Raises:
        UnreadableError: metadata of the original file cannot be written.
    """
    buffer = io.BytesIO()
    try:
        FORMATS[picture.format].write(picture, buffer)
    except Exception as error:  # see `read_picture`
        raise UnreadableError(
            f"cannot be written as {picture.format} ({_first_line(error)})"
        ) from error
    return buffer.getvalue()
