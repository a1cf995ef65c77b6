"""Every kind of image file, made by independent writers, and damaged ones."""

import io
import zlib

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from keras_dae.images.io.formats import (
    encoded,
    open_file,
    read_file,
    read_picture,
)
from keras_dae.images.io.pictures import (
    RANGES,
    UnreadableError,
    from_unit,
    to_unit,
    upright,
)
from keras_dae.images.ranges import value_range

RNG = np.random.default_rng(0)


def grey(kind="uint8", height=9, width=11, channels=None):
    """Return random values over the whole range of a type."""
    shape = (height, width) if channels is None else (height, width, channels)
    high = RANGES[kind][1]
    values = RNG.random(shape) * high
    return np.rint(values).astype(kind) if high > 1 else values.astype(kind)


def pillow(array, **options):
    def write(path):
        Image.fromarray(array).save(path, **options)

    return write


def tiff(array, **options):
    return lambda path: tifffile.imwrite(path, array, **options)


# Name -> what is in it and who writes it. The values are compared to the bit.
EXACT = {
    "grey.png": (grey(), pillow),
    "rgb.png": (grey(channels=3), pillow),
    "grey-alpha.png": (grey(channels=2), pillow),
    "rgb-alpha.png": (grey(channels=4), pillow),
    "grey-16.png": (grey("uint16"), pillow),
    "one-bit.png": (RNG.random((9, 11)) > 0.5, pillow),
    "rgb.bmp": (grey(channels=3), pillow),
    "grey.bmp": (grey(), pillow),
    "grey.tif": (grey(), tiff),
    "rgb.tiff": (grey(channels=3), tiff),
    "grey-16.tif": (grey("uint16"), tiff),
    "rgb-16.tif": (grey("uint16", channels=3), tiff),
    "float.tif": (grey("float32"), tiff),
    "double.tif": (grey("float64"), tiff),
    "half-rgb.tif": (grey("float16", channels=3), tiff),
    "grey.npy": (grey(), None),
    "rgb.npy": (grey(channels=3), None),
    "alpha-16.npy": (grey("uint16", channels=4), None),
    "float.npy": (grey("float32"), None),
    "bool.npy": (RNG.random((9, 11)) > 0.5, None),
    "one-pixel.png": (grey(height=1, width=1), pillow),
    "one-bit.tif": (RNG.random((9, 11)) > 0.5, tiff),
}


def write(path, array, maker):
    if maker is None:
        np.save(path, array)
    elif maker is tiff:
        tifffile.imwrite(path, array, photometric="rgb" if array.ndim == 3 else None)
    else:
        maker(array)(path)


@pytest.mark.parametrize("name", EXACT)
def test_each_kind_is_read_and_written_as_it_was(tmp_path, name):
    array, maker = EXACT[name]
    path = tmp_path / name
    write(path, array, maker)
    picture = read_file(path)
    (page,) = picture.pages
    assert (page.joined(page.values) == array).all()
    assert page.values.dtype == array.dtype
    again = tmp_path / f"again-{name}"
    again.write_bytes(encoded(picture))
    seen = np.load(again) if maker is None else imageio.imread(again)
    if name == "one-bit.png":
        with Image.open(again) as image:
            assert image.mode == "1"
        seen = seen > 0
    assert (seen == array).all()
    assert seen.dtype == array.dtype
    assert read_file(again).pages[0].values.tobytes() == page.values.tobytes()


def sixteen_bit_rgb(array):
    """Return a PNG of 16-bit colours, put together by hand from the specification."""

    def chunk(kind, data):
        crc = zlib.crc32(kind + data).to_bytes(4)
        return len(data).to_bytes(4) + kind + data + crc

    height, width, channels = array.shape
    colour = {2: 4, 3: 2, 4: 6}[channels]
    header = width.to_bytes(4) + height.to_bytes(4) + bytes([16, colour, 0, 0, 0])
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        ]
    )


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_colours_of_16_bits_keep_them(tmp_path, channels):
    array = grey("uint16", channels=channels)
    picture = read_picture(io.BytesIO(sixteen_bit_rgb(array)), ".png")
    page = picture.pages[0]
    assert (page.joined(page.values) == array).all()
    content = encoded(picture)
    assert content[24] == 16
    again = read_picture(io.BytesIO(content)).pages[0]
    assert (again.joined(again.values) == array).all()


