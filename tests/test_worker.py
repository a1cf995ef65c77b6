"""A process that trains several runs: each as in a process of its own."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from keras_dae.commands.worker import serve
from keras_dae.training.config import make_config, option_arguments
from keras_dae.training.executors import processes
from keras_dae.training.runs import RunFolder
from keras_dae.training.sweep import sweep

# Keras on torch imports tensorflow where it is installed, which takes seconds.
SITE = 'import sys; sys.modules["tensorflow"] = None\n'


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The current folder, with data; the package is found from it."""
    images = np.random.default_rng(0).integers(0, 256, (80, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", x_train=images[:64], x_test=images[64:])
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE)
    paths = [str(tmp_path / "site"), str(Path(__file__).parents[1])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def started(monkeypatch):
    """The workers that are started, as they are."""
    found = []

    class Noted(processes.Worker):
        def __init__(self, *given):
            super().__init__(*given)
            found.append(self)

    monkeypatch.setattr(processes, "Worker", Noted)
    return found


def config(latent, **changes):
    values = {"data": "npz:images.npz", "depth": 1, "latent": latent, "epochs": 2}
    return make_config({**values, "batch_size": 32, **changes})


def content(path: Path) -> dict[str, bytes]:
    """Return the members of a .keras file that say what the model is."""
    with zipfile.ZipFile(path) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    metadata = json.loads(found.pop("metadata.json"))
    assert metadata.pop("date_saved")
    found["metadata.json"] = json.dumps(metadata).encode()
    # An object's place in memory, which differs between any two processes.
    found["config.json"] = re.sub(
        rb'"shared_object_id": \d+', b"", found["config.json"]
    )
    return found


def test_later_runs_are_those_of_processes_of_their_own(home, started):
    configs = [config(latent) for latent in (13, 8, 5)]
    jobs = sweep(configs, Path("swept"), jobs=1, threads=1)
    assert [job.state for job in jobs] == ["done"] * 3
    assert len(started) == 1
    last = jobs[-1].folder
    command = [sys.executable, "-m", "keras_dae", "train", "--threads", "1"]
    command += [*option_arguments(configs[-1]), "--out", "alone"]
    subprocess.run(command, check=True, capture_output=True)
    alone = RunFolder(Path("alone") / last.path.name)
    for name in ("model.keras", "best.keras"):
        assert content(last.path / name) == content(alone.path / name)
    assert last.history()["loss"] == alone.history()["loss"]
    assert last.config_path.read_text() == alone.config_path.read_text()
    ours, theirs = (
        json.loads(folder.environment_path.read_text()) for folder in (last, alone)
    )
    assert ours.pop("command")[0] == theirs.pop("command")[0] == "train"
    assert ours == theirs
    # Each log is of its own run alone.
    for job in jobs:
        spec = f"DAE_1_{job.config.latent}"
        assert job.log_path.read_text().count("validation MSE") == 1
        assert f"{spec}: validation MSE" in job.log_path.read_text()


def test_after_a_run_that_failed_comes_another_process(home, started):
    configs = [config(13, learning_rate=1e30), config(8), config(5)]
    jobs = sweep(configs, Path("runs"), jobs=1, threads=1)
    assert [job.state for job in jobs] == ["failed", "done", "done"]
    assert len(started) == 2
    assert "Try a lower --lr" in jobs[0].log_path.read_text()
    assert [worker.process.returncode for worker in started] == [1, 0]


def test_a_process_that_is_killed_while_it_waits_is_replaced(home, started):
    class Doomed(processes.Processes):
        def poll(self, job):
            state = super().poll(job)
            if state == "done" and len(started) == 1:
                (worker,) = started
                worker.process.send_signal(signal.SIGKILL)
                worker.process.wait()
            return state

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "Processes", Doomed)
        jobs = sweep([config(13), config(8)], Path("runs"), jobs=1, threads=1)
    assert [job.state for job in jobs] == ["done", "done"]
    assert [worker.process.returncode for worker in started] == [-signal.SIGKILL, 0]


def test_a_process_that_cannot_start_is_told(home, started, monkeypatch):
    (home / "site" / "sitecustomize.py").write_text(
        'import os, sys; print("no such room", file=sys.stderr); os._exit(3)\n'
    )
    (job,) = sweep([config(13)], Path("runs"), jobs=1, threads=1)
    assert job.state == "failed"
    lines = job.log_path.read_text().splitlines()
    assert lines[0] == "no such room"
    assert lines[-1] == "The process ended with exit code 3."


def test_orders_end_with_the_first_that_fails(tmp_path, monkeypatch):
    codes = iter([0, 2, 0])
    monkeypatch.setattr(
        "keras_dae.commands.worker.run", lambda arguments, log: next(codes)
    )
    orders = io.StringIO('{"arguments": [], "log": "x"}\n' * 3)
    answers = io.StringIO()
    assert serve(orders, answers) == 2
    assert answers.getvalue() == "0\n2\n"
