"""Compare the denoisers of photographs with classical filters.

    python -m benchmarks.photo_table KODAK PHOTOGRAPHS artifacts/photo/table

KODAK holds the test photographs, PHOTOGRAPHS the folder val/ that filters are tuned
on. Noise is Gaussian of sigma 15, 25 and 50 of 255, once unclipped and once clipped and
rounded to 8 bits. BM3D and non-local means are told sigma; `photo` is not. Each figure
is appended to OUT.jsonl as soon as it is known, and a second start goes on from there.
Every third photograph comes first, so that an even subset is complete early. At the end
OUT.json, OUT.md and OUT.png are written; --report writes them from what there is.
"""

import argparse
import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.pack_photo import GREY, middle
from keras_dae.denoising.tile_model import TileModel
from keras_dae.denoising.trained import load
from keras_dae.evaluation.metrics import mse, psnr, ssim
from keras_dae.study.nine.diagrams import PALETTE, styled
from keras_dae.study.report.report import Table, markdown_table
from keras_dae.system import backend
from keras_dae.system.storage import replacing, write_json, write_text

SIGMAS, MODES = (15, 25, 50), ("colour", "grey")
NOISES = {"unclipped": False, "8 bits": True}
Settings = dict[str, Any]
Row = dict[str, Any]
# (noisy (H, W, C), sigma on [0, 1], settings) -> denoised
Answer = Callable[[np.ndarray, float, Settings], np.ndarray]
TUNED_SIDE, TUNED_IMAGES = 192, 6
THIRD = 3


@cache
def _model(channels: int) -> TileModel:
    return TileModel(load("photo" if channels == 3 else "photo-gray"))


def photo(noisy: np.ndarray, sigma: float, settings: Settings) -> np.ndarray:
    """Return the answer of the package's model, which is not told sigma."""
    return _model(noisy.shape[2]).denoise(noisy, **settings)


def non_local_means(noisy: np.ndarray, sigma: float, settings: Settings) -> np.ndarray:
    """Return scikit-image's non-local means, told sigma."""
    from skimage.restoration import denoise_nl_means

    options = {**settings, "h": settings["h"] * sigma, "sigma": sigma}
    answer = denoise_nl_means(noisy, channel_axis=-1, **options)
    # A single channel comes back as none.
    return np.asarray(answer).reshape(noisy.shape)


def total_variation(noisy: np.ndarray, sigma: float, settings: Settings) -> np.ndarray:
    """Return scikit-image's total variation (A. Chambolle)."""
    from skimage.restoration import denoise_tv_chambolle

    weight = settings["weight"] * sigma
    return np.asarray(denoise_tv_chambolle(noisy, weight, channel_axis=-1))


def wavelets(noisy: np.ndarray, sigma: float, settings: Settings) -> np.ndarray:
    """Return scikit-image's shrunk wavelet coefficients, of YCbCr in colour."""
    from skimage.restoration import denoise_wavelet

    options = {**settings, "sigma": settings["sigma"] * sigma}
    colour = noisy.shape[2] == 3
    answer = denoise_wavelet(noisy, channel_axis=-1, convert2ycbcr=colour, **options)
    return np.asarray(answer).reshape(
        noisy.shape
    )  # a single channel comes back as none


def bm3d(noisy: np.ndarray, sigma: float, settings: Settings) -> np.ndarray:
    """Return BM3D, or its variant for colour, told sigma."""
    import bm3d as package

    if noisy.shape[2] == 3:
        return np.asarray(package.bm3d_rgb(noisy, sigma))
    return np.asarray(package.bm3d(noisy[..., 0], sigma))[..., None]


