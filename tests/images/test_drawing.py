"""Compiled code draws what NumPy draws, to the bit, or does not draw."""

import sys
from bisect import bisect_left
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from keras_dae.images import drawing
from keras_dae.images.noise import Gaussian, Speckle
from keras_dae.images.pairs import NoisyCleanPairs
from keras_dae.images.rows import Rows, normalise
from keras_dae.system.streams import stream

numba = pytest.importorskip("numba")
ziggurat = pytest.importorskip("keras_dae.images.ziggurat")

RNG = np.random.default_rng(8)
IMAGES = RNG.integers(0, 256, (50, 7, 5, 3), dtype=np.uint8)
# PCG64's multiplier; times its inverse, modulo `WHOLE`, is one step back.
PCG = 0x2360ED051FC65DA44385DF649FCCF645
WHOLE = 2**128


@pytest.fixture
def fresh():
    """Look for numba anew, now and after."""
    drawing._checked.cache_clear()
    yield
    drawing._checked.cache_clear()


def test_it_draws_here():
    assert drawing.compiled(Gaussian(), IMAGES) is not None


def by_numpy(images, noise, *, batch_size, seed, epoch, low, high):
    """Return an epoch's batches, drawn from its streams one by one."""
    order = np.arange(len(images))
    stream("order", seed, epoch).shuffle(order)
    for batch, start in enumerate(range(0, len(images), batch_size)):
        clean = normalise(images[order[start : start + batch_size]], low, high)
        yield noise(clean, stream("train", seed, epoch, batch)), clean


@pytest.mark.parametrize("at_once", [1, 3, 40])
@pytest.mark.parametrize("batch_size", [1, 8, 50, 64])
def test_batches_are_numpys(at_once, batch_size):
    given = {"batch_size": batch_size, "seed": 2**31 + 5, "low": 0, "high": 255}
    pairs = NoisyCleanPairs(IMAGES, Gaussian(), **given)
    pairs.at_once = at_once
    for pairs.epoch in (0, 3):
        drawn = [pairs[index] for index in range(len(pairs))]
        wanted = list(by_numpy(IMAGES, Gaussian(), epoch=pairs.epoch, **given))
        for part in (0, 1):
            assert all(pair[part].dtype == np.float32 for pair in drawn)
            assert joined(drawn, part) == joined(wanted, part)


def joined(pairs, part):
    return b"".join(pair[part].tobytes() for pair in pairs)


@pytest.mark.parametrize("noise", [Gaussian(0), Gaussian(0.1, clip=False), Gaussian(9)])
@pytest.mark.parametrize(("low", "high"), [(0, 255), (10, 30), (-3, 300), (0, 1)])
def test_each_range_and_strength_is_numpys(noise, low, high):
    given = {"batch_size": 50, "seed": 0, "low": low, "high": high}
    ((noisy, clean),) = by_numpy(IMAGES, noise, epoch=0, **given)
    drawn = NoisyCleanPairs(IMAGES, noise, **given)[0]
    assert drawn[0].tobytes() == noisy.tobytes()
    assert drawn[1].tobytes() == clean.tobytes()


def mapped(folder):
    np.save(folder / "images.npy", IMAGES)
    return np.load(folder / "images.npy", mmap_mode="r")


@pytest.mark.parametrize(
    "kept",
    [
        mapped,
        lambda folder: Rows(mapped(folder), np.arange(50)),
        lambda folder: np.asfortranarray(IMAGES),
        lambda folder: np.repeat(IMAGES, 2, axis=0)[::2],
    ],
    ids=["mapped", "rows of a file", "Fortran's order", "every second"],
)
def test_images_may_lie_anywhere(tmp_path, kept):
    images = kept(tmp_path)
    given = {"batch_size": 50, "seed": 4}
    drawn = NoisyCleanPairs(images, Gaussian(), **given)[0]
    expected = NoisyCleanPairs(IMAGES, Gaussian(), **given)[0]
    for one, other in zip(drawn, expected, strict=True):
        assert one.tobytes() == other.tobytes()


def test_the_images_stay_writeable():
    images = IMAGES.copy()
    NoisyCleanPairs(images, Gaussian(), batch_size=50, seed=0)[0]
    images[0] = 0
    assert images.flags.writeable


def test_millions_of_normals_are_numpys():
    """Seven million: some 105,000 at a layer's edge, 1,800 of them in the tails."""
    pixels = np.zeros((70, 100_000), np.uint8)
    pixels.flags.writeable = False
    drawn, clean = np.empty(pixels.shape, np.float32), np.empty(pixels.shape, "f4")
    words = np.array([4, 2, 1, 0], np.uint64)
    ziggurat.draw(
        *(pixels, np.arange(70), words, 1, np.float32(0), np.float32(255)),
        *(np.float32(1), False, drawn, clean),
    )
    for batch in range(70):
        rng = np.random.default_rng([4, 2, 1, batch])
        # What is added to a black pixel: a zero loses its sign.
        expected = rng.standard_normal(100_000, np.float32) + np.float32(0)
        assert drawn[batch].tobytes() == expected.tobytes()


def streams_differ(count, pixels, first=0):
    """Return the streams from `first` on that give other normals than NumPy's."""
    images, noise = np.zeros((count, 1, pixels, 1), np.uint8), Gaussian(1, clip=False)
    draw = drawing.compiled(noise, images)
    drawn, _ = draw(images, np.arange(count), noise, [9, 9, 9, first], 1, 0, 255)
    streams = range(first, first + count)
    normals = [
        np.random.default_rng([9, 9, 9, number]).standard_normal(pixels, np.float32)
        for number in streams
    ]
    return [
        number
        for number, values, wanted in zip(streams, drawn, normals, strict=True)
        if values.tobytes() != (wanted + np.float32(0)).tobytes()
    ]


