"""Folders as people have them: one row for what fails, and the batch goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from keras_dae.cli import main
from keras_dae.errors import KerasDAEError
from keras_dae.images.folder import read_folder
from keras_dae.images.kinds import OTHER, RAW, SLIDE
from keras_dae.images.patches import Cut

GREY = np.random.default_rng(5).integers(0, 256, (28, 28), dtype=np.uint8)


def denoise(*words):
    fixed = ["--model", "DAE_1_5", "--threads", "1", "--json"]
    result = CliRunner().invoke(main, ["denoise", *fixed, *map(str, words)])
    assert "Traceback" not in result.output
    return result.exit_code, json.loads(result.stdout_bytes.decode("utf-8"))


def rows(found):
    return {Path(row["input"]).name: row for row in found["images"]}


@pytest.fixture
def folder(tmp_path):
    inside = tmp_path / "in"
    inside.mkdir()
    save(inside / "ok.png")
    return inside


def save(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(GREY).save(path, "PNG")


def test_a_name_that_is_too_long_is_one_row(folder, tmp_path):
    save(folder / f"{'n' * 245}.png")
    code, found = denoise(folder, "-o", tmp_path / "out")
    assert (code, found["done"], found["failed"]) == (1, 1, 1)
    reason = rows(found)["n" * 245 + ".png"]["reason"]
    assert reason.startswith("Cannot write ") and reason.endswith(
        ": File name too long"
    )
    code, found = denoise("x" * 300 + ".png", folder / "ok.png", "-o", tmp_path / "b")
    assert (code, found["done"]) == (1, 1)
    assert found["images"][0]["reason"] == "cannot be read: File name too long"


def test_a_pipe_is_one_row_and_is_not_waited_for(folder, tmp_path):
    os.mkfifo(folder / "p.png")
    code, found = denoise(folder, "-o", tmp_path / "out")
    assert (code, found["done"]) == (1, 1)
    assert rows(found)["p.png"]["reason"].startswith("is a named pipe, not a file")
    code, found = denoise(folder / "p.png", "-o", tmp_path / "b")
    assert (code, found["failed"]) == (1, 1)


def test_a_broken_link_is_one_row(folder, tmp_path):
    (folder / "gone.png").symlink_to(tmp_path / "nowhere.png")
    code, found = denoise(folder, "-o", tmp_path / "out")
    assert (code, found["done"]) == (1, 1)
    assert rows(found)["gone.png"]["reason"] == "there is no such file"


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux")
def test_a_name_that_is_not_utf8_is_written_out(folder, tmp_path):
    save(folder / os.fsdecode(b"\xff\xfe.png"))
    code, found = denoise(folder, "-o", tmp_path / "out")
    assert (code, found["done"]) == (0, 2)
    assert r"\xff\xfe.png" in rows(found)
    written = os.listdir(os.fsencode(tmp_path / "out"))  # noqa: PTH208 (bytes)
    assert b"\xff\xfe.denoised.png" in written
    save(folder / "b.png")
    (folder / "c.png").write_bytes(b"")
    with pytest.raises(KerasDAEError, match="1 image file, but at least 3"):
        read_folder(folder, Cut(size=8))  # all hold the same image; no traceback


def test_linked_folders_are_followed_once(folder, tmp_path):
    save(tmp_path / "elsewhere" / "x.png")
    (folder / "data").symlink_to(tmp_path / "elsewhere")
    (folder / "again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "up").symlink_to(folder)
    (folder / "deep").mkdir()
    save(folder / "deep" / "y.png")
    (folder / "a-deep").symlink_to(folder / "deep")
    code, found = denoise(folder, "-o", tmp_path / "out")
    assert code == 0
    made = [
        Path(row["output"]).relative_to(tmp_path / "out") for row in found["images"]
    ]
    assert sorted(map(str, made)) == [
        "again/x.denoised.png",
        "deep/y.denoised.png",
        "ok.denoised.png",
    ]


KINDS = {
    "raw.NEF": RAW,
    "raw.dng": RAW,
    "scan.svs": SLIDE,
    "film.gif": OTHER,
    "brain.nii.gz": "is a medical or scientific image",
    "cells.czi": "a microscope file",
}


def test_what_looks_like_an_image_is_counted_and_never_renamed(folder, tmp_path):
    for name in KINDS:
        (folder / name).write_bytes(b"II*\0" + bytes(60))
    save(folder / "photo")  # a PNG without a suffix
    (folder / "photo.thing").write_bytes(b"II*\0" + bytes(60))
    (folder / "notes.txt").write_text("no image")
    code, found = denoise(folder, "-o", tmp_path / "out")
    assert (code, found["done"], found["failed"]) == (1, 1, len(KINDS) + 2)
    for name, words in KINDS.items():
        assert words in rows(found)[name]["reason"]
        assert "rename" not in rows(found)[name]["reason"]
        _, single = denoise(folder / name, "-o", tmp_path / "single")
        assert words in single["images"][0]["reason"]
    assert "rename it to end in .png" in rows(found)["photo"]["reason"]
    assert "rename" not in rows(found)["photo.thing"]["reason"]


def test_existing_outputs_are_skipped_on_demand(folder, tmp_path):
    out = tmp_path / "out"
    save(folder / "b.png")
    assert denoise(folder / "b.png", "-o", out)[0] == 0
    before = (out / "b.denoised.png").read_bytes()
    (out / "b.denoised.png").write_bytes(before + b"mine")
    code, found = denoise(folder, "-o", out, "--skip-existing")
    assert (code, found["done"], found["skipped"], found["failed"]) == (0, 1, 1, 0)
    assert rows(found)["b.png"]["state"] == "skipped"
    assert (out / "b.denoised.png").read_bytes() == before + b"mine"
    code, found = denoise(folder, "-o", out, "--skip-existing")
    assert (code, found["done"], found["skipped"]) == (0, 0, 2)
    words = ["denoise", str(folder), "-o", str(out), "--skip-existing", "--overwrite"]
    both = CliRunner().invoke(main, words)
    assert both.exit_code == 2
    assert "cannot be combined" in both.stderr


def test_a_second_call_after_an_interrupt_does_what_is_left(folder, tmp_path):
    for number in range(40):
        Image.fromarray(np.tile(GREY, (6, 6))).save(folder / f"{number:02}.png")
    out = tmp_path / "out"
    code = "from keras_dae.cli import main; main()"
    words = [folder, "-o", out, "--model", "DAE_5_13", "--skip-existing"]
    call = [sys.executable, "-c", code, "denoise", *map(str, words)]
    first = subprocess.Popen(
        call,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # A shell lets what it starts in the background ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while first.poll() is None and not list(out.glob("*.denoised.png")):
        time.sleep(0.01)
    first.send_signal(signal.SIGINT)
    assert first.wait() == 130
    done = {path: path.read_bytes() for path in out.glob("*.denoised.png")}
    assert 0 < len(done) < 41
    again = subprocess.run(call, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert f"{41 - len(done)} of 41 denoised, {len(done)} skipped" in again.stdout
    assert {path: path.read_bytes() for path in done} == done
    assert len(list(out.iterdir())) == 41


def test_each_warning_is_in_the_table_and_the_json(tmp_path):
    rng = np.random.default_rng(0)
    ramp = np.linspace(90, 250, 64 * 64).reshape(64, 64)
    for name in ("a.png", "b.png"):
        noisy = np.clip(ramp + rng.normal(0, 10, ramp.shape), 0, 255)
        Image.fromarray(noisy.astype(np.uint8)).save(tmp_path / name)
    _, found = denoise(tmp_path, "-o", tmp_path / "out")
    assert all("unlike" in row["warning"] for row in found["images"])
    words = [str(tmp_path), "-o", str(tmp_path / "o"), "--model", "DAE_1_5"]
    table = CliRunner().invoke(main, ["denoise", *words]).stdout
    assert " ".join(table.split()).count("unlike") == 2


def test_a_file_that_is_read_is_no_output(folder, tmp_path):
    """The clean image, another input, and an input that is named like the widths."""
    save(tmp_path / "clean.png")
    words = [folder / "ok.png", "--clean", tmp_path / "clean.png", "--overwrite"]
    code, found = denoise(*words, "-o", tmp_path / "clean.png")
    assert code == 1
    assert "is also read" in found["images"][0]["reason"]
    save(folder / "ok.denoised.png")
    inputs = [folder / "ok.png", folder / "ok.denoised.png"]
    code, found = denoise(*inputs, "-o", folder, "--overwrite")
    assert (code, found["done"], found["failed"]) == (1, 1, 1)
    assert "is also read" in found["images"][0]["reason"]
    for path in (tmp_path / "clean.png", folder / "ok.denoised.png"):
        assert (np.asarray(Image.open(path)) == GREY).all()


def test_an_input_is_known_by_any_path(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    code, found = denoise("ok.png", folder / "ok.png", "-o", tmp_path / "out")
    assert (code, found["done"], found["failed"]) == (0, 1, 0)


def test_widths_are_no_images_to_denoise(folder, tmp_path):
    for name in (
        "a.denoised.png",
        "a.denoised.tif.width.png",
        "a.denoised.tif.width-2.png",
    ):
        save(folder / name)
    _, found = denoise(folder, "-o", tmp_path / "out")
    assert [*rows(found)] == ["ok.png"]


def test_a_comparison_that_cannot_be_written_leaves_the_report(folder, tmp_path):
    words = [folder / "ok.png", "-o", tmp_path / "out", "--compare"]
    result = CliRunner().invoke(
        main, ["denoise", *map(str, words), str(folder / "ok.png" / "x.png")]
    )
    assert result.exit_code == 2
    assert "ok.png is a file, not a folder" in result.output
    code, found = denoise(*words, tmp_path / f"{'n' * 300}.png")
    assert (code, found["images"][0]["state"]) == (1, "failed")
    assert "File name too long" in found["images"][0]["reason"]
    assert (tmp_path / "out" / "ok.denoised.png").exists()
    result = CliRunner().invoke(
        main,
        ["denoise", *map(str, words), str(tmp_path / "c.png"), "--skip-existing"],
    )
    assert "There is no comparison, since the image was skipped" in result.output


def test_a_closed_standard_output_takes_no_image(folder):
    command = f"{sys.executable} -m keras_dae denoise {folder / 'ok.png'} -o - >&-"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.returncode == 2
    assert "Standard output is closed" in done.stderr


def test_the_overlap_is_checked_before_the_files(folder, tmp_path):
    words = ["denoise", str(folder), "-o", str(tmp_path / "out"), "--overlap", "600"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "overlap must be from 0 to 511" in result.output
