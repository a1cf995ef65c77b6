"""The command line: exit codes, one sentence for a mistake, nothing lost."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from keras_dae.cli import Group
from keras_dae.errors import KerasDAEError
from keras_dae.system import backend, lifeline
from keras_dae.system.lifeline import listen
from keras_dae.training.duration import time_words
from keras_dae.training.runs import RunFolder
from tests.commands import run, sentence

QUICK = [*("--epochs", "1", "--batch-size", "32", "--threads", "1")]
SMALL = ["--depth", "1", "--latent", "5", *QUICK]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data set of 120 random images in an npz file, as an option's value."""
    path = tmp_path_factory.mktemp("data") / "images.npz"
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (120, 28, 28), dtype=np.uint8)
    np.savez(path, x_train=images[:100], x_test=images[100:])
    return f"npz:{path}"


@pytest.fixture(scope="module")
def runs(tmp_path_factory, data):
    """A folder with one finished run."""
    out = tmp_path_factory.mktemp("runs")
    result = run("train", *SMALL, "--data", data, "--out", str(out))
    assert result.exit_code == 0, result.output
    return out


def test_models_lists_table_1_as_json():
    rows = json.loads(run("models", "--json").stdout)
    assert [row["name"] for row in rows] == [
        f"DAE_{depth}_{latent}" for depth in (5, 3, 1) for latent in (13, 8, 5)
    ]
    assert [round(100 * row["latent_ratio"], 2) for row in rows[:3]] == [
        *(86.22, 32.65, 12.76),
    ]


def test_models_prints_a_table():
    out = run("models").stdout
    assert "DAE_1_13" in out
    assert "86.22%" in out
    assert "133" in out


def test_train_then_evaluate_as_json(runs, data):
    (name,) = [path.name for path in runs.iterdir()]
    assert name == "npz-images-DAE_1_5-seed0"
    result = run("evaluate", str(runs / name), "--json")
    assert result.exit_code == 0, result.output
    (scored,) = json.loads(result.stdout)["results"]
    (row,) = scored["models"]
    assert row["name"] == "DAE_1_5"
    assert row["test"]["mse_sum"] == pytest.approx(784 * row["test"]["mse"])
    assert row["test"]["psnr"] == pytest.approx(-10 * np.log10(row["test"]["mse"]))
    assert {floor["name"] for floor in scored["floors"]} >= {
        *("noisy input", "all black", "mean image"),
    }
    assert scored["dataset"]["test"] == 20


def test_the_images_told_of_are_those_that_a_run_took(data, tmp_path):
    few = ["--train-images", "50", "--validation-images", "10", "--data", data]
    assert run("train", *SMALL, *few, "--out", tmp_path).exit_code == 0
    (scored,) = json.loads(run("evaluate", "--out", tmp_path, "--json").stdout)[
        "results"
    ]
    taken = [scored["dataset"][part] for part in ("train", "validation", "test")]
    assert taken == [50, 10, 20]


@pytest.mark.parametrize(
    ("options", "threads"),
    [
        (["--depth", "1"], 1),
        (["--depth", "1", "--batch-size", "200"], None),  # a step worth sharing out
        (["--depth", "3"], None),
        (["--depth", "1", "--threads", "2"], 2),
    ],
)
def test_a_small_step_is_not_shared_out(options, threads, data, tmp_path, monkeypatch):
    def select(device, given):
        raise KerasDAEError(f"select was given {given}.")

    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setattr("keras_dae.system.backend.select", select)
    result = run("train", "--latent", "8", *options, "--data", data, "--out", tmp_path)
    assert f"select was given {threads}." in sentence(result, 1)