@pytest.mark.parametrize(
    ("name", "most"), [("lossy.jpg", 12), ("grey.jpeg", 12), ("photo.webp", 40)]
)
def test_lossy_formats_lose_little(tmp_path, name, most):
    smooth = np.linspace(20, 230, 64 * 64).reshape(64, 64).astype("uint8")
    array = smooth if "grey" in name else np.stack([smooth, smooth.T, smooth], axis=2)
    path = tmp_path / name
    Image.fromarray(array).save(path, quality=90)
    picture = read_file(path)
    values = picture.pages[0].values
    assert np.abs(values.squeeze().astype(int) - array).max() <= most
    again = read_picture(io.BytesIO(encoded(picture))).pages[0].values
    lost = np.abs(again.astype(int) - values).max()
    assert lost <= (24 if name.endswith("webp") else 4)


def test_webp_keeps_colours_below_full_transparency(tmp_path):
    array = grey(channels=4)
    array[..., 3] = 0
    Image.fromarray(array).save(tmp_path / "a.webp", lossless=True, exact=True)
    page = read_file(tmp_path / "a.webp").pages[0]
    assert (page.joined(page.values) == array).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_orientation_is_applied_once(tmp_path, orientation, suffix):
    """What Pillow's own transposition gives; the output asks for none any more."""
    array = np.zeros((16, 24), np.uint8)
    array[:8, :8], array[8:, :8] = 200, 90
    path = tmp_path / f"turned{suffix}"
    if suffix == ".tif":
        tag = [(274, "H", 1, orientation, True)]
        tifffile.imwrite(path, array, extratags=tag, metadata=None)
    else:
        exif = Image.Exif()
        exif[274] = orientation
        Image.fromarray(array).save(path, exif=exif)
    expected = upright(array, orientation)
    methods = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
    if orientation > 1:
        turned = Image.fromarray(array).transpose(methods[orientation])
        assert (np.asarray(turned) == expected).all()
    picture = read_file(path)
    seen = picture.pages[0].values[..., 0].astype(int)
    assert np.abs(seen - expected).max() <= (8 if suffix == ".jpg" else 0)
    again = read_picture(io.BytesIO(encoded(picture)))
    assert again.pages[0].values.shape == picture.pages[0].values.shape
    assert np.abs(again.pages[0].values[..., 0].astype(int) - seen).max() <= 4


def test_palettes_and_transparent_colours(tmp_path):
    rgb = np.zeros((4, 4, 3), np.uint8)
    rgb[:2], rgb[2:] = (255, 0, 0), (0, 128, 255)
    Image.fromarray(rgb).convert("P", palette=Image.Palette.ADAPTIVE).save(
        tmp_path / "p.png"
    )
    picture = read_file(tmp_path / "p.png")
    assert (picture.pages[0].values == rgb).all()
    assert "palette" in picture.note
    Image.fromarray(rgb).save(tmp_path / "t.png", transparency=(255, 0, 0))
    page = read_file(tmp_path / "t.png").pages[0]
    assert page.alpha.tolist() == [[0] * 4] * 2 + [[255] * 4] * 2


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits", "lzma"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_tiff_of_all_kinds(tmp_path, compression, byteorder, planar):
    array = grey("uint16", channels=3)
    options = {"compression": compression, "byteorder": byteorder}
    stored = np.moveaxis(array, 2, 0) if planar == "separate" else array
    tifffile.imwrite(
        tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar, **options
    )
    picture = read_file(tmp_path / "a.tif")
    assert (picture.pages[0].values == array).all()
    again = tmp_path / "b.tif"
    again.write_bytes(encoded(picture))
    assert (tifffile.imread(again) == stored).all()
    with tifffile.TiffFile(again) as tif:
        assert tif.byteorder == byteorder
        assert (tif.pages[0].compression == 1) == (compression is None)


