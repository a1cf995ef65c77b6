"""Data larger than memory: read by rows, drawn by blocks, the same in each number.

The bounds from which that happens are lowered here, so that small data take the way
of large ones.
"""

import hashlib
import io
import os
import zipfile

import numpy as np
import pytest

from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.evaluation.baselines import BASELINES
from keras_dae.evaluation.scoring import TestBench, rebatched, score_model
from keras_dae.images import frozen as frozen_module
from keras_dae.images import rows
from keras_dae.images.datasets import Arrays, load, split
from keras_dae.images.frozen import FROZEN_BLOCK, FrozenPairs, frozen_arrays
from keras_dae.images.io import arrays as readers
from keras_dae.images.noise import Gaussian
from keras_dae.images.rows import Rows, Stored, blocks, extremes
from keras_dae.models.files import load as load_model
from keras_dae.system import storage
from keras_dae.training.config import make_config
from keras_dae.training.fitting import fit

SMALL = {"depth": 1, "latent": 5, "epochs": 2, "batch_size": 100, "warmup_steps": 2}
COUNT = 1700  # 340 validate: two batches of a block, and a part of the next
RNG = np.random.default_rng(3)
TRAIN = RNG.integers(0, 256, (COUNT, 28, 28), dtype=np.uint8)
TEST = RNG.integers(0, 256, (610, 28, 28), dtype=np.uint8)
LABELS = np.arange(COUNT) % 7


@pytest.fixture
def large(monkeypatch):
    """Let every array be a large one; undo it by `large.undo()`."""
    monkeypatch.setattr(readers, "STORED_BYTES", 1)
    monkeypatch.setattr(rows, "BLOCK_BYTES", 100 * 784)
    monkeypatch.setattr(storage, "_HASHED_BYTES", 100 * 784)
    monkeypatch.setattr(frozen_module, "HELD_BYTES", 0)
    return monkeypatch


@pytest.fixture
def npz(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, x_train=TRAIN, x_test=TEST, y_train=LABELS, y_test=LABELS[:610])
    return path


def refused(path):
    with pytest.raises(KerasDAEError) as error:
        load(f"npz:{path}")
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


# Reading


@pytest.mark.parametrize(
    "change",
    [
        lambda images: images,
        np.asfortranarray,
        lambda images: images[..., np.newaxis],
        lambda images: np.stack([images] * 3, axis=-1),
        lambda images: (images / 255).astype(np.float32),
        lambda images: (images / 255).astype(">f4"),
    ],
    ids=["plain", "fortran", "4 axes", "colour", "float32", "big-endian"],
)
def test_a_file_holds_what_was_saved(tmp_path, large, change):
    path = tmp_path / "mine.npz"
    train, test = change(TRAIN[:50]), change(TEST[:20])
    np.savez(path, x_train=train, x_test=test, y_train=LABELS[:50], y_test=LABELS[:20])
    mapped = load(f"npz:{path}", split_seed=2)
    if change is not np.asfortranarray:  # whose rows do not lie together
        assert isinstance(mapped.train, Rows)
        assert isinstance(mapped.train.base, Stored)
        assert isinstance(mapped.test, Stored)
    large.undo()
    held = load(f"npz:{path}", split_seed=2)
    assert type(held.train) is np.ndarray
    assert mapped.describe() == held.describe()
    assert (mapped.low, mapped.high) == (held.low, held.high)
    for part in ("train", "validation", "test"):
        one, other = getattr(mapped, part), getattr(held, part)
        assert (one.shape, one.dtype, one.size) == (
            other.shape,
            other.dtype,
            other.size,
        )
        np.testing.assert_array_equal(one[:], other)
        np.testing.assert_array_equal(mapped.labels[part], held.labels[part])


def test_an_archive_behind_another_is_read_where_it_is(npz, large, tmp_path):
    np.savez(tmp_path / "other.npz", x_train=TRAIN[:7])
    npz.write_bytes((tmp_path / "other.npz").read_bytes() + npz.read_bytes())
    np.testing.assert_array_equal(load(f"npz:{npz}").test[:][..., 0], TEST)


def test_stored_images_cannot_be_written(npz, large):
    splits = load(f"npz:{npz}")
    for part in (splits.test, splits.train):
        with pytest.raises(TypeError):
            part[0] = 0


