"""The lean steps on torch give the numbers of keras's own."""

import gc
import os

import keras
import numpy as np
import pytest

from keras_dae.images.noise import Gaussian
from keras_dae.images.pairs import EpochClock, NoisyCleanPairs
from keras_dae.models.architectures import DEPTHS, LATENTS, plan
from keras_dae.models.builders import build
from keras_dae.models.ceiling_builders import build_ceiling
from keras_dae.models.ceilings import CEILINGS, plan_ceiling
from keras_dae.models.families import plan_family
from keras_dae.models.files import load, save
from keras_dae.training.config import make_config
from keras_dae.training.optimizers import OPTIMIZERS, make_optimizer

if os.environ.get("KERAS_BACKEND") != "torch":
    pytest.skip("the lean steps are torch's", allow_module_level=True)

import torch

from keras_dae.training.fast.optimizers import AdamUpdate, rate_at, update_of
from keras_dae.training.fast.steps import accelerate, answer

NINE = [(depth, latent) for depth in DEPTHS for latent in LATENTS]


def digits_like(count, size=28, channels=1):
    rng = np.random.default_rng(3)
    blobs = rng.random((count, size, size, channels)) < 0.2
    return (blobs * rng.integers(1, 256, blobs.shape)).astype(np.uint8)


def compiled(spec, steps, **changes):
    config = make_config({"warmup_steps": 2, **changes})
    # With the default bias, the first steps of Adam amplify rounding more.
    model = build(spec, seed=1, latent_bias=0.5 if spec.depth == 1 else 0)
    model.compile(optimizer=make_optimizer(config, steps), loss="mse")
    return model


def trained(model, images, epochs=2, at_once=1):
    pairs = NoisyCleanPairs(images, Gaussian(), batch_size=16, seed=0)
    pairs.at_once = at_once
    held_out = (np.zeros((5, *images.shape[1:]), "float32"),) * 2
    fitted = model.fit(
        pairs,
        validation_data=held_out,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[EpochClock(pairs)],
    )
    return fitted.history


def assert_agree(spec, images, *, lean=None, plain=None, least=1e-3, **kwargs):
    lean = lean or compiled(spec, 8)
    plain = plain or compiled(spec, 8)
    before = lean.get_weights()
    assert accelerate(lean)
    histories = trained(lean, images, **kwargs), trained(plain, images, **kwargs)
    for key in ("loss", "val_loss"):
        one, other = (history[key] for history in histories)
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)
    for one, other, start in zip(
        lean.get_weights(), plain.get_weights(), before, strict=True
    ):
        # Adam moves a weight by the rate however small its gradient is, and Muon a
        # whole direction: where that is rounding alone, the two may part.
        moved = np.abs(other - start).mean()
        assert moved > least
        apart = 0.15 if isinstance(lean.optimizer, keras.optimizers.Adam) else 0.4
        assert np.abs(one - other).mean() < apart * moved
    return lean, plain


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("depth", "latent"), NINE)
def test_losses_and_weights_are_those_of_plain_fit(depth, latent, optimizer):
    spec = plan(depth, latent)
    lean, plain = (compiled(spec, 8, optimizer=optimizer) for _ in range(2))
    # 56 images in batches of 16: the last batch is a smaller one.
    assert_agree(spec, digits_like(56), lean=lean, plain=plain)


def contiguous(value):
    return value.clone()


def other_way_round(value):
    backwards = tuple(reversed(range(value.ndim)))
    return value.permute(backwards).contiguous().permute(backwards)


def with_gaps(value):
    """Return the values in every second place of a piece of memory."""
    places = torch.empty(*value.shape, 2)
    places[..., 0] = value
    return places[..., 0]


@pytest.mark.parametrize("order", [contiguous, other_way_round, with_gaps])
@pytest.mark.parametrize(
    "changes",
    [
        *({"optimizer": name} for name in OPTIMIZERS),
        {"optimizer": "muon", "bias_lr_ratio": 3},
    ],
    ids=[*OPTIMIZERS, "biases faster"],
)
def test_steps_from_the_same_gradients_are_those_of_keras(changes, order):
    """Of full rank, so that rounding is never all there is in a direction.

    However the weights lie in memory: it decides how Adam is computed.
    """
    rng = np.random.default_rng(0)
    lean, plain = (compiled(plan(5, 5), 8, **changes) for _ in range(2))
    before = lean.get_weights()
    for variable in lean.trainable_variables:
        variable.value.data = order(variable.value.detach())
    update = update_of(lean.optimizer, lean.trainable_variables)
    assert update.dense == (order is not with_gaps)
    if update.dense:
        places = [[one.stride() for one in (w, m)] for w, m in moments_of(update)]
        assert all(one == other for one, other in places)
    for _ in range(5):
        gradients = [
            torch.from_numpy(rng.normal(size=weight.shape).astype("float32"))
            for weight in before
        ]
        with torch.no_grad():
            update(gradients)
        plain.optimizer.apply(gradients, plain.trainable_variables)
    assert int(lean.optimizer.iterations) == 5
    for one, other, start in zip(
        lean.get_weights(), plain.get_weights(), before, strict=True
    ):
        # 5e-7: two roundings of a weight of about 2.
        assert np.abs(one - other).max() < 1e-3 * np.abs(other - start).max() + 5e-7