def test_tiff_of_several_pages_of_several_sizes(tmp_path):
    pages = [grey(), grey("uint16", 5, 6), grey(channels=3), grey("float32")]
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for array in pages:
            kind = "rgb" if array.ndim == 3 else "minisblack"
            writer.write(array, photometric=kind, resolution=(300, 150))
    picture = read_file(tmp_path / "a.tif")
    (tmp_path / "b.tif").write_bytes(encoded(picture))
    with tifffile.TiffFile(tmp_path / "b.tif") as tif:
        assert len(tif.pages) == 4
        for page, array in zip(tif.pages, pages, strict=True):
            assert (page.asarray() == array).all()
            assert tuple(page.resolution) == (300, 150)


def test_tiff_with_black_and_white_exchanged(tmp_path):
    array = grey()
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="miniswhite")
    picture = read_file(tmp_path / "a.tif")
    page = picture.pages[0]
    unit = to_unit(page.values, 0, 255, page.inverted)
    assert unit[..., 0] == pytest.approx(1 - array / 255, abs=1e-6)
    assert (from_unit(unit, page.values.dtype, 0, 255, True) == page.values).all()
    (tmp_path / "b.tif").write_bytes(encoded(picture))
    with tifffile.TiffFile(tmp_path / "b.tif") as tif:
        assert tif.pages[0].photometric == 0


def test_stacks_in_npy(tmp_path):
    for shape in [(3, 9, 11), (3, 9, 11, 3), (2, 9, 11, 1)]:
        array = RNG.random(shape).astype("float32")
        np.save(tmp_path / "a.npy", array)
        picture = read_file(tmp_path / "a.npy")
        assert len(picture.pages) == shape[0]
        again = np.load(io.BytesIO(encoded(picture)))
        assert again.shape == shape
        assert (again == array).all()


@pytest.mark.parametrize("kind", RANGES)
def test_values_survive_the_way_to_floats_and_back(kind):
    low, high = RANGES[kind]
    array = grey(kind)[..., None] if kind != "bool" else RNG.random((9, 9, 1)) > 0.5
    for inverted in (False, True):
        unit = to_unit(array, low, high, inverted)
        assert unit.dtype == np.float32
        assert unit.min() >= 0
        assert unit.max() <= 1
        again = from_unit(unit, array.dtype, low, high, inverted)
        assert again.dtype == array.dtype
        assert again == pytest.approx(array, abs=0 if high > 1 else 1e-6)


# What cannot be read


def png_bytes(width=40, height=30):
    buffer = io.BytesIO()
    Image.fromarray(grey(height=height, width=width)).save(buffer, "PNG")
    return buffer.getvalue()


def saved(array, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def npy_bytes(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def cmyk():
    buffer = io.BytesIO()
    Image.new("CMYK", (9, 9)).save(buffer, "JPEG")
    return buffer.getvalue()


def animation():
    frames = [Image.fromarray(grey()), Image.fromarray(grey())]
    buffer = io.BytesIO()
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def bomb(name):
    """Return few bytes whose header says 40,000 x 40,000 pixels."""
    side = 40_000
    if name == "npy":
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header,
            {"shape": (side, side), "fortran_order": False, "descr": "|u1"},
        )
        return header.getvalue()
    png = bytearray(png_bytes())
    png[16:24] = side.to_bytes(4) * 2
    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4)
    return bytes(png)


def tiff_of_claims():
    """Return a TIFF file whose header's size is changed to 60,000 x 60,000."""
    content = bytearray(saved(grey(height=30, width=40), metadata=None))
    with tifffile.TiffFile(io.BytesIO(content)) as tif:
        for code in (256, 257):
            tag = tif.pages[0].tags[code]
            content[tag.valueoffset : tag.valueoffset + 2] = (60_000).to_bytes(
                2, "little"
            )
    return bytes(content)


def text_bomb():
    """Return a PNG with a text that unpacks to far more than it takes."""
    info = PngImagePlugin.PngInfo()
    info.add_itxt("comment", "x" * 80_000_000, zip=True)
    buffer = io.BytesIO()
    Image.fromarray(grey()).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


