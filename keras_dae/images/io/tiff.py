"""TIFF files: any number of pages, 1, 8 and 16 bits or float, each page as it was."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
import tifffile

from keras_dae.images.io.pictures import (
    Page,
    Picture,
    UnreadableError,
    check_size,
    page_of,
    upright,
)

# Offsets of 32 bits end here; a file of more pixels is written as BigTIFF.
LARGE = 1 << 31


def read(file: BinaryIO, megapixels: float) -> Picture:
    """Read all pages.

    Raises:
        UnreadableError: too many pixels, missing ones, or pages that are not images.
    """
    size = file.seek(0, 2)
    file.seek(0)
    with _quiet(), tifffile.TiffFile(file) as tif:
        check_size([(0, 0)] * len(tif.pages), megapixels)  # pages are slow to look at
        pages: list[Any] = list(tif.pages)
        sizes = [(p.imagewidth, p.imagelength) for p in pages]
        # A tag may hold several values, and a tuple times a length is memory.
        if not all(isinstance(side, int) for sides in sizes for side in sides):
            raise UnreadableError("holds a page whose width or height is no number")
        check_size(sizes, megapixels, size)
        if not pages:
            raise UnreadableError("is a TIFF file without a page")
        if tif.is_imagej and len(pages) < _imagej_images(tif):
            raise UnreadableError(
                "is an ImageJ stack that keeps its images outside TIFF's pages; save "
                "it as a multi-page TIFF"
            )
        read_pages = [_page(page, size) for page in pages]
        return Picture("TIFF", read_pages, {"byteorder": tif.byteorder})


def _imagej_images(tif: Any) -> int:
    return int((tif.imagej_metadata or {}).get("images", 1))


def _page(page: Any, size: int) -> Page:
    """Return one page, or say why it is none."""
    kind = tifffile.PHOTOMETRIC(page.photometric).name
    allowed = {"MINISBLACK", "MINISWHITE", "RGB"}
    if page.compression == tifffile.COMPRESSION.JPEG:
        allowed.add("YCBCR")  # which its decoder turns into RGB
    if kind not in allowed or page.imagedepth != 1:
        raise UnreadableError(
            f"holds a page of kind {kind}, depth {page.imagedepth}; grey and RGB "
            "images are read"
        )
    if page.samplesperpixel > 4 or page.bitspersample not in (1, 8, 16, 32, 64):
        raise UnreadableError(
            f"holds a page of {page.samplesperpixel} samples a pixel, "
            f"{page.bitspersample} bits each"
        )
    _check_data(page, size)
    array = page.asarray(maxworkers=1)
    if page.axes == "SYX":
        array = np.moveaxis(array, 0, -1)
    orientation = page.tags.valueof(274, default=1)
    result = page_of(np.ascontiguousarray(upright(array, int(orientation))))
    if len(page.extrasamples) != (result.alpha is not None):
        raise UnreadableError(
            f"holds a page of {page.samplesperpixel} samples a pixel, "
            f"{len(page.extrasamples)} of them extra; one extra may be alpha"
        )
    result.inverted = kind == "MINISWHITE"
    result.extra = _extra(page, kind)
    return result


def _check_data(page: Any, size: int) -> None:
    """Refuse a page whose data lie outside the file; they would be read as zeros."""
    places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    whole = all(count > 0 and offset + count <= size for offset, count in places)
    stored = sum(page.databytecounts)
    # Of one bit a pixel, eight are a byte in the file, and one in memory.
    needed = page.nbytes * page.bitspersample // (8 * page.dtype.itemsize)
    if not places or not whole or (page.compression == 1 and stored < needed):
        raise UnreadableError(
            "is a truncated TIFF image: some of its data are not in the file"
        )


def _extra(page: Any, kind: str) -> dict[str, Any]:
    """Return what `write` keeps of a page; compression stays, but without loss."""
    extra: dict[str, Any] = {
        "photometric": "rgb" if kind in ("RGB", "YCBCR") else kind.lower(),
        "subfiletype": int(page.subfiletype),
        "compression": None if page.compression == 1 else "zlib",
        **_resolution(page),
    }
    if page.extrasamples:
        # What is none of the kinds that there are is unspecified.
        kinds = [int(sample) for sample in page.extrasamples]
        extra["extrasamples"] = [kind if kind in (0, 1, 2) else 0 for kind in kinds]
    if page.iccprofile is not None:
        extra["iccprofile"] = page.iccprofile
    return extra


def _resolution(page: Any) -> dict[str, Any]:
    """Return pixels a unit, where they are what can be written again."""
    sides, unit = tuple(map(float, page.resolution)), int(page.resolutionunit)
    if unit not in (1, 2, 3) or not all(0 < side < LARGE for side in sides):
        return {}
    return {"resolution": tuple(page.resolution), "resolutionunit": unit}


def write(picture: Picture, file: BinaryIO) -> None:
    """Write all pages, with the byte order of the file that was read."""
    total = sum(page.values.nbytes for page in picture.pages)
    byteorder = picture.extra["byteorder"]
    with tifffile.TiffWriter(
        file, bigtiff=total > LARGE, byteorder=byteorder
    ) as writer:
        for page in picture.pages:
            array = np.ascontiguousarray(page.joined(page.values))
            writer.write(
                array,
                metadata=None,
                software=False,
                contiguous=False,
                planarconfig="contig" if array.ndim == 3 else None,
                **page.extra,
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave it to the caller to say what is wrong with a file."""
    logger = logging.getLogger("tifffile")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)
