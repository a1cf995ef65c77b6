"""What `train` and `evaluate` say beside their results."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import keras_dae as kd
from keras_dae.images.io.pictures import UnreadableError
from keras_dae.study.report.tables import new_table
from keras_dae.system.terminal import Terminal, fits, listed
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
