"""The archive for darktable: its fields, its shapes, its answers."""

import json
import zipfile

import keras
import numpy as np
import pytest

from keras_dae.images.io.pictures import pad_to
from keras_dae.interchange.darktable import describe, read_archive
from keras_dae.models.files import load
from keras_dae.system.own import PRESETS
from tests.commands import run, sentence

# As darktable's src/ai/README.md describes config.json: required or not, and values.
FIELDS = {
    **{"id": True, "name": True, "description": False, "task": False},
    **{"backend": False, "num_inputs": False},
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    out = tmp_path_factory.mktemp("darktable") / "photo.dtmodel"
    done = run("export", "photo", "--format", "dtmodel", "-o", out, "--json")
    assert done.exit_code == 0, done.output
    row = json.loads(done.stdout)
    assert row["max_difference"] <= 1e-5
    return out


def test_the_archive_holds_a_folder_of_two_files(archive):
    with zipfile.ZipFile(archive) as opened:
        names = sorted(opened.namelist())
        config = json.loads(opened.read(names[0]))
    folder = config["id"]
    assert names == [f"{folder}/config.json", f"{folder}/model.onnx"]
    assert folder == "denoise-keras-dae-photo"  # TASK-MODEL, lower case and hyphens
    assert all(key in config for key, required in FIELDS.items() if required)
    assert (config["task"], config["backend"], config["num_inputs"]) == (
        *("denoise", "onnx", 1),
    )
    assert config["version"].count(".") == 1


def test_the_model_takes_any_size_by_the_published_names(archive):
    import onnx
    import onnxruntime

    with zipfile.ZipFile(archive) as opened:
        content = opened.read("denoise-keras-dae-photo/model.onnx")
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for end, name in (
        (session.get_inputs(), "input"),
        (session.get_outputs(), "output"),
    ):
        assert [(one.name, one.type, one.shape) for one in end] == [
            (name, "tensor(float)", [1, 3, "height", "width"])
        ]
    card = {one.key: one.value for one in onnx.load_from_string(content).metadata_props}
    assert json.loads(card["keras_dae"])["name"] == "photo"


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 24), (2, 3), (33, 35)])
def test_answers_are_those_of_keras_at_any_size(archive, height, width):
    image = np.random.default_rng(0).random((height, width, 3), dtype=np.float32)
    given = read_archive(archive, 1)(image[None])[0]
    even = pad_to(image, (height + height % 2, width + width % 2))
    model = load(PRESETS / "photo.keras")
    answer = keras.ops.convert_to_numpy(model(even[None]))[0, :height, :width]
    assert given.shape == image.shape
    np.testing.assert_allclose(given, answer.clip(0, 1), atol=1e-5)


@pytest.mark.parametrize("name", ["DAE_1_5", "photo-gray"])
def test_other_models_are_refused(tmp_path, name):
    pytest.importorskip("onnx")
    out = tmp_path / "other.dtmodel"
    done = run("export", name, "--format", "dtmodel", "-o", out)
    assert "for inputs of shape (" in sentence(done, 2)
    assert not out.exists()


def test_the_identifier_is_made_of_what_darktable_takes():
    assert describe({"name": "My Photos_2"})["id"] == "denoise-keras-dae-my-photos-2"
    assert describe({})["id"] == "denoise-keras-dae-photo"
