"""`Denoiser`: arrays to a trained, measured, saved denoiser."""

import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from typing import ClassVar

import keras
import numpy as np
import pytest
import tifffile
from PIL import Image

import keras_dae as kd
from keras_dae.denoising.tile_model import TileModel
from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.images.frozen import TEST, VALIDATION, frozen_arrays
from keras_dae.images.pairs import NoisyCleanPairs
from keras_dae.images.targets import FrozenTargets, training_pairs
from tests.commands import run

TEN_LINES = """
import keras_dae as kd
import keras
import numpy as np
images = np.random.default_rng(0).integers(0, 256, (96, 28, 28), dtype="uint8")
denoiser = kd.Denoiser(kd.plan(depth=1, latent=8), noise="gaussian:0.5")
stop = keras.callbacks.EarlyStopping(patience=9)
history = denoiser.fit(
    images, validation_data=images[:32], epochs=2, callbacks=[stop], verbose=0
)
scores = denoiser.evaluate(images)
denoiser.save("mine.keras")
again = kd.Denoiser.from_preset("mine.keras")
assert again.evaluate(images) == scores
assert np.array_equal(again.denoise(images[0]), denoiser.denoise(images[0]))
assert sorted(history.history) == ["loss", "val_loss"]
assert len(history.history["loss"]) == 2
clean = kd.Denoiser.from_preset("DAE_1_5").denoise(images[0])
assert clean.shape == (28, 28) and clean.dtype == np.uint8
print(keras.backend.backend(), sorted(scores))
"""


def noisy_digit(digits):
    clean = np.asarray(digits.test[3, ..., 0])
    noise = np.random.default_rng(0).normal(0, 127, clean.shape)
    return clean, np.clip(clean + noise, 0, 255).astype(np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("backend", [None, "jax", "tensorflow"])
def test_the_ten_lines_run_as_typed(backend, tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
    if backend:
        environment["KERAS_BACKEND"] = backend
    done = subprocess.run(
        [sys.executable, "-c", TEN_LINES],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = f"{backend or 'torch'} ['mse', 'psnr', 'ssim']"
    assert done.stdout.splitlines()[-1] == said


def test_a_preset_denoises_every_type_alike(digits):
    clean, noisy = noisy_digit(digits)
    denoiser = kd.Denoiser.from_preset("DAE_5_13")
    answer = denoiser.denoise(noisy)
    error = np.square((answer / 255.0) - clean / 255.0).mean()
    assert error < 0.2 * np.square(noisy / 255.0 - clean / 255.0).mean()
    of_floats = denoiser.denoise(noisy / 255.0)
    of_words = denoiser.denoise(noisy.astype(np.uint16) * 257)
    assert (of_floats.dtype, of_words.dtype) == (np.float64, np.uint16)
    np.testing.assert_allclose(of_floats * 255, answer, atol=0.51)
    np.testing.assert_allclose(of_words / 257, answer, atol=0.51)


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1), (2, 28, 28), (2, 28, 28, 1)])
def test_the_shape_comes_back(shape):
    images = np.full(shape, 90, np.uint8)
    answer = kd.Denoiser.from_preset("DAE_1_5").denoise(images)
    assert (answer.shape, answer.dtype) == (shape, np.uint8)


def test_colour_and_other_sizes_come_back():
    answer = kd.Denoiser.from_preset("DAE_1_5").denoise(np.zeros((40, 50, 3), "uint8"))
    assert answer.shape == (40, 50, 3)


def test_strength_blends(digits):
    _, noisy = noisy_digit(digits)
    denoiser, unit = kd.Denoiser.from_preset("DAE_1_5"), noisy / 255.0
    assert np.array_equal(denoiser.denoise(noisy, strength=0), noisy)
    half = denoiser.denoise(unit, strength=0.5)
    np.testing.assert_allclose(half, (unit + denoiser.denoise(unit)) / 2, atol=1e-6)
    with pytest.raises(kd.UsageError, match="strength must be from 0 to 1"):
        denoiser.denoise(noisy, strength=2)


