"""Muon on kernels: what a step is, on whatever backend the tests run."""

import keras
import numpy as np
import pytest

from keras_dae.models.files import load, save
from keras_dae.training.config import make_config
from keras_dae.training.optimizers import (
    OPTIMIZERS,
    KernelMuon,
    LinearDecay,
    make_optimizer,
)


def step(gradient, rate=0.1):
    """Return how far one step of Muon moves a variable of zeros."""
    variable = keras.Variable(np.zeros(gradient.shape, "float32"))
    muon = KernelMuon(rate, weight_decay=None, adam_weight_decay=None)
    muon.build([variable])
    muon.apply([keras.ops.convert_to_tensor(gradient)])
    return np.asarray(keras.ops.convert_to_numpy(variable))


@pytest.mark.parametrize("shape", [(3, 3, 48, 48), (5, 5, 8, 4), (4, 4, 1, 48), (6, 2)])
def test_a_kernel_moves_by_an_orthogonal_matrix(shape):
    gradient = np.random.default_rng(0).normal(size=shape).astype("float32")
    moved = step(gradient).reshape(-1, shape[-1])
    # Newton and Schulz's five steps leave singular values within about 0.7 to 1.2.
    values = np.linalg.svd(moved, compute_uv=False) / (
        0.1 * 0.2 * max(moved.shape) ** 0.5
    )
    assert 0.6 < values.min() <= values.max() < 1.3
    # Downhill, and whatever the gradient's scale.
    assert (moved * gradient.reshape(moved.shape)).sum() < 0
    np.testing.assert_allclose(step(1e3 * gradient), step(gradient), atol=1e-4)


def test_a_bias_moves_as_adam_moves_it():
    gradient = np.array([1.0, -2.0, 0.5], "float32")
    np.testing.assert_allclose(step(gradient), -0.1 * np.sign(gradient), rtol=1e-4)


def test_biases_have_a_rate_of_their_own():
    config = make_config(
        {
            **{"optimizer": "muon", "learning_rate": 0.1, "bias_lr_ratio": 3},
            **{"warmup_steps": 0, "schedule": "constant"},
        }
    )
    muon = make_optimizer(config, steps=10)
    kernel, bias = (keras.Variable(np.zeros(s, "float32")) for s in ((6, 2), (3,)))
    muon.build([kernel, bias])
    gradients = [np.random.default_rng(0).normal(size=(6, 2)), np.array([1, -2, 0.5])]
    muon.apply([keras.ops.convert_to_tensor(g.astype("float32")) for g in gradients])
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(bias), -0.3 * np.sign(gradients[1]), rtol=1e-4
    )
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(kernel),
        step(gradients[0].astype("float32"), rate=0.1),
        rtol=1e-4,
    )


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_has_rates_by_depth(name):
    for depth in (1, 3):
        config = make_config({"optimizer": name, "depth": depth})
        assert config.learning_rate == OPTIMIZERS[name].rates[depth > 1]
        made = make_optimizer(config, steps=100)
        peak = float(made._learning_rate(config.warmup_steps))
        assert peak == pytest.approx(config.learning_rate)
        assert float(made._learning_rate(1500)) == pytest.approx(0, abs=1e-9)


def test_it_is_saved_and_read_again():
    muon = KernelMuon(0.25, momentum=0.9, weight_decay=None, adam_weight_decay=None)
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(muon)
    )
    assert type(again) is KernelMuon
    assert again.get_config() == muon.get_config()


@pytest.mark.parametrize(
    ("warmup", "rates"),
    [(0, [8, 7, 6, 5, 4, 3, 2, 1, 0, 0]), (4, [0, 2, 4, 6, 8, 6, 4, 2, 0, 0])],
)
def test_a_straight_fall_by_hand(warmup, rates):
    schedule = LinearDecay(8.0, 8, warmup)
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(schedule)
    )
    for one in (schedule, again):
        assert [float(one(step)) for step in range(10)] == rates


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_model_that_is_being_trained_with_it_is_loaded(tmp_path, name, schedule):
    image = keras.Input((4, 4, 1))
    model = keras.Model(image, keras.layers.Conv2D(1, 3, padding="same")(image))
    config = make_config({"optimizer": name, "schedule": schedule, "epochs": 1})
    model.compile(make_optimizer(config, steps=10), "mse")
    images = np.zeros((2, 4, 4, 1), np.float32)
    model.fit(images, images, verbose=0)
    save(model, tmp_path / "model.keras", optimizer=True)
    again = load(tmp_path / "model.keras", compiled=True)
    assert type(again.optimizer).__name__ == type(model.optimizer).__name__
    assert int(again.optimizer.iterations) == 1


def test_an_optimizer_of_your_own_class_is_left_to_keras():
    """It may have an update of its own, which the fast steps do not know."""
    fast = pytest.importorskip("keras_dae.training.fast.optimizers")

    class Own(keras.optimizers.Adam):
        pass

    assert fast.is_plain(keras.optimizers.Adam())
    assert fast.is_plain(KernelMuon(0.1, weight_decay=None, adam_weight_decay=None))
    assert not fast.is_plain(Own())
