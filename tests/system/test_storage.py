import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading

import numpy as np
import pytest

from keras_dae.errors import KerasDAEError
from keras_dae.system.lifeline import uninterrupted
from keras_dae.system.locks import LOCK, held, temporary, tidy
from keras_dae.system.storage import (
    SCHEMA,
    array_sha256,
    read_json,
    replacing,
    write_csv,
    write_json,
    write_text,
)


def test_json_comes_back_with_the_schema_first(tmp_path):
    path = tmp_path / "new" / "record.json"
    write_json(path, {"name": "naïve", "values": [1, 2.5, None]})
    assert read_json(path) == {
        "schema": SCHEMA,
        "name": "naïve",
        "values": [1, 2.5, None],
    }
    assert next(iter(json.loads(path.read_text(encoding="utf-8")))) == "schema"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f'{{"schema": {SCHEMA - 1}}}', f"schema {SCHEMA - 1}"),
        (f'{{"schema": {SCHEMA + 1}}}', f"schema {SCHEMA + 1}"),
        ('{"name": 1}', "schema None"),
        ("[1, 2]", "is not a JSON object"),
        ("", "not valid JSON"),
        ('{"schema": 1', "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_read_json_refuses(tmp_path, text, says):
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(KerasDAEError, match=says) as refused:
        read_json(path)
    assert str(path) in str(refused.value)


def test_read_json_refuses_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "record.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(KerasDAEError, match="not valid JSON"):
        read_json(path)


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_read_json_of_no_file(tmp_path, name):
    with pytest.raises(KerasDAEError, match="Cannot read"):
        read_json(tmp_path / name)


def test_read_json_refuses_nan(tmp_path):
    path = tmp_path / "record.json"
    path.write_text(f'{{"schema": {SCHEMA}, "loss": NaN}}')
    with pytest.raises(KerasDAEError, match="not valid JSON"):
        read_json(path)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_write_json_refuses_what_json_has_not(tmp_path, value):
    path = tmp_path / "record.json"
    write_json(path, {"loss": 1.0})
    before = path.read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"loss": value})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError("disk full"), ValueError, KeyboardInterrupt])
