import numpy as np
import pytest

from keras_dae.errors import KerasDAEError
from keras_dae.models.classifiers import build_classifier
from keras_dae.models.files import inspect
from keras_dae.study.classification import classifiers
from keras_dae.study.classification.classifiers import (
    CLASSIFIERS,
    TrainingSet,
    accuracy,
)

LOGISTIC = {"scale": "standard", "C": 0.1}


@pytest.fixture
def data(labelled):
    images = labelled.train / np.float32(255)
    return TrainingSet(images, np.searchsorted([3, 5, 7], labelled.labels["train"]), 3)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_each_kind_learns_and_comes_back_from_its_file(
    kind, data, labelled, tmp_path, monkeypatch
):
    monkeypatch.setattr(classifiers, "STEPS", 25)
    path = tmp_path / f"one{CLASSIFIERS[kind].suffix}"
    told = []
    CLASSIFIERS[kind].fit(data, path, LOGISTIC, told.append)
    assert told[-1] == 1
    read = CLASSIFIERS[kind].load(path)
    probabilities = read(labelled.test / np.float32(255))
    assert probabilities.shape == (30, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    truth = np.searchsorted([3, 5, 7], labelled.labels["test"])
    assert accuracy(probabilities, truth) == 1
    again = tmp_path / f"again{CLASSIFIERS[kind].suffix}"
    CLASSIFIERS[kind].fit(data, again, LOGISTIC, told.append)
    same = CLASSIFIERS[kind].load(again)(labelled.test / np.float32(255))
    np.testing.assert_array_equal(same, probabilities)


def test_accuracy_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3], [0.2, 0.8]])
    assert accuracy(probabilities, np.array([0, 1, 1, 0])) == 0.5


def test_the_setting_is_that_which_reads_the_validation_images_best(data, monkeypatch):
    told = []
    chosen = classifiers.choose_logistic(data, data, told.append)
    rates = [row["validation_accuracy"] for row in chosen["tried"]]
    assert len(rates) == len(told) == 6
    assert chosen["validation_accuracy"] == max(rates)


def test_two_classes_and_one_never_seen(labelled):
    images = labelled.train / np.float32(255)
    classes = np.where(labelled.labels["train"] == 3, 0, 2)
    arrays = classifiers._logistic(TrainingSet(images, classes, 3), LOGISTIC)
    probabilities = classifiers._linear(**arrays)(images)
    assert accuracy(probabilities, classes) == 1
    assert probabilities[:, 1].max() == 0


def test_the_network_is_made_of_layers_that_are_loaded(tmp_path):
    model = build_classifier((28, 28, 1), 10, seed=1)
    other = build_classifier((28, 28, 1), 10, seed=1)
    for one, same in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, same)
    classifiers.save(model, tmp_path / "model.keras")
    layers = inspect(tmp_path / "model.keras")["config"]["layers"]
    assert len(layers) == len(model.layers)


def test_a_damaged_logistic_regression_is_named(tmp_path):
    path = tmp_path / "logistic.npz"
    path.write_bytes(b"PK half")
    with pytest.raises(KerasDAEError, match=r"logistic\.npz is not a classifier"):
        CLASSIFIERS["logistic"].load(path)
