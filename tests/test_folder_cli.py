"""A folder of photographs from the command line: train, evaluate, compare, denoise."""

import json

import imageio.v3 as imageio
import numpy as np
import pytest

from keras_dae.evaluation.filters import FILTERS
from keras_dae.study.common import candidates
from tests.commands import run, sentence

CUT = ["--size", "16", "--sigma", "0.1"]
SMALL = ["--depth", "1", "--latent", "8", "--epochs", "2", "--batch-size", "16"]
QUICK = [*CUT, *SMALL, "--threads", "1"]


def photograph(number, height=40, width=52):
    """Return soft waves of three colours, another direction for each number."""
    y, x = np.mgrid[:height, :width] / 8
    waves = [np.sin(x * np.cos(n) + y * np.sin(n)) for n in number + np.arange(3)]
    return np.rint(127.5 + 100 * np.stack(waves, axis=2)).astype(np.uint8)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of nine photographs and two files that are none."""
    inside = tmp_path_factory.mktemp("data") / "photos"
    inside.mkdir()
    for number in range(9):
        colour = photograph(number)
        image = colour if number % 2 else colour[..., 0]
        imageio.imwrite(inside / f"{number}.png", image)
    (inside / "empty.png").write_bytes(b"")
    (inside / "text.jpg").write_text("a letter")
    return inside


@pytest.fixture(scope="module")
def runs(tmp_path_factory, photos):
    """A folder with a grey run and one in colour, and what the first one printed."""
    out = tmp_path_factory.mktemp("runs")
    for colour in ([], ["--channels", "3"]):
        result = run(
            "train", "--data", f"folder:{photos}", *QUICK, *colour, "--out", out
        )
        assert result.exit_code == 0, result.output
    return out


def folders(runs):
    names = ("folder-photos-16-DAE_1_8-seed0", "folder-photos-16-rgb-DAE_1_8-seed0")
    return [runs / name for name in names]


def test_training_says_what_it_trains_on(photos, tmp_path):
    options = [
        "--data",
        f"folder:{photos}",
        *QUICK,
        "--patches",
        "3",
        "--out",
        tmp_path,
    ]
    result = run("train", *options, "--json")
    assert result.exit_code == 0, result.output
    lines = result.stderr.splitlines()
    assert f"{photos / 'empty.png'} is empty (0 bytes); left out." in lines
    assert [
        line for line in lines if line.startswith(f"{photos / 'text.jpg'} is not in a ")
    ]
    assert f"folder:{photos}: 21 training images, 3 validation images" in lines
    assert (
        "The images are patches of these files: 7 train, 1 validation, 1 test" in lines
    )
    assert json.loads(result.stdout)["epochs"] == 2


def test_evaluate_scores_the_test_patches_of_each_kind(runs, photos):
    result = run("evaluate", "--out", runs, "--json", "--threads", "1")
    assert result.exit_code == 0, result.output
    assert result.stderr.count("empty.png is empty") == 2  # of either data set
    scored = json.loads(result.stdout)["results"]
    assert [len(one["models"]) for one in scored] == [1, 1]
    for one in scored:
        assert one["dataset"]["test"] == 6  # 2 by 3 cells of 40x52
        assert one["noise"]["sigma"] == 0.1
        assert {floor["name"] for floor in one["floors"]} >= {"noisy input"}
        (noisy,) = [f for f in one["floors"] if f["name"] == "noisy input"]
        assert noisy["test"]["mse"] == pytest.approx(0.01, rel=0.1)
        assert one["models"][0]["test"]["ssim"] is not None


def test_evaluate_takes_a_model_file_and_the_folder(runs, photos):
    model = folders(runs)[0] / "model.keras"
    words = ["evaluate", model, "--data", f"folder:{photos}", *CUT, "--json"]
    (alone,) = json.loads(run(*words).stdout)["results"]
    of_run = run("evaluate", folders(runs)[0], "--json")
    (whole,) = json.loads(of_run.stdout)["results"]
    assert alone["models"][0]["test"] == whole["models"][0]["test"]
    other = ["evaluate", model, "--data", f"folder:{photos}", "--size", "8"]
    assert "denoises images of shape (16, 16, 1)" in sentence(run(*other), 1)


def test_compare_shows_floors_and_filters_beside(runs, tmp_path, monkeypatch):
    quick = {name: FILTERS[name] for name in ("mean", "median")}
    monkeypatch.setattr(candidates, "FILTERS", quick)
    monkeypatch.setattr(candidates, "AFFINE_VALUES", 16 * 16)
    for folder, affine in zip(folders(runs), (True, False), strict=True):
        out = tmp_path / folder.name
        result = run("compare", folder, "--out", out, "--json", "--threads", "1")
        assert result.exit_code == 0, result.output
        rows = {row["name"]: row for row in json.loads(result.stdout)["rows"]}
        assert {"DAE_1_8", "noisy input", "median, tuned"} <= set(rows)
        photo = rows["photo-gray.keras" if affine else "photo.keras"]["test"]["mse"]
        # Of soft waves with noise of sigma 0.1, its square is left as it is.
        assert photo < 0.3 * 0.1**2
        assert rows["noisy input"]["test"]["mse"] > 0.8 * 0.1**2
        assert ("affine, full rank" in rows) == affine
        assert ("Affine maps are skipped: images of 768" in result.stderr) != affine
        assert rows["median, tuned"]["tuned_on"]["split"] == "validation"


def test_photographs_of_any_size_are_denoised(runs, tmp_path):
    noisy = np.clip(
        photograph(20, 45, 70) + np.random.default_rng(0).normal(0, 25.5, (45, 70, 3)),
        *(0, 255),
    ).astype(np.uint8)
    imageio.imwrite(tmp_path / "colour.png", noisy)
    imageio.imwrite(tmp_path / "grey.png", noisy[..., 0])
    imageio.imwrite(tmp_path / "small.png", noisy[:9, :5, 0])
    for number, model in enumerate(folders(runs)):
        out = tmp_path / f"out{number}"
        words = ["denoise", tmp_path / "*.png", "--model", model, "-o", out, "--json"]
        result = run(*words, "--threads", "1")
        in_colour = number == 1
        assert result.exit_code == (1 if in_colour else 0), result.output
        assert json.loads(result.stdout)["done"] == (1 if in_colour else 3)
        # This is what they were trained on.
        warned = [row["input"] for row in json.loads(result.stdout)["images"]
                  if row["warning"]]  # fmt: skip
        assert [name for name in warned if "small" not in name] == []
        for name in ("colour",) if in_colour else ("colour", "grey", "small"):
            made = imageio.imread(out / f"{name}.denoised.png")
            assert made.shape == imageio.imread(tmp_path / f"{name}.png").shape


def test_an_image_of_another_kind_is_warned_of(runs, tmp_path):
    imageio.imwrite(tmp_path / "clean.png", photograph(20))
    words = ["denoise", tmp_path / "clean.png", "--model", folders(runs)[0]]
    result = run(*words, "-o", tmp_path / "out", "--threads", "1")
    (line,) = [line for line in result.stderr.splitlines() if "Warning" in line]
    assert "photos, gaussian, sigma 0.1" in line
    assert "estimated noise 0.0" in line


def test_sweep_takes_a_folder(photos, tmp_path):
    words = ["--data", f"folder:{photos}", *CUT, "--depths", "1", "--latents", "8"]
    rows = run(
        *("sweep", *words, "--seeds", "1", "--epochs", "1", "--jobs", "1"),
        *("--threads", "1", "--out", tmp_path, "--json"),
    )
    assert [row["state"] for row in json.loads(rows.stdout)] == ["done"]
    (folder,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert folder.name == "folder-photos-16-DAE_1_8-seed0"


def test_a_run_is_not_evaluated_on_other_images(photos, runs, tmp_path):
    inside = tmp_path / "photos"
    inside.mkdir()
    for path in photos.iterdir():
        (inside / path.name).write_bytes(path.read_bytes())
    options = ["--data", f"folder:{inside}", *QUICK, "--out", tmp_path / "runs"]
    assert run("train", *options).exit_code == 0
    imageio.imwrite(inside / "new.png", photograph(30))
    said = sentence(run("evaluate", tmp_path / "runs"), 1)
    assert "9 files then, 10 now" in said
    assert "sha256 is" in sentence(run("train", *options, "--resume"), 2)


BAD = [
    (["--data", "folder:"], 2, "folder:PATH. Received: data='folder:'"),
    (["--data", "folder:gone"], 2, "There is no folder gone."),
    (["--data", "folder:bare"], 1, "There is no image below bare"),
    (["--data", "folder:two"], 1, "two holds 2 image files, but at least 3"),
    (["--data", "folder:two", "--size", "7"], 2, "size must be from 8 to 1024"),
    (
        ["--data", "folder:two", "--channels", "2"],
        2,
        "channels must be 1 (grey) or 3 (RGB)",
    ),
    (["--data", "folder:two", "--patches", "0"], 2, "patches must be from 1 to"),
    (
        ["--data", "mnist5k", "--size", "32"],
        2,
        "apply only to data=folder:PATH. Received: s",
    ),
]


@pytest.mark.parametrize(("options", "code", "named"), BAD)
def test_mistakes_are_one_sentence(tmp_path, monkeypatch, options, code, named):
    monkeypatch.chdir(tmp_path)
    for name in ("bare", "two"):
        (tmp_path / name).mkdir()
    for number in range(2):
        imageio.imwrite(tmp_path / "two" / f"{number}.png", photograph(number))
    assert named in sentence(run("train", *options, "--out", "runs"), code)
    assert not (tmp_path / "runs").exists()
