"""Process seconds (user and system) of commands that answer without a backend.

    python -m benchmarks.startup OTHER_CHECKOUT

sets commands that import one beside those of another checkout, in turn: `denoise` of an
image of 64x64 pixels, and `doctor`. Seconds of the processor depend less on what else
runs than those on the wall; both are printed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.alternate import row

ROOT = Path(__file__).parents[1]
COMMANDS = {"--help": ["cli.py", "--help"], "models": ["cli.py", "models"]}


def seconds(arguments: list[str]) -> float:
    """Return what one run of the command takes of the processor."""
    before = os.times()
    subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )
    after = os.times()
    return sum(after[2:4]) - sum(before[2:4])


def rows(rounds: int = 15) -> list[dict[str, Any]]:
    """Compare each command with importing click alone."""
    bare = ["-c", "import click"]
    return [
        row(
            "startup",
            name,
            [(seconds(arguments), seconds(bare)) for _ in range(rounds)],
        )
        for name, arguments in COMMANDS.items()
    ]


def beside(other: Path, rounds: int = 3) -> list[dict[str, Any]]:
    """Compare this checkout with another: medians of process and wall seconds."""
    import numpy as np
    from PIL import Image

    found = []
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image.png"
        pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(pixels).save(image)
        target = str(Path(folder) / "denoised.png")
        commands = {
            "denoise": ["denoise", str(image), "-o", target, "--overwrite"],
            "doctor": ["doctor"],
        }
        for name, words in commands.items():
            timed: dict[Path, list[tuple[float, float]]] = {other: [], ROOT: []}
            for place in [other, ROOT] * rounds:
                timed[place].append(_timed(place, [*words]))
            sides = {"other": timed[other], "this": timed[ROOT]}
            for side, pairs in sides.items():
                process, wall = (
                    statistics.median(column) for column in zip(*pairs, strict=True)
                )
                found.append(
                    {"command": name, "checkout": side, "process": process}
                    | {"wall": wall}
                )
    return found


def _timed(checkout: Path, words: list[str]) -> tuple[float, float]:
    """Return process and wall seconds of a command of a checkout, without a GPU."""
    before, began = os.times(), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "keras_dae", *words],
        cwd=checkout,  # where Python looks first
        env={**os.environ, "PYTHONPATH": str(checkout), "CUDA_VISIBLE_DEVICES": ""},
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wall, after = time.perf_counter() - began, os.times()
    return sum(after[2:4]) - sum(before[2:4]), wall


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("other", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for found in beside(options.other.resolve(), options.rounds):
        print(json.dumps(found), flush=True)