def test_a_failing_write_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "note.txt"
    path.write_text("old")
    with (
        pytest.raises((KerasDAEError, ValueError, KeyboardInterrupt)),
        replacing(path) as temporary,
    ):
        temporary.write_text("ne")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_shows_only_when_whole(tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.suffix == ".txt"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_is_replaced_and_not_written_over(tmp_path):
    """A second name of the old file still shows all of it."""
    path, other = tmp_path / "note.txt", tmp_path / "other.txt"
    path.write_text("old")
    other.hardlink_to(path)
    write_text(path, "new")
    assert (path.read_text(), other.read_text()) == ("new", "old")


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(KerasDAEError, match="Cannot write"):
        write_text(tmp_path / "file" / "note.txt", "text")


def test_a_folder_is_not_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(KerasDAEError, match="Cannot write"):
        write_text(tmp_path / "folder", "text")
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


BASE = np.arange(6, dtype=np.uint8).reshape(2, 3)


def test_array_sha256_is_of_the_content():
    strided = np.arange(12, dtype=np.uint8).reshape(2, 6)[:, :3].copy(order="F")
    strided[:] = BASE
    assert array_sha256(strided) == array_sha256(BASE)
    # printf '|u1(2, 3)\0\1\2\3\4\5' | sha256sum
    assert array_sha256(BASE) == (
        "6dbfa661f92b4bffd7cb2ea7e83c24ad44681b06d5cc1edd6f144af02fe540e4"
    )


@pytest.mark.parametrize(
    "other",
    [
        BASE.reshape(3, 2),
        BASE.astype(np.int8),
        BASE.astype(np.uint16),
        BASE[::-1],
        np.append(BASE, 6),
    ],
    ids=["shape", "sign", "width", "order", "length"],
)
def test_array_sha256_depends_on(other):
    assert array_sha256(other) != array_sha256(BASE)


def test_array_sha256_depends_on_the_order_of_arrays():
    assert array_sha256(BASE, BASE + 1) != array_sha256(BASE + 1, BASE)


@pytest.mark.parametrize("shape", [(0, 3), ()], ids=["empty", "scalar"])
def test_array_sha256_takes_any_shape(shape):
    assert len(array_sha256(np.zeros(shape))) == 64


def test_csv_rows(tmp_path):
    path = tmp_path / "rows.csv"
    write_csv(path, ({"name": name, "mse": error} for name, error in rows()))
    assert path.read_text() == 'name,mse\n"a, b",0.5\nc,\n'


def rows():
    yield "a, b", 0.5
    yield "c", None


def test_a_csv_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("before")

    def broken():
        yield {"a": 1}
        raise KerasDAEError("no more")

    with pytest.raises(KerasDAEError, match="no more"):
        write_csv(path, broken())
    assert path.read_text() == "before"
    assert [one.name for one in tmp_path.iterdir()] == ["rows.csv"]


LEAVE = """
import os, signal, sys
from keras_dae.system.storage import replacing
with replacing(sys.argv[1]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_removed_by_the_next_write(tmp_path):
    path = tmp_path / "record.txt"
    write_text(path, "whole")
    killed = subprocess.run([sys.executable, "-c", LEAVE, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_text() == "whole"
    assert len(list(tmp_path.iterdir())) == 2
    write_text(tmp_path / "other.txt", "of another name")
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {
        "record.txt": "whole",
        "other.txt": "of another name",
    }


def test_a_folder_of_a_killed_process_goes_and_one_of_a_living_process_stays(tmp_path):
    """By whether it is locked: another machine's number may be anybody's here."""
    dead = tmp_path / f".model~01234567-{os.getpid()}-abcdefgh"
    (dead / "made").mkdir(parents=True)
    (dead / "made" / "model.onnx").write_text("half")
    mine = tmp_path / ".keys.lock"
    mine.write_text("of another program")
    with temporary(tmp_path / "model", folder=True) as place:
        (place / "inner").write_text("at work")
        tidy(tmp_path)
        assert sorted(tmp_path.iterdir()) == sorted([mine, place])
    assert list(tmp_path.iterdir()) == [mine]


def test_a_second_process_waits_and_says_for_whom(tmp_path, other):
    holder = other(tmp_path)
    told = []

    def tell(line):
        told.append(line)
        holder.stdin.close()  # the holder ends

    with held(tmp_path, "The folder", wait=float("inf"), tell=tell):
        assert holder.wait() == 0
    (line,) = told
    assert f"(number {holder.pid}); waiting for it to end" in line


@pytest.mark.parametrize(("maker", "folder"), [("mkstemp", False), ("mkdtemp", True)])
def test_an_interrupt_as_a_temporary_is_made_leaves_nothing(
    tmp_path, monkeypatch, listening, maker, folder
):
    make = getattr(tempfile, maker)

    def interrupted(*where):
        made = make(*where)
        os.kill(os.getpid(), signal.SIGTERM)
        return made

    monkeypatch.setattr(tempfile, maker, interrupted)
    with (
        pytest.raises(KeyboardInterrupt),
        temporary(tmp_path / "record.txt", folder=folder),
    ):
        raise AssertionError("the interrupt was lost")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_as_a_place_is_let_go_comes_once_it_is_free(
    tmp_path, monkeypatch, listening
):
    unlink = type(tmp_path).unlink

    def interrupted(path, **options):
        os.kill(os.getpid(), signal.SIGTERM)
        unlink(path, **options)

    with pytest.raises(KeyboardInterrupt), held(tmp_path, "the folder"):
        monkeypatch.setattr(type(tmp_path), "unlink", interrupted)
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []
    with held(tmp_path, "the folder"):
        assert (tmp_path / LOCK).exists()


def test_another_thread_puts_off_no_interrupt(listening):
    inside, over = threading.Event(), threading.Event()

    def work():
        with uninterrupted():
            inside.set()
            over.wait()

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
    over.set()
    thread.join()


def test_what_a_living_process_writes_is_left(tmp_path):
    path = tmp_path / "record.txt"
    with replacing(path) as first:
        write_text(path, "second")
        first.write_text("first")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_longer_number_of_a_dead_process_is_replaced(tmp_path):
    (tmp_path / LOCK).write_text("12345678901\n")
    with held(tmp_path, "the folder"):
        assert (tmp_path / LOCK).read_text() == f"{os.getpid()}\n"


def test_a_folder_is_held_by_one_process_at_a_time(tmp_path, other):
    folder = tmp_path / "new"
    holder = other(folder)
    with (
        pytest.raises(KerasDAEError, match="another process") as refused,
        held(folder, "the folder"),
    ):
        raise AssertionError("held twice")
    assert str(holder.pid) in str(refused.value)
    holder.kill()
    holder.wait()
    # A dead process holds nothing, whatever file it left.
    assert [path.name for path in folder.iterdir()] == [LOCK]
    for _ in range(2):
        with held(folder, "the folder"):
            assert (folder / LOCK).read_text() == f"{os.getpid()}\n"
        assert list(folder.iterdir()) == []
