"""docs/photographs.md: its figures are kept ones."""

import json
import re
from collections import defaultdict
from itertools import product
from pathlib import Path
from statistics import fmean

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "photographs.md").read_text()
WORDS = " ".join(PAGE.split())
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


def ahead(kept, noise, method, sigma):
    """Photograph -> by how many dB a method is better than BM3D."""
    own, other = (
        {row["image"]: row["psnr"] for row in kept[noise, name, sigma]}
        for name in (method, "BM3D")
    )
    return {image: own[image] - other[image] for image in other}


def test_differences_to_bm3d(kept):
    for noise, method in product(("8 bits", "unclipped"), ("photo", "photo --best")):
        cells = []
        for sigma in SIGMAS:
            gains = [*ahead(kept, noise, method, sigma).values()]
            cells.append(f"{fmean(gains):+.2f} ({sum(gain > 0 for gain in gains)})")
        assert f"| `{method}` | {' | '.join(cells)} |" in PAGE
    gains = ahead(kept, "8 bits", "photo --best", 15)
    alone = gains.pop("kodim20.png")
    assert f"{alone:.2f} dB better than BM3D on it" in WORDS
    assert f"The mean over the other 23 is {fmean(gains.values()):+.2f} dB" in WORDS


def test_each_stage_of_the_training_is_as_its_figures_say():
    found = json.loads((ROOT / "artifacts/photo/validation.json").read_text())
    kinds = [f"{kind}, sigma {n}" for kind in ("unclipped", "8 bits") for n in SIGMAS]
    first, second, last = found["psnr"]
    assert last["model"] == "photo.keras"
    assert first["parameters"] < second["parameters"] == last["parameters"]
    for row in (first, second, last):
        figures = " | ".join(f"{row[kind]:.2f}" for kind in kinds)
        clean = f"{row['lowest PSNR']:.1f} | {row['below 45 dB']}"
        assert f" | {figures} | {clean} |" in PAGE
    gains = [second[kind] - first[kind] for kind in kinds]
    assert f"by {min(gains):.2f} to {max(gains):.2f} dB" in WORDS
    losses = [second[kind] - last[kind] for kind in kinds]
    assert f"Stage 3 costs up to {max(losses):.2f} dB" in WORDS
    assert min(last[kind] - first[kind] for kind in kinds) > 0


def test_paths_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
