"""Estimates of images where the answer is known."""

import numpy as np
import pytest
from skimage import restoration

from keras_dae.images.estimates import describe, measure_ranges, middle


def flat(value, side=16):
    return np.full((side, side, 1), value, np.float32)


def test_the_noise_of_a_flat_image_is_found():
    noise = np.random.default_rng(0).normal(0, 0.1, (256, 256, 1)).astype(np.float32)
    seen = describe(0.5 + noise)
    assert seen["sigma"] == pytest.approx(0.1, rel=0.03)
    assert seen["std"] == pytest.approx(0.1, rel=0.03)
    assert seen["mean"] == pytest.approx(0.5, abs=0.002)


@pytest.mark.parametrize("shape", [(28, 28), (8, 8), (9, 31), (512, 300)])
@pytest.mark.parametrize("kind", ["noise", "digits", "a few values", "an edge"])
def test_it_is_scikit_images_estimate(kind, shape):
    rng = np.random.default_rng(3)
    rows, columns = np.indices(shape)
    image = {
        "noise": rng.normal(0.5, 0.2, shape),
        "digits": np.clip(rng.normal(-0.5, 0.5, shape), 0, 1),
        "a few values": rng.integers(0, 3, shape) / 2,
        "an edge": (rows + columns > sum(shape) / 2).astype(float),
    }[kind].astype(np.float32)
    expected = restoration.estimate_sigma(image)
    assert expected > 0
    assert describe(image[..., None])["sigma"] == expected


def test_what_is_no_number_has_no_noise():
    image = flat(0.5)
    image[:8] = np.nan
    assert describe(image)["sigma"] == 0


def test_an_image_of_one_value_has_no_noise():
    assert describe(flat(0.25)) == {"sigma": 0.0, "mean": 0.25, "std": 0.0}


def test_the_middle_of_a_large_image():
    rows = np.arange(600)[:, None, None] * np.ones((1, 20, 1))
    seen = middle(rows)
    assert seen.shape == (512, 20, 1)
    assert (seen[0, 0, 0], seen[-1, 0, 0]) == (44, 555)


def test_ranges_are_percentiles_and_of_groups_the_outermost():
    # 1 % and 99 % of the way from 0.6 to 0.8.
    two = [flat(0.6), flat(0.8)]
    assert measure_ranges(two)["mean"] == [0.602, 0.798]
    ranges = measure_ranges([flat(0.25)], iter(two))
    assert ranges == {"sigma": [0.0, 0.0], "mean": [0.25, 0.798], "std": [0.0, 0.0]}
