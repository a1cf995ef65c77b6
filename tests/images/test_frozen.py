import numpy as np
import pytest

from keras_dae.images.frozen import (
    FROZEN_BLOCK,
    TEST,
    VALIDATION,
    frozen_arrays,
    frozen_pairs,
    noise_sha256,
)
from keras_dae.images.noise import Gaussian
from keras_dae.images.rows import normalise


def frozen(images, split=TEST, seed=0):
    return frozen_arrays(images, Gaussian(), seed=seed, split=split, low=0, high=255)


LONG = np.random.default_rng(0).integers(0, 256, (FROZEN_BLOCK + 9, 2, 2, 1), np.uint8)


def test_frozen_pairs_are_the_same_however_consumed():
    noisy, clean = frozen(LONG)
    assert noisy.shape == clean.shape == LONG.shape
    blocks = list(frozen_pairs(LONG, Gaussian(), seed=0, split=TEST, low=0, high=255))
    assert [len(block[0]) for block in blocks] == [FROZEN_BLOCK, 9]
    assert np.concatenate([block[0] for block in blocks]).tobytes() == noisy.tobytes()
    np.testing.assert_array_equal(clean, normalise(LONG, 0, 255))
    assert noise_sha256(frozen(LONG)[0]) == noise_sha256(noisy)


@pytest.mark.parametrize("count", [1, 9, FROZEN_BLOCK, FROZEN_BLOCK + 3])
def test_frozen_noise_does_not_depend_on_what_follows(count):
    noisy, _ = frozen(LONG)
    np.testing.assert_array_equal(frozen(LONG[:count])[0], noisy[:count])


@pytest.mark.parametrize("change", [{"split": VALIDATION}, {"seed": 1}])
def test_frozen_noise_depends_on(change):
    assert np.mean(frozen(LONG, **change)[0] != frozen(LONG)[0]) > 0.5


def test_blocks_have_different_noise():
    images = np.full((2 * FROZEN_BLOCK, 2, 2, 1), 128, np.uint8)
    noisy, _ = frozen(images)
    assert not np.array_equal(noisy[:FROZEN_BLOCK], noisy[FROZEN_BLOCK:])
