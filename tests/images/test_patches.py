"""Patches: where they lie, what they hold, and that each is drawn from integers."""

import numpy as np
import pytest

from keras_dae.errors import UsageError
from keras_dae.images.frozen import frozen_arrays
from keras_dae.images.noise import Gaussian
from keras_dae.images.pairs import NoisyCleanPairs
from keras_dae.images.patches import Cut, even, fixed_patches, random_patches


def image(height, width, channels=1, base=0, kind=np.uint16):
    """An image whose value is 1000 * row + column, so that a patch tells its place."""
    rows, columns = np.mgrid[:height, :width]
    values = (base + 1000 * rows + columns).astype(kind)
    return np.repeat(values[..., None], channels, axis=2)


IMAGES = [image(30, 40, base=0), image(16, 16, base=60), image(25, 17, base=200)]


def places(patches):
    """Return (image, top, left) of each patch, told from its first pixel."""
    found = []
    for value in np.rint(patches[:][:, 0, 0, 0] * 65535).astype(int):
        base = max(b for b in (0, 60, 200) if b <= value % 1000)
        found.append(((0, 60, 200).index(base), value // 1000, value % 1000 - base))
    return found


@pytest.mark.parametrize(
    ("length", "size", "starts"),
    [
        (8, 8, [0]),
        (13, 8, [2]),
        (16, 8, [0, 8]),
        (17, 8, [0, 8]),
        (12, 5, [0, 6]),
        (11, 3, [0, 4, 7]),
        (20, 6, [0, 7, 13]),
    ],
)
def test_patches_of_a_grid_lie_evenly(length, size, starts):
    assert even(length, size) == starts
    gaps = np.diff([-size, *starts, length]) - size
    assert gaps.min() >= 0
    assert gaps.max() - gaps.min() <= 1


def test_a_grid_is_of_all_images_and_drawn_once():
    cut = Cut(size=8)
    patches = fixed_patches(IMAGES, cut, seed=0)
    # 3 by 5 cells of 30x40, 2 by 2 of 16x16, 3 by 2 of 25x17.
    wanted = [(0, top, left) for top in (1, 11, 20) for left in (0, 8, 16, 24, 32)]
    wanted += [(1, top, left) for top in (0, 8) for left in (0, 8)]
    wanted += [(2, top, left) for top in (0, 8, 16) for left in (0, 8)]
    assert sorted(places(patches)) == wanted
    assert patches.shape == (25, 8, 8, 1)
    assert (len(patches), patches.ndim, patches.size) == (25, 4, 1600)
    again = fixed_patches(IMAGES, cut, seed=0)
    assert again[:].tobytes() == patches[:].tobytes()
    other = fixed_patches(IMAGES, cut, seed=1)
    assert sorted(places(other)) == wanted
    assert places(other) != places(patches)


def test_a_patch_is_what_the_image_holds_there():
    patches = random_patches(IMAGES, Cut(size=8, patches=20), seed=3)
    for patch, (number, top, left) in zip(patches[:], places(patches), strict=True):
        held = IMAGES[number][top : top + 8, left : left + 8]
        np.testing.assert_array_equal(np.rint(patch * 65535), held)


def test_how_many_patches_an_image_gives():
    assert Cut().count(image(200, 130)) == 3 * 2
    assert Cut(patches=10).count(image(200, 130)) == 10
    assert Cut().count(np.zeros((64 * 17, 64 * 17, 1))) == 256  # of 289
    assert len(fixed_patches([image(30, 40)], Cut(size=8, patches=4), 0)) == 4
    assert len(fixed_patches([image(30, 40)], Cut(size=8, patches=99), 0)) == 15
    assert len(random_patches(IMAGES, Cut(size=8, patches=99), 0)) == 3 * 99
    assert len(random_patches(IMAGES, Cut(size=8), 0)) == 15 + 4 + 6


def test_epochs_draw_places_from_seed_and_epoch_alone():
    patches = random_patches(IMAGES, Cut(size=8, patches=20), seed=0)
    drawn = {(s, e): places(patches.drawn(s, e)) for s in (0, 1) for e in (0, 1, 2)}
    assert len({tuple(one) for one in drawn.values()}) == 6
    again = random_patches(IMAGES, Cut(size=8, patches=20), seed=0)
    assert places(again.drawn(1, 2).drawn(0, 1)) == drawn[0, 1]
    for one in drawn.values():  # of each image as many, in any epoch
        assert [sum(place[0] == n for place in one) for n in range(3)] == [20, 20, 20]


def test_each_place_is_as_likely():
    patches = random_patches([image(10, 10)], Cut(size=8, patches=900), seed=0)
    found = places(patches.drawn(0, 0))
    counts = [found.count((0, top, left)) for top in range(3) for left in range(3)]
    assert sum(counts) == 900
    # 100 each; the standard deviation is 9.4.
    assert min(counts) > 60
    assert max(counts) < 140


def test_the_first_so_many_are_of_all_images_and_can_be_drawn_anew():
    patches = random_patches(IMAGES, Cut(size=8, patches=40), seed=0)
    few = patches.first(30)
    assert few.shape == (30, 8, 8, 1)
    assert {place[0] for place in places(few)} == {0, 1, 2}
    assert few[:].tobytes() == patches[:30].tobytes()
    assert places(few.drawn(0, 0)) != places(few.drawn(0, 1))


@pytest.mark.parametrize(
    ("kind", "value"),
    [("uint8", 51), ("uint16", 13107), ("float32", 0.2), ("float16", 0.2)],
)
def test_values_are_those_of_the_range_of_their_type(kind, value):
    patches = fixed_patches([np.full((8, 8, 1), value, kind)], Cut(size=8), 0)
    assert patches[:].dtype == patches.dtype == np.float32
    np.testing.assert_allclose(
        patches[:], 0.2, atol=1e-4 if kind == "float16" else 1e-7
    )


def test_grey_images_among_colours_have_three_equal_channels():
    colours = np.zeros((8, 8, 3), np.uint8)
    colours[..., 0], colours[..., 2] = 255, 51
    grey = np.full((8, 8, 1), 102, np.uint8)
    patches = fixed_patches([colours, grey], Cut(size=8, channels=3), 0)
    pixels = sorted(patches[:][:, 0, 0].tolist())
    np.testing.assert_allclose(pixels, [[0.4, 0.4, 0.4], [1.0, 0.0, 0.2]], atol=1e-6)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"size": 7}, "size=7"),
        ({"size": 1025}, "from 8 to 1024. Received: size=1025"),
        ({"channels": 2}, "channels must be 1 (grey) or 3 (RGB). Received: channels=2"),
        ({"patches": 0}, "patches=0"),
    ],
)
def test_bad_cuts_are_refused(values, named):
    with pytest.raises(UsageError) as refused:
        Cut(**values)
    assert named in str(refused.value)


