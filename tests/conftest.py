"""Fixtures for all tests: no network, no user's folders, small data, no accelerator.

Tests stand on the CPU, whatever the machine has: they compare bit for bit, or closer
than a GPU keeps. Those marked `cuda` stand on a GPU; `pytest -m cuda` runs them alone,
with the accelerators in sight, and skips them where there is none.
"""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from keras_dae.images import datasets
from keras_dae.system import lifeline

# A process that holds a place until its input ends, and then writes files.
HOLD = """
import sys
from pathlib import Path
from keras_dae.system.locks import held
with held(sys.argv[1], "the place", beside=sys.argv[2] == "beside"):
    print("held", flush=True)
    sys.stdin.read()
    for name in sys.argv[3:]:
        Path(name).write_bytes(b"of the other process")
"""


def pytest_configure(config):
    """Hide accelerators, from child processes too, before a backend is imported."""
    if config.option.markexpr != "cuda":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        os.environ["KERAS_TORCH_DEVICE"] = "cpu"
    if "PYTEST_XDIST_WORKER" in os.environ:
        # Each of several processes computes on one core, or they wait for each other.
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_runtest_setup(item):
    """Skip a test that needs a GPU where none is in sight."""
    if item.get_closest_marker("cuda") is not None and not sees_cuda():
        pytest.skip("needs a GPU; pytest -m cuda looks for one")


def sees_cuda():
    """Tell whether torch finds a GPU in this run."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return False
    import torch

    return torch.cuda.is_available()


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path_factory):
    """Hide the user's data folders and the network, here and in child processes."""
    monkeypatch.delenv("KERAS_DAE_DATA", raising=False)
    # What nobody foresaw fails a test with its place, not with a sentence.
    monkeypatch.setenv("KERAS_DAE_TRACEBACK", "1")
    monkeypatch.setenv("KERAS_DAE_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # a port that nobody answers
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")


@pytest.fixture(scope="session")
def digits():
    """The 5,000 genuine digits, split."""
    return datasets.load("mnist5k")


@pytest.fixture(scope="session")
def tiny():
    """Splits of 24, 6 and 7 random uint8 images of 8x8, holding 0 and 255."""
    images = np.random.default_rng(5).integers(0, 256, (37, 8, 8), dtype=np.uint8)
    images[:30, 0, 0], images[:30, 0, 1] = 0, 255
    arrays = datasets.Arrays(images[:30], None, images[30:], None)
    return datasets.split("tiny", arrays, arrays.sha256(), 0)


@pytest.fixture
def listening():
    """Take SIGTERM as the command line does, until the test has ended."""
    signals = signal.SIGINT, signal.SIGTERM, signal.SIGALRM
    before = [signal.getsignal(one) for one in signals]
    lifeline.listen()
    yield
    lifeline.reset_interrupt()
    for one, handler in zip(signals, before, strict=True):
        signal.signal(one, handler)


@pytest.fixture
def other():
    """Start processes that hold a place until they are let go, or killed."""
    started = []

    def start(place, beside=False, writes=()):
        words = [str(place), "beside" if beside else "in", *map(str, writes)]
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        with process:  # closes its pipes
            process.kill()
