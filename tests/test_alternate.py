"""Two sides of a benchmark that go on in turns."""

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("a process is stopped by a POSIX signal", allow_module_level=True)

from benchmarks.alternate import Worker, compare_within, in_turns

TICKS = """
import sys, time
for _ in range(int(sys.argv[1])):
    print(time.monotonic(), flush=True)
    time.sleep(0.005)
"""


def ticking(out: str, ticks: int):
    """A side whose process starts another one, which notes the time again and again."""

    def run() -> float:
        command = [sys.executable, "-c", TICKS, str(ticks)]
        with Path(out).open("w") as file:
            subprocess.run(command, stdout=file, check=True)
        return 0.0

    return run


def failing():
    def run() -> float:
        os._exit(3)

    return run


def test_one_side_goes_on_at_a_time(tmp_path, monkeypatch):
    paths = [tmp_path / name for name in ("one", "other")]
    sent = []
    own = Worker.send
    monkeypatch.setattr(
        Worker, "send", lambda *given: (sent.append(given), own(*given))
    )
    with (
        Worker(ticking, 1, warm_up=False, out=str(paths[0]), ticks=150) as one,
        Worker(ticking, 1, warm_up=False, out=str(paths[1]), ticks=60) as other,
    ):
        began = time.monotonic()
        spent = in_turns([(one, 0.3), (other, 0.2)])
        wall = time.monotonic() - began
    ticks = [[float(line) for line in path.read_text().split()] for path in paths]
    assert [len(of_one) for of_one in ticks] == [150, 60]
    merged = sorted((at, side) for side in (0, 1) for at in ticks[side])
    changes = sum(a[1] != b[1] for a, b in itertools.pairwise(merged))
    turns = sum(signal.name == "SIGCONT" for _, signal in sent)
    # Side by side they would change at each tick or so: a hundred times.
    assert 1 <= changes <= turns
    assert spent[0] > 150 * 0.005
    assert spent[1] > 60 * 0.005
    assert sum(spent) <= wall


def test_a_side_that_ends_is_not_waited_for():
    with Worker(failing, 1, warm_up=False) as one, pytest.raises(EOFError):
        in_turns([(one, 5.0)])


def counting():
    calls = itertools.count()
    return lambda: float(next(calls))


def test_two_sides_in_one_process_are_told_apart():
    """The first go of either is a warm-up; then come 2 and 3, 4 and 5, 6 and 7."""
    row = compare_within(
        "b", "m", counting, arguments={}, threads=1, rounds=3, starts=2
    )
    assert (row["rounds"], row["ours"], row["peer"]) == (6, 4, 5)
    assert row["ratio"] == 4 / 5
