import keras
import numpy as np
import pytest

from keras_dae.errors import UsageError
from keras_dae.images.noise import Gaussian
from keras_dae.images.pairs import EpochClock, NoisyCleanPairs
from keras_dae.images.rows import normalise
from keras_dae.system.streams import stream


def marked(count):
    """Images of one pixel, each of its own value."""
    return np.arange(count, dtype=np.uint8).reshape(count, 1, 1, 1)


def make(images, batch_size=8, sigma=0.5, seed=1, **kwargs):
    return NoisyCleanPairs(
        images, Gaussian(sigma), batch_size=batch_size, seed=seed, **kwargs
    )


@pytest.mark.parametrize(
    ("count", "batch_size"), [(1, 1), (1, 8), (7, 3), (8, 4), (9, 4), (50, 64), (64, 1)]
)
def test_each_image_once_an_epoch(count, batch_size):
    pairs = make(marked(count), batch_size, sigma=0)
    for pairs.epoch in range(2):
        batches = [pairs[index] for index in range(len(pairs))]
        sizes = [len(clean) for _, clean in batches]
        assert sizes[:-1] == [batch_size] * (len(pairs) - 1)
        assert 1 <= sizes[-1] <= batch_size
        for part in range(2):
            seen = np.concatenate([batch[part] for batch in batches]).ravel() * 255
            assert sorted(seen.round().astype(int)) == list(range(count))


