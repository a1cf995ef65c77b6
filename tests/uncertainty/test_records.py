import json

import keras
import numpy as np
import pytest

from keras_dae.errors import KerasDAEError
from keras_dae.uncertainty.calibrate import Uncertainty
from keras_dae.uncertainty.groups import Groups
from keras_dae.uncertainty.intervals import Intervals
from keras_dae.uncertainty.records import from_json, to_json
from keras_dae.uncertainty.spread import Spread, build


@pytest.fixture(scope="module")
def model():
    """A model with weights."""
    return keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(1, 1)])


@pytest.fixture(scope="module")
def record(model):
    network = build(1, seed=3)
    rng = np.random.default_rng(0)
    network.set_weights([0.1 * rng.random(w.shape) for w in network.get_weights()])
    table = np.array([[-5.0, 0.0, 5.0], [-4.0, -1.0, -3.0]])
    groups = Groups(np.array([0.01, 0.1]), np.zeros(0))
    intervals = Intervals(groups, np.array([1.0, 1.25, 0.5, 2.0]), 0.9015)
    usual = {"sigma": (0.1, 0.2), "mean": (0.0, 0.5), "std": (0.1, 0.3)}
    found = Uncertainty(Spread(table, network), intervals, 0.9, 0.9, usual, {"seed": 0})
    return json.loads(json.dumps(to_json(found, model))), found


def test_what_is_written_is_read(record, model):
    written, found = record
    read = from_json(written, model)
    noisy, answer = np.random.default_rng(1).random((2, 3, 8, 8, 1), np.float32)
    for one, other in zip(
        read.interval(noisy, answer), found.interval(noisy, answer), strict=True
    ):
        assert one.tolist() == other.tolist()
    assert to_json(read, model) == written
    assert read.unlike(noisy[0]) == found.unlike(noisy[0])


def test_intervals_of_other_weights_are_refused(record, model):
    other = keras.models.clone_model(model)
    with pytest.raises(KerasDAEError, match="with other weights"):
        from_json(record[0], other)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"level": 2.0}, "level"),
        ({"factors": [1.0]}, "lists are inconsistent"),
        ({"factors": [1.0, 1.0, -1.0, 1.0]}, "lists are inconsistent"),
        ({"dark": [0.2, 0.1]}, "not ascending"),
        ({"dark": [0.1] * 51}, "dark"),
        ({"table": [[1.0], []]}, "lists are inconsistent"),
        ({"table": [[0.0], [1e300]]}, "lists are inconsistent"),
        ({"table": [[], []]}, "lists are inconsistent"),
        ({"table": [[0.0, 0.0], [1.0, 1.0]]}, "not ascending"),
        ({"weights": "%"}, "not base64"),
        ({"weights": "AAAA"}, "have another size"),
        ({"usual": {"sigma": [0.0, 1.0]}}, "lists are inconsistent"),
        ({"channels": 2}, "channels"),
        ({"more": 1}, "more"),
    ],
)
def test_damage_is_named(record, model, change, said):
    with pytest.raises(KerasDAEError, match=f"damaged: .*{said}.*Calibrate it again"):
        from_json({**record[0], **change}, model)


@pytest.mark.parametrize("value", [None, [], "", {}, 3, {"level": float("nan")}])
def test_what_is_no_record_is_refused(model, value):
    with pytest.raises(KerasDAEError, match="damaged"):
        from_json(value, model)


def test_weights_that_are_not_finite_are_refused(record, model):
    import base64

    count = len(base64.b64decode(record[0]["weights"])) // 4
    bad = base64.b64encode(np.full(count, np.nan, "<f4").tobytes()).decode()
    with pytest.raises(KerasDAEError, match="not finite"):
        from_json({**record[0], "weights": bad}, model)
