"""The command `page`: what is in the file, and what it refuses."""

import base64
import json
import os
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from keras_dae.images.datasets import load
from keras_dae.models.files import save
from keras_dae.page import page
from keras_dae.page.page import MOST_BYTES
from keras_dae.page.samples import UNTRAINED, take_samples
from tests.commands import run, sentence

MNIST = os.environ.get("KERAS_DAE_DATA")  # tests themselves do not see it


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The page as the command writes it by default, and what the command says."""
    path = tmp_path_factory.mktemp("page") / "dae.html"
    done = run("page", "-o", path, "--json")
    assert done.exit_code == 0, done.output
    return path, json.loads(done.stdout)


def content(path):
    """Return the models and test images in a page."""
    pattern = r'<script type="application/json" id="content">(.*?)</script>'
    (found,) = re.findall(pattern, path.read_text(), re.DOTALL)
    return json.loads(found)


def test_the_page_holds_the_nine_and_photo_in_three_megabytes(written):
    path, row = written
    names = [f"DAE_{depth}_{latent}" for depth in (1, 3, 5) for latent in (13, 8, 5)]
    assert row["models"] == [model["name"] for model in content(path)["models"]]
    assert row["models"] == [*names, "photo"]
    assert row["bytes"] == path.stat().st_size <= MOST_BYTES == 3_000_000


def test_nothing_is_loaded_from_elsewhere(written):
    text = written[0].read_text()
    assert "https://" not in text
    assert re.findall(r"http://[^\s\"']*", text) == []
    assert re.findall(r'\b(?:src|href)="([^"]*)"', text) == ["data:,"]
    assert re.findall(r"\bfetch\(|XMLHttpRequest|import\(|importScripts", text) == []
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src &#39;none&#39;; script-src &#39;sha256-")
    assert "unsafe" not in policy


def test_the_test_images_are_twelve_digits_of_each_class(written, digits):
    shown = content(written[0])["samples"]
    pixels = [base64.b64decode(one["pixels"]) for one in shown]
    wanted = [np.asarray(digits.test[n : n + 1]).tobytes() for n in UNTRAINED]
    assert pixels == wanted
    classes = [re.search(r"class (\d)", one["about"])[1] for one in shown]
    assert classes == sorted(classes)
    assert set(classes) == set("0123456789")


@pytest.mark.skipif(not MNIST, reason="KERAS_DAE_DATA names no folder with mnist.npz")
def test_the_models_of_the_package_did_not_train_on_the_test_images(digits):
    splits = load("mnist", MNIST)
    trained, validated = (
        {image.tobytes() for image in np.asarray(part)}
        for part in (splits.train, splits.validation)
    )
    shown = {np.asarray(digits.test[n]).tobytes() for n in UNTRAINED}
    assert len(shown) == 12
    assert shown <= validated
    assert not shown & trained


def test_test_images_of_other_data_are_spread_over_the_classes(tmp_path):
    images = np.arange(40, dtype=np.uint8).reshape(40, 1, 1) * np.ones(
        (28, 28), "uint8"
    )
    labels = np.array([3] * 20 + [5] * 20)
    parts = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    np.savez(tmp_path / "mine.npz", **parts)
    found = take_samples(f"npz:{tmp_path}/mine.npz")
    assert found.labels == (3,) * 6 + (5,) * 6
    chosen = np.array([0, 1, 2, 3, 4, 5, 20, 21, 22, 23, 24, 25])
    assert found.images[:, 0, 0].tolist() == np.rint(255 * chosen / 39).tolist()


def test_test_images_of_another_size_are_refused(tmp_path):
    images = np.arange(320, dtype=np.uint8).reshape(5, 8, 8)
    np.savez(tmp_path / "mine.npz", x_train=images, x_test=images)
    out = tmp_path / "dae.html"
    done = run("page", "-o", out, "--data", f"npz:{tmp_path}/mine.npz")
    assert "28x28 pixels" in sentence(done, 2)
    assert not out.exists()


def saved(tmp_path, *made, shape=(28, 28, 1)):
    path = tmp_path / "mine.keras"
    save(keras.Sequential([keras.Input(shape), *made], name="mine"), path)
    return path


def test_a_model_of_your_own_stands_beside_the_nine_or_alone(tmp_path):
    path = saved(tmp_path, layers.Conv2D(1, 3, padding="same"))
    out = tmp_path / "dae.html"
    done = run("page", "-o", out, "--model", path, "--only", "--json")
    assert done.exit_code == 0, done.output
    (model,) = content(out)["models"]
    assert (model["name"], model["command"]) == ("mine", str(path))
    assert model["digits"]
    assert not model["photographs"]
    assert model["about"] == "10 parameters"


def test_a_run_stands_beside_the_nine(tmp_path):
    golden = Path(__file__).parents[1] / "golden/study/runs/npz-digits-DAE_1_5-seed0"
    out = tmp_path / "dae.html"
    done = run("page", "-o", out, "--model", golden, "--model", "photo-gray", "--json")
    assert done.exit_code == 0, done.output
    models = {model["name"]: model for model in content(out)["models"]}
    assert len(models) == 12
    own = models[golden.name]
    assert own["sides"] == [12, 12]
    assert not own["digits"]
    assert (own["depth"], own["maps"], own["latentSide"]) == (1, 4, "5 x 5")
    assert not models["photo"]["digits"]
    assert models["photo-gray"]["digits"]  # grey images of any size
    assert models["photo-gray"]["reach"] == {"pixels": 16, "period": 2}


def test_photo_is_left_out_where_the_page_would_be_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "MOST_BYTES", 2_000_000)
    done = run("page", "-o", tmp_path / "dae.html")
    assert done.exit_code == 0, done.output
    assert "--model photo adds it" in done.stderr
    assert len(content(tmp_path / "dae.html")["models"]) == 9


def test_weights_of_32_bits_are_asked_for(tmp_path):
    out = tmp_path / "dae.html"
    words = ["--only", "--model", "DAE_3_5", "--weights", "float32"]
    done = run("page", "-o", out, *words, "--json")
    assert done.exit_code == 0, done.output
    (model,) = content(out)["models"]
    types = [model["weights"][part]["type"] for part in ("small", "large")]
    assert types == ["float32", "float32"]


SAME = {"padding": "same"}
HUGE = {"kernel_initializer": keras.initializers.Constant(1e5)}
REFUSED = {
    "class Dense": [layers.Dense(1)],
    "dilation_rate=(2, 2)": [layers.Conv2D(1, 3, dilation_rate=2, **SAME)],
    "activation 'elu'": [layers.Conv2D(1, 1, activation="elu")],
    "the same shape": [layers.Conv2D(1, 3)],
    "1 or 3 channels": [layers.Conv2D(3, 1)],
    "axis=1": [layers.BatchNormalization(axis=1)],
    "bilinear": [layers.UpSampling2D(1, interpolation="bilinear")],
    "do not fit float16": [
        layers.Conv2D(70, 1),
        layers.Conv2D(1, 9, **SAME, **HUGE),
    ],
}


@pytest.mark.parametrize("said", REFUSED)
def test_models_that_cannot_run_are_refused_in_a_sentence(tmp_path, said):
    out = tmp_path / "dae.html"
    path = saved(tmp_path, *REFUSED[said])
    done = run("page", "-o", out, "--only", "--model", path)
    assert said in sentence(done, 1)
    assert not out.exists()


def test_usage_is_checked_before_anything_is_loaded(tmp_path):
    out = tmp_path / "dae.html"
    assert "no model none" in sentence(run("page", "-o", out, "--model", "none"), 2)
    assert "needs at least one --model" in sentence(run("page", "-o", out, "--only"), 2)
    assert "data must be" in sentence(run("page", "-o", out, "--data", "none"), 2)
    assert not out.exists()
    out.write_text("mine")
    assert "--overwrite replaces it" in sentence(run("page", "-o", out), 2)
    assert out.read_text() == "mine"


def test_models_of_one_file_name_have_names_of_their_own(tmp_path):
    paths = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        paths.append(saved(tmp_path / folder, layers.Conv2D(1, 3, padding="same")))
    out, words = tmp_path / "dae.html", ["--only", "--json"]
    named = [word for path in (*paths, paths[0]) for word in ("--model", path)]
    done = run("page", "-o", out, *named, *words)
    assert done.exit_code == 0, done.output
    names = [str(path).removesuffix(".keras") for path in paths]
    assert [model["name"] for model in content(out)["models"]] == names