@pytest.mark.parametrize(("count", "batch_size"), [(7, 3), (8, 4), (5, 64)])
def test_repeated_images_have_new_noise_each_time(count, batch_size):
    pairs = make(marked(count), batch_size, repeat=3)
    assert pairs.batches == len(pairs) == -(-3 * count // batch_size)
    orders = []
    for pairs.epoch in range(2):
        noisy, clean = map(
            np.concatenate, zip(*map(pairs.__getitem__, range(len(pairs))), strict=True)
        )
        order = (clean.ravel() * 255).round().astype(int)
        assert np.array_equal(order, pairs.order())
        assert np.bincount(order).tolist() == [3] * count
        assert (
            len(np.unique((noisy - clean).ravel())) > 3 * count / 2
        )  # some are clipped
        orders.append(order)
    assert not np.array_equal(*orders)
    once = [
        make(marked(count), batch_size, **given)[0] for given in ({}, {"repeat": 1})
    ]
    np.testing.assert_array_equal(*once)


def test_epochs_differ_in_order_and_noise():
    pairs = make(marked(50), 50)
    draws = []
    for pairs.epoch in range(3):
        noisy, clean = pairs[0]
        rows = np.argsort(clean.ravel())
        draws.append((clean, noisy[rows]))
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert not np.array_equal(draws[one][0], draws[other][0])  # the order
        assert not np.array_equal(draws[one][1], draws[other][1])  # an image's noise


def test_batches_of_an_epoch_have_different_noise():
    pairs = make(np.full((16, 4, 4, 1), 128, np.uint8), 8)
    assert not np.array_equal(pairs[0][0], pairs[1][0])


def test_a_batch_has_other_noise_in_another_epoch():
    pairs = make(np.full((16, 4, 4, 1), 128, np.uint8), 8)
    draws = [pairs[1][0] for pairs.epoch in range(2)]
    assert not np.array_equal(*draws)


def test_a_batch_depends_on_seed_epoch_and_index_alone(tiny):
    one, other = make(tiny.train), make(tiny.train)
    places = [(epoch, index) for epoch in range(3) for index in range(len(one))]
    drawn = {}
    for place in places:
        one.epoch, index = place
        drawn[place] = one[index]
    for place in reversed(places):
        other.epoch, index = place
        for before, after in zip(drawn[place], other[index], strict=True):
            assert before.tobytes() == after.tobytes()
    another = make(tiny.train, seed=2)
    assert another[0][0].tobytes() != drawn[0, 0][0].tobytes()


@pytest.mark.parametrize("prefetch", [False, True, 3, 8])
def test_prefetched_batches_are_the_same(prefetch):
    pairs = make(marked(40), 8, prefetch=prefetch)
    plain = make(marked(40), 8)
    # In turn, again, out of turn, and after the epoch has changed underneath.
    for epoch, index in [
        (0, 0),
        (0, 1),
        (0, 1),
        (0, 4),
        (0, 2),
        (3, 3),
        (3, 4),
        (1, 0),
    ]:
        pairs.epoch = plain.epoch = epoch
        for drawn, wanted in zip(pairs[index], plain[index], strict=True):
            assert drawn.tobytes() == wanted.tobytes()


def test_the_next_epochs_first_item_is_drawn_after_the_last():
    pairs, plain = make(marked(40), 8, prefetch=True), make(marked(40), 8)
    pairs.at_once = plain.at_once = 2
    pairs[2]
    ((key, ahead),) = pairs._ahead.waiting.items()
    assert key == (1, 0)
    pairs.epoch = plain.epoch = 1
    assert pairs[0] is ahead.result()
    for drawn, wanted in zip(ahead.result(), plain[0], strict=True):
        assert drawn.tobytes() == wanted.tobytes()


def test_several_threads_draw_as_many_items_and_no_epoch_too_early():
    """An epoch's order is as large as its images, so that two are not held at once."""
    pairs = make(marked(40), 8, prefetch=3)
    seen = []
    for index in range(5):
        pairs[index]
        seen.append(list(pairs._ahead.waiting))
    assert seen == [
        [(0, 1), (0, 2), (0, 3)],
        [(0, 2), (0, 3), (0, 4)],
        [(0, 3), (0, 4)],
        [(0, 4)],
        [(1, 0), (1, 1), (1, 2)],
    ]


def test_a_mistake_in_the_thread_reaches_the_caller():
    class Broken(Gaussian):
        def __call__(self, clean, rng):
            raise UsageError("no such noise")

    pairs = NoisyCleanPairs(marked(4), Broken(), batch_size=2, seed=0, prefetch=True)
    for _ in range(2):
        with pytest.raises(UsageError, match="no such noise"):
            pairs[0]


def test_iterating_ends():
    assert [len(clean) for _, clean in make(marked(9), 4)] == [4, 4, 1]


def test_memory_stays_uint8_and_batches_are_float32(tiny):
    before = tiny.train.copy()
    pairs = make(tiny.train, low=tiny.low, high=tiny.high)
    assert pairs.images is tiny.train
    for index in range(len(pairs)):
        for part in pairs[index]:
            assert part.dtype == np.float32
            assert part.min() >= 0
            assert part.max() <= 1
    assert pairs.images.dtype == np.uint8
    np.testing.assert_array_equal(tiny.train, before)


def test_noisy_is_not_clean(tiny):
    noisy, clean = make(tiny.train)[0]
    assert np.mean(noisy != clean) > 0.9


@pytest.mark.parametrize(
    ("values", "low", "high", "expected"),
    [
        (np.uint8([0, 51, 255]), 0, 255, [0, 0.2, 1]),
        (np.uint8([10, 20, 30]), 10, 30, [0, 0.5, 1]),
        (np.uint8([0, 20, 255]), 10, 30, [0, 0.5, 1]),
        (np.float64([-1, 0, 3]), -1, 3, [0, 0.25, 1]),
        (np.float32([0, 0.25, 0.5]), 0, 0.5, [0, 0.5, 1]),
    ],
    ids=["uint8", "other range", "clipped", "negative", "floats"],
)
def test_normalise(values, low, high, expected):
    before = values.copy()
    scaled = normalise(values, low, high)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, expected, rtol=0, atol=1e-7)
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("kind", ["uint8", "float16", "float32", "float64", "int64"])
@pytest.mark.parametrize(
    ("low", "high"), [(0, 255), (0, 102), (10, 30), (7, 255), (-3, 300), (0, 1000)]
)
def test_normalise_converts_to_float32_first(kind, low, high):
    values = np.arange(256).astype(kind)
    scaled = values.astype(np.float32)
    scaled -= np.float32(low)
    scaled /= np.float32(high - low)
    expected = np.clip(scaled, 0, 1).tobytes()
    assert normalise(values, low, high).tobytes() == expected


