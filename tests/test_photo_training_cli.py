"""Training on one's own photographs from the command line."""

import json

import imageio.v3 as imageio
import numpy as np
import pytest

from keras_dae.images.datasets import load
from keras_dae.images.patches import Cut
from keras_dae.system import backend
from tests.commands import run, sentence
from tests.test_folder_cli import photograph

QUICK = ["--size", "16", "--batch-size", "16", "--threads", "1"]


def folder(place, noise=0):
    rng = np.random.default_rng(0)
    for number in range(6):
        image = photograph(number, 64, 64)
        noisy = image + noise * rng.standard_normal(image.shape)
        place.mkdir(parents=True, exist_ok=True)
        rounded = np.rint(noisy.clip(0, 255)).astype(np.uint8)
        imageio.imwrite(place / f"{number}.png", rounded)
    return f"folder:{place}"


@pytest.fixture
def photos(tmp_path):
    return folder(tmp_path / "photos")


def test_fine_tuning_and_more_epochs(photos, tmp_path):
    given = ["train", "--data", photos, "--start", "photo", *QUICK, "--json"]
    given += ["--out", tmp_path / "runs"]
    first = run(*given, "--steps", 2)
    assert first.exit_code == 0, first.output
    row = json.loads(first.stdout)
    assert (row["name"], row["parameters"], row["epochs"]) == ("photo-6", 448_512, 1)
    record = json.loads((tmp_path / "runs" / row["run"] / "config.json").read_text())
    assert record["config"]["noise"] == "camera:0..0.2157"
    assert record["config"]["channels"] == 3
    assert "These images must be clean" in first.stderr
    assert "look noisy" not in first.stderr
    assert " about " in first.stderr
    train = record["config"]["train_images"]
    image = photograph(3, 45, 71)
    noisy = image + np.random.default_rng(1).normal(0, 25, image.shape)
    imageio.imwrite(tmp_path / "in.png", np.rint(noisy.clip(0, 255)).astype(np.uint8))
    done = run("denoise", tmp_path / "in.png", "--model", row["run"], "-o",
               tmp_path / "out.png")  # fmt: skip
    assert done.exit_code == 0, done.output
    answer = imageio.imread(tmp_path / "out.png").astype(float)
    assert np.mean((answer - image) ** 2) < 0.2 * 25**2
    longer = run(*given, "--epochs", 2, "--train-images", train, "--resume")
    assert longer.exit_code == 0, longer.output
    assert json.loads(longer.stdout)["epochs"] == 2


def test_noisy_photographs_are_warned_of(tmp_path):
    data = folder(tmp_path / "noisy", noise=20)
    given = ["train", "--data", data, "--model", "photo", "--filters", 4, *QUICK]
    done = run(*given, "--steps", 1, "--out", tmp_path / "runs")
    assert done.exit_code == 0, done.output
    (warning,) = [line for line in done.stderr.splitlines() if "Warning" in line]
    estimate = float(warning.split(" of 255")[0].split()[-1])
    assert 18 < estimate < 22
    quiet = run(*given, "--steps", 1, "--targets", "noisy", "--noise", "gaussian:0.1",
                "--loss", "mse", "--clip", "--out", tmp_path / "other")  # fmt: skip
    assert quiet.exit_code == 0, quiet.output
    assert "look noisy" not in quiet.stderr


def test_seconds_become_epochs_that_a_resume_keeps(photos, tmp_path):
    given = ["train", "--data", photos, "--model", "photo", "--filters", 4, *QUICK]
    given += ["--seconds", 0.001, "--out", tmp_path / "runs", "--json"]
    first = run(*given)
    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout)["epochs"] == 1
    again = run(*given, "--seconds", 1000, "--resume")
    assert json.loads(again.stdout)["epochs"] == 1, again.output


def test_folders_named_train_and_val_are_the_parts(tmp_path):
    for part in ("train", "val"):
        folder(tmp_path / "photos" / part, noise=len(part))
    splits = load(f"folder:{tmp_path / 'photos'}", cut=Cut(16, 3))
    assert splits.files["train"] == tuple(f"train/{n}.png" for n in range(6))
    assert splits.files["validation"] == tuple(f"val/{n}.png" for n in range(6))
    assert len(splits.test) == 0
    imageio.imwrite(tmp_path / "photos" / "more.png", photograph(9, 64, 64))
    drawn = load(f"folder:{tmp_path / 'photos'}", cut=Cut(16, 3))
    assert drawn.files == splits.files
    assert "more.png" in " ".join(drawn.notes)


def test_a_run_without_test_images_is_not_evaluated(tmp_path):
    for part in ("train", "val"):
        folder(tmp_path / "photos" / part, noise=len(part))
    given = ["--data", f"folder:{tmp_path / 'photos'}", "--model", "photo"]
    done = run("train", *given, "--filters", 4, *QUICK, "--steps", 1, "--out",
               tmp_path / "runs")  # fmt: skip
    assert done.exit_code == 0, done.output
    refused = run("evaluate", tmp_path / "runs")
    assert "no test images" in sentence(refused, 1)


@pytest.mark.parametrize("there", [True, False])
def test_bfloat16_without_its_instructions_is_said(
    photos, tmp_path, monkeypatch, there
):
    if backend.name() != "torch":
        pytest.skip("only torch trains in bfloat16")
    monkeypatch.setattr(backend, "has_bfloat16", lambda: there)
    given = ["train", "--data", photos, "--model", "photo", "--filters", 4, *QUICK]
    done = run(*given, "--steps", 1, "--precision", "bfloat16", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    assert ("no bfloat16 instructions" in done.stderr) is not there


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--start", "nothing"], "There is no model nothing"),
        (["--blocks", "6"], "blocks applies only to model=photo. Received: blocks=6"),
        (["--start", "photo", "--channels", "1"], "another architecture"),
        (["--loss", "huber"], "loss should be 'mse' or 'log-mse'"),
    ],
)
def test_a_mistake_is_one_sentence(photos, tmp_path, words, says):
    done = run("train", "--data", photos, *QUICK, *words, "--out", tmp_path)
    assert says in sentence(done, 2)
