"""Folders that a stranger filled: no link in them is followed, nothing blocks."""

import csv
import json
import os
import shutil
from pathlib import Path

import pytest

from keras_dae.errors import KerasDAEError
from keras_dae.study.nine.figures import save_png
from keras_dae.study.report.publish import write_report
from keras_dae.system import inside
from keras_dae.system.locks import LOCK, held, tidy
from keras_dae.system.storage import read_json, write_csv, write_text
from keras_dae.training.executors.processes import Processes
from keras_dae.training.jobs import Job, Request, last_lines
from keras_dae.training.runs import RunFolder, find_runs
from tests.commands import run, sentence

GOLDEN = Path(__file__).parents[1] / "golden" / "study"
RUN = "npz-digits-DAE_1_5-seed0"
SECRET = "the stranger is not to see this"


@pytest.fixture
def study(tmp_path):
    """A copy of a study, and a private file beside it."""
    (tmp_path / "private.txt").write_text(SECRET)
    inside.named(tmp_path / "study")
    return Path(shutil.copytree(GOLDEN, tmp_path / "study"))


@pytest.fixture
def private(study):
    return study.parent / "private.txt"


def linked(place, target):
    """Put a link where a file or folder of ours stands, or would stand."""
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.symlink_to(target)


def test_a_log_that_is_a_link_is_not_appended_to(study, private):
    folder = RunFolder(study / "runs" / RUN)
    job = Job(folder.config(), folder)
    linked(job.log_path, private)
    with pytest.raises(KerasDAEError, match=r"train\.log is a link"):
        Processes(Request(study / "runs")).start(job)
    assert private.read_text() == SECRET
    assert last_lines(job) == ["no log"]


def test_a_sweep_appends_to_no_link(study, private):
    """The stranger's run is unfinished, so that the sweep would go on with it."""
    folder = study / "runs" / RUN
    record = json.loads((folder / "config.json").read_text())
    record["config"]["$(touch owned)\nkey"] = 1
    (folder / "config.json").write_text(json.dumps(record))
    linked(folder / "train.log", private)
    data = f"npz:{GOLDEN.parent / 'digits.npz'}"
    grid = ["--depths", 1, "--latents", 5, "--seeds", 1, "--epochs", 1]
    result = run("sweep", "--data", data, *grid, "--out", study / "runs")
    assert private.read_text() == SECRET
    said = sentence(result, 1)
    assert "is a link" in said or r"touch owned)\nkey" in said


def test_a_private_file_is_not_put_into_a_report(study, private):
    (study / "figures").mkdir(exist_ok=True)
    linked(study / "figures" / "figure5-losses.png", private)
    with pytest.raises(KerasDAEError, match=r"figure5-losses\.png is a link"):
        write_report(study)
    assert not (study / "report.html").exists()


@pytest.mark.parametrize("name", ["figures", "figures/deeper"])
def test_nothing_is_written_through_a_linked_folder(study, name):
    from matplotlib.figure import Figure

    elsewhere = study.parent / "elsewhere"
    elsewhere.mkdir()
    (study / name).parent.mkdir(exist_ok=True)
    linked(study / name, elsewhere)
    with pytest.raises(KerasDAEError, match=r"figures.* is a link"):
        save_png(Figure(), study / name / "new" / "a.png")
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("name", ["runs", f"runs/{RUN}", "board-kept", "equal-macs"])
def test_no_folder_of_a_study_is_a_link(study, name):
    elsewhere = study.parent / "elsewhere"
    elsewhere.mkdir()
    linked(study / name, elsewhere)
    with pytest.raises(KerasDAEError, match="is a link"), held(study / name, "It"):
        pass
    with pytest.raises(KerasDAEError, match="is a link"):
        write_text(study / name / "a.txt", "a")
    assert list(elsewhere.iterdir()) == []


def test_the_folder_that_a_user_names_may_be_a_link(study):
    link = study.parent / "here"
    link.symlink_to(study)
    (found,) = find_runs(link / "runs" / RUN)
    assert found.config().depth == 1
    write_text(link / "runs" / RUN / "a.txt", "a")
    assert (study / "runs" / RUN / "a.txt").read_text() == "a"


