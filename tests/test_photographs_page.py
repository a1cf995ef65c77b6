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


def test_figures_are_those_that_were_measured(kept):
    everyone = {f"kodim{number:02}.png" for number in range(1, 25)}
    noise, compared = "", 0
    for line in PAGE.splitlines():
        cells = [cell.strip(" `") for cell in line.strip("|").split("|")]
        noise = {"clipped, 8 bits": "8 bits", "": noise}.get(cells[0], cells[0])
        if len(cells) != 6 or (noise, cells[1], 15) not in kept:
            continue
        for sigma, shown in zip(SIGMAS, cells[2:5], strict=True):
            rows = kept[noise, cells[1], sigma]
            assert {row["image"] for row in rows} == everyone
            assert len(rows) == len(everyone)
            assert float(shown) == pytest.approx(
                fmean(row["psnr"] for row in rows), abs=0.0051
            )
            compared += 1
    assert compared == 36


def test_differences_to_bm3d(kept):
    def ahead(noise, method):
        means = [
            [fmean(row["psnr"] for row in kept[noise, name, sigma]) for sigma in SIGMAS]
            for name in (method, "BM3D")
        ]
        return [own - other for own, other in zip(*means, strict=True)]

    page = " ".join(PAGE.split())
    weak, middle, strong = ahead("8 bits", "photo")
    assert f"`photo` is {strong:.2f} dB better than BM3D at sigma 50" in page
    assert f"by {-weak:.2f} dB at sigma 15 and 0.01 dB at sigma 25" in page
    assert -0.01 < middle < 0
    weak, middle, strong = ahead("8 bits", "photo --best")
    assert f"is {middle:.2f} and {strong:.2f} dB better than BM3D at sigma 25" in page
    assert abs(weak) < 0.01
    plain, best = (sorted(ahead("unclipped", n)) for n in ("photo", "photo --best"))
    assert f"by {-plain[2]:.2f} to {-plain[0]:.2f} dB" in page
    assert f"({-best[2]:.2f} to {-best[0]:.2f} dB with `--best`)" in page


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
