"""What `train` and `evaluate` say beside their results."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import keras_dae as kd
from keras_dae.commands.common import measurable
from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.images.io.pictures import UnreadableError
from keras_dae.study.report.tables import new_table
from keras_dae.system.terminal import Terminal, fits, listed
from keras_dae.training.runs import RunFolder, find_runs
from keras_dae.training.starting import start_options
from keras_dae.training.sweep import sweep
from tests.commands import run, sentence

SHORT = ["--data", "mnist5k", "--train-images", "64", "--validation-images", "64"]
SHORT += ["--depth", "1", "--latent", "5", "--epochs", "1"]
RUN = Path(__file__).parent / "golden/study/runs/npz-digits-DAE_1_5-seed0"


def test_a_model_worse_than_no_denoising_is_warned_of(tmp_path):
    done = run("train", *SHORT, "--sigma", "0.1", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    assert "Warning: the model is worse than no denoising" in done.stderr
    done = run("train", *SHORT, "--sigma", "0.9", "--no-clip", "--out", tmp_path / "b")
    assert done.exit_code == 0, done.output
    assert "worse than no denoising" not in done.stderr


def test_sigma_on_the_scale_of_255_is_warned_of(tmp_path):
    done = run("train", *SHORT, "--sigma", "30", "--out", tmp_path)
    assert "sigma is on the scale from 0 to 1; 30 of 255 is 0.118" in done.stderr


def test_a_run_that_is_there_is_named_before_anything_is_estimated(tmp_path):
    assert run("train", *SHORT, "--out", tmp_path).exit_code == 0
    again = run("train", *SHORT, "--out", tmp_path)
    assert "already holds a run" in sentence(again, 2)
    assert "takes about" not in again.stderr


def test_an_interrupted_run_is_named(tmp_path):
    folder = tmp_path / RUN.name
    shutil.copytree(RUN, folder)
    shutil.copy(RUN.parents[2] / "digits.npz", tmp_path)
    record = json.loads((folder / "config.json").read_text())
    record["config"]["epochs"] = 99
    record["config"]["data"] = f"npz:{tmp_path}/digits.npz"
    record["dataset"]["name"] = f"npz:{tmp_path}/digits.npz"
    (folder / "config.json").write_text(json.dumps(record))
    done = run("evaluate", folder)
    assert "was interrupted after 2 of 99 epochs" in done.stderr


def test_an_onnx_file_is_named_as_such(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"onnx")
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(tmp_path / "a.png")
    words = ["denoise", tmp_path / "a.png", "-o", tmp_path, "--model"]
    assert "is an ONNX file" in sentence(run(*words, tmp_path / "a.onnx"), 2)


def test_an_error_names_the_file(tmp_path):
    model = kd.Denoiser(kd.plan(depth=1, latent=8), noise="gaussian:0.5")
    with pytest.raises(UnreadableError, match=r"nosuch\.png there is no such file"):
        model.denoise(tmp_path / "nosuch.png")


def test_data_have_a_short_representation():
    shown = repr(kd.load_data("mnist5k"))
    assert shown == (
        "Splits('mnist5k', train=3,200, validation=800, test=1,000, "
        "images of 28x28x1, uint8)"
    )


def test_a_table_that_does_not_fit_is_a_list():
    table = new_table("Some rows", "a model of a long name", "test MSE", caption="end")
    table.add_row("DAE_5_13", "0.008600000001")
    table.add_row("b\x1b[31m", "")
    console = Terminal()
    console.width = 80
    assert fits(table, console)
    console.width = 24
    assert not fits(table, console)
    assert listed(table).plain.splitlines() == [
        "Some rows",
        "a model of a long name  DAE_5_13",
        "test MSE                0.008600000001",
        "",
        r"a model of a long name  b\x1b[31m",
        "",
        "end",
    ]


def test_a_refused_training_leaves_no_run(tmp_path):
    words = [word for word in SHORT if word not in ("--depth", "--latent", "1", "5")]
    words += ["1", "--start", "DAE_1_5", "--out", tmp_path]
    refused = run("train", *words, "--latent", "8")
    assert "another architecture than the model to train" in sentence(refused, 2)
    assert not list(tmp_path.glob("*/config.json"))
    assert run("train", *words).exit_code == 0
    (record,) = tmp_path.glob("*/config.json")
    assert json.loads(record.read_text())["config"]["latent"] == 5


def test_options_that_the_start_excludes_are_refused(tmp_path):
    words = ["train", "--start", "photo", "--data", f"folder:{tmp_path}"]
    refused = run(*words, "--depth", "3", "--out", tmp_path)
    assert "depth and latent apply only to the models" in sentence(refused, 2)


def test_the_filters_of_a_start_are_those_of_the_run(tmp_path):
    kd.Denoiser(kd.plan(depth=3, latent=8, filters=6)).save(tmp_path / "a.keras")
    assert start_options(str(tmp_path / "a.keras"))["filters"] == 6
    assert "filters" not in start_options("DAE_3_8")


def test_a_finished_run_of_other_data_is_not_skipped(tmp_path):
    folder = tmp_path / RUN.name
    shutil.copytree(RUN, folder)
    with np.load(RUN.parents[2] / "digits.npz") as file:
        arrays = dict(file)
    record = json.loads((folder / "config.json").read_text())
    name = f"npz:{tmp_path}/digits.npz"
    record["config"]["data"] = record["dataset"]["name"] = name
    (folder / "config.json").write_text(json.dumps(record))
    config = RunFolder(folder).config()
    np.savez(tmp_path / "digits.npz", **arrays)
    (job,) = sweep([config], tmp_path)
    assert job.state == "skipped"
    images = next(key for key in arrays if arrays[key].ndim > 1)
    arrays[images] = 255 - arrays[images]
    np.savez(tmp_path / "digits.npz", **arrays)
    with pytest.raises(KerasDAEError, match="does not hold the images that"):
        sweep([config], tmp_path)


def test_models_of_a_study_share_their_setting(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('data = "mnist5k"\nepochs = 1\n[by_model.3]\ntrain_images = 64\n')
    words = ["--config", recipe, "--depths", "1,3", "--latents", "8", "--seeds", "1"]
    refused = sentence(run("reproduce", *words, "--out", tmp_path / "out"), 2)
    assert "A study compares runs with the same train images" in refused


def test_runs_that_cannot_be_measured_are_left_out(tmp_path, capsys):
    shutil.copytree(RUN, tmp_path / "a")
    shutil.copytree(RUN, tmp_path / "b")
    (tmp_path / "b" / "model.keras").unlink()
    a, b = find_runs(tmp_path)
    assert measurable([a, b]) == [a]
    assert "no finished epoch yet; left out" in capsys.readouterr().err
    with pytest.raises(KerasDAEError, match="None of the runs can be measured"):
        measurable([b])
    shutil.copytree(RUN, tmp_path / "c")
    record = json.loads((tmp_path / "c" / "config.json").read_text())
    record["config"] |= {"noisy_files": True, "targets": "blind-spot"}
    record["config"] |= {"data": f"folder:{tmp_path}"}
    (tmp_path / "c" / "config.json").write_text(json.dumps(record))
    c = RunFolder(tmp_path / "c")
    assert measurable([a, c], named=False) == [a]
    assert measurable([a, c]) == [a, c]


def test_rate_is_refused_with_what_its_steps_lack():
    for more in ({"averaging": 0.9}, {"clip_norm": 1.0}):
        with pytest.raises(UsageError, match="rate cannot be combined with averaging"):
            kd.make_config({"rate": 0.003, **more})
