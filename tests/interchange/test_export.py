"""Exported models: compared before they are kept, described, refused with a reason."""

import hashlib
import json
import threading
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_dae.commands.interchange import FORMATS, GENERAL
from keras_dae.errors import KerasDAEError
from keras_dae.interchange import export as exporting
from keras_dae.interchange import formats, parity
from keras_dae.interchange.formats import EXPORTS, KEY
from keras_dae.interchange.process import Worker
from keras_dae.models.files import save
from keras_dae.system.limits import UNBOUNDED
from keras_dae.system.own import PRESETS
from tests.commands import run, sentence

MODEL = PRESETS / "DAE_1_5.keras"
NINE = sorted(PRESETS.glob("DAE_*.keras"))
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory):
    """DAE_1_5 in ONNX, with the row that the command printed."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    out = tmp_path_factory.mktemp("onnx") / "model.onnx"
    result = run("export", "DAE_1_5", "--format", "onnx", "-o", out, "--json")
    assert result.exit_code == 0, result.output
    return out, json.loads(result.stdout)


@pytest.fixture
def absent(monkeypatch):
    """Play that no optional package is installed."""
    monkeypatch.setattr(formats, "find_spec", lambda name: None)


def test_the_command_offers_each_format():
    assert tuple(EXPORTS) == FORMATS
    assert formats.GENERAL == GENERAL


def test_onnx_answers_as_keras_does(onnx_file):
    import keras
    import onnxruntime

    out, row = onnx_file
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    assert row["bytes"] == out.stat().st_size
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    images = np.random.default_rng(7).random((3, 28, 28, 1), dtype=np.float32)
    given = session.run(None, {session.get_inputs()[0].name: images})[0]
    model = keras.models.load_model(MODEL, compile=False)
    expected = np.asarray(model.predict_on_batch(images))
    assert np.abs(given - expected).max() <= 1e-5
    assert 0 <= row["max_difference"] <= 1e-5


def test_onnx_carries_the_card(onnx_file):
    import onnx

    entries = {
        entry.key: entry.value for entry in onnx.load(onnx_file[0]).metadata_props
    }
    card = json.loads(entries[KEY])
    assert card["name"] == "DAE_1_5"
    assert card["noise"]["kind"] == "gaussian"
    assert "float32" in card["preprocessing"]


def test_parity_of_torch_and_onnx(onnx_file, monkeypatch):
    """What was exported before is compared again, which saves exporting it twice."""

    def copy(worker, bounds, model, name, out, card):
        assert (model, name) == (MODEL, "onnx")
        out.write_bytes(onnx_file[0].read_bytes())

    monkeypatch.setattr(parity, "ANSWERING", {})
    monkeypatch.setattr(parity, "write_format", copy)
    monkeypatch.setattr("keras_dae.commands.interchange.GENERAL", ("onnx",))
    result = run("parity", "DAE_1_5", "--json")
    assert result.exit_code == 0, result.output
    torch_row, onnx_row = json.loads(result.stdout)["rows"]
    assert (torch_row["runtime"], torch_row["form"]) == ("torch", "backend")
    assert (onnx_row["runtime"], onnx_row["form"]) == ("onnx", "exported")
    assert {torch_row["state"], onnx_row["state"]} == {"same"}
    assert 0 <= onnx_row["max_difference"] <= 1e-5
    assert min(row["milliseconds_per_image"] for row in (torch_row, onnx_row)) > 0
    told = [line for line in result.stderr.splitlines() if " of 2: " in line]
    assert [line.split(":")[0] for line in told] == ["1 of 2", "2 of 2"]


@pytest.mark.slow  # imports each backend, and exports each format
def test_parity_of_all_nine_on_all_that_is_installed():
    result = run("parity", "--json")
    record = json.loads(result.stdout)
    rows = record["rows"]
    assert len(rows) == 9 * (1 + len(parity.ANSWERING) + len(GENERAL))
    assert {row["state"] for row in rows} <= {"same", "absent"}
    assert max(row["max_difference"] or 0 for row in rows) <= record["bound"] == 1e-5
    assert record["versions"]["torch"] == version("torch")
    assert result.exit_code == 0


def test_the_committed_parity_is_of_the_files_in_the_package():
    """artifacts/parity.json: every runtime, every model, below 1e-5."""
    rows = json.loads((ROOT / "artifacts/parity.json").read_text())["rows"]
    files = {p.stem: hashlib.sha256(p.read_bytes()).hexdigest() for p in NINE}
    assert {row["model"]: row["sha256"] for row in rows} == files
    for model in files:
        own = {row["runtime"]: row for row in rows if row["model"] == model}
        assert {"torch", "jax", "tensorflow", "numpy", *GENERAL} <= set(own)
        assert all(row["max_difference"] < 1e-5 for row in own.values())


# Without a process: what is kept, what is said


@pytest.fixture
def played(monkeypatch):
    """Play exports that write a file, and answers that `difference` says."""
    monkeypatch.setattr(formats, "find_spec", lambda name: True)
    differences = {"onnx": 0.0, "jax": 0.0}

    def write(worker, bounds, model, name, out, card):
        Path(out).write_text(name)

    def answers(worker, bounds, model, name, images, repeats=1):
        difference = differences.get(name, differences.get(worker.backend, 0.0))
        return images + difference, {"milliseconds_per_image": 1.0}

    for module in (exporting, parity):
        monkeypatch.setattr(module, "write_format", write)
        monkeypatch.setattr(module, "answers", answers)
    return differences


@pytest.mark.parametrize("difference", [2e-5, float("nan")])
def test_answers_that_differ_are_not_kept(played, tmp_path, difference):
    played["onnx"] = difference
    out = tmp_path / "new" / "model.onnx"
    line = sentence(run("export", "DAE_1_5", "--format", "onnx", "-o", out), 1)
    assert "it was not kept" in line
    assert list(out.parent.iterdir()) == []
    out.write_text("mine")
    words = ["export", "DAE_1_5", "--format", "onnx", "-o", out, "--overwrite"]
    sentence(run(*words), 1)
    assert out.read_text() == "mine"
    played["onnx"] = 0.0
    assert run(*words).exit_code == 0
    assert out.read_text() == "onnx"
    assert list(out.parent.iterdir()) == [out]


def test_an_export_is_not_overwritten_unasked(tmp_path):
    out = tmp_path / "model.onnx"
    out.write_text("mine")
    line = sentence(run("export", "DAE_1_5", "--format", "onnx", "-o", out), 2)
    assert "exists; --overwrite replaces it" in line
    assert out.read_text() == "mine"


def test_two_exports_to_one_file(played, tmp_path, other):
    """The second waits, says for whom, and writes over nothing unasked."""
    out = tmp_path / "model.onnx"
    holder = other(out, beside=True, writes=[out])
    threading.Timer(0.7, holder.stdin.close).start()
    result = run("export", "DAE_1_5", "--format", "onnx", "-o", out)
    assert f"(number {holder.pid}); waiting for it to end" in result.stderr
    assert "exists; --overwrite replaces it" in sentence(result, 2)
    assert out.read_text() == "of the other process"
    assert list(tmp_path.iterdir()) == [out]


def test_an_old_file_never_stands_beside_new_companions(tmp_path):
    """It goes before they come: what is struck in between leaves no such pair."""
    made = tmp_path / "made"
    made.mkdir()
    out = tmp_path / "model.xml"
    for name, words in (("model.bin", "weights"), ("model.xml", "names them")):
        (made / name).write_text(f"new {words}")
        (tmp_path / name).write_text(f"old {words}")
    (tmp_path / "model.bin").unlink()
    (tmp_path / "model.bin").mkdir()  # so that moving the first of them fails
    with pytest.raises(OSError):
        exporting._move(made, out, tmp_path)
    assert not out.exists()
    (tmp_path / "model.bin").rmdir()
    assert exporting._move(made, out, tmp_path) == [out, tmp_path / "model.bin"]
    assert out.read_text() == "new names them"


@pytest.mark.parametrize("name", EXPORTS)
def test_an_output_of_another_ending(tmp_path, name):
    out = tmp_path / "model.bin"
    line = sentence(run("export", "DAE_1_5", "--format", name, "-o", out), 2)
    assert EXPORTS[name].suffix in line
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named_with_what_brings_it(absent, tmp_path):
    out = tmp_path / "model.onnx"
    line = sentence(run("export", "DAE_1_5", "--format", "onnx", "-o", out), 1)
    assert "onnx needs onnx, onnxscript, onnxruntime, not installed here" in line
    assert 'pip install "keras-dae[onnx]"' in line
    assert list(tmp_path.iterdir()) == []


def test_parity_says_what_differs_fails_or_is_absent(played, monkeypatch):
    played["jax"] = 3e-5
    monkeypatch.setattr(parity, "find_spec", lambda name: name != "tensorflow")

    def fails(worker, bounds, model, name, out, card):
        raise KerasDAEError(f"{name} on torch failed to export: no words.")

    monkeypatch.setattr(parity, "write_format", fails)
    monkeypatch.setattr("keras_dae.commands.interchange.GENERAL", ("onnx",))
    result = run("parity", "DAE_1_5", "--json")
    assert "onnx on torch failed to export: no words" in sentence(result, 1)
    states = {row["runtime"]: row["state"] for row in json.loads(result.stdout)["rows"]}
    assert states == {
        "torch": "same",
        "jax": "differs",
        "tensorflow": "absent",
        "numpy": "same",
        "onnx": "failed",
    }
    table = run("parity", "DAE_1_5")
    assert table.exit_code == 1
    assert all(state in table.stdout for state in states.values())


def test_a_damaged_model_is_one_sentence(tmp_path):
    damaged = tmp_path / "model.keras"
    damaged.write_bytes(MODEL.read_bytes()[:-500])
    out = tmp_path / "model.onnx"
    result = run("export", damaged, "--format", "onnx", "-o", out)
    assert "model.keras" in sentence(result, 1)
    assert not out.exists()


def test_a_model_of_any_size_is_exported_with_open_sides(tmp_path):
    """A convolution over images of any size: ONNX answers other sizes as keras does."""
    onnxruntime = pytest.importorskip("onnxruntime")
    given = keras.Input((None, None, 1))
    answer = keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid")(given)
    model, path = keras.Model(given, answer), tmp_path / "any.keras"
    save(model, path)
    exporting.export(path, "onnx", tmp_path / "any.onnx", {})
    session = onnxruntime.InferenceSession(str(tmp_path / "any.onnx"))
    (taken,) = session.get_inputs()
    images = np.random.default_rng(0).random((3, 20, 36, 1), dtype=np.float32)
    (found,) = session.run(None, {taken.name: images})
    wanted = keras.ops.convert_to_numpy(model(images))
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torch", "saved-model", "litert"])
def test_open_sides_stay_open_in_every_format(tmp_path, name):
    if EXPORTS[name].missing():
        pytest.skip(f"needs {EXPORTS[name].missing()}")
    given = keras.Input((None, None, 1))
    answer = keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid")(given)
    model, path = keras.Model(given, answer), tmp_path / "any.keras"
    save(model, path)
    out = tmp_path / f"any{EXPORTS[name].suffix}"
    exporting.export(path, name, out, {})
    images = np.random.default_rng(0).random((3, 20, 36, 1), dtype=np.float32)
    with Worker(EXPORTS[name].backend, 1) as worker:
        found, _ = exporting.answers(worker, UNBOUNDED, out, name, images)
    wanted = keras.ops.convert_to_numpy(model(images))
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_model_whose_sides_torch_cannot_keep_open_is_one_sentence(tmp_path):
    given = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(2, 4, strides=2, padding="same")(given)
    answer = keras.layers.Conv2DTranspose(1, 4, strides=2, padding="same")(x)
    path = tmp_path / "strides.keras"
    save(keras.Model(given, answer), path)
    result = run("export", path, "--format", "torch", "-o", tmp_path / "it.pt2")
    assert "the formats onnx, saved-model and litert can" in sentence(result, 1)
    assert not (tmp_path / "it.pt2").exists()
