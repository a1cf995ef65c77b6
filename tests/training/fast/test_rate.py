"""A rate in training: its loss by hand, its noise, and what is saved."""

import os

import keras
import numpy as np
import pytest

from keras_dae.errors import UsageError
from keras_dae.images.datasets import Arrays, split
from keras_dae.models.architectures import plan
from keras_dae.models.builders import build, decoder, encoder
from keras_dae.models.files import load
from keras_dae.system.streams import stream
from keras_dae.training.config import make_config
from keras_dae.training.fitting import fit
from keras_dae.training.loop import use_fast_steps
from keras_dae.training.runs import RunFolder

if os.environ.get("KERAS_BACKEND") != "torch":
    pytest.skip("a rate is for torch", allow_module_level=True)

import torch

from keras_dae.training.fast.rate import RateLoss, estimated_bits


def test_estimated_bits_by_hand():
    # Two images of three values: 0 and 2 have variance 1, 5 and 5 none, 0 and 1 1/4.
    latent = torch.tensor([[0.0, 5, 0], [2, 5, 1]]).reshape(2, 3, 1, 1)
    assert float(estimated_bits(latent)) == pytest.approx((np.log2(13) + 2) / 2)


def test_the_loss_is_error_and_price_of_the_moved_latent():
    model = build(plan(1, 4, (8, 8, 1)), seed=0)
    model.compile(optimizer="adam", loss="mse")
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(3)
    noisy, clean = np.random.default_rng(0).random((2, 6, 8, 8, 1), "float32")
    loss = RateLoss(model, 0.01, seed=7)(*map(torch.from_numpy, (noisy, clean)))
    latent = np.asarray(encoder(model).predict(noisy, verbose=0))
    moves = stream("rate", 7, 3).random((6, 4, 4, 4), "float32").transpose(0, 2, 3, 1)
    answer = decoder(model).predict(latent + moves - 0.5, verbose=0)
    bits = 0.5 * np.log2(1 + 12 * latent.var(0)).sum()
    expected = np.mean((np.asarray(answer) - clean) ** 2) + 0.01 * bits / 64
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)


@pytest.fixture
def trained(tmp_path):
    """Return how a run is trained at a rate for some epochs; tiny images."""
    images = np.random.default_rng(5).integers(0, 256, (80, 8, 8), dtype=np.uint8)
    images[:30, 0, 0], images[:30, 0, 1] = 0, 255
    arrays = Arrays(images[:70], None, images[70:], None)
    splits = split("tiny", arrays, arrays.sha256(), 0)
    recipe = {"depth": 1, "latent": 4, "batch_size": 8, "epochs": 4}

    def run(out, rate):
        config = make_config(recipe, {"rate": rate, "data": "tiny"})
        folder = fit(config, splits, tmp_path / out, resume=True)
        latent = encoder(load(folder.model_path)).predict(
            splits.test[..., None].reshape(-1, 8, 8, 1) / np.float32(255), verbose=0
        )
        bits = estimated_bits(torch.tensor(np.asarray(latent)))
        return folder, float(bits)

    return run


def test_a_rate_makes_the_latent_cheaper_and_saves_plain_layers(trained):
    (_, dear), (folder, cheap) = trained("none", 0.0), trained("rate", 0.3)
    assert cheap < 0.8 * dear
    model = load(folder.model_path)
    kinds = [type(layer) for layer in model.layers]
    assert kinds == [
        keras.layers.InputLayer,
        keras.layers.Conv2D,
        keras.layers.Conv2DTranspose,
    ]
    assert folder.config().rate == 0.3


def test_an_interrupted_run_ends_at_the_same_weights(trained, tmp_path, monkeypatch):
    whole, _ = trained("whole", 0.1)
    write = RunFolder.write_history

    def killed(folder, history, *ended):
        write(folder, history, *ended)
        if len(history["loss"]) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "write_history", killed)
        with pytest.raises(KeyboardInterrupt):
            trained("halted", 0.1)
    halted, _ = trained("halted", 0.1)
    for one, other in zip(
        load(whole.model_path).get_weights(),
        load(halted.model_path).get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_a_rate_is_refused_where_the_steps_are_keras_s_own():
    model = build(plan(1, 4, (8, 8, 1)), seed=0)
    model.compile(optimizer=keras.optimizers.SGD(), loss="mse")
    with pytest.raises(UsageError, match=r"Received: rate=0\.1"):
        use_fast_steps(model, rate=0.1)
