"""The commands that the campaign strikes: what they find, what they are called with."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

DATA = ["--data", "npz:images.npz"]
RECIPE = [*DATA, "--batch-size", "32", "--threads", "1", "--epochs"]
GRID = [*RECIPE, "2", "--depths", "1", "--latents", "13,5", "--seeds", "1"]
GRID += ["--jobs", "1", "--json"]
TRAIN = ["train", *RECIPE, "3", "--depth", "1", "--latent", "13", "--json"]
Run = Callable[[list[str], Path], None]  # carries out a command in a folder


@dataclass(frozen=True)
class Scene:
    """One command.

    Attributes:
        name: what the table calls it.
        first: the command line that is struck.
        again: the one that is to bring all to its end afterwards.
        prepare: (folder, run) -> nothing; puts there what the command needs and what
            it finds of before.
        moments: how many moments of each fault the long campaign draws.
        new: whether some of them are of new processes, imports and all.
        printed: whether its standard output is a figure too.
        sentence: whether a full disk is said on standard error; a sweep says what
            happened to each run in its rows.
    """

    name: str
    first: list[str]
    again: list[str]
    prepare: Callable[[Path, Run], None]
    moments: int
    new: bool = True
    printed: bool = False
    sentence: bool = True


def _images(folder: Path, run: Run) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (200, 28, 28), dtype=np.uint8)
    np.savez(folder / "images.npz", x_train=images[:160], x_test=images[160:])


def _trained(folder: Path, run: Run) -> None:
    _images(folder, run)
    run([*TRAIN, "--out", "runs"], folder)
    (folder / "rows.csv").write_text("of before\n")


def _half_a_study(folder: Path, run: Run) -> None:
    """Leave one of the two runs of a study, so that both kinds of work are struck."""
    _images(folder, run)
    run(["sweep", *GRID, "--out", "study/runs"], folder)
    shutil.rmtree(folder / "study/runs/npz-images-DAE_1_5-seed0")
    (folder / "study/report.md").write_text("of before\n")


def _pictures(folder: Path, run: Run) -> None:
    rng = np.random.default_rng(1)
    for place in ("in/a.png", "in/b.png", "in/deep/c.png", "in/deep/d.png"):
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        image = rng.integers(0, 256, (90, 70), dtype=np.uint8)
        Image.fromarray(image).save(path)
    before = folder / "out" / "a.denoised.png"
    before.parent.mkdir()
    before.write_bytes((folder / "in" / "b.png").read_bytes())


def _nothing(folder: Path, run: Run) -> None:
    (folder / "model.pt2").parent.mkdir(parents=True, exist_ok=True)


_SWEEP = ["sweep", *GRID, "--out", "runs"]
_STUDY = ["reproduce", *GRID, "--out", "study"]
_SCORE = ["evaluate", "--out", "runs", "--per-image", "rows.csv", "--json"]
_SCORE += ["--overwrite", "--threads", "1"]
_CLEAN = ["denoise", "in", "--model", "DAE_1_5", "-o", "out", "--overwrite", "--json"]
_CLEAN += ["--threads", "1"]
_TAKE = ["export", "DAE_1_5", "--format", "torch", "-o", "model.pt2", "--overwrite"]
SCENES = {
    scene.name: scene
    for scene in (
        Scene(
            "train",
            [*TRAIN, "--out", "runs"],
            [*TRAIN, "--out", "runs", "--resume"],
            _images,
            18,
        ),
        Scene("sweep", _SWEEP, _SWEEP, _images, 9, new=False, sentence=False),
        Scene("reproduce", _STUDY, _STUDY, _half_a_study, 5, new=False, sentence=False),
        Scene("evaluate", _SCORE, _SCORE, _trained, 8, printed=True),
        Scene("denoise", _CLEAN, _CLEAN, _pictures, 10, sentence=False),
        Scene("export", _TAKE, _TAKE, _nothing, 5, new=False),
    )
}