def moments_of(update):
    weights = update.weights
    if not isinstance(update, AdamUpdate):
        weights = [weights[place] for place in update.kernels]
    return zip(weights, update.means, strict=True)


@pytest.mark.parametrize(("depth", "latent"), [*NINE, (2, 14)])
def test_gradients_are_those_of_keras(depth, latent):
    model = compiled(plan(depth, latent), 8)
    clean = torch.from_numpy(digits_like(16).astype("float32") / 255)
    torch.mean((model(clean) - clean) ** 2).backward()
    wanted = [variable.value.grad.clone() for variable in model.trainable_variables]
    assert accelerate(model)
    steps = model.train_function.__self__
    found = torch.autograd.grad(steps._loss(clean, clean), steps.weights)
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        assert float((one - other).abs().max()) < 1e-5 * float(other.abs().max())


@pytest.mark.parametrize(
    ("depth", "latent", "size", "channels"),
    [(1, 2, 8, 3), (2, 14, 28, 1), (3, 6, 13, 2), (4, 16, 32, 1), (2, 12, 12, 1)],
)
def test_other_geometries(depth, latent, size, channels):
    spec = plan(depth, latent, (size, size, channels))
    assert_agree(spec, digits_like(40, size, channels))


def test_constant_rate_and_training_on():
    """A second fit, and one of a loaded file, go on from the optimizer's state."""
    spec, images = plan(1, 8), digits_like(40)
    models = [compiled(spec, 20, schedule="constant") for _ in range(2)]
    assert_agree(spec, images, lean=models[0], plain=models[1])
    assert_agree(spec, images, lean=models[0], plain=models[1])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_saved_model_goes_on_with_keras_steps(tmp_path, optimizer):
    spec, images = plan(3, 8), digits_like(40)
    lean, plain = (compiled(spec, 16, optimizer=optimizer) for _ in range(2))
    assert_agree(spec, images, lean=lean, plain=plain)
    for model, name in ((lean, "lean.keras"), (plain, "plain.keras")):
        save(model, tmp_path / name, optimizer=True)
    assert_agree(
        spec,
        images,
        lean=load(tmp_path / "plain.keras", compiled=True),
        plain=load(tmp_path / "lean.keras", compiled=True),
    )


@pytest.mark.parametrize("name", CEILINGS)
def test_graphs_that_are_no_chain(name):
    lean, plain = (build_ceiling(plan_ceiling(name), seed=1) for _ in range(2))
    for model in (lean, plain):
        config = make_config({"warmup_steps": 2, "learning_rate": 1e-3})
        model.compile(optimizer=make_optimizer(config, 8), loss="mse")
    assert_agree(None, digits_like(40), lean=lean, plain=plain, least=2e-4)


@pytest.mark.parametrize("model", [*NINE, (2, 14), *CEILINGS], ids=str)
def test_answers_are_those_of_predict(model):
    if isinstance(model, str):
        model = build_ceiling(plan_ceiling(model), seed=2)
    else:
        model = build(plan(*model), seed=2)
    noisy = np.random.default_rng(0).random((6, 28, 28, 1), dtype=np.float32)
    before = noisy.copy()
    found = answer(model)(noisy)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, model.predict(noisy, verbose=0), atol=1e-6)
    np.testing.assert_array_equal(noisy, before)


def test_lean_steps_leave_no_arrays_to_the_garbage_collector():
    """What the recorder then leaves out; keras's own step needs it."""
    left, images = {}, digits_like(64)
    for name in ("lean", "keras"):
        model = compiled(plan(1, 8), 8)
        assert name == "keras" or accelerate(model)
        trained(model, images, epochs=1)  # what the first call makes once
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            trained(model, images, epochs=1)
            gc.collect()
            kinds = torch.Tensor, np.ndarray
            left[name] = sum(isinstance(found, kinds) for found in gc.garbage)
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert left["lean"] == 0
    # Of older versions keras's own step leaves none either.
    newer = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 13)
    assert left["keras"] > 0 or not newer


