"""The denoiser of photographs: its size, its answers, what it ships with."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_dae as kd
from keras_dae.denoising.trained import pretrained_cards
from keras_dae.errors import UsageError
from keras_dae.models.photo import PhotoSpec, build_photo, torch_weights
from keras_dae.system.backend import BACKENDS
from keras_dae.system.own import PRESETS
from keras_dae.training.fast.steps import answer

# Made by PyTorch alone: python -m benchmarks.photo_golden PROGRAM
GOLDEN = Path(__file__).parents[1] / "golden" / "photo.npz"
NAMES = {"photo": 3, "photo-gray": 1}
ANSWERS = """
import sys
import keras
import numpy as np
from keras_dae.system import backend
backend.select("cpu", 1)
import keras_dae as kd
given, answers = np.load(sys.argv[1]), {}
for name in ("photo", "photo-gray"):
    images = given[f"{name} images"]
    answers[name] = np.asarray(kd.load(name).predict(images, verbose=0))
np.savez(sys.argv[2], **answers)
"""


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN, allow_pickle=False) as arrays:
        return dict(arrays)


def answers_on(backend, folder):
    path = folder / f"{backend}.npz"
    done = subprocess.run(
        [sys.executable, "-c", ANSWERS, str(GOLDEN), str(path)],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return np.load(path)


@pytest.mark.parametrize("backend", list(BACKENDS))
def test_presets_answer_as_the_pytorch_program_does(backend, golden, tmp_path):
    if importlib.util.find_spec(BACKENDS[backend]) is None:
        pytest.skip(f"{backend} is not installed")
    answers = answers_on(backend, tmp_path)
    for name in NAMES:
        away = np.abs(answers[name] - golden[f"{name} shipped"]).max()
        assert away < 1e-5
        removed = np.abs(golden[f"{name} images"] - golden[f"{name} shipped"])
        assert removed.mean() > 0.1  # these images are noise alone


@pytest.mark.parametrize("name", NAMES)
def test_rounded_weights_change_less_than_a_tenth_of_a_grey_level(name, golden):
    model = kd.load(name)
    answer = np.asarray(model.predict_on_batch(golden[f"{name} images"]))
    away = np.abs(answer - golden[f"{name} trained"]).max()
    assert 0 < 255 * away < 0.1


def test_presets_are_small():
    sizes = [(PRESETS / f"{name}.keras").stat().st_size for name in NAMES]
    assert sum(sizes) < 2_000_000


@pytest.mark.parametrize(("name", "channels"), NAMES.items())
def test_a_card_says_what_the_file_is_and_how_it_came_to_be(name, channels):
    card, model = pretrained_cards()[name], kd.load(name)
    assert list(model.input_shape[1:]) == card["image_shape"] == [None, None, channels]
    assert model.count_params() == card["parameters"] < 500_000
    blocks = {"photo": 6, "photo-gray": 3}[name]
    assert PhotoSpec(channels, blocks).parameters == card["parameters"]
    assert "H100" in card["training"]["hardware"]
    seconds = {"photo": 1900, "photo-gray": 385}[name]
    assert card["training"]["seconds"] == seconds
    assert (card["training"]["fine_tuned"] is None) == (name == "photo-gray")
    for figures in card["figures"].values():
        assert figures["psnr"] > 27.9


def test_each_photograph_has_an_author_and_a_licence():
    table = Path(__file__).parents[2] / "docs" / "photographs.tsv"
    heads, *rows = [line.split("\t") for line in table.read_text().splitlines()]
    author, licence = heads.index("author"), heads.index("licence")
    assert sum(row[0].startswith("train/") for row in rows) == 182
    assert sum(row[0].startswith("val/") for row in rows) == 18
    assert all(row[author].strip() and row[licence].strip() for row in rows)


@pytest.mark.parametrize("spec", [PhotoSpec(1, 1, 4), PhotoSpec(3, 6), PhotoSpec(2, 2)])
def test_a_model_has_the_parameters_of_its_spec_and_takes_any_even_size(spec):
    model = build_photo(spec)
    assert model.count_params() == spec.parameters
    for shape in [(1, 6, 10, spec.channels), (2, 8, 4, spec.channels)]:
        image = np.ones(shape, np.float32)
        assert model.predict_on_batch(image).shape == shape


def test_twice_the_image_gets_twice_the_answer():
    model = kd.load("photo-gray")
    image = np.random.default_rng(0).random((1, 16, 16, 1), dtype=np.float32)
    once, twice = (np.asarray(model.predict_on_batch(n * image)) for n in (1, 2))
    assert np.abs(twice - 2 * once).max() < 1e-5


@pytest.mark.parametrize("name", ["channels", "blocks", "filters"])
def test_a_spec_below_one_is_refused(name):
    with pytest.raises(UsageError, match=rf"{name} must be at least 1.*{name}=0"):
        PhotoSpec(**{name: 0})


def test_weights_come_in_the_order_of_the_layers():
    spec = PhotoSpec(1, blocks=1, filters=2)
    shapes = {"head": (2, 1, 4, 4), "enc.0.0.a": (2, 2, 3, 3)}
    shapes |= {"tail": (2, 1, 4, 4), "enc.0.0.b": (2, 2, 3, 3)}
    arrays = {
        f"{key}.weight": np.full(shape, number, np.float32)
        for number, (key, shape) in enumerate(shapes.items())
    }
    model = build_photo(spec)
    model.set_weights(torch_weights(arrays))
    by_layer = {layer.name: layer.get_weights() for layer in model.layers}
    values = {name: weights[0].flat[0] for name, weights in by_layer.items() if weights}
    assert values == {"down": 0, "block_1_a": 1, "block_1_b": 3, "noise": 2}


def test_the_fast_pass_on_torch_takes_the_presets(golden):
    for name in NAMES:
        fast = answer(kd.load(name))
        assert fast is not None
        away = np.abs(fast(golden[f"{name} images"]) - golden[f"{name} shipped"]).max()
        assert away < 1e-5


@pytest.mark.parametrize("sides", [(12, 10), (13, 10), (12, 11), (7, 9)])
def test_the_fast_pass_pads_open_sides_as_keras_does(sides):
    image = keras.Input((None, None, 1))
    conv = keras.layers.Conv2D(3, 4, strides=2, padding="same", use_bias=False)
    model = keras.Model(image, conv(image))
    given = np.random.default_rng(0).random((2, *sides, 1), dtype=np.float32)
    fast = answer(model)
    assert fast is not None
    expected = np.asarray(model.predict_on_batch(given))
    assert np.abs(fast(given) - expected).max() < 1e-6
