"""Machines that lack something: each command works there all the same."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

COMMAND = [sys.executable, "-m", "keras_dae"]
READ_ONLY = 'mount -t tmpfs -o ro,size=4k none "$1"; shift; exec "$@"'


def run(*words, **environment):
    """Return the output of a command; it must end well and say nothing on stderr."""
    done = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def with_empty(folder, *words, **environment):
    """Run a command that sees an empty folder in this place, and cannot write to it."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    own = ["unshare", "--map-root-user", "--mount", "sh", "-ec", READ_ONLY, "sh"]
    if subprocess.run(
        [*own, folder, "true"], capture_output=True, check=False
    ).returncode:
        pytest.skip("the system allows no mount of its own")
    return run(*own, folder, *words, **environment)


@pytest.fixture
def denoise(tmp_path):
    """A command that denoises a small photograph, and prints JSON."""
    values = np.random.default_rng(0).normal(128, 20, (40, 48, 3))
    Image.fromarray(values.clip(0, 255).astype("uint8")).save(tmp_path / "p.png")
    return [*COMMAND, "denoise", tmp_path / "p.png", "-o", tmp_path / "out", "--json"]


def done(output, tmp_path):
    """Tell whether the image was denoised and written."""
    (row,) = json.loads(output)["images"]
    return row["state"] == "done" and (tmp_path / "out" / "p.denoised.png").is_file()


def test_without_shared_memory(denoise, tmp_path):
    assert done(with_empty("/dev/shm", *denoise), tmp_path)


def test_two_runs_at_once_without_shared_memory(tmp_path):
    words = ["--depths", 1, "--latents", 5, "--seeds", 2, "--jobs", 2, "--epochs", 1]
    words += ["--data", "mnist5k", "--train-images", 128, "--validation-images", 64]
    out = tmp_path / "runs"
    with_empty("/dev/shm", *COMMAND, "sweep", *words, "--out", out, "--json")
    assert len(list(out.glob("*/model.keras"))) == 2


def test_a_home_that_cannot_be_written_to(denoise, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    assert done(with_empty(home, *denoise, HOME=str(home)), tmp_path)


def test_training_in_a_home_that_cannot_be_written_to(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    words = ["--depth", 1, "--latent", 5, "--epochs", 1, "--data", "mnist5k"]
    words += [
        "--train-images",
        128,
        "--validation-images",
        64,
        "--out",
        tmp_path / "runs",
    ]
    with_empty(home, *COMMAND, "train", *words, HOME=str(home))
    assert len(list(tmp_path.glob("runs/*/model.keras"))) == 1


def test_three_gigabytes_of_memory(denoise, tmp_path):
    limited = ["sh", "-c", 'ulimit -d 3000000; exec "$@"', "sh"]
    assert done(run(*limited, *denoise), tmp_path)


def test_one_core(denoise, tmp_path):
    if shutil.which("taskset") is None:
        pytest.skip("needs taskset")
    core = min(os.sched_getaffinity(0))
    assert done(run("taskset", "-c", core, *denoise), tmp_path)


@pytest.mark.parametrize(
    "settings",
    ['{"floatx": "float16", "image_data_format": "channels_first"}', '{"f', "[]"],
)
def test_strange_settings_of_keras(denoise, tmp_path, settings):
    home = tmp_path / "home"
    (home / ".keras").mkdir(parents=True)
    (home / ".keras" / "keras.json").write_text(settings)
    output = run(*denoise, HOME=str(home), KERAS_HOME="")
    assert done(output, tmp_path)
    assert (home / ".keras" / "keras.json").read_text() == settings


def test_a_working_folder_that_is_gone(denoise, tmp_path):
    """The sentence was "No such file or directory", also with absolute paths."""
    (tmp_path / "gone").mkdir()
    script = 'cd "$1"; rmdir "$1"; shift; exec "$@"'
    words = ["sh", "-c", script, "sh", tmp_path / "gone", *denoise]
    ended = subprocess.run(
        list(map(str, words)), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    sentence = "Error: The working folder no longer exists. Change to another one.\n"
    assert ended.stderr == sentence