def test_a_file_is_denoised_by_its_path(tmp_path, digits):
    _, noisy = noisy_digit(digits)
    Image.fromarray(noisy).save(tmp_path / "a.png")
    denoiser = kd.Denoiser.from_preset("DAE_1_5")
    answer = denoiser.denoise(tmp_path / "a.png")
    assert np.array_equal(answer, denoiser.denoise(noisy))


def test_floats_outside_0_to_1_are_refused_in_one_sentence():
    images = np.linspace(0, 255, 4 * 28 * 28, dtype=np.float32).reshape(4, 28, 28)
    denoiser = kd.Denoiser(kd.plan(1, 8), noise="gaussian:0.5")
    for act in (denoiser.denoise, denoiser.fit, denoiser.evaluate):
        with pytest.raises(kd.UsageError, match=r"values from 0 to 255\.$"):
            act(images)
    ranged = kd.Denoiser(kd.plan(1, 8), noise="gaussian:0.5", value_range=(0, 255))
    assert ranged.denoise(images).shape == images.shape
    assert ranged.evaluate(images)["mse"] > 0


def test_evaluate_measures_the_frozen_pairs():
    images = np.random.default_rng(1).integers(0, 256, (30, 28, 28, 1), dtype=np.uint8)
    denoiser = kd.Denoiser.from_preset("DAE_1_5")
    noise = kd.Gaussian(0.5)
    noisy, clean = frozen_arrays(images, noise, seed=4, split=TEST, low=0, high=255)
    answer = denoiser.model.predict(noisy, verbose=0)
    wanted = float(np.square(answer.astype(np.float64) - clean).mean())
    found = denoiser.evaluate(images, seed=4)
    assert found["mse"] == pytest.approx(wanted, rel=1e-5)
    assert found["psnr"] == pytest.approx(-10 * np.log10(wanted), rel=1e-5)


