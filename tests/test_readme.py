"""The README's commands and its library example run as they stand there."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from keras_dae.cli import main
from keras_dae.study.nine.claims import (
    GROWS_WHEN_SHALLOWER,
    HIGH_REGARDLESS,
    NEARLY_LINEAR,
    SHALLOWER,
    SMALLER_LATENT,
)
from keras_dae.system.storage import read_json

# What a command of the README is shortened by, so that the test ends soon.
SHORTER = {
    "train": ["--data", "mnist5k", "--epochs", "1", "--threads", "1"],
    "sweep": ["--data", "mnist5k", "--epochs", "1", "--depths", "1", "--seeds", "1"],
    "evaluate": ["--threads", "1"],
    "plot": ["--threads", "1"],
    "models": [],
    "denoise": ["--threads", "1"],
}


@pytest.fixture
def readme(request):
    return (request.config.rootpath / "README.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """Return the words after `python cli.py` or `keras-dae`, comments left out."""
    found = []
    for line in "\n".join(blocks(text, "sh")).splitlines():
        words = shlex.split(line, comments=True)
        for start in (["python", "cli.py"], ["keras-dae"]):
            if words[: len(start)] == start:
                found.append(words[len(start) :])
    return found


def test_the_readme_shows_each_command(readme):
    assert {words[0] for words in commands(readme)} == {*SHORTER, "reproduce"}


def shorter(words: list[str]) -> list[str]:
    """Return what to add to a command, so that the test ends soon."""
    if any(word.startswith("folder:") for word in words):
        return ["--epochs", "1", "--patches", "2", "--threads", "1"]
    return SHORTER[words[0]]


def test_its_commands_run(readme, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("scans").mkdir()
    for name in ("scan.png", "scans/a.png"):
        Image.fromarray(np.full((30, 40), 90, np.uint8)).save(name)
    Path("photos").mkdir()
    for shade in (50, 100, 150):
        Image.fromarray(np.full((70, 80), shade, np.uint8)).save(f"photos/{shade}.png")
    for words in commands(readme):
        if words[0] == "reproduce":
            continue  # its own test, in test_study.py
        result = CliRunner().invoke(main, [*words, *shorter(words)])
        assert result.exit_code == 0, (words, result.output)
    assert len(list(tmp_path.glob("artifacts/figures/figure*.png"))) == 7


def test_its_library_example_runs(readme, tmp_path):
    (example,) = blocks(readme, "python")
    lines = [line for line in example.splitlines() if line.strip()]
    assert len(lines) <= 10
    # As on the README's own install: no tensorflow, and no backend chosen.
    alone = 'import sys\nsys.modules["tensorflow"] = None\n'
    done = subprocess.run(
        [sys.executable, "-c", alone + example],
        env={k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_its_pictures_and_links_exist(readme, request):
    links = re.findall(r"\]\(([^)#]+)\)", readme)
    local = [link for link in links if not link.startswith("http")]
    assert local
    missing = [link for link in local if not (request.config.rootpath / link).exists()]
    assert missing == []


def test_its_results_are_the_committed_ones(readme, request):
    """Each mean and spread in the README's table follows from results.json."""
    results = read_json(request.config.rootpath / "artifacts/paper/results.json")
    rows = re.findall(
        r"^\| (DAE_\d+_\d+) \|.*?\| (0\.\d+) ± (0\.\d+) \|", readme, re.MULTILINE
    )
    assert len(rows) == 9
    for name, mean, spread in rows:
        errors = [
            row["test"]["mse"] for row in results["models"] if row["name"] == name
        ]
        assert (mean, spread) == (
            f"{np.mean(errors):.5f}",
            f"{np.std(errors, ddof=1):.5f}",
        )


def test_its_verdicts_are_the_committed_ones(readme, request):
    """The list of claims counts what claims.json says, in the order of the list."""
    claims = read_json(request.config.rootpath / "artifacts/paper/claims.json")
    listed = (SMALLER_LATENT, SHALLOWER, NEARLY_LINEAR, GROWS_WHEN_SHALLOWER)
    groups: list[list[str]] = [[] for _ in (*listed, HIGH_REGARDLESS)]
    for row in claims["claims"]:
        groups[(*listed, HIGH_REGARDLESS).index(row["claim"])].append(row["verdict"])
    counted = [(str(group.count("HOLDS")), str(len(group))) for group in groups]
    assert re.findall(r"holds in (\d+)\s+of (\d+) comparisons", readme) == counted
