"""Runs of a sweep that die, and a sweep that dies: real processes, real signals."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from keras_dae.training.config import make_config
from keras_dae.training.executors.processes import Processes, Worker, _end
from keras_dae.training.jobs import Job, Request
from keras_dae.training.runs import RunFolder

# Each process that trains a model named in ENDS gets its signal as it keeps its first
# epoch. Keras on torch imports tensorflow where it is installed, which takes seconds.
SITE = """
import os, sys
sys.modules["tensorflow"] = None
ends = dict(pair.split("=") for pair in os.environ.get("ENDS", "").split())
def hook(event, arguments):
    if event == "os.rename" and str(arguments[1]).endswith("history.json"):
        for name, sent in ends.items():
            if name in str(arguments[1]):
                os.kill(os.getpid(), int(sent))
sys.addaudithook(hook)
"""
GRID = ["sweep", "--data", "npz:images.npz", "--depths", "1", "--seeds", "1"]
GRID += ["--threads", "1", "--batch-size", "32", "--out", "runs", "--json"]


@pytest.fixture
def home(tmp_path):
    """A folder with data and with what ends processes."""
    images = np.random.default_rng(0).integers(0, 256, (80, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", x_train=images[:64], x_test=images[64:])
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE)
    return tmp_path


def start(home, *options, **more):
    paths = [str(home / "site"), str(Path(__file__).parents[2])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **more}
    return subprocess.Popen(
        [sys.executable, "-m", "keras_dae", *GRID, *options],
        cwd=home,
        env={**environment, "KERAS_BACKEND": "torch"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_runs_that_crash_are_told_and_a_second_call_does_them(home):
    ends = f"DAE_1_13={int(signal.SIGKILL)} DAE_1_8={int(signal.SIGSEGV)}"
    options = ["--latents", "13,8,5", "--epochs", "2", "--jobs", "2"]
    with start(home, *options, ENDS=ends) as process:
        out, said = process.communicate()
    assert process.returncode == 1
    rows = json.loads(out)
    assert [row["state"] for row in rows] == ["failed", "failed", "done"]
    assert "ended by SIGKILL; the system does this if memory runs" in rows[0]["reason"]
    assert "ended by SIGSEGV" in rows[1]["reason"]
    assert "Traceback" not in said
    # The end of the log: what the run said, and how it ended.
    tail = said.partition("DAE_1_13-seed0/train.log ends with\n")[2]
    assert "64 images" not in tail.splitlines()[0]
    assert "51 training images" in tail
    with start(home, *options) as process:
        out, _ = process.communicate()
    assert process.returncode == 0
    assert [row["state"] for row in json.loads(out)] == ["done", "done", "skipped"]
    assert not list(home.rglob("runs/**/.*"))


def workers(process: int) -> list[int]:
    """Return the children that train; another one opens files within walls."""
    path = Path(f"/proc/{process}/task/{process}/children")
    found = [int(number) for number in path.read_text().split()]
    words = (Path(f"/proc/{number}/cmdline").read_bytes() for number in found)
    return [n for n, cmd in zip(found, words, strict=True) if b"commands.worker" in cmd]


def runs(process: int) -> bool:
    """Tell whether a process is there and is more than a dead one's number."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="needs Linux's list of children"
)
def test_the_runs_of_a_killed_sweep_end_with_it(home):
    with start(home, "--latents", "13", "--epochs", "9999", "--jobs", "1") as process:
        folder = home / "runs" / "npz-images-DAE_1_13-seed0"
        while not (folder / "model.keras").exists() and process.poll() is None:
            time.sleep(0.02)
        (run,) = workers(process.pid)
        process.kill()
    while runs(run):  # it looks for its parent now and then
        time.sleep(0.05)
    assert 1 <= len(RunFolder(folder).history()["loss"]) < 9999
    assert not list(folder.glob(".*"))  # it was asked to end, and tidied up


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's full disk")
def test_a_crash_is_noticed_where_the_log_has_no_room(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "train.log").symlink_to("/dev/full")
    job = Job(make_config({"data": "mnist5k"}), RunFolder(tmp_path / "run"))
    runner = Processes(Request(tmp_path))
    with job.log_path.open("ab", buffering=0) as log:
        worker = Worker(dict(os.environ), log)
        worker.process.kill()
        worker.process.wait()
        runner._busy[job.name] = worker, log
        assert runner.poll(job) == "failed"


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (7, "The process ended with exit code 7."),
        (-11, "The process was ended by SIGSEGV."),
        (-9, "ended by SIGKILL; the system does this if memory runs out."),
    ],
)
def test_how_a_process_ended_is_said(code, says):
    assert _end(code).endswith(says)
