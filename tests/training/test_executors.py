"""Executors of a sweep: the same runs on each, and a Ray cluster that loses a node."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from keras_dae.errors import UsageError
from keras_dae.models.files import load
from keras_dae.training.config import make_config
from keras_dae.training.jobs import Request
from keras_dae.training.progress import new_progress
from keras_dae.training.runs import RunFolder
from keras_dae.training.sweep import EXECUTORS, sweep

needs_ray = pytest.mark.skipif(
    find_spec("ray") is None, reason='needs ray: pip install "keras-dae[ray]"'
)
EPOCHS = 30
GRID = ["--data", "npz:images.npz", "--depths", "1", "--seeds", "1", "--threads", "1"]
GRID += ["--epochs", str(EPOCHS), "--batch-size", "8", "--jobs", "2", "--json"]
NAMES = ["npz-images-DAE_1_13-seed0", "npz-images-DAE_1_5-seed0"]


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "keras_dae", "sweep", *GRID, *options]


def environment(**more: str) -> dict[str, str]:
    """Return an environment in which child processes find the package under test."""
    root = str(Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": root, "KERAS_BACKEND": "torch", **more}


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*options),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
    )


def states(result: subprocess.CompletedProcess[str]) -> list[str]:
    assert result.stdout, result.stderr
    return [row["state"] for row in json.loads(result.stdout)]


def epochs(folder: Path) -> int:
    return len(RunFolder(folder).history()["loss"])


def assert_same_weights(one: Path, other: Path) -> None:
    for name in ("model.keras", "best.keras"):
        pairs = [load(folder / name).get_weights() for folder in (one, other)]
        assert all(np.array_equal(a, b) for a, b in zip(*pairs, strict=True))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with the data; a node, which works elsewhere, does not find them."""
    folder = tmp_path_factory.mktemp("caller")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 28, 28), dtype=np.uint8)
    np.savez(folder / "images.npz", x_train=images[:50], x_test=images[50:])
    return folder


@pytest.fixture(scope="module")
def reference(home):
    """The runs as the process executor trains them."""
    result = run(home, "--latents", "13,5", "--out", "processes")
    assert states(result) == ["done", "done"]
    return home / "processes"


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster of two nodes of one core; the second is left to die."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    from keras_dae.training.executors.ray_cluster import free_ports

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        made = Cluster()
        for _ in range(2):
            made.add_node(num_cpus=1, include_dashboard=False, **free_ports())
        yield made
        made.shutdown()


class Steps:
    """An executor in this process: each poll of a job is one epoch."""

    jobs = 1

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def start(self, job):
        job.folder.path.mkdir(parents=True)
        self.done = 0

    def poll(self, job):
        self.done += 1
        columns = ("loss", "val_loss", "seconds", "val_seconds", "learning_rate")
        history = {name: [0.1] * self.done for name in columns}
        job.folder.history_path.write_text(json.dumps({"schema": 1, **history}))
        return "done" if self.done == job.config.epochs else None


def test_the_bar_of_all_runs_counts_their_epochs(tmp_path, monkeypatch):
    told = []
    shown = new_progress()
    monkeypatch.setattr(shown, "update", lambda task, **of: told.append((task, of)))
    monkeypatch.setattr("keras_dae.training.sweep.new_progress", lambda: shown)
    monkeypatch.setattr("keras_dae.training.sweep._POLL_SECONDS", 0)
    monkeypatch.setattr(
        "keras_dae.training.sweep._executor", lambda _: lambda _: Steps()
    )
    configs = [make_config({"data": "mnist5k", "epochs": 3, "seed": n}) for n in (0, 1)]
    assert [job.state for job in sweep(configs, tmp_path)] == ["done", "done"]
    overall = [of["completed"] for task, of in told if task == 0]
    assert overall == [0, 1, 2, 3, 3, 4, 5, 6]


@needs_ray
def test_runs_are_spread_and_the_same_to_the_bit(home, reference, cluster):
    options = ["--latents", "13,5", "--out", "ray", "--executor", "ray"]
    result = run(home, *options, "--address", cluster.address)
    assert states(result) == ["done", "done"], result.stderr
    # An estimate of the time, a line per run, and nothing of Ray's own.
    expected, *said = result.stderr.splitlines()
    assert re.fullmatch(r"2 runs take about \d+ s here", expected)
    assert sorted(line.split(":")[0] for line in said) == sorted(
        f"{name}" for name in NAMES
    )
    logs = [(home / "ray" / name / "train.log").read_text() for name in NAMES]
    assert len({log.partition("Ray node ")[2].split()[0] for log in logs}) == 2
    for name in NAMES:
        ours, theirs = home / "ray" / name, reference / name
        assert_same_weights(ours, theirs)
        configs = [
            json.loads((one / "config.json").read_text()) for one in (ours, theirs)
        ]
        assert configs[0] == configs[1]
        assert {path.name for path in ours.iterdir()} == {
            path.name for path in theirs.iterdir()
        }


