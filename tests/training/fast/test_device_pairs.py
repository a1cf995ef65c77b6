"""Batches on the device that trains: the images of NumPy's pairs, in their order."""

import numpy as np
import pytest

from tests.devices import DEVICES, ON_TORCH

if not ON_TORCH:
    pytest.skip("tensors on a device are torch's", allow_module_level=True)

import torch

from keras_dae.errors import UsageError
from keras_dae.images.frozen import frozen_arrays
from keras_dae.images.noise import Gaussian
from keras_dae.images.pairs import NoisyCleanPairs
from keras_dae.images.patches import Cut, Patches
from keras_dae.images.rows import Rows
from keras_dae.training.fast import device_pairs
from keras_dae.training.fast.device_pairs import Carrier, DevicePairs, HeldPairs

BYTES = np.random.default_rng(1).integers(0, 256, (37, 6, 7, 2), dtype=np.uint8)
FLOATS = np.random.default_rng(2).random((37, 6, 7, 2)).astype("float64")
ROWS = Rows(BYTES, np.arange(36, -1, -1))


def numbers(pair):
    return tuple(np.asarray(part.cpu()) for part in pair)


def items(pairs, epoch=0):
    pairs.epoch = epoch
    return [numbers(pairs[index]) for index in range(len(pairs))]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize(
    ("images", "limits"),
    [
        (BYTES, {}),
        (BYTES, {"low": 20, "high": 180}),
        (FLOATS, {}),
        (BYTES.astype("uint16") * 100, {"low": 0, "high": 25500}),
        (ROWS, {}),
        (BYTES, {"repeat": 3}),
    ],
    ids=["uint8", "clipped", "float64", "uint16", "rows", "repeated"],
)
def test_clean_images_are_those_of_numpy(device, resident, images, limits, monkeypatch):
    """To the bit, in the same order, whether they are held on the device or not."""
    if not resident:
        monkeypatch.setattr(device_pairs, "RESIDENT_BYTES", 0)
    options = {"batch_size": 8, "seed": 3, **limits}
    wanted = NoisyCleanPairs(images, Gaussian(), **options)
    found = DevicePairs(images, Gaussian(), **options)
    wanted.epoch = found.epoch = 2
    for index in range(len(wanted)):
        noisy, clean = found[index]
        assert noisy.dtype == clean.dtype == torch.float32
        assert noisy.device.type == device
        assert noisy.shape == clean.shape
        np.testing.assert_array_equal(clean.cpu().numpy(), wanted[index][1])


@pytest.mark.parametrize("at_once", [2, 3, 9])
def test_batches_do_not_depend_on_how_many_are_handed_over(at_once):
    options = {"batch_size": 8, "seed": 3}
    single, several = (DevicePairs(BYTES, Gaussian(), **options) for _ in range(2))
    several.at_once = at_once
    for part in (0, 1):
        one, other = (
            np.concatenate([item[part] for item in items(pairs, 1)])
            for pairs in (single, several)
        )
        np.testing.assert_array_equal(one, other)


def test_noise_is_a_function_of_seed_epoch_and_batch():
    def noisy(seed=0, epoch=0):
        pairs = DevicePairs(BYTES, Gaussian(clip=False), batch_size=8, seed=seed)
        noisy, clean = (
            np.concatenate(part) for part in zip(*items(pairs, epoch), strict=True)
        )
        return noisy - clean

    first = noisy()
    np.testing.assert_array_equal(first, noisy())
    assert abs(first.std() - 0.5) < 4 * 0.5 / (2 * first.size) ** 0.5
    for other in (noisy(seed=1), noisy(epoch=1)):
        assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < (
            4 / first.size**0.5
        )
    # Batches of one epoch differ too.
    assert abs(np.corrcoef(first[:8].ravel(), first[8:16].ravel())[0, 1]) < 0.16


def test_patches_are_those_of_the_epoch():
    images = [np.tile(image[..., :1], (3, 3, 1)) for image in BYTES[:4]]
    places = np.array([(number % 4, number, number) for number in range(10)])
    patches = Patches(images, places, Cut(8, 1, 5))
    options = {"batch_size": 4, "seed": 1}
    wanted = NoisyCleanPairs(patches, Gaussian(), **options)
    found = DevicePairs(patches, Gaussian(), **options)
    for epoch in (0, 1):
        wanted.epoch = found.epoch = epoch
        np.testing.assert_array_equal(found[0][1].cpu().numpy(), wanted[0][1])


def test_a_noise_that_is_not_drawn_there_is_refused():
    with pytest.raises(UsageError, match=r"noise_on must be host for others.*poisson"):
        DevicePairs(BYTES, "poisson:4")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("prefetch", [1, 4])
def test_what_is_carried_is_what_was_drawn(device, prefetch):
    options = {"batch_size": 8, "seed": 3, "low": 0, "high": 255}
    wanted = NoisyCleanPairs(BYTES, Gaussian(), **options)
    carried = NoisyCleanPairs(BYTES, Gaussian(), prefetch=prefetch, **options)
    carried.carrier = Carrier()
    for epoch in range(3):
        wanted.epoch = carried.epoch = epoch
        for index in range(len(wanted)):
            item = carried[index]
            assert {part.device.type for part in item} == {device}
            for one, other in zip(numbers(item), wanted[index], strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("device", DEVICES)
def test_held_pairs_are_the_arrays_in_batches(device):
    arrays = frozen_arrays(
        BYTES, Gaussian(), seed=0, split="validation", low=0, high=255
    )
    held = HeldPairs(arrays, 16)
    assert len(held) == 3
    found = [held[index] for index in range(3)]
    assert {part.device.type for item in found for part in item} == {device}
    for place, wanted in enumerate(arrays):
        one = np.concatenate([numbers(item)[place] for item in found])
        np.testing.assert_array_equal(one, wanted)
