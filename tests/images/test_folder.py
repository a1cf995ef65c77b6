"""A folder of image files: what is read, how it is split, what is left out."""

import os

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile
from PIL import Image

from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.images import folder as folder_module
from keras_dae.images.datasets import load
from keras_dae.images.folder import read_folder
from keras_dae.images.patches import Cut
from keras_dae.training.config import make_config
from keras_dae.training.records import check_data
from keras_dae.training.runs import RunFolder

CUT = Cut(size=8)
NAMES = ["a.png", "b.png", "c/d.png", "c/e.png", "f.png", "g.png", "h.png", "i.png"]
NAMES += ["j.png", "k.png"]


def pixels(height=16, width=16, *channels, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, *channels), dtype=np.uint8)


@pytest.fixture
def photos(tmp_path):
    """A folder to which images are added by name; what they hold is their number's."""
    inside = tmp_path / "photos"
    inside.mkdir()

    def add(*names, height=16, width=16):
        for name in names:
            path = inside / name
            path.parent.mkdir(exist_ok=True)
            number = len(list(inside.rglob("*")))
            imageio.imwrite(path, pixels(height, width, seed=number))
        return inside

    return add


def read(folder, cut=CUT):
    return read_folder(folder, cut)


def named(splits):
    return {part: list(names) for part, names in splits.files.items()}


# The split


def test_files_are_split_by_name_and_seed(photos):
    inside = photos(*NAMES)
    assert named(load(f"folder:{inside}", split_seed=0, cut=CUT)) == {
        "train": [*NAMES[:5], "h.png", "j.png", "k.png"],
        "validation": ["g.png"],
        "test": ["i.png"],
    }
    assert named(load(f"folder:{inside}", split_seed=1, cut=CUT)) == {
        "train": ["a.png", "b.png", "c/e.png", "f.png", *NAMES[6:]],
        "validation": ["c/d.png"],
        "test": ["g.png"],
    }


def test_the_order_of_the_file_system_is_no_matter(photos, monkeypatch):
    inside = photos(*NAMES)
    forwards = load(f"folder:{inside}", cut=CUT)
    walk = os.walk

    def backwards(top, **options):
        for parent, folders, files in walk(top, **options):
            folders.sort(reverse=True)
            yield parent, folders, sorted(files, reverse=True)

    monkeypatch.setattr(folder_module.os, "walk", backwards)
    again = load(f"folder:{inside}", cut=CUT)
    assert named(again) == named(forwards)
    assert again.sha256 == forwards.sha256
    assert again.train[:].tobytes() == forwards.train[:].tobytes()


@pytest.mark.parametrize(
    ("files", "counts"), [(3, (1, 1, 1)), (10, (8, 1, 1)), (17, (13, 2, 2))]
)
def test_a_tenth_each_validates_and_tests(photos, files, counts):
    inside = photos(*(f"{number}.png" for number in range(files)))
    splits = load(f"folder:{inside}", cut=CUT)
    assert tuple(len(names) for names in splits.files.values()) == counts
    assert splits.describe() == {
        "name": f"folder:{inside}",
        "sha256": splits.sha256,
        **{part: 4 * n for part, n in zip(splits.files, counts, strict=True)},
        "files": dict(zip(splits.files, counts, strict=True)),
    }
    assert (splits.low, splits.high, splits.labels) == (0, 1, {})
    assert splits.image_shape == (8, 8, 1)


def test_no_pixel_is_in_two_splits(photos):
    """Each file of one value of its own: no value is seen in two splits."""
    inside = photos()
    for number in range(20):
        imageio.imwrite(inside / f"{number}.png", np.full((20, 20), number, np.uint8))
    splits = load(f"folder:{inside}", cut=Cut(size=8, patches=9))
    seen = [
        set(np.rint(255 * getattr(splits, part)[:]).astype(int).ravel().tolist())
        for part in ("train", "validation", "test")
    ]
    assert [len(values) for values in seen] == [16, 2, 2]
    assert set.union(*seen) == set(range(20))


def test_pages_of_a_file_stay_together(photos):
    inside = photos()
    for number in range(10):
        with tifffile.TiffWriter(inside / f"{number}.tif") as writer:
            for page in range(3):
                side = 8 + 8 * page  # pages of one file may differ in size
                writer.write(np.full((side, side), 10 * number + page, np.uint8))
    found = read(inside)
    assert [[p.shape for p in pages] for pages in found.pages] == [
        [(8, 8, 1), (16, 16, 1), (24, 24, 1)]
    ] * 10
    splits = load(f"folder:{inside}", cut=CUT)
    assert (len(splits.train), len(splits.test)) == (8 * (1 + 4 + 9), 1 + 4 + 9)
    values = np.unique(np.rint(255 * splits.test[:]).astype(int)).tolist()
    assert [value - values[0] for value in values] == [0, 1, 2]


