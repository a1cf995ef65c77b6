"""Every hostile file is refused; what is good passes the same gates."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from keras_dae.evaluation.walled import ONNX_FILE, WalledModel
from keras_dae.models.gate import inspect
from tests.hostile.campaign import MEGABYTES, SECONDS
from tests.hostile.data import RUN
from tests.hostile.pictures import _identity, onnx

ROOT = Path(__file__).parents[2]
KINDS = ("keras", "run", "study", "card", "toml", "npz", "idx", "image", "onnx")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """All files, read by one process with the commands that a user would type."""
    out = tmp_path_factory.mktemp("hostile") / "table.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile.campaign", "--together", "--out", out],
        capture_output=True,
        text=True,
        errors="replace",
        cwd=ROOT,
        check=False,
    )
    assert out.exists(), done.stderr
    return json.loads(out.read_text())["files"]


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_files_are_refused_with_one_sentence(table, kind):
    own = [row for row in table if row["file"].startswith(f"{kind}/")]
    assert len(own) >= 9
    # Exit code, one line, within memory and time: see `campaign.judged`.
    assert [
        (row["file"], row["wrong"], row["said"]) for row in own if row["wrong"]
    ] == []


def test_there_are_many_of_them(table):
    assert len({row["file"] for row in table}) == len(table) >= 250


def test_the_committed_table_is_of_these_files(table):
    kept = json.loads((ROOT / "artifacts" / "hostile.json").read_text())
    assert [row["file"] for row in kept["files"]] == [row["file"] for row in table]
    assert [row["file"] for row in kept["files"] if row["wrong"]] == []
    for row in kept["files"]:
        assert row["megabytes"] <= MEGABYTES == 1500
        assert row["cpu_seconds"] <= SECONDS == 20


def test_nothing_was_run_or_written_elsewhere(table):
    assert not Path("/tmp/hostile-mark").exists()
    assert not list(Path("/tmp").glob("escaped*"))


def test_good_files_pass(tmp_path):
    assert inspect(RUN / "model.keras")["config"]["name"] == "DAE_1_5"
    for path in sorted((ROOT / "keras_dae" / "presets").glob("*.keras")):
        inspect(path)
    onnx(_identity)(tmp_path / "good.onnx")
    assert WalledModel(tmp_path / "good.onnx", ONNX_FILE).input_shape
