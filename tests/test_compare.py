"""`compare` from the command line to its files, on a few random images."""

import csv
import json
import shutil
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from keras_dae.commands.board import _setting
from keras_dae.evaluation.filters import FILTERS
from keras_dae.study.board import measure as board_module
from keras_dae.study.common import candidates
from keras_dae.system.storage import read_json
from keras_dae.training.runs import find_runs
from tests.commands import random_data, run, sentence

QUICK = [*("--epochs", "1", "--batch-size", "16", "--threads", "1")]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data set of 50 random images of 12x12, as an option's value."""
    return random_data(tmp_path_factory.mktemp("data"), train=40, test=10)


@pytest.fixture(scope="module")
def out(tmp_path_factory, data):
    """A study's folder with one seed of an autoencoder and of the U-Net."""
    out = tmp_path_factory.mktemp("study")
    models = (["--depth", "1", "--latent", "5"], ["--model", "unet", "--filters", "2"])
    for model in models:
        result = run("train", *model, *QUICK, "--data", data, "--out", out / "runs")
        assert result.exit_code == 0, result.output
    return out


@pytest.fixture(autouse=True)
def few_filters(monkeypatch):
    """Leave the filters that are quick on a few images."""
    monkeypatch.setattr(
        candidates, "FILTERS", {name: FILTERS[name] for name in ("mean", "median")}
    )


def test_runs_are_named_by_their_model(out):
    assert {path.name for path in (out / "runs").iterdir()} == {
        *("npz-images-DAE_1_5-seed0", "npz-images-unet-seed0"),
    }


def test_the_board_and_its_files(out, tmp_path, monkeypatch):
    table, page = tmp_path / "board.csv", tmp_path / "board.md"
    command = ["compare", "--out", out, "--csv", table, "--markdown", page, "--json"]
    result = run(*command)
    assert result.exit_code == 0, result.output
    board = json.loads(result.stdout)
    kinds = {row["name"]: row["kind"] for row in board["rows"]}
    assert kinds == {
        "noisy input": "floor", "all black": "floor", "mean image": "floor",
        "affine, rank 100": "floor", "affine, full rank": "floor",
        "mean 3x3": "filter", "median 3x3": "filter",
        "mean, tuned": "filter", "median, tuned": "filter",
        "mean, tuned, inverse": "filter", "median, tuned, inverse": "filter",
        "mean, tuned, curve": "filter", "median, tuned, curve": "filter",
        "DAE_1_5": "dae", "unet": "ceiling",
    }  # fmt: skip
    errors = [row["test"]["mse"] for row in board["rows"]]
    assert errors == sorted(errors)
    assert all(row["mse_low"] < row["test"]["mse"] < row["mse_high"] for row in
               board["rows"])  # fmt: skip
    written = json.loads((out / "board.json").read_text())
    assert written["rows"] == board["rows"]
    for name in ("board.png", "board-images.png"):
        assert (out / "figures" / name).read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [float(one["mse"]) for one in rows] == errors
    assert "| unet | ceiling |" in page.read_text()

    def measure(*arguments):
        raise AssertionError("measured again")

    monkeypatch.setattr(board_module, "measure", measure)
    again = run(*command, "--overwrite")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["rows"] == board["rows"]


