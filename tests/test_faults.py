"""The campaign of faults in short, and that it would see what it looks for."""

import argparse
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks.faults.__main__ import _plan, _record, table
from benchmarks.faults.campaign import FAULTS, WRONG
from benchmarks.faults.scenes import SCENES
from benchmarks.faults.states import DAMAGED, left_over, state_of, states
from keras_dae.models.architectures import plan
from keras_dae.models.builders import build
from keras_dae.models.files import save
from keras_dae.system.storage import read_json, write_json

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_a_short_campaign_loses_nothing(tmp_path):
    out = tmp_path / "faults.json"
    # sweep starts other processes by a fork of this one, which the others do not.
    commands = ("train", "sweep", "evaluate", "denoise")
    words = ["--out", str(out), "--commands", ",".join(commands), "--seed", "1"]
    words += ["--moments", "1", "--new", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.faults", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    record = json.loads(out.read_text()) if out.exists() else {"moments": []}
    bad = [row for row in record["moments"] if any(row[key] for key in WRONG)]
    assert (bad, done.returncode) == ([], 0), done.stdout + done.stderr
    assert len(record["moments"]) == len(commands) * len(FAULTS)
    assert all(row["seed"] in done.stdout for row in record["moments"])
    # A moment may come when the command has ended already, but not all of them do.
    assert sum(row["struck"] for row in record["moments"]) >= 11
    for row in record["moments"]:
        if row["struck"] and row["fault"] == "full disk":
            assert row["exit"] == 1


def test_the_long_campaign_is_of_two_hundred_moments():
    moments = list(_plan(list(SCENES), argparse.Namespace(moments=None, new=1)))
    assert len(moments) == len(set(moments)) >= 200
    assert {(name, fault) for name, fault, _, _ in moments} == {
        (name, fault) for name in SCENES for fault in FAULTS
    }


def test_the_page_shows_the_record_of_the_long_campaign():
    root = Path(__file__).parents[1]
    record = read_json(root / "artifacts" / "faults.json")
    page = (root / "docs" / "reliability.md").read_text()
    assert "\n".join(table(record["moments"])) in page
    words = " ".join(page.split())
    assert f"seed {record['seed']}, {record['hardware']}" in words


def test_a_campaign_goes_on_with_its_own_record_alone(tmp_path):
    options = argparse.Namespace(out=tmp_path / "faults.json", seed=3)
    fresh = _record(options)
    assert fresh["moments"] == []
    write_json(options.out, {**fresh, "moments": [{"seed": "3/train/SIGKILL/0"}]})
    assert len(_record(options)["moments"]) == 1
    assert _record(argparse.Namespace(out=options.out, seed=4))["moments"] == []


def test_the_table_counts():
    row = {"fault": "SIGKILL", "command": "train", "struck": True}
    rows = [
        {**row, "lost": [], "unsaid": [], "unlike": []},
        {**row, "lost": ["model.keras is gone"], "unsaid": [], "unlike": ["x"]},
        {**row, "struck": False, "lost": [], "unsaid": ["a traceback"], "unlike": []},
    ]
    assert table(rows)[2:] == [
        "| SIGKILL | train | 3 | 2 | 1 | 2 | 2 |",
        "| all | all | 3 | 2 | 1 | 2 | 2 |",
    ]


# That the campaign sees what it looks for


def test_a_state_is_of_weights_and_not_of_the_clock(tmp_path):
    model = build(plan(1, 5), seed=0)
    for name in ("one", "other"):
        save(model, tmp_path / f"{name}.keras")
    first = state_of(tmp_path / "one.keras")
    assert first == state_of(tmp_path / "other.keras")
    weights = model.get_weights()
    weights[0].flat[0] = np.nextafter(weights[0].flat[0], np.float32(1))
    model.set_weights(weights)
    save(model, tmp_path / "other.keras")
    assert state_of(tmp_path / "other.keras") != first
    history = tmp_path / "history.json"
    found = []
    for seconds, loss in ((1.0, 0.5), (2.0, 0.5), (2.0, np.nextafter(0.5, 1))):
        history.write_text(json.dumps({"seconds": [seconds], "loss": [float(loss)]}))
        found.append(state_of(history))
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("history.json", b'{"loss": [0.5, '),
        ("model.keras", b"PK\x03\x04 half"),
        ("figure.png", b"\x89PNG\r\n\x1a\n half"),
        ("report.html", b"<html><body>half"),
        ("model.pt2", b"PK"),
    ],
)
def test_half_a_file_is_seen(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert states(tmp_path)[name].startswith(DAMAGED)


def test_half_an_archive_is_seen(tmp_path):
    whole = tmp_path / "whole.pt2"
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("weights", bytes(1000))
    half = tmp_path / "half.pt2"
    half.write_bytes(whole.read_bytes()[:-30])
    assert state_of(half).startswith(DAMAGED)
    assert not state_of(whole).startswith(DAMAGED)


def test_what_is_left_over_is_seen(tmp_path):
    (tmp_path / "runs" / ".model~1-2-3").mkdir(parents=True)
    (tmp_path / "runs" / ".model~1-2-3" / "inner").write_text("")
    (tmp_path / "runs" / "model.txt").write_text("")
    assert left_over(tmp_path) == ["runs/.model~1-2-3", "runs/.model~1-2-3/inner"]
    assert list(states(tmp_path)) == ["runs/model.txt"]