@pytest.mark.parametrize("name", ["config.json", "history.json", "environment.json"])
@pytest.mark.parametrize("what", ["/dev/zero", "pipe", "link"])
def test_a_record_that_never_ends_is_one_sentence(study, private, name, what):
    path = study / "runs" / RUN / name
    path.unlink(missing_ok=True)
    if what == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(what if what.startswith("/") else private)
    with pytest.raises(KerasDAEError, match=r"is a link|is not a regular file"):
        read_json(path)


@pytest.mark.parametrize("name", ["model.keras", "best.keras"])
def test_a_model_that_is_a_link_is_not_read(study, private, name):
    linked(study / "runs" / RUN / name, private)
    folder = RunFolder(study / "runs" / RUN)
    with pytest.raises(KerasDAEError, match="is a link"):
        _ = folder.model_path, folder.best_path


@pytest.mark.parametrize("what", ["pipe", "link", "folder"])
def test_a_lock_that_is_no_file_is_one_sentence(study, private, what):
    lock = study / LOCK
    if what == "pipe":
        os.mkfifo(lock)
    elif what == "folder":
        lock.mkdir()
    else:
        lock.symlink_to(private)
    with pytest.raises(KerasDAEError), held(study, "The study"):
        pass
    assert private.read_text() == SECRET


def test_a_pipe_that_is_named_like_a_temporary_file_does_not_block(study):
    os.mkfifo(study / ".x~00000000-1-y")
    os.mkfifo(study / f".x{LOCK}")
    tidy(study)
    assert list(study.glob(".x*")) == []


def test_a_second_name_of_a_file_is_not_written_to(study, private):
    log = study / "runs" / RUN / "train.log"
    os.link(private, log)
    with pytest.raises(KerasDAEError, match="a hard link"):
        inside.opened(log, os.O_WRONLY | os.O_APPEND)


def test_a_large_file_is_not_read(tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(KerasDAEError, match="larger than 1 MiB"):
        inside.read(path, 1 << 20)


def test_formulas_are_text_in_a_table(tmp_path):
    path = tmp_path / "a.csv"
    rows = [{"name": text, "n": -1.5} for text in ("=cmd()", "+1", "@x", "-2", "a")]
    write_csv(path, rows)
    with path.open() as file:
        found = [tuple(row.values()) for row in csv.DictReader(file)]
    assert found == [(f"'{row['name']}", "-1.5") for row in rows[:4]] + [("a", "-1.5")]


def test_a_message_is_one_line(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text('"b\\n\\u001b[31m\\u202eError: all is well" = 1')
    result = run("train", "--config", path, "--out", tmp_path)
    assert len(result.stderr.splitlines()) == 1
    assert "\\n" in result.stderr
    assert not {"\x1b", "\u202e"} & set(result.stderr)


@pytest.mark.parametrize("holds", ["other things", "an export and more", "nothing"])
def test_only_an_export_is_replaced_by_an_export(tmp_path, holds):
    pytest.importorskip("keras")
    from keras_dae.interchange.export import _check_free

    out = tmp_path / "saved"
    (out / "assets.extra").mkdir(parents=True)
    if holds != "other things":
        (out / "assets.extra" / "keras_dae.json").write_text("{}")
        (out / "saved_model.pb").write_text("")
    if holds != "nothing":
        (out / "photograph.jpg").write_text("dear")
        with pytest.raises(KerasDAEError, match="was not written by this program"):
            _check_free(out, True)
        assert (out / "photograph.jpg").read_text() == "dear"
    else:
        _check_free(out, True)


def test_an_output_that_is_a_link_is_there(tmp_path):
    """What a dangling link leads to would be made by whoever opens it."""
    from keras_dae.denoising.files import plan_jobs

    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.denoised.png").symlink_to(tmp_path / "nowhere")
    (job,) = plan_jobs((str(tmp_path / "a.png"),), str(tmp_path / "out"))
    assert "exists" in job.problem