def test_dae_rows_agree_with_evaluate(out, tmp_path):
    name = out / "runs" / "npz-images-DAE_1_5-seed0"
    pages = tmp_path / "images.csv"
    one = json.loads(run("evaluate", name, "--json", "--per-image", pages).stdout)
    (row,) = one["results"][0]["models"]
    board = json.loads(run("compare", name, "--out", tmp_path, "--json").stdout)
    (same,) = [each for each in board["rows"] if each["kind"] == "dae"]
    assert same["test"]["mse"] == pytest.approx(row["test"]["mse"], rel=1e-6)
    assert same["test"]["ssim"] == pytest.approx(row["test"]["ssim"], rel=1e-5)
    assert same["parameters"] == row["parameters"]
    assert same["latent"] == 5
    rows = list(csv.DictReader(pages.read_text().splitlines()))
    assert list(rows[0]) == ["run", "index", "mse", "psnr", "ssim"]
    assert [int(each["index"]) for each in rows] == list(range(10))
    assert {each["run"] for each in rows} == {str(name)}
    errors = [float(each["mse"]) for each in rows]
    assert np.mean(errors) == pytest.approx(row["test"]["mse"], rel=1e-12)
    ratios = [float(each["psnr"]) for each in rows]
    np.testing.assert_allclose(ratios, -10 * np.log10(errors), rtol=1e-12)
    likeness = [float(each["ssim"]) for each in rows]
    assert np.mean(likeness) == pytest.approx(row["test"]["ssim"], rel=1e-12)


def test_evaluate_takes_ceilings(out):
    result = run("evaluate", "--out", out / "runs", "--json")
    (scored,) = json.loads(result.stdout)["results"]
    assert [row["name"] for row in scored["models"]] == ["DAE_1_5", "unet"]


def test_a_users_callable(out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "users_board.py").write_text(
        "def half(noisy):\n    return noisy / 2\n"
        "def changes(noisy):\n    noisy[:] = 0\n    return noisy\n"
    )
    monkeypatch.delitem(sys.modules, "users_board", raising=False)
    command = ["compare", "--out", out, "--json", "--denoiser"]
    result = run(*command, "users_board:half")
    assert result.exit_code == 0, result.output
    (row,) = [r for r in json.loads(result.stdout)["rows"] if r["kind"] == "user"]
    assert row["name"] == "users_board:half"
    assert row["parameters"] is None
    before = (out / "board.json").read_bytes()
    for text, code, says in (
        ("users_board:changes", 1, "changes its input"),
        ("users_board:nothing", 2, "users_board:nothing cannot be imported"),
        ("nowhere.onnx", 2, "no model file nowhere.onnx"),
    ):
        result = run(*command, text)
        assert result.exit_code == code, result.output
        assert says in result.stderr
        assert "Traceback" not in result.output
    assert (out / "board.json").read_bytes() == before


def test_runs_of_other_noise_are_left_out_with_a_line(out, tmp_path, data):
    options = ["--data", data, "--sigma", "0.1", "--out", tmp_path, "--json"]
    result = run("compare", out / "runs", *options)
    assert result.exit_code == 0, result.output
    assert result.stderr.count("other data or noise; skipped") == 2
    board = json.loads(result.stdout)
    assert board["noise"]["sigma"] == 0.1
    assert {row["kind"] for row in board["rows"]} == {"floor", "filter"}


def test_a_ceiling_resumes_and_is_not_overwritten(out, data):
    options = ["--model", "unet", "--filters", "2", *QUICK, "--data", data]
    options += ["--out", out / "runs"]
    assert run("train", *options).exit_code == 2
    assert run("train", *options, "--resume").exit_code == 0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (
            ["--model", "vgg"],
            "equal-macs, unet, dncnn, photo. Received: model='vgg'",
        ),
        (["--model", "unet", "--filters", "0"], "filters=0"),
    ],
)
def test_bad_models_exit_with_2(tmp_path, data, options, named):
    result = run("train", *options, "--data", data, "--out", tmp_path / "runs")
    assert result.exit_code == 2
    assert named in result.stderr
    assert not (tmp_path / "runs").exists()


def test_a_grid_is_of_autoencoders(tmp_path, data):
    path = tmp_path / "mine.toml"
    path.write_text('model = "unet"\n')
    result = run("sweep", "--config", path, "--data", data, "--out", tmp_path)
    assert result.exit_code == 2
    assert "model='unet'" in result.stderr