@pytest.mark.parametrize("pixels", [1, 6, 13])
def test_short_streams_are_numpys(pixels):
    """Where few words are drawn together, an edge often needs more than those."""
    assert streams_differ(10_000, pixels) == []


@pytest.mark.parametrize("from_the_end", [1, 2])
def test_a_tail_at_the_end_of_words_drawn_together_is_numpys(from_the_end):
    """It needs two words more, which one stream in 4,000 shows."""
    together = ziggurat._TOGETHER

    def shows(number):
        raw = np.random.default_rng([9, 9, 9, number]).bit_generator.random_raw
        word = raw(together // 2).view(np.uint32)[together - from_the_end]
        return not word & 255 and word >> 9 >= ziggurat.AT_ONCE[0]

    number = next(number for number in range(100_000) if shows(number))
    assert streams_differ(1, together + 100, number) == []


def after(low, high):
    """Return NumPy's normal from two chosen words, and how many it took: 3 for more."""
    rng = np.random.Generator(np.random.PCG64(0))
    state = rng.bit_generator.state
    step, drawn = state["state"]["inc"], (1 << 64) | (((high << 32) | low) ^ 1)
    state["state"]["state"] = (drawn - step) * pow(PCG, -1, WHOLE) % WHOLE
    rng.bit_generator.state = {**state, "has_uint32": 0, "uinteger": 0}
    value = rng.standard_normal(dtype=np.float32)
    left = rng.bit_generator.state
    taken = 1 if left["has_uint32"] else 2
    return value, taken if left["state"]["state"] == drawn else 3


@pytest.mark.parametrize("layer", range(256))
def test_each_layer_ends_where_numpys_does(layer):
    """Random draws meet this edge once in eight million."""
    edge = int(ziggurat.AT_ONCE[layer])
    for height in (edge - 1, edge, edge + 1):
        if height >= 0:
            _, taken = after(height << 9 | layer, 0)
            assert (taken == 1) == (height < edge)


@pytest.mark.parametrize("layer", range(1, 256))
def test_each_edge_is_as_steep_as_numpys(layer):
    """Where a height is drawn again: the word at which NumPy begins to refuse it."""
    inner = int(ziggurat.AT_ONCE[layer])
    height = inner + (2**23 - inner) // 2
    value = np.float32(height) * ziggurat.WIDTH[layer]
    density = np.exp(-0.5 * float(value) * float(value))
    below, above = ziggurat.DENSITY[layer], ziggurat.DENSITY[layer - 1]

    def refused(word):
        unit = np.float32(word) * np.float32(2**-24)
        return bool((above - below) * unit + below >= density)

    ours = bisect_left(range(2**24), True, key=refused)
    assert 0 < ours < 2**24
    for unit, accepted in ((ours - 1, True), (ours, False)):
        drawn, taken = after(height << 9 | layer, unit << 8)
        assert (taken == 2) == accepted
        if accepted:
            assert drawn == value


@pytest.mark.parametrize(
    ("noise", "images"),
    [
        (Speckle(), IMAGES),
        (type("Other", (Gaussian,), {})(), IMAGES),
        (Gaussian(), IMAGES.astype(np.uint16)),
        (Gaussian(), IMAGES / np.float32(255)),
    ],
    ids=["another noise", "a class of it", "16 bits", "floats"],
)
def test_all_else_is_left_to_numpy(noise, images):
    assert drawing.compiled(noise, images) is None


def one_batch(seed=7):
    return NoisyCleanPairs(IMAGES, Gaussian(), batch_size=50, seed=seed)[0]


def test_without_numba_numpy_draws_the_same(fresh, monkeypatch):
    drawn = one_batch()
    drawing._checked.cache_clear()
    monkeypatch.setattr(drawing.importlib.util, "find_spec", lambda name: None)
    assert drawing.compiled(Gaussian(), IMAGES) is None
    for one, other in zip(drawn, one_batch(), strict=True):
        assert one.tobytes() == other.tobytes()


def test_a_seed_of_more_than_one_word_is_numpys():
    large = 2**32 + 1
    noisy, clean = one_batch(large)
    assert noisy.tobytes() == Gaussian()(clean, stream("train", large, 0, 0)).tobytes()


def test_a_numba_that_does_not_import_is_left_alone(fresh, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_dae.images.ziggurat", None)
    monkeypatch.delattr("keras_dae.images.ziggurat")
    assert drawing.compiled(Gaussian(), IMAGES) is None


def test_code_that_draws_other_numbers_is_not_used(fresh, monkeypatch):
    genuine = ziggurat.draw

    def other(*given):
        genuine(*given)
        given[-2][-1, -1] += 1e-6  # the last noisy pixel

    monkeypatch.setattr(ziggurat, "draw", other)
    assert drawing.compiled(Gaussian(), IMAGES) is None


def test_several_threads_draw_their_own():
    """Nothing is shared: each draws as if alone."""
    seeds = list(range(8))
    alone = [one_batch(seed)[0].tobytes() for seed in seeds]
    with ThreadPoolExecutor(4) as pool:
        beside = [drawn[0].tobytes() for drawn in pool.map(one_batch, seeds)]
    assert beside == alone
