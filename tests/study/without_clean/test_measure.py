"""Training without clean images: what its results say, on constructed rows and runs."""

import json
import shutil

import numpy as np
import pytest
from scipy.stats import norm

from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.images.datasets import Arrays, split
from keras_dae.study.common.store import Store
from keras_dae.study.report.publish import write_report
from keras_dae.study.without_clean import figures
from keras_dae.study.without_clean.measure import groups, measure
from keras_dae.study.without_clean.section import excess, write
from keras_dae.training.config import make_config
from keras_dae.training.fitting import fit
from tests.hostile.data import RESULTS

SMALL = {"depth": 1, "latent": 5, "epochs": 1, "batch_size": 16, "warmup_steps": 2}


def row(targets, seed, mse, model="DAE_5_13", noise="gaussian, sigma 0.5", epochs=15):
    named = {"model": model, "targets": targets, "noise": noise, "seed": seed}
    return {**named, "epochs": epochs, "mse": mse, "seconds": 1.0}


def test_the_excess_is_that_of_seeds_that_both_have():
    """By hand: (0.011 + 0.0126) / (0.010 + 0.012) - 1; shares 0.1 and 0.05."""
    rows = [row("clean", 0, 0.010), row("clean", 1, 0.012), row("clean", 2, 0.5)]
    rows += [row("noisy", 0, 0.011), row("noisy", 1, 0.0126), row("noisy", 7, 0.9)]
    clean, noisy = groups(rows)
    assert (clean["excess"], clean["seeds"]) == (None, [0, 1, 2])
    assert noisy["seeds"] == [0, 1, 7]
    assert noisy["mse"] == pytest.approx((0.011 + 0.0126 + 0.9) / 3)
    assert noisy["excess"] == pytest.approx(0.0236 / 0.022 - 1)
    assert noisy["excess_error"] == pytest.approx(0.025)
    assert excess(noisy) == "+7.3 % (standard error 2.5)"


def test_other_epochs_noise_or_models_are_no_comparison():
    rows = [row("clean", 0, 0.01), row("noisy", 0, 0.02, epochs=3)]
    rows += [row("noisy", 0, 0.02, noise="gaussian, sigma 0.4")]
    rows += [row("noisy", 0, 0.02, model="DAE_3_8")]
    found = groups(rows)
    assert len(found) == 4
    assert [group["excess"] for group in found] == [None] * 4
    assert excess(found[1]) == "-"


@pytest.fixture(scope="module")
def splits():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (100, 28, 28), dtype=np.uint8)
    return split("random", Arrays(images[:90], None, images[90:], None), "0" * 64, 0)


@pytest.fixture(scope="module")
def measured(splits, tmp_path_factory):
    """Return two runs' results, and what is left to measure a second time."""
    out = tmp_path_factory.mktemp("study")
    folders = [
        fit(make_config(SMALL, {"targets": targets}), splits, out / "runs")
        for targets in ("noisy", "split")
    ]
    unclipped = {"targets": "r2r", "clip": False, "sigma": 0.4}
    folders.append(fit(make_config(SMALL, unclipped), splits, out / "unclipped"))
    with Store.opened(out) as store:
        results = measure(folders, None, splits, store)
        noise = results["noises"][0]
        study = {
            "noise": {"test_sha256": noise["test_sha256"]},
            "models": [
                {
                    **{"name": "DAE_1_5", "seed": 0, "epochs": 1, "seconds": 1.0},
                    "test": {"mse": results["rows"][0]["mse"] / 2},
                }
            ],
        }
        again = measure(folders, study, splits, store)
    return results, again


def test_a_run_on_fewer_images_is_another_model(splits, tmp_path):
    folders = [
        fit(make_config(SMALL, {"targets": "noisy"}, few), splits, tmp_path / "runs")
        for few in ({}, {"train_images": 40})
    ]
    with Store.opened(tmp_path) as store:
        results = measure(folders, None, splits, store)
    names = [row["model"] for row in results["rows"]]
    assert names == ["DAE_1_5", "DAE_1_5 (40 images)"]
    assert len(results["groups"]) == 2


def test_each_run_is_measured_on_its_own_noise(measured, splits):
    results, _ = measured
    assert [r["targets"] for r in results["rows"]] == ["noisy", "split", "r2r"]
    clipped, unclipped = results["noises"]
    assert unclipped["naive"] == 0
    # Of uniform pixels, by sums over the noise and over 256 levels.
    noise = norm.ppf((np.arange(2000) + 0.5) / 2000) / 2
    levels = np.arange(256) / 255
    means = np.clip(levels[:, None] + noise, 0, 1).mean(axis=1)
    wanted = np.mean((means - levels) ** 2)
    assert clipped["naive"] == pytest.approx(wanted, rel=0.05)
    # Unclipped noise of sigma 0.4 has the variance 0.16.
    assert unclipped["noisy"] == pytest.approx(0.16, rel=0.05)
    assert all(0 < r["mse"] < 0.5 for r in results["rows"])


def test_a_study_on_the_same_images_gives_the_clean_errors(measured):
    results, again = measured
    assert again["rows"][:3] == results["rows"]
    noisy = next(g for g in again["groups"] if g["targets"] == "noisy")
    assert noisy["excess"] == pytest.approx(1.0)
    r2r = next(g for g in again["groups"] if g["targets"] == "r2r")
    assert r2r["excess"] is None


def test_clean_runs_of_its_own_come_first(splits, tmp_path):
    """Those of the study can be of another recipe."""
    folders = [
        fit(make_config(SMALL, {"targets": targets}), splits, tmp_path / "runs")
        for targets in ("noisy", "clean")
    ]
    with Store.opened(tmp_path) as store:
        alone = measure(folders, None, splits, store)
        noise = {"test_sha256": alone["noises"][0]["test_sha256"]}
        row = {"name": "DAE_1_5", "seed": 0, "epochs": 1, "seconds": 1.0}
        row |= {"test": {"mse": 0.3}, "test_draws": [0.5, 0.1]}
        study = {"noise": noise, "models": [row]}
        assert measure(folders, study, splits, store) == alone
        _, added = measure(folders[:1], study, splits, store)["rows"]
    assert (added["targets"], added["mse"]) == ("clean", 0.5)  # of the first draw


def test_section_and_figure(measured):
    results, again = measured
    _, texts, (table,) = write(again)
    assert f"whose MSE is {results['noises'][0]['naive']:.4f}" in " ".join(texts)
    assert len(texts) == 2  # nothing is said of unclipped noise
    assert [line[2] for line in table.rows if line[0] == again["rows"][0]["noise"]]
    assert any("+100.0 %" in line for line in table.rows)
    figure = figures.errors(again)
    assert len(figure.axes) == 2
    shown = {text.get_text() for text in figure.legends[0].get_texts()}
    assert shown == {figures.WORDS[k] for k in ("clean", "noisy", "split", "r2r")}


def test_a_damaged_file_is_named(tmp_path):
    shutil.copy(RESULTS, tmp_path / "results.json")
    (tmp_path / "without-clean").mkdir()
    path = tmp_path / "without-clean" / "without_clean.json"
    path.write_text(json.dumps({"rows": ["<script>"]}))
    with pytest.raises(KerasDAEError, match=r"without_clean\.json"):
        write_report(tmp_path)


def test_a_seed_counts_once():
    with pytest.raises(UsageError, match="Each seed counts once"):
        groups([row("r2r", 0, 0.01), row("r2r", 0, 0.03)])