@needs_ray
def test_a_run_whose_node_dies_goes_on_elsewhere(home, reference, cluster):
    out = home / "dying"
    options = ["--latents", "13,5", "--out", str(out), "--executor", "ray"]
    process = subprocess.Popen(
        command(*options, "--address", cluster.address),
        cwd=home,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not all(
        (out / name / "model.keras").exists() for name in NAMES
    ):
        time.sleep(0.02)
    (doomed,) = cluster.worker_nodes
    cluster.remove_node(doomed, allow_graceful=False)
    stdout, stderr = process.communicate()
    assert process.returncode == 0, stderr
    assert stdout.startswith("["), stdout[:2000]
    assert [row["state"] for row in json.loads(stdout)] == ["done", "done"]
    assert [epochs(out / name) for name in NAMES] == [EPOCHS, EPOCHS]
    logs = [(out / name / "train.log").read_text() for name in NAMES]
    assert sum("restarted" in log for log in logs) == 1
    for name in NAMES:
        assert_same_weights(out / name, reference / name)


@needs_ray
def test_a_second_call_runs_the_rest_and_a_failure_stops_no_other(
    home, reference, cluster
):
    out = home / "second"
    for name in NAMES:
        (out / name).mkdir(parents=True)
        for path in (reference / name).iterdir():
            (out / name / path.name).write_bytes(path.read_bytes())
    broken = out / NAMES[1]
    (broken / "model.keras").write_bytes(b"damaged")
    (broken / "history.json").unlink()
    finished = (out / NAMES[0] / "model.keras").stat().st_mtime_ns
    options = ["--latents", "13,5,8", "--out", "second", "--executor", "ray"]
    result = run(home, *options, "--address", cluster.address)
    assert result.returncode == 1
    assert states(result) == ["skipped", "done", "failed"]  # latents 13, 8 and 5
    reason = json.loads(result.stdout)[2]["reason"]
    assert reason.startswith("Error: ")
    assert f"second/{NAMES[1]}/model.keras" in reason
    assert (out / NAMES[0] / "model.keras").stat().st_mtime_ns == finished
    assert epochs(out / "npz-images-DAE_1_8-seed0") == EPOCHS


def marked(mark: str) -> list[str]:
    """Return the processes, of this machine, that have `mark` in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


@needs_ray
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_an_interrupt_leaves_resumable_runs_and_no_cluster(home):
    out, mark = home / "interrupted", uuid.uuid4().hex
    options = ["--latents", "13", "--out", str(out), "--epochs", "3000"]
    process = subprocess.Popen(
        command(*options, "--executor", "ray"),
        cwd=home,
        env=environment(KERAS_DAE_MARK=mark),
        stderr=subprocess.PIPE,
        text=True,
        # A job in the background may have been told to ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    folder = out / NAMES[0]
    while not (folder / "model.keras").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    while marked(mark):  # the system takes a moment to end them
        time.sleep(0.1)
    assert 1 <= epochs(folder) < 3000
    assert load(folder / "model.keras", compiled=True).optimizer is not None
    assert not list(out.rglob(".*"))


def test_the_options_name_every_executor():
    from keras_dae.cli import main

    (option,) = [one for one in main.commands["sweep"].params if one.name == "executor"]
    assert list(option.type.choices) == list(EXECUTORS)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"executor": "slurm"}, "executor='slurm'"),
        ({"address": "10.0.0.1:6379"}, "address='10.0.0.1:6379'"),
        ({"gpus_per_run": 0.5}, "gpus_per_run=0.5"),
    ],
)
def test_a_mistaken_request_is_one_sentence(tmp_path, options, named):
    with pytest.raises(UsageError, match=named.replace("[", r"\[")):
        sweep([make_config({"data": "mnist5k"})], tmp_path / "runs", **options)
    assert not (tmp_path / "runs").exists()


def test_two_configurations_of_one_run_are_refused(tmp_path):
    twice = [make_config({"data": "mnist5k", "depth": 3, "latent": 8})] * 2
    with pytest.raises(UsageError, match="run='mnist5k-DAE_3_8-seed0'"):
        sweep(twice, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@needs_ray
@pytest.mark.parametrize(
    ("share", "device"), [(1.5, "auto"), (0.0, "auto"), (0.5, "cpu")]
)
def test_a_mistaken_share_of_a_gpu_is_one_sentence(tmp_path, share, device):
    from keras_dae.training.executors.ray_cluster import RayCluster

    with pytest.raises(UsageError, match=f"gpus_per_run={share}"):
        RayCluster(Request(tmp_path, device=device, gpus_per_run=share))


def test_without_ray_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(
        sys.modules, "keras_dae.training.executors.ray_cluster", raising=False
    )
    with pytest.raises(UsageError, match=r'pip install "keras-dae\[ray\]"'):
        sweep([make_config({"data": "mnist5k"})], tmp_path / "runs", executor="ray")