def test_two_configurations_of_one_model_are_two_rows_and_two_pictures(
    out, data, tmp_path, monkeypatch
):
    shown = []
    monkeypatch.setattr(
        "keras_dae.study.board.run.thumbnails",
        lambda clean, noisy, answers: shown.extend(answers) or Figure(),
    )
    words = ["--depth", 1, "--latent", 5, "--lr", 0.5, "--data", data]
    other = tmp_path / "other"
    assert run("train", *words, *QUICK, "--out", other).exit_code == 0
    places = (out / "runs", other, "--out", tmp_path, "--json")
    done = run("compare", *places)
    assert done.exit_code == 0, done.output
    names = [r["name"] for r in json.loads(done.stdout)["rows"] if r["kind"] == "dae"]
    assert sorted(names) == [
        "DAE_1_5 (learning rate 0.05)",
        "DAE_1_5 (learning rate 0.5)",
    ]
    pictures = [images for name, _, images in shown if name in names]
    assert not np.array_equal(*pictures)


def test_errors_of_each_image_as_arrays(out, tmp_path):
    name = out / "runs" / "npz-images-DAE_1_5-seed0"
    kept = tmp_path / "errors.npz"
    one = json.loads(run("evaluate", name, "--json", "--per-image", kept).stdout)
    (row,) = one["results"][0]["models"]
    with np.load(kept) as arrays:
        assert arrays.files == [name.name]
        errors = arrays[name.name]
    assert (errors.shape, errors.dtype) == ((10,), np.float32)
    assert np.mean(errors) == pytest.approx(row["test"]["mse"], rel=1e-6)


def test_another_noise_does_not_change_the_data(out, data, tmp_path):
    """--sigma alone: the data, and all else, are those of the runs."""
    (folder, *_) = find_runs(out / "runs")
    setting = _setting([folder], {"sigma": 0.3, "data": None})
    assert (setting.data, setting.sigma) == (folder.record()["dataset"]["name"], 0.3)
    assert setting.filters == folder.config().filters
    assert _setting([folder], {"sigma": None}) is None
    assert _setting([], {"sigma": 0.3}).data == "auto"


def test_errors_of_files_keep_their_names(out, tmp_path):
    """A file named like an argument of numpy.savez, and one named like a run."""
    run_folder = out / "runs" / "npz-images-DAE_1_5-seed0"
    for name in ("file.keras", f"{run_folder.name}.keras"):
        shutil.copy(run_folder / "model.keras", tmp_path / name)
    files = [tmp_path / "file.keras", tmp_path / f"{run_folder.name}.keras"]
    data = run_folder.parent / "errors.npz"
    kept = tmp_path / "errors.npz"
    record = read_json(run_folder / "config.json")["dataset"]["name"]
    words = ["evaluate", run_folder, *files, "--data", record, "--per-image", kept]
    done = run(*words)
    assert done.exit_code == 0, done.output
    assert not data.exists()
    with np.load(kept) as arrays:
        assert sorted(arrays.files) == sorted(
            [str(run_folder), "file", str(files[1]).removesuffix(".keras")]
        )
        errors = [arrays[name] for name in arrays.files]
    assert all(np.array_equal(errors[0], one) for one in errors)


def test_two_recipes_of_a_model_are_no_seeds_of_one(out, data, tmp_path):
    options = [*("--depth", 1, "--latent", 5, "--lr", 0.5), *QUICK, "--data", data]
    assert run("train", *options, "--out", tmp_path / "other").exit_code == 0
    own = out / "runs" / "npz-images-DAE_1_5-seed0"
    done = run("evaluate", own, tmp_path / "other", "--json")
    (found,) = json.loads(done.stdout)["results"]
    names = ["DAE_1_5 (learning rate 0.05)", "DAE_1_5 (learning rate 0.5)"]
    assert sorted(row["name"] for row in found["models"]) == names
    done = run("plot", own, tmp_path / "other", "--out", tmp_path / "figures")
    said = sentence(done, 2)
    assert "one configuration of each model" in said
    assert names[1] in said
