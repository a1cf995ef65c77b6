"""Measure `denoise --self` on photographs, beside filters that are told the noise.

    python -m benchmarks.self_photographs KODAK VALIDATION artifacts/photo/self.json

KODAK holds the test photographs, VALIDATION those on which the sizes of the stacks are
chosen: crops of 256x256 pixels of every third photograph, in colour and grey. Noise is
Gaussian of sigma 25 of 255, unclipped, with the same draws as in
`benchmarks.photo_table`. Its table (artifacts/photo/table.json) gives the settings of
non-local means and the figures of BM3D. Each photograph is written as soon as it is
measured, and a second start goes on from there.
"""

import argparse
import itertools
import time
from pathlib import Path
from statistics import mean
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.photo_table import METHODS, add_noise, read, read_rows, score
from keras_dae.denoising.similar_patches import STACKS, Stack, learn
from keras_dae.images.io.pictures import page_of
from keras_dae.system import backend
from keras_dae.system.storage import read_json, write_json

SIGMA, CELL = 25, {"mode": "colour", "sigma": 25, "noise": "unclipped"}
TABLE = Path(__file__).parents[1] / "artifacts/photo/table.json"
NEIGHBOURS = "non-local means"
CHANNELS, CROP = {"colour": 3, "grey": 1}, 256
# Sides of the patches of both passes.
SIDES = {"colour": ((4, 5, 7), (4, 5, 7)), "grey": ((5, 7, 9), (5, 7, 9))}


def main() -> None:
    """Measure the photographs that are missing, and write the record after each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kodak", type=Path)
    parser.add_argument("validation", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    backend.select("cpu", 1)
    journal = read_rows(TABLE.with_suffix(".jsonl"))
    table = {
        **read_json(TABLE),
        "rows": [row for row in journal if "image" in row],
    }
    known = read_json(given.out) if given.out.exists() else {}
    rows = known.get("rows", [])
    tuned = known.get("tuned") or tune(given.validation)
    write_json(given.out, record(rows, tuned, table))
    for number, path in enumerate(sorted(given.kodak.glob("*.png"))):
        if path.name in {row["image"] for row in rows}:
            continue
        rows.append({"image": path.name, **measured(path, number, table)})
        write_json(given.out, record(rows, tuned, table))
        print(rows[-1], flush=True)


def measured(path: Path, number: int, table: dict[str, Any]) -> dict[str, Any]:
    """Return PSNR and seconds of one photograph."""
    clean = read(path, "colour")
    noisy = _noisy(clean, number)
    began = time.process_time()
    own = _denoised(noisy)
    seconds = time.process_time() - began
    neighbours = METHODS[NEIGHBOURS][0](noisy, SIGMA / 255, settings(table))
    return {
        "self": _psnr(clean, own),
        NEIGHBOURS: _psnr(clean, neighbours),
        "seconds": round(seconds, 1),
    }


def settings(table: dict[str, Any]) -> dict[str, Any]:
    """Return how non-local means were tuned on validation photographs."""
    wanted = {**CELL, "method": NEIGHBOURS}
    return next(r["settings"] for r in table["tuned"] if wanted.items() <= r.items())


def record(
    rows: list[dict[str, Any]], tuned: list[dict[str, Any]], table: dict[str, Any]
) -> dict[str, Any]:
    """Return all figures, with the means over the photographs that a method has."""
    wanted = {**CELL, "method": "BM3D"}
    bm3d = {r["image"]: r["psnr"] for r in table["rows"] if wanted.items() <= r.items()}
    both = [row for row in rows if row["image"] in bm3d]
    means = {
        name: float(np.mean([row[name] for row in rows])) if rows else None
        for name in ("self", NEIGHBOURS, "seconds")
    }
    beside = {
        "images": len(both),
        "self": float(np.mean([row["self"] for row in both])) if both else None,
        "BM3D": float(np.mean([bm3d[r["image"]] for r in both])) if both else None,
    }
    return {
        "schema": 1,
        "noise": f"Gaussian, sigma {SIGMA} of 255, unclipped; PSNR in dB, colour",
        "stacks": {mode: _sizes(STACKS[n]) for mode, n in CHANNELS.items()},
        "hardware": f"{backend.hardware()}, 1 thread",
        "backend": backend.versions(),
        "settings": {NEIGHBOURS: settings(table)},
        "means": means,
        "beside BM3D": beside,
        "tuned": tuned,
        "rows": rows,
    }


def tune(folder: Path) -> list[dict[str, Any]]:
    """Return the mean PSNR on validation crops for each size of the stacks."""
    rows = []
    for mode, channels in CHANNELS.items():
        pairs = _pairs(folder, mode)
        for sides in itertools.product(*SIDES[mode]):
            stacks = tuple(
                Stack(side, stack.patches)
                for stack, side in zip(STACKS[channels], sides, strict=True)
            )
            with patch.dict(STACKS, {channels: stacks}):
                found = [_psnr(clean, _denoised(noisy)) for clean, noisy in pairs]
            row = {
                "mode": mode,
                "stacks": _sizes(stacks),
                "psnr": round(mean(found), 3),
            }
            rows.append(row)
            print(row, flush=True)
    return rows


def _pairs(folder: Path, mode: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return clean and noisy crops of every third photograph."""
    crops = [read(path, mode)[:CROP, :CROP] for path in sorted(folder.iterdir())[::3]]
    return [(crop, _noisy(crop, number)) for number, crop in enumerate(crops)]


def _noisy(clean: np.ndarray, number: int) -> np.ndarray:
    return add_noise(clean, number, SIGMA, clipped=False)


def _denoised(noisy: np.ndarray) -> np.ndarray:
    return learn(page_of(noisy), (0.0, 1.0)).denoise(noisy)


def _psnr(clean: np.ndarray, answer: np.ndarray) -> float:
    return float(score(clean, answer, clipped=False)["psnr"])


def _sizes(stacks: tuple[Stack, ...]) -> list[list[int]]:
    return [list(stack) for stack in stacks]


if __name__ == "__main__":
    main()