# Name -> the call, and what is chosen on validation photographs; h, weight and sigma
# are shares of the noise's sigma.
METHODS: dict[str, tuple[Answer, dict[str, tuple[Any, ...]]]] = {
    "noisy": (lambda noisy, sigma, settings: noisy, {}),
    "photo": (photo, {}),
    "photo --best": (photo, {"best": (True,)}),
    "total variation": (
        total_variation,
        {"weight": (0.5, 0.65, 0.8, 1.0, 1.25, 1.5, 1.8)},
    ),
    "wavelets": (
        wavelets,
        {
            "method": ("BayesShrink", "VisuShrink"),
            "mode": ("soft", "hard"),
            "wavelet": ("db2", "sym4", "bior4.4"),
            "sigma": (0.4, 0.6, 0.8, 1.0, 1.2),
        },
    ),
    "non-local means": (
        non_local_means,
        {
            "h": (0.4, 0.6, 0.8, 1.0),
            "patch_size": (3, 5),
            "patch_distance": (6, 10),
            "fast_mode": (True,),
        },
    ),
    "BM3D": (bm3d, {}),
}
SLOW = ("BM3D",)


def main() -> None:
    """Measure what is missing, then write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kodak", type=Path)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("out", type=Path, help="What the written files begin with.")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--report", action="store_true", help="Measure nothing more.")
    given = parser.parse_args()
    backend.select("cpu", given.threads)
    journal = given.out.with_suffix(".jsonl")
    journal.parent.mkdir(parents=True, exist_ok=True)
    rows = read_rows(journal)
    if not given.report:
        cut(journal)
        with journal.open("a") as file:
            for row in measured(given.kodak, given.photographs, rows, given.threads):
                file.write(json.dumps(row) + "\n")
                file.flush()
                rows.append(row)
                print(row, flush=True)
    write_report(given.out, rows)


def read_rows(journal: Path) -> list[Row]:
    """Return the rows of a journal; a line that was cut off is left out."""
    if not journal.exists():
        return []
    content = journal.read_text()
    return [json.loads(line) for line in content.splitlines(True) if line[-1] == "\n"]


def cut(journal: Path) -> None:
    """Remove a last line that was cut off, so that rows can be appended."""
    if journal.exists():
        content = journal.read_text()
        journal.write_text(content[: content.rfind("\n") + 1])


def measured(
    kodak: Path, photographs: Path, rows: list[Row], threads: int
) -> Iterator[Row]:
    """Yield a row for each tuning and each measurement that is not there yet."""
    tunings = {_key(row): row["settings"] for row in rows if "image" not in row}
    done = {(row["image"], _key(row)) for row in rows if "image" in row}
    facts = {"hardware": backend.hardware(), "threads": threads}
    paths, warm = sorted(kodak.glob("*.png")), set[tuple[str, str]]()
    for number, cell in work(len(paths)):
        name, image = cell[0], paths[number].name
        if (image, cell) in done or (name == "BM3D" and not installed("bm3d")):
            continue
        if cell not in tunings:
            tunings[cell], error = tuned(cell, photographs)
            yield {**_cell(cell), "settings": tunings[cell], "mse": error}
        clean = read(paths[number], cell[1])
        noisy = add_noise(clean, number, cell[2], NOISES[cell[3]])
        if cell[:2] not in warm:  # the first call imports and loads
            METHODS[name][0](noisy[:64, :64], cell[2] / 255, tunings[cell])
            warm.add(cell[:2])
        began = time.process_time()
        answer = METHODS[name][0](noisy, cell[2] / 255, tunings[cell])
        # Of the processor, so that other work on the machine counts little.
        seconds = round(time.process_time() - began, 2)
        figures = score(clean, answer, NOISES[cell[3]])
        yield {"image": image, **_cell(cell), **figures, "seconds": seconds, **facts}


Cell = tuple[str, str, int, str]  # method, mode, sigma, noise


def _key(row: Row) -> Cell:
    return row["method"], row["mode"], row["sigma"], row["noise"]


def _cell(cell: Cell) -> Row:
    return dict(zip(("method", "mode", "sigma", "noise"), cell, strict=True))


def installed(package: str) -> bool:
    """Tell whether a package can be imported."""
    return importlib.util.find_spec(package) is not None


def work(images: int) -> Iterator[tuple[int, Cell]]:
    """Yield what is to be measured: fast methods first in each third of the images."""
    for first, slow, mode in product(range(THIRD), (False, True), MODES):
        for number in range(first, images, THIRD):
            for name, sigma, noise in product(METHODS, SIGMAS, NOISES):
                if (name in SLOW) == slow:
                    yield number, (name, mode, sigma, noise)


def read(path: Path, mode: str) -> np.ndarray:
    """Return a photograph: float32 in [0, 1] on 256 levels, (H, W, 3) or (H, W, 1)."""
    with Image.open(path) as image:
        values = np.asarray(image.convert("RGB"), np.float64)
    if mode == "grey":
        values = np.round(values @ np.array(GREY))[..., None]
    return (values / 255).astype(np.float32)


def add_noise(clean: np.ndarray, number: int, sigma: int, clipped: bool) -> np.ndarray:
    """Return the photograph with noise, drawn from its number and sigma."""
    drawn = np.random.default_rng([number, sigma]).standard_normal(clean.shape)
    noisy = clean + np.float32(sigma / 255) * drawn.astype(np.float32)
    return eight_bits(noisy) if clipped else noisy


def eight_bits(image: np.ndarray) -> np.ndarray:
    """Return the values that a file of 8 bits holds."""
    return (np.rint(np.clip(image, 0, 1) * 255) / 255).astype(np.float32)


def score(clean: np.ndarray, answer: np.ndarray, clipped: bool) -> Row:
    """Return PSNR in dB and SSIM of an answer, as it would be written."""
    shown = eight_bits(answer) if clipped else np.clip(answer, 0, 1)
    pair = clean[None], shown[None].astype(np.float32)
    return {
        "psnr": round(float(psnr(*pair)[0]), 4),
        "ssim": round(float(ssim(*pair)[0]), 5),
    }


def tuned(cell: Cell, photographs: Path) -> tuple[Settings, float | None]:
    """Return the settings of lowest error on validation photographs."""
    name, mode, sigma, noise = cell
    answer, grid = METHODS[name]
    choices = [
        dict(zip(grid, values, strict=True)) for values in product(*grid.values())
    ]
    if len(choices) == 1:
        return choices[0], None
    paths = sorted((photographs / "val").iterdir())[::THIRD][:TUNED_IMAGES]
    clean = [middle(read(path, mode), TUNED_SIDE) for path in paths]
    noisy = [add_noise(c, n, sigma, NOISES[noise]) for n, c in enumerate(clean)]

    def error(settings: Settings) -> float:
        answers = [np.clip(answer(n, sigma / 255, settings), 0, 1) for n in noisy]
        both = zip(clean, answers, strict=True)
        return float(np.mean([mse(c[None], a[None])[0] for c, a in both]))

    errors = [error(settings) for settings in choices]
    best = int(np.argmin(errors))
    return choices[best], errors[best]


def write_report(out: Path, rows: list[Row]) -> None:
    """Write the table as JSON, Markdown and a picture, from the rows there are."""
    cells = list(summarised(rows))
    record = {
        "test": "24 photographs of Kodak, 768x512",
        "tuned_on": f"{TUNED_IMAGES} validation photographs, the middle "
        f"{TUNED_SIDE}x{TUNED_SIDE}",
        "versions": {
            name: backend.package_version(name)
            for name in ("keras", "torch", "scikit-image", "bm3d", "numpy")
            if installed(name.replace("scikit-image", "skimage"))
        },
        "hardware": sorted({r["hardware"] for r in rows if "hardware" in r}),
        "threads": sorted({r["threads"] for r in rows if "threads" in r}),
        "cells": cells,
        "tuned": [row for row in rows if "mse" in row and row["mse"] is not None],
    }
    write_json(out.with_suffix(".json"), record)
    drawn = out.with_suffix(".png")
    write_text(out.with_suffix(".md"), page(record, drawn.name))
    with replacing(drawn) as temporary:
        picture(cells).savefig(temporary, dpi=110)


def summarised(rows: list[Row]) -> Iterator[Row]:
    """Yield the means of each cell, over the photographs that all methods have."""
    found: dict[Cell, dict[str, Row]] = {}
    for row in rows:
        if "image" in row:
            found.setdefault(_key(row), {})[row["image"]] = row
    for mode, noise, sigma in product(MODES, NOISES, SIGMAS):
        cells = {name: found.get((name, mode, sigma, noise), {}) for name in METHODS}
        cells = {name: of for name, of in cells.items() if of}
        if not cells:
            continue
        common = set.intersection(*(set(of) for of in cells.values()))
        for name, of in cells.items():
            chosen = [of[image] for image in sorted(common)]
            if chosen:
                means = {
                    key: float(np.mean([row[key] for row in chosen]))
                    for key in ("psnr", "ssim", "seconds")
                }
                yield {
                    **_cell((name, mode, sigma, noise)),
                    **means,
                    "images": len(chosen),
                }


def page(record: Row, drawn: str) -> str:
    """Return the record for people; `drawn` is the file of its picture."""
    parts = ["# Photographs: `photo` beside classical filters"]
    parts.append(
        f"{record['test']}; means over photographs. Gaussian noise, PSNR in dB / SSIM. "
        f"Filters are tuned on {record['tuned_on']}; BM3D and non-local means are told "
        "the noise level, `photo` is not. Processor seconds per photograph, mean over "
        f"sigma, {', '.join(map(str, record['threads']))} thread, on "
        f"{'; '.join(record['hardware'])}, beside other work."
    )
    for mode, noise in product(MODES, NOISES):
        cells = [
            row
            for row in record["cells"]
            if (row["mode"], row["noise"]) == (mode, noise)
        ]
        if cells:
            counts = {row["images"] for row in cells}
            shown = ", ".join(map(str, sorted(counts)))
            parts.append(f"## {mode.capitalize()}, {noise}: {shown} photographs")
            parts.append(markdown_table(table(cells)).rstrip())
    parts.append(f"![PSNR against sigma]({drawn})\n")
    return "\n\n".join(parts)


def table(cells: list[Row]) -> Table:
    """Return a row for each method and a column for each sigma."""
    body = []
    for name in METHODS:
        own = {row["sigma"]: row for row in cells if row["method"] == name}
        if own:
            figures = [
                f"{own[s]['psnr']:.2f} / {own[s]['ssim']:.3f}" if s in own else ""
                for s in SIGMAS
            ]
            seconds = np.mean([row["seconds"] for row in own.values()])
            body.append([name, *figures, f"{seconds:.1f}"])
    heads = ["method", *(f"sigma {sigma} of 255" for sigma in SIGMAS), "seconds"]
    return Table(heads, body, words=(0,))


@styled
def picture(cells: list[Row]) -> Figure:
    """Return PSNR against sigma, one panel for each mode and noise."""
    panels = list(product(MODES, NOISES))
    figure = Figure(figsize=(4 * len(panels), 4), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True)
    names = [name for name in METHODS if name != "noisy"]
    for axis, (mode, noise) in zip(axes, panels, strict=True):
        for name, colour in zip(names, PALETTE, strict=True):
            own = [
                row
                for row in cells
                if (row["method"], row["mode"], row["noise"]) == (name, mode, noise)
            ]
            places = [row["sigma"] for row in own]
            values = [row["psnr"] for row in own]
            axis.plot(places, values, marker="o", color=colour, label=name)
        axis.set(title=f"{mode}, {noise}", xlabel="sigma of 255", xticks=SIGMAS)
        axis.grid(True)
    axes[0].set_ylabel("PSNR, dB")
    axes[-1].legend()
    return figure


if __name__ == "__main__":
    main()
