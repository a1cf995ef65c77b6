"""A room with walls: what happens in it is bounded, and comes back as plain values."""

import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.images.io.pictures import Page, UnreadableError
from keras_dae.system import limits, parcels, walls
from keras_dae.system.limits import Bounds, bounds_of
from keras_dae.system.walls import Room

ROOMS = "tests.system.rooms"
TIGHT = Bounds(memory=64 << 20, seconds=1)


@pytest.fixture(scope="module")
def room():
    made = Room()
    yield made
    made.close()


def call(room, name, *arguments, bounds=TIGHT):
    return room.call(f"{ROOMS}:{name}", *arguments, bounds=bounds)


def test_values_come_back_as_they_were(room):
    array = np.arange(12, dtype=">f4").reshape(3, 4)[:, ::2]
    values = (
        *(None, True, 1, -1.5, "a\ud800\xff", b"\0\xff", b"", [1, (2, [])], {1: "a"}),
        *(np.dtype("<u2"), array, np.zeros((0, 3)), np.array(5)),
    )
    found = call(room, "back", *values)
    for one, other in zip(found, values, strict=True):
        assert type(one) is type(other)
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other)
        else:
            assert one == other
    assert found[10].dtype == array.dtype
    found[10][0, 0] = 7  # its own


def test_a_page_comes_back(room):
    (page,) = call(room, "back", Page(np.ones((2, 3, 1)), inverted=True))
    assert page.inverted
    assert page.values.shape == (2, 3, 1)


def test_one_process_for_one_call_after_the_other(room):
    assert call(room, "pid") == call(room, "pid") != os.getpid()


def test_a_relative_path_is_that_of_the_caller(room, tmp_path, monkeypatch):
    call(room, "pid")
    monkeypatch.chdir(tmp_path)
    assert call(room, "folder") == (str(tmp_path),)


def test_memory_is_bounded(room):
    assert len(call(room, "eat", 20 << 20)) == 20 << 20
    with pytest.raises(KerasDAEError, match=r"more than 64 MiB of memory.*--memory-"):
        call(room, "eat", 100 << 20)
    assert len(call(room, "eat", 100 << 20, bounds=Bounds(200 << 20, 5))) == 100 << 20


@pytest.mark.parametrize("name", ["spin", "sleep"])
def test_time_is_bounded(room, name):
    began = time.perf_counter()
    with pytest.raises(KerasDAEError, match="more than 1 s to read; --time-limit"):
        call(room, name)
    assert time.perf_counter() - began < 60
    call(room, "pid")


def test_a_process_is_busy_while_any_of_its_threads_is():
    lines = "import threading as t; t.Thread(target=exec, args=['while 1: 0']).start()"
    with subprocess.Popen([sys.executable, "-c", lines]) as process:
        ends = time.monotonic() + 60
        seen = []
        while {"S", "R"} - set(seen) and time.monotonic() < ends:
            seen = [state for state, *_ in walls._threads(process.pid)]
        process.kill()
    assert sorted(seen) == ["R", "S"]
    assert walls._threads(process.pid) == []


def test_many_parts_cost_no_more_than_their_number(room):
    began = time.process_time()
    assert len(room.call(f"{ROOMS}:many", 20_000, bounds=Bounds(1 << 30, 5))) == 20_000
    assert time.process_time() - began < 5


def test_time_to_pack_the_answer_is_bounded(room):
    with pytest.raises(KerasDAEError, match="more than 1 s to read"):
        room.call(f"{ROOMS}:many", 20_000_000, bounds=Bounds(8 << 30, 1))


def test_a_crash_is_one_sentence_and_the_next_file_gets_a_new_process(room):
    before = call(room, "pid")
    with pytest.raises(UnreadableError, match="SIGSEGV"):
        room.call(f"{ROOMS}:crash", bounds=TIGHT, refuse=UnreadableError)
    assert call(room, "pid") != before


def test_a_process_that_was_killed_while_idle_is_replaced(room):
    before = call(room, "pid")
    os.kill(before, 9)
    time.sleep(0.1)
    assert call(room, "pid") != before


def test_errors_come_back(room):
    with pytest.raises(UsageError, match="a mistake"):
        call(room, "fail", "usage")
    with pytest.raises(KerasDAEError, match=r"^cannot be read \(RuntimeError: a\)$"):
        call(room, "fail", "other")
    with pytest.raises(
        KerasDAEError, match=r"cannot be read \(a object cannot be sent"
    ):
        call(room, "odd")


def test_memory_that_a_library_lacks_is_named_with_what_allows_more(room):
    with pytest.raises(KerasDAEError, match=r"64 MiB of memory.*--memory-limit"):
        call(room, "fail", "memory")


def test_an_error_keeps_what_mends_it(room):
    error = UnreadableError("is large", "--max-megapixels allows more")
    here, there = socket.socketpair()
    with here, there:
        parcels.send(here, error)
        assert parcels.receive(there).mended == error.mended


@pytest.mark.parametrize(
    "words",
    [
        b"[",
        b'{"made": ["Room", {}]}',
        b'{"array": [0, 8, "|O", [1]]}',
        b'{"array": [0, 1, "|u1", [1000000000000]]}',
        b"[" * 100_000,
        b'{"a": 1, "b": 2}',
    ],
)
def test_what_is_no_parcel_is_refused(words):
    here, there = socket.socketpair()
    with here, there:
        here.sendall(parcels._LENGTH.pack(len(words), 0) + words)
        with pytest.raises(ValueError, match=r"message|array|value|Expecting|object"):
            parcels.receive(there)


def test_the_sender_cannot_change_what_it_sent():
    """Nor make it shorter, which would end the reader."""
    shared = parcels._shared([memoryview(b"a" * 4096)])
    mapped = parcels._mapped(shared, 4096)
    with pytest.raises(OSError, match="not permitted"):
        os.pwrite(shared, b"b", 0)
    with pytest.raises(OSError, match="not permitted"):
        os.ftruncate(shared, 0)
    assert bytes(mapped[:2]) == b"aa"
    os.close(shared)


def test_bounds_are_in_proportion_to_what_is_stored(tmp_path, monkeypatch):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    assert bounds_of(path).memory < limits.MEMORY + (1 << 20)
    assert bounds_of(size=1 << 30).memory == limits.MEMORY + (16 << 30)
    monkeypatch.setenv(limits.MEMORY_LIMIT, "2")
    monkeypatch.setenv(limits.TIME_LIMIT, "0.5")
    assert bounds_of(path) == Bounds(2 << 20, 0.5)
    monkeypatch.setenv(limits.TIME_LIMIT, "soon")
    with pytest.raises(UsageError, match="soon"):
        bounds_of(path)
