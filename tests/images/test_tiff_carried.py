"""What microscopes write into TIFF files comes back: axes, scale, channels, tags."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image, TiffImagePlugin

from keras_dae.images.io.formats import encoded, read_picture
from keras_dae.images.io.pictures import UnreadableError

RNG = np.random.default_rng(4)


def counts(*shape, kind="uint16"):
    return RNG.integers(0, 4096, shape).astype(kind)


def written(array, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def again(content):
    """Return the file opened before and after, and the picture that was read."""
    picture = read_picture(io.BytesIO(content), ".tif")
    files = (io.BytesIO(content), io.BytesIO(encoded(picture)))
    return *(tifffile.TiffFile(file) for file in files), picture


IMAGEJ = {"axes": "TZCYX", "spacing": 0.3, "unit": "um", "finterval": 2.5}
LABELS = {"Labels": [f"slice {n}" for n in range(24)], "Info": "dish A"}
OME = {
    "axes": "TCZYX",
    "PhysicalSizeX": 0.1,
    "PhysicalSizeXUnit": "µm",
    "Channel": {"Name": ["DAPI", "GFP"]},
}
FILES = {
    "imagej": (
        lambda: written(
            counts(3, 4, 2, 16, 20),
            imagej=True,
            resolution=(5, 5),
            metadata=IMAGEJ | LABELS,
        ),
        24,
    ),
    "imagej, signed": (
        lambda: written(counts(3, 16, 20, kind="int16"), imagej=True),
        3,
    ),
    "ome": (
        lambda: written(
            counts(2, 2, 3, 16, 20), ome=True, photometric="minisblack", metadata=OME
        ),
        12,
    ),
    "ome, packed": (
        lambda: written(
            counts(2, 2, 3, 16, 20),
            ome=True,
            photometric="minisblack",
            compression="zlib",
            byteorder=">",
            metadata=OME,
        ),
        12,
    ),
    "channels": (
        lambda: written(
            counts(16, 20, 2), photometric="minisblack", planarconfig="contig"
        ),
        2,
    ),
    "five channels": (
        lambda: written(
            counts(16, 20, 5), photometric="minisblack", planarconfig="contig"
        ),
        5,
    ),
    "four slices": (lambda: written(counts(4, 16, 20)), 4),
    "rgb and another": (
        lambda: written(counts(16, 20, 4), photometric="rgb", extrasamples=[0]),
        2,
    ),
    "uint32": (lambda: written(counts(16, 20, kind="uint32")), 1),
    "4,097 pages": (lambda: written(counts(4097, 2, 3), imagej=True), 4097),
}


@pytest.mark.filterwarnings("ignore:.*TiffWriter:DeprecationWarning")
@pytest.mark.parametrize("name", FILES)
def test_pages_axes_and_descriptions_stay(name):
    make, pages = FILES[name]
    before, after, picture = again(make())
    with before, after:
        assert len(picture.pages) == pages
        assert all(page.alpha is None for page in picture.pages)
        assert after.series[0].axes == before.series[0].axes
        assert after.series[0].shape == before.series[0].shape
        assert (after.asarray() == before.asarray()).all()
        assert after.asarray().dtype == before.asarray().dtype
        assert after.imagej_metadata == before.imagej_metadata
        assert after.ome_metadata == before.ome_metadata
        one, other = before.pages[0], after.pages[0]
        assert other.description == one.description
        assert other.resolution == one.resolution
        assert other.extrasamples == one.extrasamples
        assert other.photometric == one.photometric


def test_each_channel_is_an_image_of_its_own():
    array = counts(16, 20, 3)
    content = written(array, photometric="minisblack", planarconfig="contig")
    _, _, picture = again(content)
    for number, page in enumerate(picture.pages):
        assert (page.values[..., 0] == array[..., number]).all()
    assert picture.note == "channel 2, 3 is read as an image"
    picture.pages[1].values = picture.pages[1].values * 0
    made = tifffile.imread(io.BytesIO(encoded(picture)))
    assert (made[..., [0, 2]] == array[..., [0, 2]]).all()
    assert (made[..., 1] == 0).all()


@pytest.mark.parametrize("place", [3, 4])
def test_what_is_taken_for_alpha_is_said(place):
    array = counts(16, 20, 5)
    kinds = [0, 0]
    kinds[place - 3] = 2
    content = written(array, photometric="rgb", extrasamples=kinds)
    _, after, picture = again(content)
    with after:
        assert (after.asarray() == array).all()
        assert [int(kind) for kind in after.pages[0].extrasamples] == kinds
    assert (picture.pages[0].alpha == array[..., place]).all()
    assert (picture.pages[1].values[..., 0] == array[..., 7 - place]).all()
    assert f"channel {place + 1} is read as alpha and is not changed" in picture.note
    assert f"channel {8 - place} is read as an image" in picture.note


def test_tags_stay():
    extra = [
        (33432, 2, 0, "(c) the lab", True),
        (700, 1, 5, b"<xmp>", True),
        (33723, 7, 10, b"\x1c\x02\x78\x00\x05hello", True),
        (33550, 12, 3, (0.5, 0.5, 0.0), True),
        (65000, 3, 2, (7, 9), True),
    ]
    options = {"description": "sample 7, dish A", "software": "Scope 4"}
    content = written(
        counts(16, 20), datetime=True, metadata=None, extratags=extra, **options
    )
    before, after, picture = again(content)
    with before, after:
        changing = {"StripOffsets", "NewSubfileType"}
        kept, wanted = (
            {t.name: t.value for t in file.pages[0].tags if t.name not in changing}
            for file in (after, before)
        )
        assert kept == wanted
        assert kept["Software"] == "Scope 4"
    assert picture.note == ""


def test_a_turned_page_says_its_resolution_the_other_way_round():
    tag = [(274, "H", 1, 6, True)]
    content = written(counts(16, 20), extratags=tag, resolution=(300, 150))
    _, after, _ = again(content)
    with after:
        assert after.pages[0].shape == (20, 16)
        assert after.pages[0].resolution == (150, 300)
        assert after.pages[0].tags.valueof(274, default=1) == 1


def test_what_is_lost_is_named():
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(counts(64, 64), subifds=1, metadata=None)
        writer.write(counts(32, 32), subfiletype=1, metadata=None)
    _, after, picture = again(buffer.getvalue())
    with after:
        assert len(after.pages) == 1
    assert picture.note == "not kept: its smaller copies (SubIFDs)"
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[34665] = {33434: TiffImagePlugin.IFDRational(1, 60)}
    buffer = io.BytesIO()
    Image.fromarray(counts(9, 9, kind="uint8")).save(buffer, "TIFF", tiffinfo=info)
    assert again(buffer.getvalue())[2].note == "not kept: EXIF"


def test_a_tag_that_cannot_be_written_is_named(caplog):
    content = bytearray(
        written(counts(9, 9), metadata=None, extratags=[(401, 3, 1, 7, True)])
    )
    with tifffile.TiffFile(io.BytesIO(content)) as tif:
        place = tif.pages[0].tags[401].offset
    content[place : place + 2] = (400).to_bytes(2, "little")
    _, _, picture = again(bytes(content))
    assert picture.note == "not kept: tag 400"
    assert caplog.records == []


def test_a_file_of_a_set_says_that_it_names_the_others():
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/'
        '2016-06"><Image><Pixels><TiffData><UUID FileName="a.ome.tif"/></TiffData>'
        "</Pixels></Image></OME>"
    )
    content = written(counts(9, 9), description=xml, metadata=None)
    picture = read_picture(io.BytesIO(content), ".tif")
    assert picture.note == "its OME-XML still refers to the original files"


def test_a_raw_photograph_is_not_taken_for_its_preview():
    content = written(
        counts(9, 9), extratags=[(50706, 1, 4, bytes([1, 4, 0, 0]), True)]
    )
    with pytest.raises(UnreadableError, match="raw photograph") as refused:
        read_picture(io.BytesIO(content), ".tif")
    assert "rename" not in str(refused.value)


def test_one_large_tag_of_many_pages_is_not_written_for_each():
    """Tags together are held within twice the file's size."""
    info = (65001, 1, 1 << 20, bytes(1 << 20), False)
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for _ in range(40):
            writer.write(
                counts(2, 2), metadata=None, extratags=[(65001, 3, 1, 7, True)]
            )
        writer.write(counts(2, 2), metadata=None, extratags=[info])
    content = bytearray(buffer.getvalue())
    with tifffile.TiffFile(io.BytesIO(content)) as tif:
        offset = tif.pages[40].tags[65001].valueoffset
        places = [page.tags[65001].offset for page in tif.pages[:40]]
    for place in places:
        content[place + 2 : place + 12] = (
            (1).to_bytes(2, "little")
            + (1 << 20).to_bytes(4, "little")
            + offset.to_bytes(4, "little")
        )
    picture = read_picture(io.BytesIO(bytes(content)), ".tif")
    assert picture.note.startswith("not kept: ")
    assert "tag 65001" in picture.note
    assert len(encoded(picture)) < 4 * len(content)


def test_two_channels_of_an_array_are_two_images():
    array = counts(3, 16, 20, 2)
    buffer = io.BytesIO()
    np.save(buffer, array)
    picture = read_picture(io.BytesIO(buffer.getvalue()), ".npy")
    assert len(picture.pages) == 6
    assert (picture.pages[3].values[..., 0] == array[1, ..., 1]).all()
    assert "not as alpha" in picture.note
    assert (np.load(io.BytesIO(encoded(picture))) == array).all()
