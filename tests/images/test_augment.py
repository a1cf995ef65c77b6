"""Turned, mirrored, darkened and smooth training images."""

import numpy as np

from keras_dae.images.augment import DARKER, FINE, SMOOTH, augmented, fine, ramp, turned
from keras_dae.images.pairs import NoisyCleanPairs


def test_the_eight_turns_are_different_and_of_the_same_pixels():
    image = np.arange(9, dtype=np.float32).reshape(3, 3, 1)
    turns = [turned(image, turn) for turn in range(8)]
    assert len({one.tobytes() for one in turns}) == 8
    assert all(sorted(one.ravel()) == list(range(9)) for one in turns)
    assert turns[0].tobytes() == image.tobytes()


def test_images_that_are_not_square_keep_their_shape():
    image = np.zeros((2, 3, 1), np.float32)
    assert {turned(image, turn).shape for turn in range(8)} == {(2, 3, 1)}


def test_shares_of_darker_and_smooth_images():
    count = 8000
    ones = np.ones((count, 2, 2, 1), np.float32)
    changed = augmented(ones, np.random.default_rng(0))
    flat = np.ptp(changed, axis=(1, 2, 3)) == 0  # a ramp of slope 0 is never drawn
    darker = changed[flat].max(axis=(1, 2, 3)) < 1
    # four standard deviations of the binomial shares
    assert abs(np.mean(~flat) - SMOOTH) < 4 * (SMOOTH / count) ** 0.5
    assert abs(np.mean(darker) - DARKER) < 4 * (DARKER / count) ** 0.5
    assert 0.5 <= changed[flat].min() < 0.51
    assert ones.min() == 1  # what was given stays


def test_a_ramp_is_a_plane():
    drawn = np.stack(
        [ramp((5, 7, 3), np.random.default_rng(seed)) for seed in range(200)]
    )
    assert (drawn.min(), drawn.max()) == (0, 1)  # clipped where a plane goes beyond
    inside = drawn[
        (drawn.min(axis=(1, 2)) > 0).all(1) & (drawn.max(axis=(1, 2)) < 1).all(1)
    ]
    assert len(inside) > 10
    for axis in (1, 2):
        assert np.abs(np.diff(inside, n=2, axis=axis)).max() < 1e-6


def test_a_fine_image_holds_every_second_to_fourth_pixel():
    rng = np.random.default_rng(0)
    image = rng.random((13, 10, 3), dtype=np.float32)
    steps, coloured = set(), 0
    for seed in range(60):
        found = fine(image, np.random.default_rng(seed))
        assert (found.shape, found.dtype) == (image.shape, np.float32)
        assert 0 <= found.min() <= found.max() <= 1
        # The second copy of the pixels is a reflection of the first one.
        step = next(n for n in (2, 3, 4) if reflected(found, n, image.shape))
        steps.add(step)
        rows, columns = -(-13 // step), -(-10 // step)
        same = (found[:rows, :columns] == image[::step, ::step]).all()
        coloured += not same
    assert steps == {2, 3, 4}
    assert 15 < coloured < 45  # half of them


def reflected(found, step, shape):
    rows, columns = (-(-side // step) for side in shape[:2])
    down, across = found[rows], found[:, columns]
    return (down == found[rows - 1]).all() and (across == found[:, columns - 1]).all()


def test_share_of_fine_images():
    count = 4000
    images = np.random.default_rng(1).random((count, 4, 4, 1), dtype=np.float32)
    changed = augmented(images, np.random.default_rng(0)).reshape(count, -1)
    # A fine image keeps at most four of the sixteen pixels.
    share = np.mean([len(np.unique(image)) <= 4 for image in changed])
    expected = FINE * (1 - SMOOTH)
    assert abs(share - expected) < 4 * (expected / count) ** 0.5


def test_pairs_are_augmented_by_seed_epoch_and_batch_alone():
    images = np.random.default_rng(0).integers(0, 256, (20, 6, 6, 1), dtype=np.uint8)
    given = {"batch_size": 8, "seed": 1}
    plain = NoisyCleanPairs(images, "gaussian:0.1", **given)
    pairs = NoisyCleanPairs(images, "gaussian:0.1", augment=True, **given)
    again = NoisyCleanPairs(images, "gaussian:0.1", augment=True, **given)
    assert again[1][0].tobytes() == pairs[1][0].tobytes()
    assert pairs[1][1].tobytes() != plain[1][1].tobytes()
    before = pairs[0][1]
    pairs.epoch = 1
    assert pairs[0][1].tobytes() != before.tobytes()
