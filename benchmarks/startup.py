"""Process seconds (user and system) of commands that answer without a backend."""

import os
import subprocess
import sys
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
