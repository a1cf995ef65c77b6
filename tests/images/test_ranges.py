"""Which values become 0 and 1, and what becomes of those outside and of gaps."""

import numpy as np
import pytest

from keras_dae.images.io.pictures import Page, UnreadableError, from_unit, to_unit
from keras_dae.images.ranges import (
    beyond,
    fill_gaps,
    put_back,
    put_beyond,
    value_range,
)

RNG = np.random.default_rng(6)


def page(values, kind):
    return Page(np.asarray(values).astype(kind)[..., None])


def counts(low, high):
    return RNG.uniform(low, high, (60, 50))


OF_TYPE = [
    (counts(0, 255), "uint8", (0, 255)),
    (counts(0, 60), "uint8", (0, 255)),
    (counts(0, 65535), "uint16", (0, 65535)),
    (counts(0, 16384.9), "uint16", (0, 65535)),
    (np.full((9, 9), 128), "uint16", (0, 65535)),
    (counts(0, 1), "float32", (0, 1)),
]
OF_DATA = [
    (counts(200, 1700), "uint16"),
    (counts(-1000, 1000), "int16"),
    (counts(0, 100), "int8"),
    (counts(1e5, 9e5), "uint32"),
    (counts(-5e8, 5e8), "int32"),
    (counts(0, 4e15), "int64"),
    (counts(0, 4095), "float32"),
    (counts(-0.2, 1.2), "float64"),
]


@pytest.mark.parametrize(("values", "kind", "limits"), OF_TYPE)
def test_the_range_of_a_type(values, kind, limits):
    if kind == "uint16" and values.max() > 16384:
        values[0, 0] = 16384  # one bit more than the counts of any camera
    assert value_range(page(values, kind)) == limits


@pytest.mark.parametrize(("values", "kind"), OF_DATA, ids=lambda value: str(value)[:9])
def test_the_range_of_counts_is_that_of_the_data(values, kind):
    one = page(values, kind)
    low, high = value_range(one)
    wanted = np.percentile(one.values.astype(float), (0.1, 99.9))
    assert (low, high) == pytest.approx(tuple(wanted), rel=1e-9)
    unit = to_unit(one.values, low, high, False)
    assert (unit < 0).mean() <= 0.0015
    assert (unit > 1).mean() <= 0.0015
    again = from_unit(unit.clip(0, 1), one.values.dtype, low, high, False)
    whole = put_beyond(again, beyond(one.values, (low, high)))
    assert whole.dtype == one.values.dtype
    step = 0 if kind in ("uint16", "int16", "int8", "uint32") else (high - low) * 1e-7
    assert np.abs(whole.astype(float) - one.values.astype(float)).max() <= step


def test_counts_of_a_single_value_have_a_range():
    for value in (-7, 0, 7.5):
        low, high = value_range(page(np.full((9, 9), value), "float32"))
        assert low <= value < high
    assert value_range(page(np.full((9, 9), -7), "int16")) == (-7, 0)


def test_one_hot_pixel_stays_and_does_not_darken_the_others():
    values = counts(100, 200)
    values[30, 20] = 16000
    one = page(values, "uint16")
    low, high = value_range(one)
    assert 190 < high < 16000
    answers = np.full_like(one.values, 150)
    found = put_beyond(answers, beyond(one.values, (low, high)))
    assert found[30, 20] == pytest.approx(150 + 16000 - high, abs=1)
    assert (found == 150).mean() > 0.99


def test_whole_numbers_stay_within_their_type():
    for kind in ("int8", "int16", "int32", "int64", "uint32", "uint64"):
        bounds = np.iinfo(kind)
        ends = np.array([[[bounds.min], [bounds.max]]], kind)
        unit = to_unit(ends, float(bounds.min), float(bounds.max), False)
        assert unit.ravel().tolist() == [0, 1]
        again = from_unit(unit, ends.dtype, float(bounds.min), float(bounds.max), False)
        apart = np.abs(again.astype(float) - ends.astype(float)).max()
        assert apart <= bounds.max / 2**52


@pytest.mark.parametrize("gap", [np.nan, np.inf, -np.inf])
def test_isolated_gaps_are_filled_from_beside_and_put_back(gap):
    values = np.tile(np.linspace(0, 1, 20, dtype=np.float32), (20, 1))[..., None]
    values[3, 5], values[0, 19] = gap, gap
    one = Page(values)
    before = fill_gaps(one)
    assert np.isfinite(one.values).all()
    assert abs(one.values[3, 5, 0] - 5 / 19) <= 1 / 19 + 1e-6
    assert value_range(one) == (0, 1)
    whole = put_back(one.values * 0.5, before)
    np.testing.assert_array_equal(whole[3, 5], values[3, 5])
    assert np.isfinite(whole).sum() == 398
    assert fill_gaps(Page(np.zeros((9, 9, 1), np.float32))) is None


def test_many_gaps_are_refused():
    values = np.full((10, 10, 1), 0.5, np.float32)
    values[:2] = np.nan
    with pytest.raises(UnreadableError, match="holds 20 % values that are not finite"):
        fill_gaps(Page(values))


@pytest.mark.parametrize(
    ("kind", "limits", "least", "most"),
    [
        ("uint8", (-50, 300), 0, 255),
        ("int16", (-40_000, 40_000), -32_768, 32_767),
        ("uint16", (0, 70_000), 0, 65_535),
        ("int32", (-3e9, 3e9), -(2**31), 2**31 - 1),
    ],
)
def test_a_range_beyond_the_type_ends_at_the_type(kind, limits, least, most):
    """White and black of a wide range do not wrap around."""
    answer = from_unit(np.float32([0, 1]), np.dtype(kind), *limits, inverted=False)
    assert answer.tolist() == [least, most]


@pytest.mark.parametrize("kind", ["uint64", "int64"])
def test_what_lies_beyond_the_range_stays_the_largest_integer(kind):
    most = np.iinfo(kind).max
    values = np.array([5, most], kind)
    answer = put_beyond(np.array([5, 90], kind), beyond(values, (0, 100)))
    assert answer[0] == 5
    assert answer[1] >= most - 2048  # the next float below it
