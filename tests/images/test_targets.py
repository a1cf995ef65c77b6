"""Batches whose targets are not clean: what the model sees and what it is asked."""

import numpy as np
import pytest

from keras_dae.errors import UsageError
from keras_dae.images.frozen import FROZEN_BLOCK, FrozenPairs
from keras_dae.images.noise import Gaussian, SaltPepper, Uniform
from keras_dae.images.pairs import NoisyCleanPairs
from keras_dae.images.targets import (
    TARGETS,
    FrozenTargets,
    TargetPairs,
    blind_spot_targets,
    split_targets,
    training_pairs,
)

NOISE = Gaussian(0.5)
UNCLIPPED = Gaussian(0.5, clip=False)
FROZEN = {"seed": 3, "split": "validation", "low": 0, "high": 255}


def images(count=40, side=12, channels=1, seed=0):
    shape = (count, side, side, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def noise_of(targets):
    return UNCLIPPED if targets == "r2r" else NOISE


def make(targets, given=None, **options):
    given = images() if given is None else given
    return training_pairs(
        targets, given, noise_of(targets), **{"batch_size": 8, "seed": 1, **options}
    )


def bits(batch):
    return [part.tobytes() for part in batch]


def test_clean_targets_are_the_plain_generator():
    assert type(make("clean")) is NoisyCleanPairs


def test_noisy_targets_see_the_noise_of_clean_ones_and_answer_another():
    given = np.full((512, 12, 12, 1), 51, np.uint8)  # 0.2
    plain, pairs = (make(name, given, batch_size=512) for name in ("clean", "noisy"))
    (noisy, clean), (same, target) = plain[0], pairs[0]
    assert noisy.tobytes() == same.tobytes()
    assert target.shape == clean.shape
    # Independent of the input, and of the clean image's mean.
    correlation = np.corrcoef(noisy.ravel(), target.ravel())[0, 1]
    assert abs(correlation) < 4 / np.sqrt(noisy.size)
    error = target.std() / np.sqrt(target.size)
    assert abs(target.mean(dtype=np.float64) - 0.2) < 0.002 + 3 * error


@pytest.mark.parametrize("targets", TARGETS)
def test_a_batch_depends_on_seed_epoch_and_index_alone(targets):
    one, other = make(targets), make(targets, prefetch=True)
    places = [(epoch, index) for epoch in range(2) for index in range(len(one))]
    drawn = {}
    for place in places:
        one.epoch, index = place
        drawn[place] = bits(one[index])
    for place in reversed(places):
        other.epoch, index = place
        assert bits(other[index]) == drawn[place]
    targets_of = [found[1] for found in drawn.values()]
    assert len(set(targets_of)) == len(targets_of)
    assert bits(make(targets, seed=2)[0]) != drawn[0, 0]


@pytest.mark.parametrize("targets", TARGETS)
def test_several_batches_at_once_are_the_same_ones(targets):
    one, several = make(targets), make(targets)
    several.at_once = 3
    together = [several[index] for index in range(len(several))]
    apart = [one[index] for index in range(len(one))]
    for whole, parts in zip(
        zip(*together, strict=True), zip(*apart, strict=True), strict=True
    ):
        assert np.concatenate(whole).tobytes() == np.concatenate(parts).tobytes()


def test_what_is_hidden_does_not_reach_the_model():
    """However a hidden pixel changes, the masked images stay as they are."""
    rng = np.random.default_rng
    noisy = rng(0).random((6, 13, 10, 3), dtype=np.float32)
    masked, target, weights = blind_spot_targets(noisy, noisy, NOISE, rng(1))
    hidden = weights > 0
    changed = np.where(hidden[..., None], 1 - noisy, noisy)
    again, other, _ = blind_spot_targets(changed, noisy, NOISE, rng(1))
    assert masked.tobytes() == again.tobytes()
    assert not np.array_equal(target[hidden], other[hidden])
    # All else is shown as it is.
    np.testing.assert_array_equal(masked[~hidden], noisy[~hidden])


def test_hidden_pixels_become_the_mean_of_their_neighbours():
    noisy = np.arange(64, dtype=np.float32).reshape(1, 8, 8, 1) / 64
    for seed in range(8):
        rng = np.random.default_rng(seed)
        masked, _, weights = blind_spot_targets(noisy, noisy, NOISE, rng)
        # On a plane the mean of eight neighbours is the value itself, but at the edge,
        # where they are mirrored: all above it, or all below.
        inside = weights[0, 1:-1, 1:-1] > 0
        np.testing.assert_allclose(
            masked[0, 1:-1, 1:-1, 0][inside], noisy[0, 1:-1, 1:-1, 0][inside], atol=1e-6
        )
    # Of three by three, by hand: the corner sees its three neighbours, mirrored.
    square = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    seen = {
        float(found[0, 0, 0, 0])
        for seed in range(40)
        for found, _, weights in [
            blind_spot_targets(square, square, NOISE, np.random.default_rng(seed))
        ]
        if weights[0, 0, 0] > 0
    }
    assert seen == {(2 * 1 + 2 * 3 + 4 * 4) / 8}


def test_weights_are_one_on_average_and_every_pixel_has_its_turn():
    noisy = np.random.default_rng(0).random((400, 28, 28, 1), dtype=np.float32)
    masked, _, weights = blind_spot_targets(
        noisy, noisy, NOISE, np.random.default_rng(2)
    )
    assert (masked.dtype, weights.dtype) == (np.float32, np.float32)
    np.testing.assert_allclose(weights.mean(axis=(1, 2)), 1, rtol=1e-5)
    assert set(np.unique(weights)) == {0, 16}
    share = (weights > 0).mean(axis=0)
    assert np.abs(share - 1 / 16).max() < 5 * np.sqrt(15) / 16 / np.sqrt(400)
    # Not the same pixels in all images.
    assert len({one.tobytes() for one in weights}) == 16


@pytest.mark.parametrize("targets", TARGETS)
def test_frozen_targets_are_the_same_in_batches_and_whole(targets):
    given = images(FROZEN_BLOCK + 30, 6)
    noise = noise_of(targets)
    frozen = FrozenTargets(targets, given, noise, batch_size=64, **FROZEN)
    whole = frozen.arrays()
    batches = [frozen[index] for index in range(len(frozen))]
    for part, wanted in zip(zip(*batches, strict=True), whole, strict=True):
        assert np.concatenate(part).tobytes() == wanted.tobytes()
    plain = FrozenPairs(given, noise, **FROZEN).block(1)
    if targets == "noisy":
        assert whole[0][FROZEN_BLOCK:].tobytes() == plain[0].tobytes()
    assert whole[1][FROZEN_BLOCK:].tobytes() != plain[1].tobytes()


@pytest.mark.parametrize("targets", TARGETS)
def test_no_clean_image_is_needed_for_the_mean(targets):
    given = images(600, 12)
    given[:] = given // 3
    mean = (given / 255).mean()
    for at_once in (1, 4):
        pairs = make(targets, given, batch_size=64)
        pairs.at_once = at_once
        assert pairs.mean_target() == pytest.approx(mean, abs=0.01)


def test_recorrupted_noises_are_independent_and_of_the_clean_mean():
    clean = np.full((200, 20, 20, 1), 0.2, np.float32)
    noisy = UNCLIPPED(clean, np.random.default_rng(0))
    noisier, target = split_targets(noisy, clean, UNCLIPPED, np.random.default_rng(1))
    count = noisy.size
    # Variances by hand: 0.25 (1 + 0.25) and 0.25 (1 + 4); the mean square of the
    # product is their product, if they are independent.
    one, other = (part.astype(float) - 0.2 for part in (noisier, target))
    assert one.var() == pytest.approx(0.3125, rel=5 * np.sqrt(2 / count))
    assert other.var() == pytest.approx(1.25, rel=5 * np.sqrt(2 / count))
    assert abs(np.mean(one * other)) < 4 * np.sqrt(0.3125 * 1.25 / count)
    assert abs(other.mean()) < 4 * np.sqrt(1.25 / count)
    # The copy itself as the target would share the noise of the input.
    assert np.mean(one * (noisy - 0.2)) == pytest.approx(0.25, rel=0.05)


def test_r2r_refuses_clipped_noise_with_the_reason():
    with pytest.raises(UsageError, match="cannot be split into two independent parts"):
        TargetPairs("r2r", images(), NOISE, batch_size=8, seed=0)
    with pytest.raises(
        UsageError, match="needs gaussian noise with a single sigma and"
    ):
        TargetPairs("r2r", images(), Uniform(0.5, clip=False), batch_size=8, seed=0)


def test_refused():
    with pytest.raises(
        UsageError, match="targets must be one of clean, noisy, blind-spot"
    ):
        make("noise")
    with pytest.raises(UsageError, match="needs gaussian noise with a single sigma"):
        TargetPairs("noisy", images(), SaltPepper(0.2), batch_size=8, seed=0)