# In training


def pairs(prefetch=False, seed=5):
    patches = random_patches(IMAGES, Cut(size=8, patches=10), seed=0)
    return NoisyCleanPairs(
        patches,
        Gaussian(0.1),
        batch_size=8,
        seed=seed,
        low=0.0,
        high=1.0,
        prefetch=prefetch,
    )


@pytest.mark.parametrize("prefetch", [False, True])
def test_batches_depend_on_seed_epoch_and_index_alone(prefetch):
    one, other = pairs(prefetch), pairs()
    asked = [(epoch, index) for epoch in range(3) for index in range(len(one))]
    drawn = {}
    for place in asked:
        one.epoch, index = place
        drawn[place] = one[index]
    for place in reversed(asked):
        other.epoch, index = place
        for before, after in zip(drawn[place], other[index], strict=True):
            assert before.tobytes() == after.tobytes()
    clean = [np.concatenate([drawn[e, i][1] for i in range(4)]) for e in range(3)]
    # Other patches in each epoch, not the same ones in another order.
    sets = [{patch.tobytes() for patch in epoch} for epoch in clean]
    assert len(sets[0] & sets[1]) < len(sets[0]) / 2
    assert pairs(seed=6)[0][1].tobytes() != drawn[0, 0][1].tobytes()


def test_frozen_pairs_lie_where_they_are():
    patches = fixed_patches(IMAGES, Cut(size=8), 0)
    drawn = [
        frozen_arrays(patches, Gaussian(0.1), seed=0, split="test", low=0.0, high=1.0)
        for _ in range(2)
    ]
    np.testing.assert_array_equal(drawn[0][1], patches[:])
    assert drawn[0][0].tobytes() == drawn[1][0].tobytes()
