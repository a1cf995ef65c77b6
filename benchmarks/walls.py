"""What it costs to open images in a restricted process.

A folder of images of 512x512 pixels is denoised with `photo`. In one turn its files are
opened in the restricted process, as always, and in the next in this process. The
restricted process is started anew in each turn, as it is once per command. The times
are processor seconds of both processes, which depend less on what else runs.
"""

import itertools
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.alternate import compare_within

FILES, SIDE, MODEL = 40, 512, "photo"


def opened_there_and_here(folder: str) -> Callable[[], float]:
    """Return a function that denoises the folder in turns, and returns the seconds."""
    import os

    from keras_dae.denoising.denoise import denoise_jobs
    from keras_dae.denoising.files import plan_jobs
    from keras_dae.denoising.pages import Task
    from keras_dae.denoising.tile_model import TileModel
    from keras_dae.denoising.trained import find_model
    from keras_dae.evaluation.walled import open_model
    from keras_dae.system.walls import FILES as ROOM

    trained = find_model(MODEL)
    task = Task(model=TileModel(open_model(trained.path)), card=trained.card)
    out = f"{folder}/out"

    def here(function: str, *arguments: Any, **limits: Any) -> Any:
        module, _, name = function.partition(":")
        return getattr(import_module(module), name)(*arguments)

    def denoise(opened: AbstractContextManager[Any]) -> float:
        began = sum(os.times()[:4])
        with opened:
            jobs = plan_jobs([folder], out, label="", overwrite=True)
            states = [result.row["state"] for result in denoise_jobs(jobs, task)]
        assert states == ["done"] * FILES, states
        ROOM.close()
        return sum(os.times()[:4]) - began

    turns = itertools.cycle((nullcontext, lambda: patch.object(ROOM, "call", here)))
    return lambda: denoise(next(turns)())


def _draw(folder: Path) -> None:
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    slope = np.linspace(0, 200, SIDE)[:, None, None]
    for number in range(FILES):
        pixels = np.clip(slope + rng.normal(30, 25, (SIDE, SIDE, 3)), 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")


def rows() -> list[dict[str, Any]]:
    """Compare both ways of opening the files."""
    with tempfile.TemporaryDirectory(prefix="keras-dae-") as folder:
        _draw(Path(folder))
        row = compare_within(
            "walls",
            MODEL,
            opened_there_and_here,
            arguments={"folder": folder},
            threads=1,
            rounds=3,
            starts=1,
        )
    return [row]