FLOATS = np.array([[0.1, 0.2], [0.3, np.nan]], np.float32)
BAD = {
    "empty.png": (lambda: b"", "is empty"),
    "text.png": (lambda: b"this is no image at all", "not in a supported image format"),
    "short.png": (lambda: png_bytes()[:200], "damaged or truncated PNG"),
    "header.png": (lambda: png_bytes()[:30], "damaged or truncated PNG"),
    "flipped.png": (
        lambda: png_bytes()[:200] + b"\xff\x00\xff" + png_bytes()[203:],
        "damaged or truncated PNG",
    ),
    "wrong.jpg": (png_bytes, "is a PNG image, unlike its name"),
    "wrong.tif": (lambda: npy_bytes(grey()), "is a NPY image"),
    "none": (png_bytes, "rename it to end in .png"),
    "cmyk.jpg": (cmyk, "CMYK"),
    "animated.png": (animation, "animation of 2 frames"),
    "bomb.png": (lambda: bomb("png"), "1,600 megapixels"),
    "bomb.npy": (lambda: bomb("npy"), "1,600 megapixels"),
    "bomb.tif": (tiff_of_claims, "3,600 megapixels"),
    "text-bomb.png": (text_bomb, "damaged or truncated PNG"),
    "short.tif": (lambda: saved(grey(height=99))[:-300], "truncated TIFF"),
    "shorter.tif": (lambda: saved(grey())[:12], "damaged or truncated TIFF"),
    "packed.tif": (
        lambda: saved(grey(height=99, width=99), compression="zlib")[:-900],
        "TIFF",
    ),
    "complex.tif": (lambda: saved(grey().astype("complex64")), "type complex64"),
    "short.npy": (lambda: npy_bytes(grey())[:-1], "is truncated"),
    "objects.npy": (lambda: npy_bytes(np.array([{}], object)), "type object"),
    "line.npy": (lambda: npy_bytes(np.zeros(9)), "shape (9,)"),
    "nothing.npy": (lambda: npy_bytes(np.zeros((0, 9))), "shape (0, 9)"),
    "channels.npy": (lambda: npy_bytes(np.zeros((2, 9, 9, 7))), "(9, 9, 7)"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_is_one_sentence(tmp_path, name):
    make, named = BAD[name]
    content = make()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableError) as caught:
        read_file(tmp_path / name)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (tmp_path / name).read_bytes() == content


@pytest.mark.parametrize(
    ("values", "asked", "named"),
    [
        (FLOATS, None, "not finite"),
        (FLOATS, (0, 1), "not finite"),
        (FLOATS[:1] * 100, (0, 1), "values from 10 to 20, outside [0, 1]; --range"),
        (FLOATS[:1] * 100, (12, 20), "outside [12, 20]"),
        (np.array([[9, 4096]], np.uint16), (0, 4095), "outside [0, 4095]"),
    ],
)
def test_values_out_of_range_are_refused(values, asked, named):
    page = read_picture(io.BytesIO(npy_bytes(values))).pages[0]
    with pytest.raises(UnreadableError) as caught:
        value_range(page, asked)
    assert named in caught.value.mended
    assert "--" not in str(caught.value)  # an option of one command alone


def test_a_range_that_is_asked_for():
    page = read_picture(io.BytesIO(npy_bytes(FLOATS[:1] * 100))).pages[0]
    assert value_range(page, (0, 40)) == (0, 40)
    unit = to_unit(page.values, 0, 40, False)
    assert unit.squeeze() == pytest.approx([0.25, 0.5])


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(png_bytes())

    def refused(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refused)
    with pytest.raises(UnreadableError, match="Permission denied"):
        open_file(str(path), 256)


def test_a_lost_transparent_colour_is_said(tmp_path):
    """Of a PNG of 16-bit grey values: Pillow keeps the value, but makes no alpha."""
    values = np.arange(0, 65536, 4096, dtype=np.uint16).reshape(4, 4)
    Image.fromarray(values).save(tmp_path / "a.png", transparency=4096)
    picture = read_file(tmp_path / "a.png")
    assert np.array_equal(picture.pages[0].values[..., 0], values)
    assert "transparent colour is not kept" in picture.note