def test_training_takes_what_keras_takes(tiny):
    images = np.asarray(tiny.train)
    said = []

    class Own(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            said.append(sorted(logs))

    spec = kd.plan(1, 4, image_shape=(8, 8, 1))
    denoiser = kd.Denoiser(spec, noise="speckle:0.2")
    history = denoiser.fit(
        images,
        validation_data=images,
        epochs=2,
        optimizer=keras.optimizers.SGD(1e-3),
        loss="mae",
        metrics=["mse"],
        callbacks=[Own()],
        verbose=0,
    )
    assert said == [["loss", "mse", "val_loss", "val_mse"]] * 2
    assert len(history.history["val_mse"]) == 2
    assert denoiser.card["training"]["fast_steps"] is False
    assert denoiser.card["noise"] == {"kind": "speckle", "sigma": 0.2, "clip": True}


def test_fast_steps_train_to_the_same_numbers(tiny):
    if keras.backend.backend() != "torch":
        pytest.skip("the fast steps are torch's")
    images = np.asarray(tiny.train)
    weights = []
    for fast in (True, False):
        spec = kd.plan(1, 4, image_shape=(8, 8, 1))
        denoiser = kd.Denoiser(spec, noise="gaussian:0.5", seed=3)
        denoiser.fit(images, epochs=3, fast=fast, verbose=0, batch_size=8)
        assert denoiser.card["training"]["fast_steps"] is fast
        weights.append(denoiser.model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_training_of_another_shape_is_refused():
    denoiser = kd.Denoiser(kd.plan(1, 8), noise="gaussian:0.5")
    with pytest.raises(kd.UsageError, match=r"image_shape=\(32, 32, 3\)"):
        denoiser.fit(np.zeros((4, 32, 32, 3), "uint8"))
    with pytest.raises(kd.UsageError, match="no noise"):
        kd.Denoiser(kd.plan(1, 8)).fit(np.zeros((4, 28, 28), "uint8"))


def test_the_range_of_training_is_that_of_denoising(tmp_path):
    """Images of 50 to 150: what training scaled to 0 and 1, `denoise` does too."""
    images = np.random.default_rng(2).integers(50, 151, (64, 28, 28), dtype=np.uint8)
    images[:, 0, :2] = 50, 150
    np.savez(tmp_path / "mine.npz", x_train=images, x_test=images[:8])
    words = ["--data", f"npz:{tmp_path}/mine.npz", "--out", tmp_path / "runs"]
    words += ["--depth", 1, "--latent", 8, "--epochs", 1, "--json"]
    assert run("train", *words).exit_code == 0
    (folder,) = (tmp_path / "runs").iterdir()
    denoiser = kd.Denoiser.from_preset(folder)
    assert denoiser.card["values"] == {"dtype": "uint8", "low": 50.0, "high": 150.0}
    unit = (images[:4, ..., None].astype(np.float32) - 50) / 100
    wanted = 50 + 100 * TileModel(denoiser.model)(unit)[..., 0]
    np.testing.assert_allclose(denoiser.denoise(images[:4]), wanted, atol=0.51)
    np.save(tmp_path / "a.npy", images[0])
    said = run("denoise", tmp_path / "a.npy", "-o", tmp_path, "--model", folder)
    assert said.exit_code == 0, said.output
    answer = np.load(tmp_path / "a.denoised.npy")
    np.testing.assert_allclose(answer, wanted[0], atol=0.51)


def test_compare_orders_by_error(digits):
    found = kd.compare(["DAE_5_13", "DAE_1_5"], digits.test[:50], noise="gaussian:0.5")
    assert list(found.rows)[:2] == ["DAE_5_13", "DAE_1_5"]
    assert list(found.rows)[-1] == "noisy input"
    errors = [row["mse"] for row in found.rows.values()]
    assert errors == sorted(errors)
    assert repr(found).splitlines()[1].startswith("DAE_5_13")
    with pytest.raises(kd.UsageError, match="A baseline must be one of"):
        kd.compare(["DAE_1_5"], digits.test[:2], noise="gaussian", baselines=["no"])


def test_export_goes_by_the_ending(tmp_path):
    done = kd.export("DAE_1_5", tmp_path / "a.onnx")
    assert done["format"] == "onnx"
    assert done["max_difference"] <= 1e-5
    with pytest.raises(kd.UsageError, match="format must be one of"):
        kd.export("DAE_1_5", tmp_path / "a.txt")


def test_images_that_are_not_square(tmp_path):
    """Planned, trained, measured, saved, loaded and applied to another size."""
    images = np.random.default_rng(0).integers(0, 256, (40, 12, 16), dtype=np.uint8)
    denoiser = kd.Denoiser(kd.plan(1, 5, (12, 16, 1)), noise="gaussian:0.5")
    assert denoiser.model.output_shape == (None, 12, 16, 1)
    history = denoiser.fit(images, validation_data=images[:8], epochs=2, verbose=0)
    assert len(history.history["val_loss"]) == 2
    assert 0 < denoiser.evaluate(images)["mse"] < 0.3
    denoiser.save(tmp_path / "wide.keras")
    again = kd.Denoiser.from_preset(tmp_path / "wide.keras")
    np.testing.assert_array_equal(again.denoise(images), denoiser.denoise(images))
    assert again.denoise(np.zeros((30, 25), np.uint8)).shape == (30, 25)


@pytest.mark.parametrize("targets", ["noisy", "blind-spot"])
def test_without_clean_images_the_answer_is_unbiased(tmp_path, targets):
    """Of one clean value: whoever learns clipped noise itself answers 0.305 for 0.2."""
    images = np.full((256, 8, 8), 51, np.uint8)
    denoiser = kd.Denoiser(kd.plan(1, 4, (8, 8, 1)), noise="gaussian:0.5")
    history = denoiser.fit(
        images, validation_data=images[:64], targets=targets, epochs=4, verbose=0
    )
    assert len(history.history["val_loss"]) == 4
    denoiser.save(tmp_path / "mine.keras")
    again = kd.Denoiser.from_preset(tmp_path / "mine.keras")
    noise = np.random.default_rng(7).normal(0, 0.5, (256, 8, 8))
    noisy = (0.2 + noise).clip(0, 1)
    assert abs(again.denoise(noisy).mean() - 0.2) < 0.03
    assert noisy.mean() - 0.2 > 0.1
    recorded = again.card["targets"]
    assert (recorded["kind"], recorded["correction"]) == (targets, "h(y)")
    assert 0 < recorded["bias"] < 0.002
    fast = keras.backend.backend() == "torch" and targets == "noisy"
    assert again.card["training"]["fast_steps"] is fast


def test_fit_learns_from_what_a_run_learns_from(tiny, monkeypatch):
    """Training and validation batches of `fit` are those of `train --targets`."""
    seen = []

    def keep(model, pairs, validation_data=None, **options):
        seen.append([*pairs[0], *validation_data])
        raise KeyboardInterrupt

    monkeypatch.setattr(keras.Model, "fit", keep)
    images, noise = np.asarray(tiny.train), kd.Gaussian(0.5)
    options = {"low": 0, "high": 255, "seed": 3}
    for targets in ("noisy", "blind-spot"):
        denoiser = kd.Denoiser(kd.plan(1, 4, (8, 8, 1)), noise=noise, seed=3)
        with pytest.raises(KeyboardInterrupt):
            denoiser.fit(images, validation_data=images[:5], targets=targets)
        wanted = training_pairs(targets, images, noise, **options)[0]
        held = FrozenTargets(
            targets, images[:5], noise, split=VALIDATION, **options
        ).arrays()
        for one, other in zip(seen.pop(), [*wanted, *held], strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_later_fit_on_clean_images_drops_the_targets(tiny):
    images = np.asarray(tiny.train)
    denoiser = kd.Denoiser(kd.plan(1, 4, (8, 8, 1)), noise="gaussian:0.5")
    denoiser.fit(images, targets="noisy", epochs=1, verbose=0)
    assert denoiser.card["targets"]["kind"] == "noisy"
    denoiser.fit(images, epochs=1, verbose=0)
    assert "targets" not in denoiser.card


def test_a_later_fit_describes_its_own_images():
    dark = np.random.default_rng(0).integers(0, 30, (40, 28, 28), dtype=np.uint8)
    denoiser = kd.Denoiser.from_preset("DAE_1_5")
    before = denoiser.card["input"]
    denoiser.fit(dark, epochs=1, verbose=0)
    card = denoiser.card
    assert card["data"] == "arrays" and card["input"]["mean"][1] < before["mean"][1]
    assert "licence" in card
    assert not {"figures", "limits", "data_sha256", "images"} & card.keys()


def test_fit_keeps_the_range_that_the_model_was_trained_with(monkeypatch):
    images = np.random.default_rng(0).integers(50, 60, (40, 28, 28), dtype=np.uint8)
    values = {"dtype": "uint8", "low": 10, "high": 200}
    denoiser = kd.Denoiser(kd.plan(1, 5), noise="gaussian:0.5", card={"values": values})
    denoiser.fit(images, epochs=1, verbose=0)
    assert denoiser.card["values"] == values


def test_a_negative_is_denoised_as_a_negative(tmp_path, digits):
    noisy = np.asarray(digits.test[0, ..., 0]) / 255
    noisy = noisy + np.random.default_rng(0).normal(0, 0.5, noisy.shape)
    page = (255 * noisy.clip(0, 1)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", page, photometric="minisblack")
    tifffile.imwrite(tmp_path / "b.tif", 255 - page, photometric="miniswhite")
    denoiser = kd.Denoiser.from_preset("DAE_5_8")
    plain, negative = (denoiser.denoise(tmp_path / name) for name in ("a.tif", "b.tif"))
    np.testing.assert_array_equal(negative, 255 - plain)


@pytest.mark.parametrize(
    ("targets", "noise", "named"),
    [
        ("cleaner", "gaussian:0.5", "targets must be one of clean, noisy, blind-spot"),
        ("noisy", "salt-pepper:0.2", "needs gaussian noise with a single sigma"),
    ],
)
def test_targets_that_cannot_be_are_refused(tiny, targets, noise, named):
    denoiser = kd.Denoiser(kd.plan(1, 4, (8, 8, 1)), noise=noise)
    with pytest.raises(kd.UsageError, match=named):
        denoiser.fit(np.asarray(tiny.train), targets=targets)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda d, x: d.evaluate(x[:0]), "at least one image. Received: shape=(0, 28"),
        (lambda d, x: kd.compare("nothing", x, noise="gaussian:0.5"), "model nothing"),
        (lambda d, x: kd.load_data(x), "data must be the name of a data set."),
        (lambda d, x: kd.load(None), "given by its name or path. Received: model=None"),
        (lambda d, x: kd.plan(depth=1.5, latent=8), "depth=1.5, latent=8."),
        (lambda d, x: kd.plan(1, 8, image_shape=28), "image_shape=28."),
        (lambda d, x: kd.Denoiser("DAE_1_8"), "model='DAE_1_8'."),
        (lambda d, x: kd.Denoiser(kd.plan(1, 8), noise=0.5), "noise=0.5."),
        (
            lambda d, x: d.denoise(Image.new("L", (28, 28))),
            "Give the path of the image",
        ),
        (lambda d, x: d.denoise(x[:0]), "at least one pixel. Received: shape=(0, 28"),
        (lambda d, x: d.denoise(np.ma.masked_array(x)), "Masked arrays"),
        (lambda d, x: d.fit(np.ma.masked_array(x)), "Masked arrays"),
        (lambda d, x: d.fit(x, validation_data=(x, x)), "types=('uint8', 'uint8')"),
        (lambda d, x: d.fit(x, validation_data=(x / 1, x[:2] / 1)), "of one shape"),
        (lambda d, x: d.fit(x, validation_data=(x,)), "arrays=1"),
        (
            lambda d, x: d.fit(x, validation_data=x / 1.0),
            "types=('float64', 'uint8')",
        ),
        (
            lambda d, x: d.fit(x / 1.0, validation_data=x + 200.0),
            "values from 200 to 200",
        ),
        (lambda d, x: d.calibrate(x / 1.0, x + 200.0), "values from 200 to 200"),
        (
            lambda d, x: d.fit(x, validation_data=2 * (np.zeros((4, 8, 8)),)),
            "(8, 8, 1)",
        ),
    ],
)
def test_a_wrong_argument_gets_one_sentence(call, says):
    denoiser = kd.Denoiser(kd.plan(1, 8), noise="gaussian:0.5")
    with pytest.raises(kd.UsageError, match=re.escape(says)):
        call(denoiser, np.zeros((4, 28, 28), "uint8"))


def test_a_second_fit_draws_other_noise(tiny, monkeypatch):
    """Three calls of one epoch see the batches of one call of three epochs."""
    images = np.asarray(tiny.train)

    def seen(calls):
        denoiser = kd.Denoiser(kd.plan(1, 4, (8, 8, 1)), noise="gaussian:0.5")
        found = []
        draw = NoisyCleanPairs.__getitem__

        def kept(pairs, index):
            item = draw(pairs, index)
            found.append(float(np.sum(item[0], dtype=np.float64)))
            return item

        monkeypatch.setattr(NoisyCleanPairs, "__getitem__", kept)
        for epochs in calls:
            denoiser.fit(images, epochs=epochs, fast=False, verbose=0)
        monkeypatch.setattr(NoisyCleanPairs, "__getitem__", draw)
        return list(dict.fromkeys(found))

    assert seen([1, 1, 1]) == seen([3])
    assert len(seen([1, 1])) == 2 * -(-len(images) // 64)


@dataclass(frozen=True)
class Stripes:
    """A noise that is no row of `NOISES`."""

    kind: ClassVar[str] = "stripes"
    strength: float = 0.3
    clip: bool = True

    def __call__(self, clean, rng):
        rows = rng.normal(0, self.strength, (len(clean), clean.shape[1], 1, 1))
        return (clean + rows).clip(0, 1).astype(np.float32)


def test_a_model_of_a_noise_of_your_own_is_loaded(tiny, tmp_path):
    denoiser = kd.Denoiser(kd.plan(1, 4, (8, 8, 1)), noise=Stripes())
    denoiser.fit(np.asarray(tiny.train), epochs=1, verbose=0)
    denoiser.save(tmp_path / "mine.keras")
    again = kd.Denoiser.from_preset(tmp_path / "mine.keras")
    assert again.card["noise"] == {"kind": "stripes", "strength": 0.3, "clip": True}
    image = np.asarray(tiny.train)[0]
    assert np.array_equal(again.denoise(image), denoiser.denoise(image))
    with pytest.raises(kd.UsageError, match="no noise to train or evaluate on"):
        again.evaluate(np.asarray(tiny.train))


def test_a_function_is_no_noise():
    with pytest.raises(kd.UsageError, match="or a dataclass with `kind` and `clip`"):
        kd.Denoiser(kd.plan(1, 4, (8, 8, 1)), noise=lambda clean, rng: clean)


def test_lists_of_images_are_taken(tiny):
    images = [list(image) for image in np.asarray(tiny.train)[:, :, :, 0] / 255.0]
    assert len(NoisyCleanPairs(images, "gaussian:0.5")) >= 1
    assert kd.Splits.from_arrays(images, images[:4]).image_shape == (8, 8, 1)


def test_save_keeps_the_range_and_the_noise(tmp_path, digits):
    model = kd.load("DAE_1_5")
    denoiser = kd.Denoiser(model, noise="gaussian:0.5", value_range=(0, 4080))
    counts = noisy_digit(digits)[1].astype(np.uint16) * 16
    denoiser.calibrate(
        *(digits.train[:100].astype(np.uint16) * 16,),
        digits.validation[:200].astype(np.uint16) * 16,
    )
    denoiser.save(tmp_path / "mine.keras")
    again = kd.Denoiser.from_preset(tmp_path / "mine.keras")
    assert again.noise == denoiser.noise
    assert (again.denoise(counts) == denoiser.denoise(counts)).all()
    of_both = [
        one.denoise(counts, return_interval=True)[1] for one in (again, denoiser)
    ]
    assert (of_both[0] == of_both[1]).all()


def test_an_interrupted_fit_keeps_no_card_of_other_weights(digits):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    denoiser = kd.Denoiser.from_preset("DAE_1_5")
    assert "figures" in denoiser.card
    with pytest.raises(KeyboardInterrupt):
        denoiser.fit(digits.train[:64], epochs=2, callbacks=[Stop()], verbose=0)
    assert not {"figures", "training", "input", "seed"} & set(denoiser.card)
    assert denoiser._epochs == 2


def test_training_goes_on_with_the_seed_of_the_run(tiny, tmp_path):
    config = kd.make_config({"depth": 1, "latent": 5, "epochs": 1, "seed": 3})
    denoiser = kd.Denoiser.train(config, tiny, tmp_path)
    assert (denoiser.seed, denoiser._epochs) == (3, 1)


def test_compare_shows_each_denoiser_or_refuses_it(digits):
    images = digits.test[:5]

    def changes(noisy):
        noisy *= 0
        return noisy

    with pytest.raises(KerasDAEError, match="mine changes its input"):
        kd.compare({"mine": changes}, images, noise="gaussian:0.5")
    with pytest.raises(UsageError, match="must not have the name of a baseline"):
        kd.compare({"noisy input": "DAE_1_5"}, images, noise="gaussian:0.5")
    alone = kd.compare(
        {"noisy input": "DAE_1_5"}, images, noise="gaussian:0.5", baselines=()
    )
    assert list(alone.rows) == ["noisy input"]
    denoiser = kd.Denoiser.from_preset("DAE_1_5")
    for given in (denoiser, [denoiser, denoiser], changes):
        with pytest.raises(UsageError, match="in a dict, name -> denoiser"):
            kd.compare(given, images, noise="gaussian:0.5")
    found = kd.compare(
        ["DAE_1_5"], images, noise="gaussian:0.5", baselines="median 3x3"
    )
    assert list(found.rows) == ["DAE_1_5", "median 3x3"]
    assert "no denoiser" in repr(kd.compare({}, images, noise="blur:1", baselines=()))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda d, x: kd.Denoiser(d.model, value_range=5), "two numbers"),
        (lambda d, x: kd.Denoiser(d.model, value_range=("a", "b")), "two numbers"),
        (lambda d, x: kd.Denoiser(d.model, value_range=(None, None)), "two numbers"),
        (lambda d, x: kd.Denoiser(d.model, value_range=(0, 1e39)), "both finite"),
        (lambda d, x: kd.denoise_by_itself(x[0], value_range=(0, 1, 2)), "two numbers"),
        (lambda d, x: kd.Denoiser(keras.Sequential()), "is not built yet"),
        (lambda d, x: d.fit(x[:0] / 255), "at least one image"),
        (lambda d, x: d.evaluate(x, seed=-1), "seed must be a whole number"),
        (lambda d, x: d.evaluate(x, seed=1.5), "seed must be a whole number"),
        (
            lambda d, x: kd.Denoiser(d.model, value_range=(0, 1)).denoise(x[0] + 1j),
            "one of the types",
        ),
        (lambda d, x: kd.make_config(None), "A configuration is a dict"),
        (lambda d, x: d.fit(x, targets="noisy", loss="mae"), "need the loss mse"),
        (
            lambda d, x: kd.compare({}, x, noise="blur:1", value_range=(1, 0)),
            "low must be below high",
        ),
    ],
)
def test_wrong_values_get_one_sentence(digits, call, says):
    denoiser = kd.Denoiser.from_preset("DAE_1_5")
    with pytest.raises(UsageError, match=says):
        call(denoiser, digits.test[:4])


