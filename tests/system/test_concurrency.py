"""Two processes in one place: one works, the other waits or says who works there."""

import threading

import numpy as np
import pytest
from PIL import Image

from keras_dae.errors import KerasDAEError
from keras_dae.system.locks import LOCK, held
from keras_dae.training import fitting
from tests.commands import run

RECIPE = ["--epochs", "1", "--batch-size", "32", "--threads", "1"]


@pytest.fixture
def data(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (60, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", x_train=images[:50], x_test=images[50:])
    return f"npz:{tmp_path / 'images.npz'}"


def let_go_soon(process):
    threading.Timer(0.7, process.stdin.close).start()


@pytest.mark.parametrize(
    ("command", "held", "what"),
    [
        (["train", "--depth", "1", "--latent", "5"], "npz-images-DAE_1_5-seed0", "run"),
        (["sweep", "--depths", "1", "--latents", "5", "--seeds", "1"], "", "folder of"),
        (["reproduce", "--depths", "1", "--latents", "5", "--seeds", "1"], "", "study"),
    ],
)
def test_who_works_there_is_said(
    tmp_path, data, other, monkeypatch, command, held, what
):
    monkeypatch.setattr(fitting, "ORPHAN_SECONDS", 0.1)
    holder = other(tmp_path / "out" / held)
    result = run(*command, *RECIPE, "--data", data, "--out", tmp_path / "out")
    assert result.exit_code == 1, result.output
    (line,) = [one for one in result.stderr.splitlines() if one.startswith("Error: ")]
    assert f"The {what}" in line
    assert f"is in use by another process (number {holder.pid}). Wait for it" in line
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert [path.name for path in files] == [LOCK]


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "in" / "a.png"
    path.parent.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (30, 30), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def denoise(picture, out):
    return run("denoise", picture, "--model", "DAE_1_5", "-o", out, "--threads", "1")


def test_denoise_waits_and_writes_over_nothing_that_came_meanwhile(
    tmp_path, picture, other
):
    target = tmp_path / "out" / "a.denoised.png"
    holder = other(tmp_path / "out", writes=[target])
    let_go_soon(holder)
    result = denoise(picture, tmp_path / "out")
    assert f"(number {holder.pid}); waiting for it to end" in result.stderr
    assert result.exit_code == 1
    assert f"its output {target} exists" in result.stderr
    assert target.read_bytes() == b"of the other process"


def test_denoise_to_one_file_waits_for_that_file_alone(tmp_path, picture, other):
    target = tmp_path / "b.png"
    holder = other(target, beside=True)
    assert denoise(picture, tmp_path / "c.png").exit_code == 0
    let_go_soon(holder)
    result = denoise(picture, target)
    assert f"(number {holder.pid}); waiting" in result.stderr
    assert result.exit_code == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.png", "c.png", "in"]


def test_the_lock_of_a_dead_process_holds_nobody_up(tmp_path, picture, other):
    holder = other(tmp_path / "out")
    holder.kill()
    holder.wait()
    assert (tmp_path / "out" / LOCK).exists()
    result = denoise(picture, tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "waiting" not in result.stderr
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a.denoised.png"]


def test_a_lock_removed_while_it_was_taken_is_no_lock(tmp_path, monkeypatch):
    """The holder ends between another's opening of the file and its locking."""
    fcntl, steps = pytest.importorskip("fcntl"), ["ends"]
    first = held(tmp_path, "The place")
    first.__enter__()
    lock = fcntl.flock

    def flock(handle, how):
        if steps and how & fcntl.LOCK_EX:
            steps.clear()
            first.__exit__(None, None, None)
        return lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with held(tmp_path, "The place"):
        assert (tmp_path / LOCK).exists()
        with (
            pytest.raises(KerasDAEError, match="in use by another process"),
            held(tmp_path, "The place"),
        ):
            pass
