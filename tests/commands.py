"""The command line as the tests call it."""

from pathlib import Path

import numpy as np
from click.testing import CliRunner, Result

from keras_dae.cli import main


def run(*arguments: object, given: bytes | None = None) -> Result:
    """Run a command in this process; `given` is its standard input."""
    words = [str(argument) for argument in arguments]
    return CliRunner().invoke(main, words, input=given)


def sentence(result: Result, code: int) -> str:
    """Return the one line that was printed for a mistake; check how it ended."""
    assert result.exit_code == code, result.output
    (line,) = [line for line in result.stderr.splitlines() if "rror" in line]
    assert "Traceback" not in result.output
    return line


def random_data(folder: Path, train: int, test: int) -> str:
    """Write random images of 12x12 to a folder; return them as the value of --data."""
    shape = (train + test, 12, 12)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.savez(folder / "images.npz", x_train=images[:train], x_test=images[train:])
    return f"npz:{folder / 'images.npz'}"