def test_the_first_so_many_training_patches_are_still_drawn_anew(photos):
    splits = load(f"folder:{photos(*NAMES)}", cut=Cut(size=8, patches=9))
    few = splits.limited(train=20, validation=2)
    assert (len(few.train), len(few.validation), len(few.test)) == (20, 2, 4)
    assert few.train.drawn(0, 0)[:].tobytes() != few.train.drawn(0, 1)[:].tobytes()
    assert named(few) == named(splits)


def test_the_hash_is_of_names_content_and_cut(photos):
    inside = photos(*NAMES)
    hashes = {read(inside).sha256(), read(inside, Cut(size=16)).sha256()}
    (inside / "b.png").rename(inside / "bb.png")
    hashes.add(read(inside).sha256())
    imageio.imwrite(inside / "a.png", pixels(seed=99))
    hashes.add(read(inside).sha256())
    assert len(hashes) == 4


# What is read


def grey_png(path):
    imageio.imwrite(path, np.array([[0, 51], [102, 255]], np.uint8))


def deep_png(path):
    imageio.imwrite(path, np.array([[0, 13107], [26214, 65535]], np.uint16))


def float_tiff(path):
    tifffile.imwrite(path, np.array([[0, 0.2], [0.4, 1]], np.float64))


def white_is_zero(path):
    values = np.array([[255, 204], [153, 0]], np.uint8)
    tifffile.imwrite(path, values, photometric="miniswhite")


def alpha_png(path):
    values = np.array([[0, 51], [102, 255]], np.uint8)
    imageio.imwrite(path, np.stack([values] * 3 + [values[::-1]], axis=2))


def turned_png(path):
    """Stored mirrored left to right, as orientation 2 says."""
    exif = Image.Exif()
    exif[274] = 2
    Image.fromarray(np.array([[51, 0], [255, 102]], np.uint8)).save(path, exif=exif)


def array_npy(path):
    np.save(path, np.array([[0, 0.2], [0.4, 1]], np.float32))


def lossless_webp(path):
    values = np.array([[0, 51], [102, 255]], np.uint8)
    Image.fromarray(np.stack([values] * 3, axis=2)).save(path, lossless=True)


def bitmap(path):
    imageio.imwrite(path, np.array([[0, 51], [102, 255]], np.uint8))


