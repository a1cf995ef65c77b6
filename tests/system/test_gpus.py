"""GPUs as nvidia-smi names them, and how many runs of a sweep they are given."""

import pytest

from keras_dae.system.gpus import Gpu, find_gpus
from keras_dae.training.executors import processes
from keras_dae.training.executors.processes import Processes
from keras_dae.training.jobs import Request

TWO = "0, GPU-aa, 80000\n1, GPU-bb, 5000\n"


@pytest.fixture
def cards(tmp_path, monkeypatch):
    """Put an nvidia-smi on the path that prints what it is told."""

    def put(text, code=0):
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\nprintf '{text}'\nexit {code}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("KERAS_TORCH_DEVICE", raising=False)
    monkeypatch.setattr(processes.backend, "available_cores", lambda: 16)
    return put


@pytest.mark.parametrize(
    ("visible", "wanted"),
    [
        (None, [Gpu("0", 80000), Gpu("1", 5000)]),
        ("1,0", [Gpu("1", 5000), Gpu("0", 80000)]),
        ("GPU-bb", [Gpu("GPU-bb", 5000)]),
        ("", []),
        ("-1", []),
    ],
)
def test_the_gpus_that_this_process_may_use(visible, wanted, cards, monkeypatch):
    cards(TWO)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert find_gpus() == wanted


@pytest.mark.parametrize("text", ["no devices were found", "0, GPU-aa, [N/A]", ""])
def test_what_names_no_gpu(text, cards):
    cards(text)
    assert find_gpus() == []
    cards(TWO, code=9)  # the driver does not answer
    assert find_gpus() == []


def test_no_nvidia_smi(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_gpus() == []


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"device": "cuda"}, 3 + 2),  # the second has room for two
        ({"device": "auto"}, 3 + 2),
        ({"device": "cpu"}, 16),
        ({"device": "cuda", "jobs": 9}, 9),
    ],
)
def test_runs_at_a_time_follow_free_memory(given, wanted, cards, tmp_path):
    cards(TWO)
    assert Processes(Request(tmp_path, **given)).jobs == wanted


def test_a_full_gpu_takes_one_run_and_the_cpu_its_cores(cards, tmp_path, monkeypatch):
    cards("0, GPU-aa, 100\n")
    assert Processes(Request(tmp_path)).jobs == 1
    monkeypatch.setenv("KERAS_TORCH_DEVICE", "cpu")
    assert Processes(Request(tmp_path)).jobs == 16


def test_processes_are_shared_out_to_gpus(cards, tmp_path, monkeypatch):
    cards(TWO)
    started = []

    class Noted:
        def __init__(self, environment, log, gpu=None):
            self.gpu = gpu
            started.append(gpu)

        def order(self, arguments, path):
            return True

    monkeypatch.setattr(processes, "Worker", Noted)
    sweep = Processes(Request(tmp_path, device="cuda"))
    for number in range(4):
        worker = sweep._ordered([], tmp_path / "log", None)
        sweep._busy[str(number)] = worker, None
    assert started == ["0", "1", "0", "1"]
    del sweep._busy["1"]  # it ended
    sweep._ordered([], tmp_path / "log", None)
    assert started[-1] == "1"
    cards("0, GPU-aa, 80000\n")
    alone = Processes(Request(tmp_path, device="cuda"))
    alone._ordered([], tmp_path / "log", None)
    assert started[-1] is None