@pytest.mark.parametrize("name", ["jax", "tensorflow"])
def test_other_backends_share_out_as_they_do(name, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", name)
    monkeypatch.setattr(backend, "in_use", lambda: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda package: package)
    assert backend.useful_threads(1) is None


def test_evaluate_prints_models_beside_floors(runs):
    out = run("evaluate", "--out", runs).stdout
    assert "DAE_1_5" in out
    assert "all black" in out


def test_evaluation_is_of_the_file_alone(runs, tmp_path):
    (folder,) = runs.iterdir()
    first = json.loads(run("evaluate", folder, "--json").stdout)["results"][0]
    copy = tmp_path / folder.name
    copy.mkdir()
    for name in ("config.json", "history.json", "model.keras"):
        (copy / name).write_bytes((folder / name).read_bytes())
    again = json.loads(run("evaluate", copy, "--json").stdout)["results"][0]
    assert again["models"] == first["models"]


BAD_TRAIN = [
    (["--depth", "0"], "depth=0"),
    (["--latent", "40"], "latent=40"),
    (["--depth", "1", "--latent", "16"], "nearest latent at depth 1 is 17"),
    (["--sigma", "-1"], "sigma=-1"),
    (["--sigma", "nan"], "sigma=nan"),
    (["--noise", "gausian"], "noise='gausian'"),
    (["--data", "mnist6"], "data='mnist6'"),
    (["--data", "npz:"], "data='npz:'"),
    (["--data", "npz:/nowhere/images.npz"], "/nowhere/images.npz"),
    (["--epochs", "0"], "epochs=0"),
    (["--device", "cuda"], "--device cuda was asked for"),
    (["--device", "tpu"], "'tpu'"),
    (["--epochs", "many"], "'many'"),
    (["--nonsense"], "--nonsense"),
]


@pytest.mark.parametrize(("options", "named"), BAD_TRAIN)
def test_bad_options_exit_with_2(tmp_path, data, options, named):
    out = tmp_path / "runs"
    result = run("train", "--data", data, *options, "--out", out)
    assert named in sentence(result, 2)
    assert not out.exists()


def test_an_unknown_configuration_key_exits_with_2(tmp_path, data):
    path = tmp_path / "mine.toml"
    path.write_text("depht = 3\n")
    result = run("train", "--data", data, "--config", path, "--out", tmp_path / "runs")
    assert "Unknown configuration key depht" in sentence(result, 2)


def test_options_win_over_the_configuration_file(tmp_path, data):
    path = tmp_path / "mine.toml"
    path.write_text("depth = 3\nlatent = 5\nsigma = 0.25\nepochs = 9\n")
    options = ["--depth", "1", *QUICK, "--data", data, "--out", tmp_path / "runs"]
    assert run("train", "--config", path, *options).exit_code == 0
    (folder,) = (tmp_path / "runs").iterdir()
    config = RunFolder(folder).config()
    assert (config.depth, config.latent, config.sigma, config.epochs) == (
        *(1, 5, 0.25, 1),
    )


BAD_NPZ = {
    "lacks": ({"x": np.zeros((9, 28, 28), "uint8")}, "lacks x_train and x_test"),
    "floats": ({"x_train": np.full((9, 28, 28), 1.5)}, "floats outside [0, 1]"),
    "size": ({"x_train": np.arange(9, dtype="uint8").reshape(9, 1, 1)}, "image_size=1"),
    "oblong": ({"x_train": np.arange(54, dtype="uint8").reshape(9, 2, 3)}, "side 2"),
}


@pytest.mark.parametrize("kind", BAD_NPZ)
def test_a_bad_npz_is_named(tmp_path, kind):
    arrays, named = BAD_NPZ[kind]
    path = tmp_path / "bad.npz"
    if "x_train" in arrays:
        arrays = {**arrays, "x_test": arrays["x_train"]}
    np.savez(path, **arrays)
    before = path.read_bytes()
    result = run("train", "--data", f"npz:{path}", "--out", tmp_path / "runs")
    assert result.exit_code in (1, 2)
    assert named in sentence(result, result.exit_code)
    assert path.read_bytes() == before


def test_an_existing_run_is_not_overwritten(runs, data):
    (folder,) = runs.iterdir()
    before = (folder / "model.keras").read_bytes()
    result = run("train", *SMALL, "--data", data, "--out", runs)
    assert "Use --resume to continue it" in sentence(result, 2)
    assert (folder / "model.keras").read_bytes() == before


def test_resume_of_a_run_takes_its_options(tmp_path, data):
    """--resume RUN alone: data, model, recipe and place are those of the run."""
    words = [*SMALL, "--sigma", "0.3", "--data", data, "--out", tmp_path / "a"]
    assert run("train", *words).exit_code == 0
    (folder,) = (tmp_path / "a").iterdir()
    record = (folder / "config.json").read_text()
    config = json.loads(record)["config"]
    epochs = config["epochs"]
    again = run("train", "--resume", folder, "--json")
    assert again.exit_code == 0, again.output
    row = json.loads(again.stdout)
    assert (Path(row["run"]).resolve(), row["epochs"]) == (folder.resolve(), epochs)
    assert (folder / "config.json").read_text() == record
    other = run("train", "--resume", folder, "--sigma", "0.7")
    assert "sigma is 0.3 there" in sentence(other, 2)
    renamed = folder.rename(tmp_path / "renamed")
    assert "was named" in sentence(run("train", "--resume", renamed), 2)
    assert "no run in" in sentence(run("train", "--resume", tmp_path / "no"), 2)


def test_train_says_beforehand_how_long_it_takes(tmp_path, data):
    done = run("train", *SMALL, "--data", data, "--out", tmp_path)
    (line,) = [
        text for text in done.stderr.splitlines() if " here" in text and "about" in text
    ]
    assert re.fullmatch(r"\d+ epochs? takes? about \d+ s here", line)
    assert time_words(754) == "13 min"
    assert [time_words(n) for n in (0.2, 89, 7200)] == ["1 s", "89 s", "2.0 h"]


def test_models_lists_a_family():
    told = run("models", "--model", "residual", "--depth", 9, "--latent", 5, "--json")
    (row,) = json.loads(told.stdout)
    assert (row["name"], row["layers"].split("; ")[1]) == (
        *("RES_9_5", "residual blocks: 3"),
    )
    assert "should be one of dae" in sentence(run("models", "--model", "resnet"), 2)


def test_models_and_sweep_take_each_others_spelling(tmp_path):
    one = run("models", "--depths", "2,3", "--latent", 8, "--json")
    other = run("models", "--depth", 2, "--depth", 3, "--latents", "8", "--json")
    assert one.exit_code == 0, one.output
    assert [row["depth"] for row in json.loads(one.stdout)] == [2, 3]
    assert one.stdout == other.stdout
    bad = run("sweep", "--depth", "1,two", "--out", tmp_path)
    assert "whole numbers separated by commas" in sentence(bad, 2)


def test_export_names_the_endings():
    shown = " ".join(run("export", "--help").output.split()).replace("- ", "-")
    assert "onnx .onnx, openvino .xml, torch .pt2" in shown
    assert "saved-model (a folder), litert .tflite" in shown


def test_resume_of_another_configuration_is_refused(runs, data):
    options = [*SMALL, "--sigma", "0.3", "--data", data, "--out", runs, "--resume"]
    assert "sigma is 0.5 there" in sentence(run("train", *options), 2)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half", b"not a model"])
def test_a_damaged_model_exits_with_1(runs, tmp_path, content):
    (folder,) = runs.iterdir()
    copy = tmp_path / folder.name
    copy.mkdir()
    for name in ("config.json", "history.json"):
        (copy / name).write_bytes((folder / name).read_bytes())
    (copy / "model.keras").write_bytes(content)
    assert "model.keras" in sentence(run("evaluate", copy), 1)


def test_no_runs_exits_with_2(tmp_path):
    assert "There is no run in" in sentence(run("evaluate", tmp_path), 2)


@pytest.mark.parametrize("backend", ["theano", "numpy", ""])
def test_an_unknown_backend_exits_with_2(tmp_path, data, backend):
    result = subprocess.run(
        [sys.executable, "-m", "keras_dae", "train", *SMALL, "--data", data],
        env={**os.environ, "KERAS_BACKEND": backend},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert f"KERAS_BACKEND={backend!r}" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path, data, monkeypatch):
    """No space left, provoked where the bytes are forced to disk."""

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    out = tmp_path / "runs"
    result = run("train", *SMALL, "--data", data, "--out", out)
    assert "No space left on device" in sentence(result, 1)
    assert [path for path in out.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_a_resumable_run(tmp_path, data, sent):
    out = tmp_path / "runs"
    options = ["--depth", "1", "--latent", "5", "--data", data, "--out", str(out)]
    command = [sys.executable, "-m", "keras_dae", "train", *options, "--epochs", "60"]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        # A job in the background may have been told to ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    history = out / "npz-images-DAE_1_5-seed0" / "history.json"
    while not history.exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(sent)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "--resume" in errors
    assert "Traceback" not in errors
    done = len(json.loads(history.read_text())["loss"])
    assert 1 <= done < 60
    resumed = run("train", *options, "--epochs", "60", "--resume", "--json")
    assert json.loads(resumed.stdout)["epochs"] == 60
    assert not list(out.rglob(".*"))


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_a_library_makes_an_error_of_its_own_is_one_still(
    sent, listening
):
    @click.group(cls=Group)
    def group():
        listen()

    @group.command()
    def saves():
        try:
            os.kill(os.getpid(), sent)
            time.sleep(60)
        except KeyboardInterrupt:
            raise ValueError("cannot close an archive that is being written") from None

    signal.signal(signal.SIGINT, signal.default_int_handler)
    result = CliRunner().invoke(group, ["saves"])
    assert result.exit_code == 130
    assert "Interrupted. Finished work is kept" in result.stderr


def test_an_interrupt_that_a_library_loses_comes_again(monkeypatch, capfd, listening):
    monkeypatch.setattr(lifeline, "_REMIND_SECONDS", 0.2)

    class Closes:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)

    @click.group(cls=Group)
    def group():
        listen()

    @group.command()
    def saves():
        Closes()
        time.sleep(60)

    result = CliRunner().invoke(group, ["saves"])
    assert result.exit_code == 130
    assert result.stderr.startswith("Interrupted. Finished work is kept")
    assert capfd.readouterr().err == ""  # nothing of an exception ignored


def test_sweep_skips_what_is_finished_and_reports_what_fails(tmp_path, data):
    options = ["--depths", "1", "--latents", "13,5", "--seeds", "1", *QUICK]
    options += ["--data", data, "--out", tmp_path, "--jobs", "2", "--json"]
    done = run("sweep", *options)
    rows = json.loads(done.stdout)
    assert [row["state"] for row in rows] == ["done", "done"]
    assert re.search(r"^2 runs take about \d+ s here$", done.stderr, re.MULTILINE)
    broken = tmp_path / "npz-images-DAE_1_5-seed0" / "model.keras"
    broken.write_bytes(b"damaged")
    (broken.parent / "history.json").unlink()
    result = run("sweep", *options)
    rows = json.loads(result.stdout)
    assert result.exit_code == 1
    assert [row["state"] for row in rows] == ["skipped", "failed"]
    assert "model.keras" in rows[1]["reason"]


def test_bad_grids_exit_with_2(tmp_path, data):
    result = run("sweep", "--data", data, "--depths", "1,x", "--out", tmp_path)
    assert result.exit_code == 2
    assert "'1,x'" in result.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("train --noise poisson --sigma 0.3", "noise='poisson', sigma=0.3."),
        ("train --noise gaussian:0.2 --sigma 0.3", "noise='gaussian:0.2', sigma=0.3."),
        ("train --model unet --depth 3", "model='unet', depth=3."),
        ("train --steps 2 --seconds 3", "steps=2, seconds=3.0."),
        ("train --seconds nan", "nan is not a finite number."),
        ("train --threads 100000", "100000 is not in the range 1<=x<=512."),
        ("denoise a.png --seed -1", "-1 is not in the range x>=0."),
        ("denoise a.png --max-megapixels nan", "nan is not a finite number."),
        ("denoise a.png --model=", "An argument is empty."),
        ("--time-limit inf models", "inf is not a finite number."),
    ],
)
def test_no_option_is_ignored_or_out_of_range(words, says):
    assert says in sentence(run(*words.split()), 2)


def test_an_empty_argument_is_not_the_working_folder(tmp_path):
    done = run("denoise", "", "-o", tmp_path / "out")
    assert "An argument is empty." in sentence(done, 2)
    assert not (tmp_path / "out").exists()


def test_evaluate_refuses_options_that_a_run_would_ignore(tmp_path):
    done = run("evaluate", tmp_path, "--noise", "gaussian:0.2")
    assert "apply only to .keras files. Received: noise=" in sentence(done, 2)


def test_a_sweep_of_steps_names_the_folders_of_its_runs(tmp_path, data):
    words = ("--depths", 1, "--latents", 8, "--seeds", 1, "--steps", 2, "--jobs", 1)
    command = ("sweep", *words, "--data", data, "--out", tmp_path, "--json")
    (row,) = json.loads(run(*command).stdout)
    assert (Path(row["run"]) / "model.keras").is_file()
    (again,) = json.loads(run(*command).stdout)
    assert (again["run"], again["state"]) == (row["run"], "skipped")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["page", "-o", "-"], "Standard output is not supported here"),
        (["models", "--pretrained", "--depths", "3"], "--pretrained lists all"),
    ],
)
def test_options_that_do_not_apply_are_refused(words, said):
    assert said in sentence(run(*words), 2)