KINDS = {
    "grey.png": grey_png,
    "deep.png": deep_png,
    "float.tif": float_tiff,
    "white.tiff": white_is_zero,
    "alpha.png": alpha_png,
    "turned.png": turned_png,
    "array.npy": array_npy,
    "lossless.webp": lossless_webp,
    "bitmap.bmp": bitmap,
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_each_kind_of_file_gives_the_same_patch(photos, name, channels):
    """0, 0.2, 0.4 and 1 in all of them; mirrored to 8x8, alpha left out."""
    inside = photos("other.png", "third.png")
    KINDS[name](inside / name)
    splits = load(f"folder:{inside}", cut=Cut(size=8, channels=channels))
    parts = {n: part for part, names in splits.files.items() for n in names}
    patches = getattr(splits, parts[name])
    number = splits.files[parts[name]].index(name)
    (row,) = np.flatnonzero(patches.places[:, 0] == number)
    found = patches[row : row + 1][0]
    assert found.shape == (8, 8, channels)
    np.testing.assert_allclose(found[3:5, 3:5, 0], [[0, 0.2], [0.4, 1]], atol=1e-6)
    assert (found == found[..., :1]).all()
    assert not [note for note in splits.notes if "left out" in note]


@pytest.mark.parametrize(
    ("colour", "grey"),
    [
        ((255, 0, 0), 76),  # 0.299 * 255 = 76.2
        ((0, 255, 0), 150),  # 149.7
        ((0, 0, 255), 29),  # 29.1
        ((255, 255, 255), 255),
        ((70, 20, 30), 36),  # 20.93 + 11.74 + 3.42 = 36.09
    ],
)
def test_colour_becomes_grey(photos, colour, grey):
    inside = photos("a.png", "b.png")
    imageio.imwrite(inside / "c.png", np.full((8, 8, 3), colour, np.uint8))
    deep = 257 * np.full((8, 8, 3), colour, np.uint16)
    tifffile.imwrite(inside / "d.tif", deep, photometric="rgb")
    found = dict(zip(read(inside).names, read(inside).pages, strict=True))
    assert found["c.png"][0].dtype == np.uint8
    assert found["d.tif"][0].dtype == np.uint16
    assert np.unique(found["c.png"][0]).tolist() == [grey]
    (value,) = np.unique(found["d.tif"][0])
    weights = (0.299, 0.587, 0.114)
    exact = 257 * sum(w * c for w, c in zip(weights, colour, strict=True))
    assert value == pytest.approx(exact, abs=0.6)


def test_colour_stays_where_it_is_asked_for(photos):
    inside = photos("a.png", "b.png")
    imageio.imwrite(inside / "c.jpg", pixels(16, 16, 3), quality=95)
    found = read(inside, Cut(size=8, channels=3))
    assert [pages[0].shape for pages in found.pages] == [
        *((16, 16, 1), (16, 16, 1), (16, 16, 3)),
    ]


def test_one_bit_and_photometric_white_are_black_and_white(photos):
    inside = photos("a.png", "b.png")
    bits = pixels() > 127
    Image.fromarray(bits).save(inside / "bits.png")
    tifffile.imwrite(inside / "fax.tif", bits, photometric="miniswhite")
    found = dict(zip(read(inside).names, read(inside).pages, strict=True))
    np.testing.assert_array_equal(found["bits.png"][0][..., 0], 255 * bits)
    np.testing.assert_array_equal(found["fax.tif"][0][..., 0], 255 * ~bits)


def test_a_turned_photograph_stands_upright(photos):
    inside = photos("a.png", "b.png")
    exif = Image.Exif()
    exif[274] = 6  # stored lying on its side
    Image.fromarray(pixels(16, 24)).save(inside / "lying.jpg", exif=exif)
    found = dict(zip(read(inside).names, read(inside).pages, strict=True))
    assert found["lying.jpg"][0].shape == (24, 16, 1)


def test_small_images_are_mirrored_and_said(photos):
    inside = photos("a.png", "b.png")
    imageio.imwrite(inside / "dot.png", np.full((1, 1), 51, np.uint8))
    imageio.imwrite(inside / "bar.png", pixels(5, 20))
    found = read(inside)
    pages = dict(zip(found.names, found.pages, strict=True))
    assert pages["dot.png"][0].shape == (8, 8, 1)
    assert np.unique(pages["dot.png"][0]).tolist() == [51]
    assert pages["bar.png"][0].shape == (8, 20, 1)
    rows = [1, 0, 1, 2, 3, 4, 3, 2]  # one row before the first, two after the last
    np.testing.assert_array_equal(pages["bar.png"][0][..., 0], pixels(5, 20)[rows])
    assert found.notes == (
        f"bar.png, dot.png below {inside} are smaller than 8x8 and extended by "
        "reflection.",
    )


@pytest.mark.parametrize("kind", ["uint16", "int32", "float32", "float64"])
def test_counts_are_learned_from_on_the_scale_of_denoise(photos, kind):
    """Not on the scale of their type, where 12 bits of 16 are all but black."""
    inside = photos("a.png", "b.png")
    rng = np.random.default_rng(1)
    counts = rng.uniform(200, 1700, (40, 90)).astype(kind)
    tifffile.imwrite(inside / "cells.tif", counts)
    found = read(inside)
    (page,) = found.pages[found.names.index("cells.tif")]
    assert page.shape == (40, 90, 1)
    low, high = np.percentile(counts, (0.1, 99.9))
    wanted = ((counts - low) / (high - low)).clip(0, 1)
    np.testing.assert_allclose(page[..., 0], wanted, atol=1e-6)
    assert any("cells.tif below" in note for note in found.notes)


# What is left out


def test_hidden_files_results_and_other_files_are_left_out(photos):
    inside = photos(*NAMES[:5], ".hidden.png", ".cache/x.png", "a.denoised.png")
    (inside / "notes.txt").write_text("no image")
    found = read(inside)
    assert list(found.names) == NAMES[:5]
    assert found.notes == ()


def truncated(path):
    imageio.imwrite(path, pixels(64, 64))
    path.write_bytes(path.read_bytes()[:500])


def without_numbers(path):
    tifffile.imwrite(path, np.full((8, 8), np.nan, np.float32))


DAMAGED = {
    "cut.png": (truncated, "is a damaged or truncated PNG image"),
    "empty.jpg": (lambda path: path.write_bytes(b""), "is empty (0 bytes)"),
    "text.png": (
        lambda path: path.write_text("a letter"),
        "is not in a supported image format",
    ),
    "wide.tif": (without_numbers, "holds 100 % values that are not finite"),
    "named.jpg": (lambda path: imageio.imwrite(path.with_suffix(".png"), pixels(seed=7))
                  or path.with_suffix(".png").rename(path), "is a PNG image"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_left_out_with_a_sentence(photos, name):
    inside = photos(*NAMES[:4])
    make, words = DAMAGED[name]
    make(inside / name)
    before = (inside / name).read_bytes()
    found = read(inside)
    assert list(found.names) == NAMES[:4]
    (note,) = found.notes
    assert note.startswith(f"{inside / name} {words}")
    assert note.endswith("; left out.")
    assert "\n" not in note
    assert "--" not in note  # no option that `train` does not have
    assert (inside / name).read_bytes() == before


def test_the_same_pixels_twice_are_taken_once(photos):
    inside = photos("a.png", "b.png", "c.png")
    imageio.imwrite(inside / "copy.bmp", imageio.imread(inside / "b.png"))
    found = read(inside)
    assert list(found.names) == ["a.png", "b.png", "c.png"]
    assert found.notes == (
        f"{inside / 'copy.bmp'} has the same pixels as {inside / 'b.png'}; left out.",
    )


def test_a_folder_that_may_not_be_looked_into_is_said(photos, monkeypatch):
    inside = photos(*NAMES[:4])
    walk = os.walk

    def refusing(top, onerror):
        onerror(PermissionError(13, "Permission denied", str(inside / "locked")))
        yield from walk(top)

    monkeypatch.setattr(folder_module.os, "walk", refusing)
    assert read(inside).notes == (
        f"{inside / 'locked'} cannot be read: Permission denied.",
    )


# What is refused


def message(folder, cut=CUT, kind=KerasDAEError):
    with pytest.raises(kind) as refused:
        read(folder, cut)
    assert type(refused.value) is kind
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_folder_that_is_none(tmp_path):
    gone = tmp_path / "gone"
    assert message(gone, kind=UsageError) == f"There is no folder {gone}."


def test_a_folder_without_images(photos):
    inside = photos()
    (inside / "notes.txt").write_text("no image")
    said = message(inside)
    assert said.startswith(
        f"There is no image below {inside}. Supported: PNG, JPEG, TIFF"
    )


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_files(photos, count):
    said = message(photos(*NAMES[:count]))
    assert f"holds {count} image file" in said
    assert "at least 3 are needed: one each to train, validate and test." in said


def test_too_few_files_since_some_are_damaged(photos):
    inside = photos(*NAMES[:2])
    (inside / "z.png").write_bytes(b"")
    said = message(inside)
    assert "holds 2 image files" in said
    assert said.endswith(f"; {inside / 'z.png'} is empty (0 bytes); left out.")


def test_all_files_damaged(photos):
    inside = photos()
    for number in range(4):
        (inside / f"{number}.png").write_bytes(b"")
    said = message(inside)
    assert "holds 0 image files" in said
    assert f"{inside / '0.png'} is empty" in said


def test_more_than_memory_holds(photos, monkeypatch):
    inside = photos(*NAMES)
    monkeypatch.setattr(folder_module, "memory", lambda: 2.0 * 5 * 256)
    assert "half of the memory of this machine" in message(inside)
    monkeypatch.setattr(folder_module, "memory", lambda: 2.0 * 10 * 256)
    assert len(read(inside).names) == 10


def test_a_run_is_not_measured_on_a_folder_that_changed(photos, tmp_path):
    inside = photos(*NAMES)
    config = make_config({"data": f"folder:{inside}", "size": 8})
    before = load(config.data, cut=config.make_cut())
    run = RunFolder(tmp_path / "run")
    record = {"config": config.model_dump(), "dataset": before.describe()}

    class Recorded(RunFolder):
        def record(self):
            return record

    run = Recorded(tmp_path / "run")
    check_data(run, before)
    photos("new.png")
    after = load(config.data, cut=config.make_cut())
    with pytest.raises(KerasDAEError, match="10 files then, 11 now"):
        check_data(run, after)


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Train", "VAL", "Test")])
def test_a_file_beside_the_parts_is_left_out_with_a_note(photos, names):
    train, val, test = names
    inside = photos(*(f"{train}/{n}.png" for n in range(3)))
    photos(f"{val}/3.png", f"{test}/4.png", "cover.png")
    splits = load(f"folder:{inside}", cut=CUT)
    assert named(splits) == {
        "train": [f"{train}/{n}.png" for n in range(3)],
        "validation": [f"{val}/3.png"],
        "test": [f"{test}/4.png"],
    }
    assert f"cover.png below {inside} is not in train, val or test; left out." in (
        splits.notes
    )
