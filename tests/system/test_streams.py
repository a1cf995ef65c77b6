"""Streams: pure functions of integers, and one for each purpose."""

from itertools import combinations

import numpy as np
import pytest

from keras_dae.system.streams import PURPOSES, stream


def numbers(purpose, *integers):
    return stream(purpose, *integers).standard_normal(1024)


def test_the_same_integers_give_the_same_numbers():
    assert numbers("train", 3, 1, 4).tobytes() == numbers("train", 3, 1, 4).tobytes()


def test_every_purpose_and_list_of_integers_has_a_stream_of_its_own():
    """Also where they differ in trailing zeros alone, which NumPy does not see."""
    assert np.array_equal(
        np.random.default_rng([7]).random(9), np.random.default_rng([7, 0, 0]).random(9)
    )
    lists = [(), (0,), (0, 0), (0, 0, 0), (7,), (7, 0), (7, 0, 0), (0, 7)]
    drawn = [numbers(purpose, *some) for purpose in PURPOSES for some in lists]
    for one, other in combinations(drawn, 2):
        assert abs(np.corrcoef(one, other)[0, 1]) < 6 / np.sqrt(1024)


def test_purposes_have_numbers_of_their_own():
    assert len(set(PURPOSES.values())) == len(PURPOSES)
    assert 0 not in PURPOSES.values()


@pytest.mark.parametrize("integer", [0, 7, 2**32 - 1, 2**32, 2**70])
def test_a_stream_is_that_of_the_list(integer):
    listed = np.random.default_rng([PURPOSES["train"], 2, integer, 3])
    assert listed.bit_generator.state == stream("train", integer, 3).bit_generator.state


def test_a_negative_integer_is_no_stream():
    with pytest.raises(ValueError, match="negative"):
        stream("train", -1)