def test_tensors_are_taken_as_arrays(digits):
    torch = pytest.importorskip("torch")
    images = torch.from_numpy(np.array(digits.train[:64]))
    denoiser = kd.Denoiser(kd.plan(depth=1, latent=5), noise="gaussian:0.5")
    history = denoiser.fit(images, epochs=1, verbose=0)
    same = kd.Denoiser(kd.plan(depth=1, latent=5), noise="gaussian:0.5")
    expected = same.fit(np.asarray(images), epochs=1, verbose=0)
    assert history.history == expected.history


def test_no_strength_is_the_input_and_flat_images_stay():
    denoiser = kd.Denoiser.from_preset("DAE_1_5")
    image = np.random.default_rng(0).random((28, 28))
    assert (denoiser.denoise(image, strength=0) == image).all()
    for shape in ((28, 28), (40, 30)):
        flat = np.full(shape, 128, np.uint8)
        assert (denoiser.denoise(flat) == flat).all()


def test_an_archive_has_the_name_of_its_model(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    kd.Denoiser.from_preset("photo").save(tmp_path / "my-own.keras")
    kd.export(tmp_path / "my-own.keras", tmp_path / "a.dtmodel")
    with zipfile.ZipFile(tmp_path / "a.dtmodel") as archive:
        assert all("keras-dae-my-own/" in name for name in archive.namelist())
