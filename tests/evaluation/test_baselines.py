import numpy as np
import pytest

from keras_dae.evaluation.baselines import BASELINES, MEDIANS
from keras_dae.evaluation.filters import FILTERS
from keras_dae.evaluation.metrics import mse
from keras_dae.images.datasets import Splits


@pytest.fixture
def splits():
    """Two training images of 1x2; their mean is (0.5, 0.1)."""
    train = np.uint8([[0, 51], [255, 0]]).reshape(2, 1, 2, 1)
    return Splits("two", train, train, train, {}, 0, 255, "")


CLEAN = np.array([0, 1], np.float32).reshape(1, 1, 2, 1)
NOISY = np.array([0.5, 0.8], np.float32).reshape(1, 1, 2, 1)


@pytest.mark.parametrize(
    ("name", "answer", "error"),
    [
        ("noisy input", [0.5, 0.8], (0.5**2 + 0.2**2) / 2),
        ("all black", [0, 0], 1 / 2),
        ("mean image", [0.5, 0.1], (0.5**2 + 0.9**2) / 2),
    ],
)
def test_floors_by_hand(splits, name, answer, error):
    denoised = BASELINES[name](splits)(NOISY)
    np.testing.assert_allclose(denoised.ravel(), answer, rtol=0, atol=1e-7)
    assert mse(CLEAN, denoised)[0] == pytest.approx(error, abs=1e-7)


def test_mean_image_follows_the_range(splits):
    scaled = Splits("two", splits.train, *[splits.train] * 2, {}, 0, 102, "")
    # 0, 51 and 255 become 0, 0.5 and 1 of a range to 102.
    answer = BASELINES["mean image"](scaled)(NOISY)
    np.testing.assert_allclose(answer.ravel(), [0.5, 0.25], rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("size", "answer"),
    [
        # The edge is mirrored, its own row included: 1 1 2 over 1 1 2 over 4 4 5.
        (3, [[2, 3, 3], [4, 5, 6], [7, 7, 8]]),
        (5, [[4, 4, 5], [5, 5, 5], [5, 6, 6]]),
    ],
)
def test_median_by_hand(splits, size, answer):
    image = np.arange(1, 10, dtype=np.float32).reshape(1, 3, 3, 1) / 16
    denoised = BASELINES[f"median {size}x{size}"](splits)(image)
    assert (16 * denoised[0, :, :, 0]).tolist() == answer


@pytest.mark.parametrize("name", MEDIANS)
def test_a_median_is_that_of_the_filters(splits, name):
    """Also on noise that is not clipped."""
    noisy = np.random.default_rng(0).normal(0.5, 1, (3, 9, 9, 1)).astype(np.float32)
    same = FILTERS["median"].denoiser({"size": int(name[-1])})
    np.testing.assert_array_equal(BASELINES[name](splits)(noisy), same(noisy))


@pytest.mark.parametrize("name", MEDIANS)
def test_medians_mix_neither_images_nor_channels(splits, name):
    levels = np.arange(6, dtype=np.float32).reshape(2, 1, 1, 3) / 8
    images = np.broadcast_to(levels, (2, 7, 7, 3)).copy()
    np.testing.assert_array_equal(BASELINES[name](splits)(images), images)


def test_a_median_removes_a_speck(splits):
    image = np.zeros((1, 5, 5, 1), np.float32)
    image[0, 2, 2] = 1
    assert not BASELINES["median 3x3"](splits)(image).any()


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline(tiny, name):
    noisy = np.random.default_rng(0).random((3, 8, 8, 1), dtype=np.float32)
    noisy_before, train_before = noisy.copy(), tiny.train.copy()
    denoised = BASELINES[name](tiny)(noisy)
    assert (denoised.shape, denoised.dtype) == (noisy.shape, np.float32)
    np.testing.assert_array_equal(noisy, noisy_before)
    np.testing.assert_array_equal(tiny.train, train_before)


def test_groups_are_rows():
    assert set(MEDIANS) < set(BASELINES)
