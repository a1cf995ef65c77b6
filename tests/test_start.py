"""What `python cli.py` says where it cannot run: old Python, no packages, Windows."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import run, sentence

ROOT = Path(__file__).parents[1]


def start(python, *words):
    return subprocess.run(
        [*python, str(ROOT / "cli.py"), *words],
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_a_missing_package_is_one_sentence(missing, tmp_path):
    """An environment that is not activated has few packages or none."""
    code = (
        f"import runpy, sys\nsys.modules[{missing!r}] = None\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "path = sys.argv.pop(1)\n"
        "runpy.run_path(path, run_name='__main__')\n"
    )
    (tmp_path / "start.py").write_text(code)
    done = start([sys.executable, str(tmp_path / "start.py")], "models")
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"Error: the package {missing} is not installed for {sys.executable}; "
        "activate the environment"
    )
    assert "Traceback" not in done.stderr


def test_an_environment_without_anything_is_one_sentence():
    done = start([sys.executable, "-S"], "models")
    assert (done.returncode, done.stdout) == (1, "")
    assert "activate the environment" in done.stderr
    assert "Traceback" not in done.stderr


def old_python():
    """Return a Python before 3.11 that starts; None where there is none."""
    for name in ("python3.8", "python3.9", "python3.10"):
        found = shutil.which(name)
        if found:
            done = subprocess.run([found, "-c", ""], capture_output=True)
            if done.returncode == 0:
                return found
    return None


def test_an_old_python_is_one_sentence():
    python = old_python()
    if python is None:
        pytest.skip("no Python before 3.11 here")
    done = start([python], "models")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: keras_dae needs Python 3.11 or newer; this")
    assert len(done.stderr.splitlines()) == 1


def test_make_says_which_python_it_needs(tmp_path):
    """Before pip looks for packages that the old one cannot have."""
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = subprocess.run(
        ["make", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}", "reproduce"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert f"{old} is older than Python 3.11; PYTHON=python3.11 make" in done.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize("command", [["models"], ["denoise", "a.png"], ["doctor"]])
def test_each_command_says_so_on_windows(command, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    assert "runs on Linux and macOS; on Windows" in sentence(run(*command), 1)