@pytest.mark.parametrize(
    "key", [slice(3, 9), slice(None, None, -7), [5, 0, 5], -1, [], slice(9, 3)], ids=str
)
def test_rows_of_a_file_are_those_of_the_array(npz, large, key):
    read = load(f"npz:{npz}").test[key]
    np.testing.assert_array_equal(
        read[..., 0], TEST[np.asarray(key, int) if isinstance(key, list) else key]
    )


def test_a_row_that_is_not_there_is_an_error(npz, large):
    with pytest.raises(IndexError):
        load(f"npz:{npz}").test[[len(TEST)]]


def test_a_file_that_becomes_shorter_is_one_sentence(npz, large):
    splits = load(f"npz:{npz}")
    os.truncate(npz, 100_000)
    for part in (splits.train, splits.test):
        with pytest.raises(KerasDAEError, match="changed while it was read"):
            part[:]


def test_a_damaged_byte_is_seen(npz, large):
    raw = bytearray(npz.read_bytes())
    raw[50_000] ^= 1
    npz.write_bytes(raw)
    assert "readable" in refused(npz)


def test_a_truncated_file_is_refused(npz, large):
    npz.write_bytes(npz.read_bytes()[:-200_000])
    assert "not a readable npz" in refused(npz)


def test_an_array_of_another_length_than_it_says_is_refused(tmp_path, large):
    member = io.BytesIO()
    np.save(member, TRAIN[:50])
    with zipfile.ZipFile(tmp_path / "mine.npz", "w") as archive:
        for name in ("x_train.npy", "x_test.npy"):
            archive.writestr(name, member.getvalue()[:-1])
    assert "not a readable npz" in refused(tmp_path / "mine.npz")


def test_objects_are_refused(tmp_path, large):
    np.savez(tmp_path / "mine.npz", x_train=np.array([{}, []], object), x_test=TEST)
    assert "not a readable npz" in refused(tmp_path / "mine.npz")


def test_a_compressed_file_is_read_whole(tmp_path, large):
    path = tmp_path / "mine.npz"
    np.savez_compressed(path, x_train=TRAIN, x_test=TEST)
    splits = load(f"npz:{path}")
    assert type(splits.train) is np.ndarray
    # 78 MB, more than a process that has read other files before keeps free.
    np.savez_compressed(path, x_train=np.zeros((100_000, 28, 28), np.uint8))
    large.setenv("KERAS_DAE_MEMORY_LIMIT", "0.02")
    said = refused(path)
    assert "--memory-limit" in said
    assert "a file written by numpy.savez is read on demand" in said


@pytest.mark.parametrize("value", [np.nan, 1.5, -0.5])
def test_a_bad_value_in_the_last_block_is_seen(tmp_path, large, value):
    images = (TRAIN / 255).astype(np.float32)
    images[-1, -1, -1] = value
    np.savez(tmp_path / "mine.npz", x_train=images, x_test=images[:9])
    says = "NaN" if np.isnan(value) else f"{value:g}"
    assert says in refused(tmp_path / "mine.npz")


def test_blocks_are_bounded(large):
    parts = list(blocks(TRAIN))
    assert {len(part) for part in parts} == {100}
    np.testing.assert_array_equal(np.concatenate(parts), TRAIN)
    assert extremes(TRAIN) == (0, 255)


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_hash_does_not_depend_on_blocks(large, order):
    digest = hashlib.sha256(b"|u1(1700, 28, 28)" + TRAIN.tobytes()).hexdigest()
    assert storage.array_sha256(np.asarray(TRAIN, order=order)) == digest
    assert storage.array_sha256(Rows(TRAIN, np.arange(COUNT))) == digest
    nothing = np.empty((0, 3))
    expected = hashlib.sha256(b"<f8(0, 3)").hexdigest()
    assert storage.array_sha256(nothing) == expected


# Rows


def test_rows():
    index = np.array([4, 1, 9], np.uint32)
    some = Rows(TRAIN, index)
    assert (len(some), some.shape, some.ndim, some.size, some.dtype) == (
        *(3, (3, 28, 28), 3, 3 * 784, np.uint8),
    )
    np.testing.assert_array_equal(some[1:], TRAIN[[1, 9]])
    np.testing.assert_array_equal(some[np.array([2, 0])], TRAIN[[9, 4]])
    np.testing.assert_array_equal(some[-1], TRAIN[9])
    np.testing.assert_array_equal(Rows(some, np.array([2]))[:], TRAIN[[9]])
    with pytest.raises(IndexError):
        some[3]


