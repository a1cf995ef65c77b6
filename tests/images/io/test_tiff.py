"""Kinds of TIFF file that few programs write: kept as they are, or refused."""

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from keras_dae.images.io import tiff as tiff_module
from keras_dae.images.io.formats import encoded, read_file, read_picture
from keras_dae.images.io.pictures import UnreadableError

RNG = np.random.default_rng(3)
GREY = RNG.integers(0, 256, (9, 11), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (9, 11, 3), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (9, 11, 4), dtype=np.uint8)


def tiff(array, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def read(content):
    return read_picture(io.BytesIO(content))


def imagej_stack():
    """Return a file that names 3 images and has a page for the first alone."""
    stack = np.stack([GREY] * 3)
    content = bytearray(tiff(stack, imagej=True))
    with tifffile.TiffFile(io.BytesIO(content)) as tif:
        if len(tif.pages) > 1:
            first = tif.pages[0]
            after = first.offset + 2 + 12 * len(first.tags)
            content[after : after + 4] = bytes(4)  # no page follows
    return bytes(content)


def no_page():
    """Return a TIFF header whose first page is said to lie nowhere."""
    return tiff(GREY, byteorder="<")[:4] + bytes(4)


BAD = {
    "cmyk": (lambda: tiff(ALPHA, photometric="separated"), "kind SEPARATED"),
    "volume": (
        lambda: tiff(
            np.zeros((4, 16, 16), np.uint8),
            photometric="minisblack",
            volumetric=True,
            tile=(4, 16, 16),
        ),
        "depth 4",
    ),
    "samples": (
        lambda: tiff(
            np.zeros((9, 11, 65), np.uint8),
            photometric="minisblack",
            planarconfig="contig",
        ),
        "65 samples per pixel",
    ),
    "stack": (imagej_stack, "an ImageJ stack"),
    "pages": (
        lambda: tiff(np.zeros((9, 1, 2, 3), np.uint8), photometric="rgb"),
        "9 pages, more than 8",
    ),
    "channels": (
        lambda: tiff(
            np.zeros((2, 11, 12), np.uint8),
            photometric="minisblack",
            planarconfig="contig",
        ),
        "9 pages, more than 8",
    ),
    "no page": (no_page, "TIFF"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused_is_one_sentence(name, monkeypatch):
    monkeypatch.setattr(tiff_module, "MAX_PAGES", 8)
    make, says = BAD[name]
    with pytest.raises(UnreadableError) as refused:
        read(make())
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_alpha_and_the_colour_profile_stay(tmp_path, planar):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    content = tiff(
        ALPHA if planar == "contig" else np.moveaxis(ALPHA, 2, 0),
        photometric="rgb",
        planarconfig=planar,
        extrasamples=["unassalpha"],
        iccprofile=profile,
    )
    picture = read(content)
    assert (picture.pages[0].values == ALPHA[..., :3]).all()
    assert (picture.pages[0].alpha == ALPHA[..., 3]).all()
    with tifffile.TiffFile(io.BytesIO(encoded(picture))) as tif:
        again = tif.pages[0].asarray()
        assert (np.moveaxis(again, 0, -1) if planar == "separate" else again).shape == (
            ALPHA.shape
        )
        assert (
            again == (ALPHA if planar == "contig" else np.moveaxis(ALPHA, 2, 0))
        ).all()
        assert tif.pages[0].iccprofile == profile
        assert [int(sample) for sample in tif.pages[0].extrasamples] == [2]


def test_jpeg_within_tiff_becomes_lossless():
    smooth = np.linspace(0, 255, 32 * 32 * 3).reshape(32, 32, 3).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(smooth).save(buffer, "TIFF", compression="jpeg", quality=95)
    picture = read(buffer.getvalue())
    assert "its compression, which can be lossy, becomes lossless" in picture.note
    values = picture.pages[0].values
    assert np.abs(values.astype(int) - smooth).max() < 12
    with tifffile.TiffFile(io.BytesIO(encoded(picture))) as tif:
        assert (tif.pages[0].asarray() == values).all()
        assert tif.pages[0].compression != tifffile.COMPRESSION.JPEG


def test_a_bmp_with_alpha_is_refused(tmp_path):
    """Of the fourth kind of header, with a mask for alpha; Pillow writes the first."""
    pixels = ALPHA[::-1, :, [2, 1, 0, 3]].tobytes()
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<3I2H6I", 108, 11, 9, 1, 32, 3, len(pixels), 0, 0, 0, 0)
    head = header + struct.pack("<4I", *masks) + bytes(108 - 40 - 16)
    start = struct.pack("<2sI4xI", b"BM", 14 + 108 + len(pixels), 14 + 108)
    (tmp_path / "a.bmp").write_bytes(start + head + pixels)
    with pytest.raises(UnreadableError, match="BMP image with alpha"):
        read_file(tmp_path / "a.bmp")


def test_an_array_of_a_version_that_is_not_for_images(tmp_path):
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, GREY, version=(3, 0))
    with pytest.raises(UnreadableError, match=r"NPY version \(3, 0\)"):
        read_file(tmp_path / "a.npy")
