"""`python -m benchmarks.cuda`: every part is tried here, at tiny sizes on the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.devices import ON_TORCH

if not ON_TORCH:
    pytest.skip("CUDA is measured with torch", allow_module_level=True)

from benchmarks.cuda import __main__ as program
from benchmarks.cuda.parts import PARTS, Job

ROOT = Path(__file__).parents[1]
HERE = {"machine", "parity", "steps", "precision", "generator", "compiled"}


def run(*words):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.cuda", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def found(part, folder):
    job = Job(folder / f"{part}.json", "cpu", quick=True)
    PARTS[part](job)
    return json.loads(job.path.read_text())


def test_each_part_has_a_limit():
    assert set(PARTS) == set(program.LIMITS)


def test_without_a_gpu_it_ends_with_one_sentence(tmp_path):
    done = run("--out", tmp_path / "out")
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "finds no CUDA device here; --device cpu --quick" in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_file_says_what_was_done_and_what_was_not(tmp_path, monkeypatch, capsys):
    """A part that fails is named with its reason, and the next one is begun."""
    out = tmp_path / "out"
    words = ["--out", str(out), "--device", "cpu", "--quick"]
    monkeypatch.setattr(program, "LIMITS", {"broken": 30, "machine": 30})
    monkeypatch.setattr(sys, "argv", ["cuda", *words])
    assert program.main() == 1
    parts = json.loads((out / "cuda.json").read_text())["parts"]
    assert parts["broken"]["state"] == "failed"
    assert parts["broken"]["reason"] == "KeyError: 'broken'"
    assert parts["machine"]["state"] == "done"
    machine = parts["machine"]["found"]
    assert {"nvidia-smi", "cuda", "versions", "hardware"} <= set(machine)
    assert "broken: failed after" in capsys.readouterr().out


def test_a_part_that_takes_too_long_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(program, "LIMITS", {"machine": 0.1})
    monkeypatch.setattr(program, "PATIENCE", 1)
    monkeypatch.setattr(program, "TOTAL_SECONDS", 60)
    words = ["--out", str(tmp_path), "--device", "cpu", "--quick"]
    monkeypatch.setattr(sys, "argv", ["cuda", *words])
    assert program.main() == 1
    part = json.loads((tmp_path / "cuda.json").read_text())["parts"]["machine"]
    assert part["state"] == "took too long"


def test_a_package_that_cannot_be_had_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(program, "NEEDED", {"no-such-package": "no_such_module"})
    monkeypatch.setattr(program, "LIMITS", {})
    words = ["--out", str(tmp_path), "--device", "cpu", "--wheels", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["cuda", *words])
    program.main()
    written = json.loads((tmp_path / "cuda.json").read_text())
    assert written["missing_packages"] == ["no-such-package"]


def test_an_unknown_part_is_refused(tmp_path):
    done = run("--out", tmp_path, "--parts", "steps,nothing")
    assert done.returncode == 2
    assert "no part 'nothing'" in done.stderr


@pytest.mark.parametrize("part", sorted(HERE - {"machine"}))
def test_a_part_in_this_process(part, tmp_path):
    said = found(part, tmp_path)
    if part == "parity":
        assert said["within_1e-5"] is True
    elif part == "generator":
        assert said["host"]["pairs_per_second"] > 0 < said["device"]["pairs_per_second"]
    elif part == "steps":
        (row,) = said
        for way in ("host", "device"):
            name = {"host": "fit, NumPy noise", "device": "fit, device noise"}[way]
            ratio = row[name]["ms"] / row["plain eager loop"]["ms"]
            assert row[name]["ratio"] == pytest.approx(ratio)
        assert row["keras's own step"]["ms"] > 0
    elif part == "precision":
        (row,) = said
        assert set(row) == {"model", "float32", "bfloat16", "deterministic"}
        # On a CPU the kernels repeat whether they are asked to or not.
        assert row["deterministic"]["val_loss"] == row["float32"]["val_loss"]
        assert row["bfloat16"]["val_loss"] != row["float32"]["val_loss"]
    else:
        assert said[0]["ms"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("part", sorted(set(PARTS) - HERE - {"fast"}))
def test_a_part_that_starts_commands(part, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    said = found(part, tmp_path)
    if part == "study":
        assert set(said["test_mse"]) == {"DAE_1_5"}
        assert said["steps"]["kind"] == "lean"
    elif part == "denoise":
        assert 0 < said[0]["image_s"] < said[0]["command_s"]
    elif part == "tests":
        assert (said["exit"], said["failed"]) == (0, [])
    elif part == "together":
        assert set(said) == {"1 at a time", "2 at a time"}
    else:
        assert said["doctor"] > said["models"] > 0