@pytest.mark.parametrize("at_once", [2, 3, 9])
def test_several_batches_at_once_are_as_many_steps(at_once):
    """56 images in batches of 16 are 4 steps, the last of 8, however handed over."""
    models = [compiled(plan(1, 8), 8) for _ in range(2)]
    for model in models:
        assert accelerate(model, batch_size=16)
    images = digits_like(56)
    one = trained(models[0], images)
    other = trained(models[1], images, at_once=at_once)
    assert int(models[1].optimizer.iterations) == 8
    assert one == other
    for first, second in zip(*(m.get_weights() for m in models), strict=True):
        np.testing.assert_array_equal(first, second)


def test_bfloat16_rounds_training_alone():
    models = [compiled(plan(3, 8), 8) for _ in range(2)]
    for model, precision in zip(models, ("bfloat16", "float32"), strict=True):
        assert accelerate(model, precision)
    images = digits_like(56)
    rounded, plain = (trained(model, images) for model in models)
    assert rounded["loss"] != plain["loss"]
    np.testing.assert_allclose(rounded["loss"], plain["loss"], rtol=0.02)
    model = models[0]
    assert {weight.dtype for weight in model.get_weights()} == {np.dtype("float32")}
    # What is measured is float32's: the loss is that of the answers to the last digits.
    clean = images.astype("float32") / 255
    error = float(np.mean((answer(model)(clean) - clean) ** 2))
    assert model.evaluate(clean, clean, verbose=0) == pytest.approx(error, rel=1e-5)


def test_bfloat16_is_for_models_of_any_graph():
    model = refused("branches")
    assert not accelerate(model, "bfloat16")
    loss = trained(model, digits_like(16), epochs=1)["loss"]
    plain = trained(refused("branches"), digits_like(16), epochs=1)["loss"]
    assert loss != plain
    np.testing.assert_allclose(loss, plain, rtol=0.02)


def test_evaluate_is_the_same():
    lean, plain = assert_agree(plan(1, 5), digits_like(40))
    clean = digits_like(20).astype("float32") / 255
    one, other = (m.evaluate(clean, clean, verbose=0) for m in (lean, plain))
    assert one == pytest.approx(other, abs=1e-7)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
@pytest.mark.parametrize("warmup", [0, 7])
def test_rates_are_those_of_keras(schedule, warmup):
    config = make_config(
        {"schedule": schedule, "warmup_steps": warmup, "learning_rate": 3e-3}
    )
    rate = make_optimizer(config, 2)._learning_rate
    for step in range(35):
        assert rate_at(rate, step) == pytest.approx(
            float(rate(step)), rel=2e-6, abs=1e-9
        )
    assert rate_at(0.25, 3) == 0.25


def refused(change):
    """Return a model that the lean steps must leave to keras."""
    spec = plan(2, 14)
    model = build(spec, seed=0)
    optimizer, loss = keras.optimizers.Adam(1e-3), "mse"
    if change == "branches":
        x = keras.layers.Multiply()([model.output, model.input])
        model = keras.Model(model.input, x)
    elif change == "shared":
        layer = keras.layers.Conv2D(1, 3, padding="same")
        start = keras.Input((28, 28, 1))
        model = keras.Model(start, layer(layer(start)))
    elif change == "optimizer":
        optimizer = keras.optimizers.SGD(1e-3)
    elif change == "clipping":
        optimizer = keras.optimizers.Adam(1e-3, clipnorm=1.0)
    elif change == "loss":
        loss = "mae"
    elif change == "frozen":
        model.layers[1].trainable = False
    elif change == "activation":
        model.layers[1].activation = keras.activations.gelu
    elif change == "regulariser":
        model.layers[1].kernel_regularizer = keras.regularizers.L2(0.1)
    metrics = ["mae"] if change == "metrics" else None
    model.compile(optimizer=optimizer, loss=loss, metrics=metrics)
    return model


@pytest.mark.parametrize(
    "change",
    [
        *("branches", "shared", "optimizer", "clipping", "loss", "frozen"),
        *("activation", "regulariser", "metrics"),
    ],
)
def test_what_it_does_not_compute_is_left_to_keras(change):
    model = refused(change)
    assert not accelerate(model)
    assert (answer(model) is None) == (
        change in ("branches", "shared", "frozen", "activation", "regulariser")
    )
    assert model.train_function is None
    assert np.isfinite(trained(model, digits_like(16), epochs=1)["loss"]).all()


def test_even_kernels_with_same_padding_are_left_to_keras():
    start = keras.Input((8, 8, 1))
    model = keras.Model(start, keras.layers.Conv2D(1, 4, padding="same")(start))
    model.compile(optimizer=keras.optimizers.Adam(), loss="mse")
    assert not accelerate(model)


def test_torch_is_left_with_gradients_enabled():
    assert_agree(plan(1, 13), digits_like(40), epochs=1)
    assert torch.is_grad_enabled()


def test_residual_models_are_computed_as_keras_does():
    spec = plan_family("residual", 9, 5, (28, 28, 1), 8)
    assert_agree(spec, digits_like(56), least=5e-5)
