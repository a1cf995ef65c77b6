"""What files carry beside their pixels comes back, or a note names what does not."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, JpegImagePlugin, PngImagePlugin, features

from keras_dae.images.carried import upright_exif, webp_quality
from keras_dae.images.io.formats import encoded, read_picture
from keras_dae.images.io.pictures import UnreadableError

X, Y = np.meshgrid(np.arange(96), np.arange(64))
NOISE = np.random.default_rng(2).normal(0, 12, (64, 96, 3))
SMOOTH = np.stack([X * 2.5, Y * 3.5, (X + Y) * 1.5], axis=-1)
PHOTO = (SMOOTH + NOISE).clip(0, 255).astype(np.uint8)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6" Rating="5"/>'
UPRIGHT_XMP = XMP.replace(b'"6"', b'"1"')
HEIC = b"\0\0\0\x18ftypheic" + bytes(200)


def exif(orientation=1):
    made = Image.Exif()
    made[0x010F], made[0x0112] = "Camera maker", orientation
    made.get_ifd(0x8769)[0x927C] = b"maker's note"
    return made


def saved(kind, image=PHOTO, **options):
    buffer = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def again(content):
    """Return a file read and written, opened anew, and the note of reading."""
    picture = read_picture(io.BytesIO(content))
    return Image.open(io.BytesIO(encoded(picture))), picture.note


def segment(marker, data):
    return b"\xff" + bytes([marker]) + (len(data) + 2).to_bytes(2) + data


IPTC = b"\x1c\x02\x78\x00\x05hello"
PHOTOSHOP = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">I", 10) + IPTC


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_exif_xmp_and_profile_stay(kind, orientation):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    options = {"exif": exif(orientation), "icc_profile": PROFILE}
    xmp = XMP if orientation == 6 else UPRIGHT_XMP
    if kind == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
        info.add_text("Comment", "dish A", zip=True)
        options |= {"pnginfo": info, "dpi": (300, 300)}
    else:
        options["xmp"] = xmp
    image, note = again(saved(kind, **options))
    with image:
        assert image.size == ((64, 96) if orientation == 6 else (96, 64))
        found = image.getexif()
        assert found[0x010F] == "Camera maker"
        assert found.get(0x0112, 1) == 1
        assert found.get_ifd(0x8769)[0x927C] == b"maker's note"
        assert image.info["icc_profile"] == PROFILE
        assert image.info["xmp"] == UPRIGHT_XMP
        if kind == "PNG":
            image.load()
            assert image.text["Comment"] == "dish A"
            assert image.info["dpi"] == pytest.approx((300, 300), abs=0.02)
    assert note == ("written with quality 90" if kind == "AVIF" else "")


def test_iptc_comments_and_density_of_jpeg_stay():
    content = saved("JPEG", dpi=(240, 240), comment=b"dish A")
    extra = segment(0xED, PHOTOSHOP) + segment(0xE1, b"http://ns.adobe.com/xmp/x")
    image, note = again(content[:20] + extra + content[20:])
    with image:
        assert image.app["APP13"] == PHOTOSHOP
        assert image.app["APP1"] == b"http://ns.adobe.com/xmp/x"
        assert image.info["comment"] == b"dish A"
        assert image.info["dpi"] == (240, 240)
    assert note == ""


@pytest.mark.parametrize("quality", [35, 75, 98])
@pytest.mark.parametrize("sampling", [0, 2])
def test_jpeg_is_coded_as_it_was(quality, sampling):
    content = saved("JPEG", quality=quality, subsampling=sampling, progressive=True)
    image, _ = again(content)
    with image, Image.open(io.BytesIO(content)) as before:
        assert image.quantization == before.quantization
        assert JpegImagePlugin.get_sampling(image) == sampling
        assert image.info["progressive"] == 1
    grey, _ = again(saved("JPEG", PHOTO[..., 0], quality=quality))
    with grey, Image.open(io.BytesIO(content)) as before:
        assert grey.quantization[0] == before.quantization[0]


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_webp_is_of_about_its_quality(quality):
    assert webp_quality(saved("WEBP", quality=quality)) == pytest.approx(
        quality, abs=12
    )
    content = saved("WEBP", quality=quality)
    size = len(encoded(read_picture(io.BytesIO(content))))
    assert size == pytest.approx(len(content), rel=0.25)


def test_webp_without_loss_stays_so():
    content = saved("WEBP", lossless=True)
    assert webp_quality(content) is None
    image, _ = again(content)
    assert (np.asarray(image) == PHOTO).all()


def test_a_profile_of_colours_of_16_bits_stays():
    import imagecodecs

    from keras_dae.images.carried import with_chunks

    deep = imagecodecs.png_encode(PHOTO.astype(np.uint16) * 257)
    profile = b"icc\0\0" + zlib.compress(PROFILE)
    content = with_chunks(bytes(deep), [(b"iCCP", profile), (b"tEXt", b"a\0b")])
    image, note = again(content)
    with image:
        assert image.info["icc_profile"] == PROFILE
        image.load()
        assert image.text == {"a": "b"}
    assert note == ""


def test_of_several_pictures_the_first_is_kept_and_said():
    small = Image.fromarray(PHOTO[::4, ::4])
    content = saved("MPO", save_all=True, append_images=[small], exif=exif())
    picture = read_picture(io.BytesIO(content), ".jpg")
    assert picture.note == "only the first of its 2 pictures is kept"
    with Image.open(io.BytesIO(encoded(picture))) as image:
        assert image.format == "JPEG"
        assert image.size == (96, 64)
        assert image.getexif()[0x010F] == "Camera maker"


def test_what_follows_a_jpeg_picture_is_named():
    _, note = again(saved("JPEG") + b"\0\0\0\x18ftypmp42 a film")
    assert note == "19 bytes after the picture are not kept"


@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_only_the_orientation_of_exif_changes(prefix, order):
    mark = b"II*\0" if order == "<" else b"MM\0*"
    head = mark + struct.pack(f"{order}IH", 8, 2)
    tags = struct.pack(f"{order}HHIHHHHII", 274, 3, 1, 8, 0, 305, 4, 1, 77)
    content = prefix + head + tags + bytes(4)
    wanted = struct.pack(f"{order}HHIHHHHII", 274, 3, 1, 1, 0, 305, 4, 1, 77)
    assert upright_exif(content) == prefix + head + wanted + bytes(4)
    assert upright_exif(content[:20]) == content[:20]


def test_heic_without_its_library_is_named(monkeypatch):
    from keras_dae.images import pillow_files

    monkeypatch.setattr(pillow_files.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UnreadableError, match=r"pip install 'keras-dae\[heif\]'"):
        read_picture(io.BytesIO(HEIC), ".heic")


def test_avif_without_its_library_is_named(monkeypatch):
    monkeypatch.setattr(features, "check", lambda name: False)
    content = b"\0\0\0\x1cftypavif" + bytes(200)
    with pytest.raises(UnreadableError, match="an AVIF image, which this build"):
        read_picture(io.BytesIO(content), ".avif")


def test_heic_comes_back_with_what_it_carried():
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    options = {"exif": exif(), "icc_profile": PROFILE, "xmp": UPRIGHT_XMP}
    image, note = again(saved("HEIF", quality=90, **options))
    with image:
        assert image.format == "HEIF"
        assert image.size == (96, 64)
        assert np.abs(np.asarray(image).astype(int) - PHOTO).mean() < 8
        assert image.getexif()[0x010F] == "Camera maker"
        assert image.info["icc_profile"] == PROFILE
        assert image.info["xmp"] == UPRIGHT_XMP
    assert note == "written with quality 90"
