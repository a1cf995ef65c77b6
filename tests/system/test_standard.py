"""The command line in odd surroundings: it works, or says one sentence."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_dae.errors import UsageError
from keras_dae.images import folder
from tests.commands import run

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, str(ROOT / "cli.py")]


def shell(words, *arguments, **environment):
    """Run the command line with what a shell puts behind it."""
    line = f'"$@" {words}'
    return subprocess.run(
        ["sh", "-c", line, "sh", *COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        errors="surrogateescape",
        env={**os.environ, **environment},
        check=False,
    )


def one_sentence(done):
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("Error: ")
    assert lines[0].endswith(".")


@pytest.mark.parametrize("arguments", [["models"], ["models", "--json"]])
def test_a_full_output_is_one_sentence(arguments):
    done = shell("> /dev/full", *arguments)
    assert done.returncode == 1
    one_sentence(done)
    assert "No space left" in done.stderr


@pytest.mark.parametrize("words", [">&-", "<&-", "2>&-", ">&- <&- 2>&-", "| true"])
def test_closed_streams(words):
    done = shell(words, "models", "--json")
    assert done.returncode in (0, 1)
    assert done.stderr == ""


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONWARNINGS": "error"},
        {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"HOME": "/nonexistent"},
        {"HOME": "/dev/null"},
    ],
    ids=lambda environment: next(iter(environment)),
)
def test_odd_surroundings(environment):
    done = shell("", "models", **environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "DAE" in done.stdout


def test_an_image_of_any_name_in_ascii(tmp_path):
    """Warnings are errors there too, in the process that reads the file."""
    path = tmp_path / "caf\xe9.png"
    path.write_bytes(b"no image")
    surroundings = {"PYTHONIOENCODING": "ascii", "PYTHONWARNINGS": "error"}
    out = tmp_path / "out"
    done = shell("", "denoise", path, "-o", out, "--json", **surroundings)
    assert done.returncode == 1
    one_sentence(done)
    assert "is not in a supported image format" in done.stderr


def test_few_file_handles():
    done = shell("", "models", "--json")
    few = subprocess.run(
        ["sh", "-c", 'ulimit -n 24; "$@"', "sh", *COMMAND, "models", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (few.returncode, few.stdout) == (0, done.stdout)


def test_a_cache_that_cannot_be_looked_into(monkeypatch, tmp_path):
    """Root may look into any folder, so a file stands in the folder's place."""
    from keras_dae.images.datasets import resolve

    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KERAS_DAE_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file" / "keras"))
    assert resolve("auto") == "mnist5k"


def test_a_folder_of_too_many_files_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(folder, "MOST_FILES", 3)
    for number in range(4):
        (tmp_path / f"{number}.txt").write_text("")
    with pytest.raises(UsageError, match="more than 3 files"):
        folder.find_images(tmp_path)


def test_a_folder_whose_names_are_not_utf_8(tmp_path):
    images = Path(os.fsdecode(os.fsencode(tmp_path / "images-") + b"\xff"))
    images.mkdir()
    for number in range(4):
        values = np.random.default_rng(number).integers(0, 255, (64, 64), np.uint8)
        Image.fromarray(values).save(images / f"\udcfe{number}.png")
    where = ["--data", f"folder:{images}", "--out", tmp_path / "runs"]
    small = ["--depth", 1, "--epochs", 1, "--patches", 1, "--size", 28, "--latent", 5]
    result = run("train", *where, *small)
    assert result.exit_code == 2
    (line,) = [line for line in result.stderr.splitlines() if "Error" in line]
    assert "not UTF-8" in line


def test_a_name_that_no_file_can_have_is_that_file_s_sentence(tmp_path):
    for name in ("a" * 250 + ".png", "b.png"):
        (tmp_path / name).write_bytes(b"")
    result = run("denoise", tmp_path, "-o", tmp_path / "out")
    assert isinstance(result.exception, SystemExit)
    assert len([line for line in result.stderr.splitlines() if "Error" in line]) == 2