def test_streams_made_ahead_are_those_of_their_batches():
    pairs = make(marked(80), 1)
    for epoch, index in [(0, 0), (0, 1), (0, 70), (0, 71), (0, 72), (1, 73), (0, 73)]:
        drawn = pairs._stream_of(epoch, index)
        expected = stream("train", 1, epoch, index)
        assert drawn.bit_generator.state == expected.bit_generator.state


@pytest.mark.parametrize("first", [0, 2])
def test_epoch_clock_through_fit(tiny, first):
    pairs, seen = make(tiny.train, 12), []
    pairs.on_batch = lambda epoch, start: seen.append((epoch, start))
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(1, 1)])
    model.compile("sgd", "mse")
    model.fit(
        pairs,
        initial_epoch=first,
        epochs=4,
        shuffle=False,
        verbose=0,
        callbacks=[EpochClock(pairs)],
    )
    # Keras may read a batch more, to build the model; never one less.
    steps = [(epoch, start) for epoch in range(first, 4) for start in (0, 12)]
    assert [place for place in seen if place[0] >= first][-len(steps) :] == steps
    assert pairs.epoch == 4  # the next one


@pytest.mark.parametrize(
    ("images", "batch_size", "received"),
    [
        (marked(3), 0, "batch_size=0"),
        (marked(3), -4, "batch_size=-4"),
        (marked(0), 4, "images=0"),
    ],
)
def test_refused(images, batch_size, received):
    with pytest.raises(UsageError, match=received):
        make(images, batch_size)
    with pytest.raises(UsageError, match="repeat=0"):
        make(marked(3), repeat=0)


@pytest.mark.parametrize("count", [40, 8])
def test_a_plain_fit_draws_other_noise_in_each_epoch(count):
    """No clock and no callback: each epoch is that of its number."""
    images = np.random.default_rng(0).integers(0, 256, (count, 8, 8), dtype=np.uint8)
    asked = []

    class Watched(NoisyCleanPairs):
        def __getitem__(self, index):
            asked.append((self.epoch, index))
            return super().__getitem__(index)

    pairs = Watched(images, "gaussian:0.5", batch_size=8)
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(1, 1)])
    model.compile("sgd", "mse")
    model.fit(pairs, epochs=3, verbose=0)
    epochs = {epoch for epoch, _ in asked}
    assert len(epochs) >= 3
    for epoch in sorted(epochs)[-2:]:
        assert {i for e, i in asked if e == epoch} == set(range(len(pairs)))
    first = pairs[0][0]
    pairs.epoch += 1
    assert not np.array_equal(first, pairs[0][0])


def test_looking_at_items_does_not_move_the_epoch():
    pairs = NoisyCleanPairs(np.zeros((8, 8, 8), np.uint8), "gaussian:0.5", batch_size=4)
    once = [pairs[index][0] for index in (0, 1, 0, 1)]
    assert np.array_equal(once[0], once[2])
    assert pairs.epoch == 0


def test_floats_are_taken_as_they_are():
    images = np.random.default_rng(0).random((4, 8, 8, 1), dtype=np.float32)
    pairs = NoisyCleanPairs(images, "gaussian:0", batch_size=4)
    order = pairs.order()
    np.testing.assert_array_equal(pairs[0][1], images[order])
    words = (images * 65535).astype(np.uint16)
    scaled = NoisyCleanPairs(words, "gaussian:0", batch_size=4)[0][1]
    np.testing.assert_allclose(scaled, images[order], atol=1.01 / 65535)
    with pytest.raises(UsageError, match="values from 0 to 255"):
        NoisyCleanPairs(np.float32([[[[0], [255]]]]), "gaussian:0.1")
    with pytest.raises(UsageError, match="int32 have no default range"):
        NoisyCleanPairs(np.zeros((1, 8, 8), np.int32), "gaussian:0.1")