class Elsewhere:
    """Images of a reader's own: neither an array nor in a file."""

    def __init__(self, images):
        self.images, self.asked = images, 0
        self.shape, self.dtype = images.shape, images.dtype
        self.ndim, self.size = images.ndim, images.size

    def __len__(self):
        return len(self.images)

    def __getitem__(self, key):
        rows = self.images[key]
        self.asked = max(self.asked, len(rows))
        return rows


def test_a_reader_may_hand_over_images_of_its_own(tmp_path, large):
    train, test = Elsewhere(TRAIN[..., np.newaxis]), Elsewhere(TEST[..., np.newaxis])
    arrays = Arrays(train, None, test, None)
    splits = split("own", arrays, arrays.sha256(), 0)
    own = fit(make_config(SMALL), splits, tmp_path / "own")
    row, _ = score_model(TestBench(splits, Gaussian()), load_model(own.model_path))
    held = Arrays(train.images, None, test.images, None)
    splits = split("own", held, held.sha256(), 0)
    plain = fit(make_config(SMALL), splits, tmp_path / "plain")
    assert figures(own) == figures(plain)
    again, _ = score_model(TestBench(splits, Gaussian()), load_model(plain.model_path))
    assert row["test"] == again["test"]
    assert 100 <= train.asked < 1500  # never all of them
    assert 100 <= test.asked < 600


# Training and scoring


def figures(folder):
    history = folder.history()
    return {key: history[key] for key in ("loss", "val_loss", "learning_rate")}


def trained(path, out):
    splits = load(f"npz:{path}")
    folder = fit(make_config(SMALL), splits, out)
    bench = TestBench(splits, Gaussian())
    row, errors = score_model(bench, load_model(folder.model_path))
    median, _ = bench.measure(BASELINES["median 3x3"](splits))
    mean, _ = bench.measure(BASELINES["mean image"](splits))
    said = [bench.describe_noise(), row["test"], median, mean, splits.describe()]
    shown = bench.take(np.array([600, 3, 255, 256]))
    return figures(folder), load_model(folder.model_path), errors, said, shown


def test_mapped_data_train_and_score_to_the_same_numbers(tmp_path, npz, large):
    mapped = trained(npz, tmp_path / "mapped")
    large.undo()
    held = trained(npz, tmp_path / "held")
    assert mapped[0] == held[0]
    for one, other in zip(mapped[1].get_weights(), held[1].get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert set(mapped[2]) == set(held[2]) >= {"mse"}
    for metric, values in mapped[2].items():
        np.testing.assert_array_equal(values, held[2][metric])
    assert mapped[3] == held[3]
    for one, other in zip(mapped[4], held[4], strict=True):
        np.testing.assert_array_equal(one, other)


def frozen(batch_size):
    return FrozenPairs(
        TRAIN[:600, ..., np.newaxis],
        Gaussian(),
        seed=0,
        split="validation",
        low=0,
        high=255,
        batch_size=batch_size,
    )


@pytest.mark.parametrize("batch_size", [1, 64, FROZEN_BLOCK])
def test_frozen_batches_are_those_of_the_arrays(batch_size):
    pairs = frozen(batch_size)
    arrays = frozen_arrays(
        pairs.images, Gaussian(), seed=0, split="validation", low=0, high=255
    )
    batches = [pairs[index] for index in range(len(pairs))]
    assert {len(clean) for _, clean in batches[:-1]} == {batch_size}
    for part in (0, 1):
        whole = np.concatenate([batch[part] for batch in batches])
        np.testing.assert_array_equal(whole, arrays[part])
    # Out of turn, and again.
    np.testing.assert_array_equal(pairs[0][0], arrays[0][:batch_size])
    with pytest.raises(IndexError):
        pairs[len(pairs)]


def test_batches_that_do_not_fit_the_blocks_are_refused():
    with pytest.raises(UsageError, match="batch_size=100"):
        frozen(100)


@pytest.mark.parametrize("size", [1, 4, 7, 10, 11, 50])
def test_rebatched(size):
    noisy = np.arange(10)
    cut = [(noisy[start : start + 4], -noisy[start : start + 4]) for start in (0, 4, 8)]
    batches = list(rebatched(cut, size))
    assert [len(one) for one, _ in batches[:-1]] == [size] * (len(batches) - 1)
    np.testing.assert_array_equal(np.concatenate([b[0] for b in batches]), noisy)
    np.testing.assert_array_equal(np.concatenate([b[1] for b in batches]), -noisy)


def test_small_data_stay_arrays(tiny):
    assert type(tiny.train) is type(tiny.validation) is type(tiny.test) is np.ndarray
