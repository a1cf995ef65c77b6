"""The committed figures are what the code draws from the committed results."""

import io
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import draw_families
from keras_dae.study.bits import figures as bits
from keras_dae.study.board import figures as board
from keras_dae.study.classification import figures as classification
from keras_dae.study.depth_limit import figures as depth_limit
from keras_dae.study.nine import figures as nine
from keras_dae.study.nine.intervals import comparisons
from keras_dae.study.robustness import figures as robustness
from keras_dae.study.uncertainty import figures as uncertainty
from keras_dae.study.without_clean import figures as without_clean
from keras_dae.system.storage import read_json

ROOT = Path(__file__).parents[3]
PAPER = ROOT / "artifacts" / "paper"


def claims(results):
    return comparisons(results["claims"])


# Name of the figure -> file of results, and function that draws it.
DRAWN = {
    "bits": ("bits/bits.json", bits.curves),
    "bits-claims": ("bits/bits.json", bits.claims),
    "board": ("board.json", board.board_figure),
    "claims": ("claims.json", claims),
    "classification-accuracy": ("classification.json", classification.accuracies),
    "classification-confusions": ("classification.json", classification.confusions),
    "classification-sigma": ("classification.json", classification.curves),
    "depth-limit": ("depth_limit.json", depth_limit.depth_limit),
    "families": (None, draw_families.draw),
    "robustness-gain": ("robustness.json", robustness.gain_table),
    "robustness-psnr": ("robustness.json", robustness.strengths),
    "uncertainty-coverage": ("uncertainty/uncertainty.json", uncertainty.coverage),
    "without-clean": ("without-clean/without_clean.json", without_clean.errors),
}


def pixels(png):
    return np.asarray(Image.open(png).convert("RGB"), np.int16)


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_is_drawn_from_its_results(name):
    pinned = (ROOT / "constraints.txt").read_text().splitlines()
    if f"matplotlib=={version('matplotlib')}" not in pinned:
        pytest.skip("another matplotlib draws other pixels")
    file, draw = DRAWN[name]
    found = draw(read_json(PAPER / file) if file else PAPER)
    drawn = pixels(io.BytesIO(nine.png_bytes(found)))
    kept = pixels(PAPER / "figures" / f"{name}.png")
    assert drawn.shape == kept.shape
    # A processor may round a pixel's shade otherwise; a word that changed is more.
    assert np.mean(np.abs(drawn - kept) > 2) < 1e-4
