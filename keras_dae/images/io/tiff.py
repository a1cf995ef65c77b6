"""TIFF files with any number of pages and channels, as integers or floats."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
import tifffile

from keras_dae.images.io.pictures import (
    Page,
    Picture,
    UnreadableError,
    alpha_note,
    check_size,
    page_of,
    upright,
)
from keras_dae.images.tiff_tags import Tags
from keras_dae.system.parcels import carried

# 32-bit offsets end here; larger files are written as BigTIFF.
LARGE = 1 << 31
MAX_SAMPLES = 64
MAX_PAGES = 16_384  # reading and writing one takes about half a millisecond
ALPHA = (1, 2)  # kinds of extra samples: associated and unassociated alpha
# Compressions that change pixels: old and new JPEG, JPEG 2000, JPEG XR, WebP, JPEG XL.
LOSSY = (6, 7, 33003, 33004, 33005, 34712, 22610, 50001, 50002)
_DNG_VERSION = 50706


@carried
@dataclass(frozen=True)
class Directory:
    """How one page of a file is written.

    Attributes:
        samples: the channels of each `Page` that was made from it.
        alpha: the channel that is the alpha of the first of them; None if none is.
        options: options for tifffile's writer.
    """

    samples: tuple[tuple[int, ...], ...]
    alpha: int | None
    options: dict[str, Any] = field(default_factory=dict)


def read(file: BinaryIO, megapixels: float) -> Picture:
    """Read all pages; channels that are neither colours nor alpha become pages too.

    Raises:
        UnreadableError: there are too many pixels, pixels are missing, or a page is
            not an image.
    """
    size = file.seek(0, 2)
    file.seek(0)
    with _quiet(), tifffile.TiffFile(file) as tif:
        _check_count(len(tif.pages))  # reading pages is slow
        directories: list[Any] = list(tif.pages)
        _check_sizes(directories, megapixels, size)
        if tif.is_imagej and len(directories) < _imagej_images(tif):
            raise UnreadableError(
                "is an ImageJ stack that stores its images outside TIFF pages; save it "
                "as a multi-page TIFF"
            )
        tags = Tags(file, size)
        pages: list[Page] = []
        layout: list[Directory] = []
        notes: dict[str, None] = {}
        for directory in directories:
            found, how, note = _read_directory(directory, size, tags)
            pages += found
            layout.append(how)
            notes[note] = None  # a dict removes duplicates and keeps the order
        if tif.is_ome and "FileName=" in directories[0].description:
            notes["its OME-XML still refers to the original files"] = None
        if tags.lost:
            notes[f"not kept: {', '.join(sorted(tags.lost))}"] = None
        extra = {"byteorder": tif.byteorder, "layout": layout}
        return Picture("TIFF", pages, extra, "; ".join(filter(None, notes)))


def _check_sizes(directories: list[Any], megapixels: float, size: int) -> None:
    sizes = [(d.imagewidth, d.imagelength) for d in directories]
    # A tag may hold several values. A tuple times a length would allocate memory.
    if not all(isinstance(side, int) for sides in sizes for side in sides):
        raise UnreadableError("holds a page whose width or height is not a number")
    check_size(sizes, megapixels, size)
    if not directories:
        raise UnreadableError("is a TIFF file without a page")
    if any(_DNG_VERSION in directory.tags for directory in directories[:1]):
        raise UnreadableError(
            "is a raw photograph (DNG), which is not supported; convert it first"
        )
    for directory in directories:
        samples = directory.samplesperpixel
        if not 0 < samples <= MAX_SAMPLES or directory.bitspersample not in (
            *(1, 8, 16),
            *(32, 64),
        ):
            raise UnreadableError(
                f"holds a page with {samples} samples per pixel of "
                f"{directory.bitspersample} bits each"
            )
    images = [max(1, directory.samplesperpixel - 3) for directory in directories]
    _check_count(sum(images))
    check_size(
        [
            (d.imagewidth * count, d.imagelength)
            for d, count in zip(directories, images, strict=True)
        ],
        megapixels,
    )


def _check_count(pages: int) -> None:
    if pages > MAX_PAGES:
        raise UnreadableError(
            f"is a TIFF file of {pages:,} pages, more than {MAX_PAGES:,}",
            "an array (.npy) may hold more",
        )


def _imagej_images(tif: Any) -> int:
    return int((tif.imagej_metadata or {}).get("images", 1))


def _read_directory(
    page: Any, size: int, tags: Tags
) -> tuple[list[Page], Directory, str]:
    """Return the images of one page, how to write it, and notes."""
    kind = tifffile.PHOTOMETRIC(page.photometric).name
    allowed = {"MINISBLACK", "MINISWHITE", "RGB"}
    if page.compression == tifffile.COMPRESSION.JPEG:
        allowed.add("YCBCR")  # which its decoder converts to RGB
    if kind not in allowed or page.imagedepth != 1:
        raise UnreadableError(
            f"holds a page of kind {kind}, depth {page.imagedepth}; only grey and RGB "
            "images are supported"
        )
    _check_data(page, size)
    array = page.asarray(maxworkers=1)
    if page.axes == "SYX":
        array = np.moveaxis(array, 0, -1)
    orientation = int(page.tags.valueof(274, default=1))
    array = upright(array if array.ndim == 3 else array[..., None], orientation)
    samples, alpha, note = _channels(page, kind, array.shape[2])
    if page.compression in LOSSY:
        lossless = "its compression, which can be lossy, becomes lossless"
        note = "; ".join(filter(None, [note, lossless]))
    pages = []
    for channels in samples:
        values = np.ascontiguousarray(array[..., list(channels)])
        pages.append(page_of(values, inverted=kind == "MINISWHITE"))
    if alpha is not None:
        pages[0].alpha = np.ascontiguousarray(array[..., alpha])
    options = _options(page, kind, orientation) | {"extratags": tags.of(page)}
    return pages, Directory(samples, alpha, options), note


def _channels(
    page: Any, kind: str, count: int
) -> tuple[tuple[tuple[int, ...], ...], int | None, str]:
    """Return which channels are images, which one is alpha, and a note."""
    colours = 3 if kind in ("RGB", "YCBCR") and count >= 3 else 1
    if _is_stack(page, colours, count):
        note = f"its {count} planes are read as pages, none of them as alpha"
        return tuple((n,) for n in range(count)), None, note
    extra = dict(enumerate(page.extrasamples, colours))
    alphas = [n for n, meaning in extra.items() if int(meaning) in ALPHA and n < count]
    alpha = alphas[0] if alphas else None
    rest = [n for n in range(colours, count) if n != alpha]
    note = "" if alpha is None else alpha_note(alpha + 1)
    if rest:
        named = ", ".join(str(n + 1) for n in rest)
        note = "; ".join(filter(None, [f"channel {named} is read as an image", note]))
    return (tuple(range(colours)), *((n,) for n in rest)), alpha, note


def _is_stack(page: Any, colours: int, count: int) -> bool:
    """Distinguish a stack of four images from RGB with alpha.

    By default, tifffile writes both as colour planes. Real colours are interleaved, or
    have a profile.
    """
    if colours != 3 or count != 4 or page.axes != "SYX" or page.iccprofile is not None:
        return False
    try:
        shape = json.loads(page.description)["shape"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return False
    return bool(shape == [count, page.imagelength, page.imagewidth])


def _check_data(page: Any, size: int) -> None:
    """Raise an error if data lie outside the file; they would be read as zeros."""
    places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    whole = all(count > 0 and offset + count <= size for offset, count in places)
    stored = sum(page.databytecounts)
    # With one bit per pixel, a byte of the file holds eight pixels; in memory, one.
    needed = page.nbytes * page.bitspersample // (8 * page.dtype.itemsize)
    if not places or not whole or (page.compression == 1 and stored < needed):
        raise UnreadableError("is a truncated TIFF image: some of its data are missing")


def _options(page: Any, kind: str, orientation: int) -> dict[str, Any]:
    """Return how to write a page; compression is kept but made lossless."""
    options: dict[str, Any] = {
        "photometric": "rgb" if kind in ("RGB", "YCBCR") else kind.lower(),
        "subfiletype": int(page.subfiletype),
        "compression": None if page.compression == 1 else "zlib",
        **_resolution(page, orientation > 4),
    }
    if page.extrasamples:
        # Unknown kinds are written as unspecified.
        kinds = [int(sample) for sample in page.extrasamples]
        options["extrasamples"] = [kind if kind in (0, 1, 2) else 0 for kind in kinds]
    if page.samplesperpixel > 1:
        options["planarconfig"] = "separate" if page.axes == "SYX" else "contig"
    if page.iccprofile is not None:
        options["iccprofile"] = page.iccprofile
    return options


def _resolution(page: Any, turned: bool) -> dict[str, Any]:
    """Return the resolution, if it can be written again."""
    sides, unit = tuple(map(float, page.resolution)), int(page.resolutionunit)
    if unit not in (1, 2, 3) or not all(0 < side < LARGE for side in sides):
        return {}
    resolution = tuple(page.resolution)
    return {
        "resolution": resolution[::-1] if turned else resolution,
        "resolutionunit": unit,
    }


def write(picture: Picture, file: BinaryIO) -> None:
    """Write all pages with the byte order and the tags of the original file."""
    total = sum(page.values.nbytes * page.copies for page in picture.pages)
    byteorder, pages = picture.extra["byteorder"], iter(picture.pages)
    with tifffile.TiffWriter(
        file, bigtiff=total > LARGE, byteorder=byteorder
    ) as writer:
        for directory in picture.extra["layout"]:
            writer.write(
                _joined([next(pages) for _ in directory.samples], directory),
                metadata=None,
                software=False,
                contiguous=False,
                **directory.options,
            )


def _joined(pages: list[Page], how: Directory) -> np.ndarray:
    """Return the images of one page as the array to store."""
    first = pages[0]
    alpha = how.alpha
    count = sum(len(channels) for channels in how.samples) + (alpha is not None)
    if count == 1:
        return np.ascontiguousarray(first.values[..., 0])
    array = np.empty((*first.values.shape[:2], count), first.values.dtype)
    for page, channels in zip(pages, how.samples, strict=True):
        array[..., list(channels)] = page.values
    if alpha is not None:
        array[..., alpha] = first.alpha
    if how.options["planarconfig"] == "separate":
        array = np.moveaxis(array, 2, 0)
    return np.ascontiguousarray(array)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the log of tifffile; the caller reports errors."""
    logger = logging.getLogger("tifffile")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)
