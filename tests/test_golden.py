"""Files of today's schema, kept as they were written, are read from now on."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from keras_dae.denoising.trained import find_model
from keras_dae.errors import KerasDAEError
from keras_dae.images.datasets import load
from keras_dae.models.files import load as load_model
from keras_dae.models.gate import CARD
from keras_dae.study.nine.measure import evaluate
from keras_dae.study.report.publish import write_report
from keras_dae.system.storage import SCHEMA, read_json
from keras_dae.training.runs import find_runs

STUDY = Path(__file__).parent / "golden" / "study"
FILES = sorted(path.relative_to(STUDY).as_posix() for path in STUDY.rglob("*.json"))
ARTIFACTS = Path(__file__).parents[1] / "artifacts"


@pytest.fixture
def study(tmp_path):
    return Path(shutil.copytree(STUDY, tmp_path / "study"))


def test_every_kind_of_record_is_kept():
    names = {Path(name).name for name in FILES}
    assert names >= {
        "config.json", "history.json", "environment.json", "results.json",
        "claims.json", "board.json", "classification.json", "robustness.json",
        "depth_limit.json", "verdicts.json", "cells.json", "tuned.json", "cards.json",
    }  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_golden_records_are_read(name):
    assert read_json(STUDY / name)["schema"] == SCHEMA == 1


def committed():
    """JSON files of results; those of benchmarks are lists of their own."""
    return sorted(ARTIFACTS.rglob("*.json"))


def test_committed_records_are_read():
    assert len(committed()) > 100
    assert [path for path in committed() if read_json(path)["schema"] != SCHEMA] == []


def test_golden_runs_are_read():
    runs = find_runs(STUDY / "runs")
    assert [run.path.name for run in runs] == [
        "npz-digits-DAE_1_5-seed0",
        "npz-digits-DAE_2_6-seed0",
    ]
    for run in runs:
        config = run.config()
        assert run.finished(config)
        assert run.record()["dataset"]["name"] == "npz:digits.npz"
        assert len(run.history()["val_loss"]) == config.epochs == 2


def test_golden_models_score_what_they_scored(study, monkeypatch):
    """Weights, data and noise of then give the figures of then."""
    monkeypatch.chdir(STUDY.parent)
    rows = {row["name"]: row for row in read_json(STUDY / "results.json")["models"]}
    (scored,) = evaluate(find_runs(study / "runs"))
    for row in scored.results["models"]:
        then = rows[row["name"]]
        assert row["parameters"] == then["parameters"]
        # The first of today's draws of the noise is the one of then.
        assert row["test_draws"][0] == pytest.approx(then["test"]["mse"], rel=1e-5)
    assert scored.results["dataset"]["sha256"] == load("npz:digits.npz").sha256


def test_a_golden_card_is_read(tmp_path):
    shutil.copy(STUDY / "runs/npz-digits-DAE_1_5-seed0/model.keras", tmp_path)
    with zipfile.ZipFile(tmp_path / "model.keras", "a") as archive:
        archive.write(STUDY / "cards.json", CARD)
    found = find_model(tmp_path / "model.keras")
    assert found.card["data"] == "mnist"
    assert load_model(found.path).count_params() == 133


def test_a_golden_study_makes_a_report(study):
    assert write_report(study)
    text = (study / "report.md").read_text()
    for title in (
        "The board",
        "Accuracy of classifiers",
        "How deep before it overfits",
    ):
        assert f"## {title}" in text
    for title in (
        "Other noises, other strengths",
        "Verdicts with other noise and other epochs",
    ):
        assert f"## {title}" in text


@pytest.mark.parametrize("schema", [SCHEMA - 1, SCHEMA + 1, None, "1", True, 1.0])
@pytest.mark.parametrize("name", FILES)
def test_another_schema_is_refused_with_one_sentence(study, name, schema):
    path = study / name
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "schema": schema}))
    with pytest.raises(KerasDAEError, match=r"schema .*reads schema 1\.$") as refused:
        read_json(path)
    assert "\n" not in str(refused.value)
