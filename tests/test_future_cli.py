"""The commands that go beyond the paper, from end to end, on small images."""

import json

import numpy as np
import pytest

from keras_dae.study.classification import classifiers
from keras_dae.system.storage import read_json
from tests.commands import run, sentence
from tests.labelled import bright

QUICK = ["--batch-size", "16", "--threads", "1"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Images of 12x12 whose class anyone can see."""
    images, labels = bright(120, 12)
    path = tmp_path_factory.mktemp("data") / "bright.npz"
    train, test = slice(0, 90), slice(90, None)
    np.savez(
        path,
        **{"x_train": images[train], "y_train": labels[train]},
        **{"x_test": images[test], "y_test": labels[test]},
    )
    return f"npz:{path}"


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """Two trained models, of depth 1 and 2."""
    folder = tmp_path_factory.mktemp("runs")
    for depth in (1, 2):
        options = ["--depth", depth, "--latent", 6, "--epochs", 2, "--sigma", 0.3]
        done = run(
            "train", "--data", data, *options, *QUICK, "--out", folder / str(depth)
        )
        assert done.exit_code == 0, done.output
    return [folder / "1", folder / "2"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return tmp_path_factory.mktemp("study")


def figures(study):
    return {path.stem for path in (study / "figures").glob("*.png")}


def test_classify(runs, study, monkeypatch):
    monkeypatch.setattr(classifiers, "STEPS", 25)
    words = ["classify", *runs, "--out", study, "--filter", "median", "--threads", "1"]
    done = run(*words)
    assert done.exit_code == 0, done.output
    assert "recovered: (denoised - noisy) / (clean - noisy)" in done.stdout
    results = read_json(study / "classification.json")
    read = {
        (row["classifier"], row["trained_on"], row["tested_on"]): row["accuracy"]
        for row in results["rows"]
    }
    for kind in results["classifiers"]:
        assert read[kind, "clean", "clean"] > 0.9  # anyone can see it
        assert (kind, "denoised", "DAE_2_6") in read
    assert figures(study) >= {
        *("classification-accuracy", "classification-sigma"),
        "classification-confusions",
    }
    again = run(*words, "--json")
    assert json.loads(again.stdout)["rows"] == results["rows"]


def test_robustness(runs, study):
    (model,) = runs[0].glob("*/model.keras")
    grid = ["--noise", "gaussian:0.1,0.4", "--noise", "salt-pepper:0.3"]
    words = ["robustness", runs[1], model, *grid, "--images", 12, "--filter", "median"]
    done = run(*words, "--out", study, "--threads", "1")
    assert done.exit_code == 0, done.output
    results = read_json(study / "robustness.json")
    assert results["grid"] == {"gaussian": [0.1, 0.4], "salt-pepper": [0.3]}
    names = {row["name"] for row in results["gains"]}
    assert {"DAE_2_6", "median, tuned"} <= names
    # And the noisy input; the inverse is there for clipped gaussian noise alone.
    cells = [(row["noise"], row["strength"]) for row in results["rows"]]
    for noise, strength in dict.fromkeys(cells):
        expected = len(names) + 1 - (noise != "gaussian")
        assert cells.count((noise, strength)) == expected
    assert {"robustness-gain", "robustness-psnr", "robustness-mse"} <= figures(study)
    again = run(*words, "--out", study, "--threads", "1", "--json")
    assert json.loads(again.stdout)["gains"] == results["gains"]


def test_depth_limit(data, study):
    options = ["--latent", 6, "--filters", 4, "--steps", 6, "--seeds", 1, "--jobs", 2]
    words = ["depth-limit", "--data", data, "--train-images", "32", *options]
    done = run(*words, "--depths", "1,4", *QUICK, "--out", study)
    assert done.exit_code == 0, done.output
    results = read_json(study / "depth_limit.json")
    found = {one["net"]: one for one in results["findings"]}
    assert found["plain"]["depths"] == found["residual"]["depths"] == [1, 4]
    assert {one["train_images"] for one in found.values()} == {32}
    assert [(row["net"], row["depth"], row["blocks"]) for row in results["rows"]] == [
        *(("plain", 1, 0), ("plain", 4, 1), ("residual", 4, 1)),
    ]
    (told,) = results["trainability"]
    assert told["verdict"] == "not decided"  # one seed
    assert "depth-limit" in figures(study)
    again = run(*words, "--depths", "1", *QUICK, "--out", study, "--json")
    # The depth that is not asked for again is finished, and still shown.
    assert json.loads(again.stdout)["findings"] == results["findings"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--depths", "1,two"], "whole numbers separated by commas"),
        (["--depths", "0"], "numbers of at least 1"),
        (["--train-images", "32", "--epochs", "1,2"], "--epochs needs one number for"),
        (["--train-images", "5000"], "train"),
        (["--latent", "13"], "latent"),
    ],
)
def test_a_mistaken_study_of_depth_is_one_sentence(data, tmp_path, options, says):
    given = ["--data", data, "--out", tmp_path, *QUICK]
    if "--train-images" not in options:
        given += ["--train-images", "32"]
    assert says in sentence(run("depth-limit", *given, *options), 2)
    assert list(tmp_path.iterdir()) == []


def test_runs_of_two_noises_are_not_read_together(data, runs, tmp_path):
    other = tmp_path / "other"
    options = ["--depth", 1, "--latent", 6, "--epochs", 1, "--sigma", 0.6]
    assert run("train", "--data", data, *options, *QUICK, "--out", other).exit_code == 0
    result = run("classify", runs[0], other, "--out", tmp_path / "out", "--threads", 1)
    assert "runs of 2 noises" in sentence(result, 2)


def test_without_clean(data, study, tmp_path):
    out = tmp_path / "runs"
    options = ["--depth", 1, "--latent", 6, "--epochs", 1, "--sigma", 0.3]
    for targets in ("noisy", "split"):
        words = ["train", "--data", data, *options, *QUICK, "--targets", targets]
        assert run(*words, "--out", out).exit_code == 0
    words = ["without-clean", out, "--out", study, "--threads", "1"]
    done = run(*words)
    assert done.exit_code == 0, done.output
    results = read_json(study / "without-clean" / "without_clean.json")
    assert {row["targets"] for row in results["rows"]} == {"noisy", "split"}
    assert "without-clean" in figures(study)
    again = json.loads(run(*words, "--json").stdout)
    assert again["rows"] == results["rows"]


def test_without_clean_needs_runs(tmp_path):
    said = sentence(run("without-clean", "--out", tmp_path), 2)
    assert "There is no run in" in said
