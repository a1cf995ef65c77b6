"""docs/photographs.md: its figures are kept ones."""

import json
import re
from collections import defaultdict
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import skimage

import keras_dae as kd

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "photographs.md").read_text()
SIGMAS = (15, 25, 50)


def test_the_python_example_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(code, {})
    assert capsys.readouterr().out == "(48, 64, 3)\n"


@pytest.fixture(scope="module")
def kept():
    """Noise, method and sigma -> the rows of colour photographs."""
    found = defaultdict(list)
    for line in (ROOT / "artifacts/photo/table.jsonl").read_text().splitlines():
        row = json.loads(line)
        if "image" in row and row["mode"] == "colour":
            found[row["noise"], row["method"], row["sigma"]].append(row)
    return found


def test_figures_of_all_photographs(kept):
    words = []
    for noise in ("unclipped", "8 bits"):
        rows = [kept[noise, "photo", sigma] for sigma in SIGMAS]
        assert [len({row["image"] for row in of}) for of in rows] == [24] * 3
        one, two, three = (f"{fmean(row['psnr'] for row in of):.2f}" for of in rows)
        words.append(f"{one}, {two} and {three} dB on")
    page = " ".join(PAGE.split())
    assert f"{words[0]} unclipped noise, and {words[1]} noise of 8 bits." in page


def test_figures_are_those_that_were_measured(kept):
    # Every third photograph is measured first.
    thirds = {f"kodim{number:02}.png" for number in range(1, 25, 3)}
    noise, compared = "", 0
    for line in PAGE.splitlines():
        cells = [cell.strip(" `") for cell in line.strip("|").split("|")]
        noise = {"clipped, 8 bits": "8 bits", "": noise}.get(cells[0], cells[0])
        if len(cells) != 6 or (noise, cells[1], 15) not in kept:
            continue
        for sigma, shown in zip(SIGMAS, cells[2:5], strict=True):
            rows = [r for r in kept[noise, cells[1], sigma] if r["image"] in thirds]
            assert len(rows) == len(thirds)
            assert float(shown) == pytest.approx(
                fmean(row["psnr"] for row in rows), abs=0.0051
            )
            compared += 1
    assert compared == 36


def test_the_larger_network_is_as_its_figures_say():
    found = json.loads((ROOT / "artifacts/photo/validation.json").read_text())
    kinds = [f"{kind}, sigma {n}" for kind in ("unclipped", "8 bits") for n in SIGMAS]
    shipped, larger, tuned = found["psnr"]
    for row in (shipped, larger, tuned):
        figures = " | ".join(f"{row[kind]:.2f}" for kind in kinds)
        assert f"{row['parameters']:,} weights | {figures} |" in PAGE
    gains = [larger[kind] - shipped[kind] for kind in kinds]
    assert f"by {min(gains):.2f} to {max(gains):.2f} dB" in PAGE
    losses = [larger[kind] - tuned[kind] for kind in kinds]
    assert min(losses) > 0
    assert f"is up to {max(losses):.3f} dB worse" in PAGE


def test_what_the_larger_network_leaves_of_a_clean_photograph():
    clean = skimage.data.rocket()[:300, :300]
    kept = []
    for model in (ROOT / "artifacts/photo/photo-6.keras", "photo"):
        output = kd.Denoiser.from_preset(model).denoise(clean)
        error = np.mean((output.astype(float) - clean) ** 2)
        kept.append(f"{10 * np.log10(255**2 / error):.2f} dB")
    assert f"comes back at {kept[0]}, and at {kept[1]} with" in " ".join(PAGE.split())


def test_paths_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
