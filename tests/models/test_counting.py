import keras
import pytest
from keras import layers

from keras_dae.models.architectures import paper_specs, plan
from keras_dae.models.builders import build
from keras_dae.models.counting import COUNTERS, macs
from keras_dae.models.gate import LAYERS


def one(shape, *rows):
    return keras.Sequential([keras.Input(shape), *rows])


@pytest.mark.parametrize(
    ("shape", "layer", "count"),
    [
        # 3x3 places, a kernel of 3x3x2, 4 filters
        ((5, 5, 2), layers.Conv2D(4, 3), 9 * 9 * 2 * 4),
        # 'same' at stride 2: 3x3 places, padding seen
        ((5, 5, 2), layers.Conv2D(4, 3, strides=2, padding="same"), 9 * 9 * 2 * 4),
        # two groups: each filter sees one of two channels
        ((5, 5, 2), layers.Conv2D(4, 3, groups=2), 9 * 9 * 1 * 4),
        # 3x3 values, each spread over a kernel of 4x4 in 5 filters
        ((3, 3, 2), layers.Conv2DTranspose(5, 4, strides=2), 9 * 16 * 2 * 5),
        ((5, 5, 2), layers.DepthwiseConv2D(3, depth_multiplier=3), 9 * 9 * 2 * 3),
        ((5, 5, 2), layers.SeparableConv2D(4, 3), 9 * (9 * 2 + 2 * 4)),
        ((7,), layers.Dense(3), 21),
        ((2, 2, 7), layers.Dense(3), 4 * 21),
        ((4, 4, 1), layers.MaxPooling2D(), 0),
    ],
)
def test_by_hand(shape, layer, count):
    assert macs(one(shape, layer)) == count


@pytest.mark.parametrize(
    "spec", [*paper_specs()[2:7:2], plan(2, 7)], ids=lambda s: s.name
)
def test_agrees_with_the_geometry(spec):
    assert macs(build(spec)) == spec.macs


def test_models_within_models_count():
    inner = one((5, 5, 2), layers.Conv2D(4, 3))
    assert macs(one((5, 5, 2), inner, layers.Conv2D(1, 1))) == 648 + 9 * 4


def test_an_open_size_has_no_count():
    assert macs(one((None, None, 1), layers.Conv2D(4, 3))) is None


def test_what_is_counted_may_be_loaded():
    assert set(COUNTERS) <= set(LAYERS)
