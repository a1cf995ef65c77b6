"""Train on photographs, and denoise ones that were held out, beside classical filters.

    python -m benchmarks.photographs artifacts/photographs

The photographs are those that scikit-image carries in its wheel, exported to a folder
as files. `keras-dae train --data folder:...` trains a denoising autoencoder and a chain
without a bottleneck on the same files, one thread each; the test files, which neither
training nor tuning sees, are then denoised whole, by tiles. Filters are tuned on all
other files. Writes .json, .md and .png; a second start goes on with the runs.
"""

import argparse
import json
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import skimage
from matplotlib.figure import Figure
from PIL import Image

import keras_dae as kd
from keras_dae.denoising.tile_model import TileModel
from keras_dae.evaluation.filters import FILTERS, tune
from keras_dae.evaluation.metrics import psnr, ssim
from keras_dae.images.noise_words import describe_noise
from keras_dae.images.patches import unit
from keras_dae.images.splits import Splits
from keras_dae.study.nine.diagrams import show_image, styled
from keras_dae.study.report.report import Table, markdown_table
from keras_dae.system import backend
from keras_dae.system.storage import replacing, write_json, write_text
from keras_dae.system.streams import stream
from keras_dae.training.runs import RunFolder

# Of things, people, animals, sky and cells; one of each scene.
NAMES = (
    *("astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png"),
    *("clock_motion.png", "coffee.png", "coins.png", "grass.png", "gravel.png"),
    *("hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png"),
    *("retina.jpg", "rocket.jpg"),
)
SIGMA, SIZE, PATCHES = 0.1, 64, 96
COMMON = f"--size {SIZE} --patches {PATCHES} --sigma {SIGMA} --precision bfloat16"
# Each trains for about four minutes of a core that nobody shares.
MODELS = {
    "DAE_5_16": "--depth 5 --latent 16 --batch-size 32 --epochs 75",
    "dncnn": "--model dncnn --filters 16 --batch-size 16 --epochs 20",
}
TUNED = ("median", "non-local means", "BM3D")
TUNED_SIDE = 128  # of the photographs' middles that filters are tuned on, in pixels
LARGEST = 512  # side of what is denoised, in pixels: BM3D takes many seconds for it
DETAIL = 112  # side of the detail that is drawn
Denoise = Callable[[np.ndarray], np.ndarray]  # (H, W, 1) -> the same
Answers = dict[str, list[np.ndarray]]  # name -> an answer a photograph


def main() -> None:
    """Export, train, tune, denoise, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="What the written files begin with.")
    parser.add_argument("--work", type=Path, default=Path("artifacts/runs/photographs"))
    given = parser.parse_args()
    data = f"folder:{export(given.work / 'photos')}"
    runs = {name: train(data, given.work, options) for name, options in MODELS.items()}
    backend.select("cpu", 1)
    splits = kd.load_data(data, cut=kd.Cut(SIZE, patches=PATCHES))
    noise = kd.make_noise("gaussian", sigma=SIGMA)
    clean = [middle(unit(image), LARGEST) for image in splits.test.images]
    noisy = [
        noise(image[None], stream("test", 0, number))[0]
        for number, image in enumerate(clean)
    ]
    filters, settings = tuned(splits, noise)
    denoisers = filters | {name: by_tiles(run) for name, run in runs.items()}
    answers: Answers = {"noisy": noisy}
    seconds = {"noisy": 0.0}
    for name, denoise in denoisers.items():
        began = time.perf_counter()
        answers[name] = [denoise(image) for image in noisy]
        seconds[name] = round(time.perf_counter() - began, 2)
    shapes = [list(image.shape[:2]) for image in clean]
    record = {
        "data": f"photographs of scikit-image {skimage.__version__}'s wheel, as grey",
        "files": splits.files,
        "shapes": dict(zip(splits.files["test"], shapes, strict=True)),
        "noise": describe_noise(noise),
        "hardware": f"{backend.hardware()}, 1 thread",
        "backend": backend.versions(),
        "runs": {name: described(name, run, splits) for name, run in runs.items()},
        "settings": settings,
        "rows": [
            {"name": name, "seconds": seconds[name], **figures(clean, answers[name])}
            for name in answers
        ],
    }
    write_json(given.out.with_suffix(".json"), record)
    drawn = given.out.with_suffix(".png")
    write_text(given.out.with_suffix(".md"), page(record, drawn.name))
    with replacing(drawn) as temporary:
        picture(clean, answers).savefig(temporary, dpi=110)
        with Image.open(temporary) as image:
            image.convert("L").save(temporary, optimize=True)  # all of it is grey
    print(page(record, drawn.name))


def export(folder: Path) -> Path:
    """Copy the photographs that scikit-image's wheel holds; nothing is fetched."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        shutil.copy(Path(skimage.__file__).parent / "data" / name, folder)
    return folder


def train(data: str, work: Path, options: str) -> RunFolder:
    """Train by the command line, or go on; return the run's folder."""
    command = [sys.executable, "-m", "keras_dae", "train", "--data", data]
    command += [*COMMON.split(), *options.split(), "--threads", "1"]
    command += ["--out", str(work / "runs"), "--resume", "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return RunFolder(Path(json.loads(done.stdout)["run"]))


def middle(image: np.ndarray, side: int) -> np.ndarray:
    """Return at most `side` x `side` pixels around the middle of (H, W, C)."""
    top, left = (max(0, (length - side) // 2) for length in image.shape[:2])
    return image[top : top + side, left : left + side]


def by_tiles(run: RunFolder) -> Denoise:
    """Return a run's model as `denoise` uses it."""
    model = TileModel(kd.load(run.path))
    return lambda image: kd.denoise_array(image, model, model.tile)


def tuned(splits: Splits, noise: Any) -> tuple[dict[str, Denoise], dict[str, Any]]:
    """Return filters at the parameters that suit the other photographs best.

    Two validation files alone would choose for what happens to be in them.
    """
    images = [*splits.train.images, *splits.validation.images]
    clean = np.stack([middle(unit(image), TUNED_SIDE) for image in images])
    noisy = noise(clean, stream("validation", 0, 0))
    chosen, settings = {}, {}
    for name in TUNED:
        values, error = tune(FILTERS[name], noisy, clean)
        settings[name] = {**values, "tuned_on": len(images), "mse": error}
        answer = FILTERS[name].denoiser(values)
        chosen[name] = lambda image, answer=answer: answer(image[None])[0]
    return chosen, settings


def figures(clean: list[np.ndarray], answers: list[np.ndarray]) -> dict[str, Any]:
    """Return PSNR in dB and SSIM of each photograph."""
    pairs = [(c[None], a[None]) for c, a in zip(clean, answers, strict=True)]
    return {
        "psnr": [float(psnr(*pair)[0]) for pair in pairs],
        "ssim": [float(ssim(*pair)[0]) for pair in pairs],
    }


def described(name: str, run: RunFolder, splits: Splits) -> dict[str, Any]:
    """Return what is to be known of a training."""
    history = run.history()
    return {
        "options": f"{COMMON} {MODELS[name]}",
        "parameters": run.record()["parameters"],
        "epochs": len(history["loss"]),
        "patches": len(splits.train) * len(history["loss"]),
        "seconds": round(sum(history["seconds"])),
        "val_loss": history["val_loss"][-1],
    }


def page(record: dict[str, Any], drawn: str) -> str:
    """Return the record for people; `drawn` is the file of its picture."""
    train, validation, test = (len(names) for names in record["files"].values())
    shapes = [f"{name} {h}x{w}" for name, (h, w) in record["shapes"].items()]
    chosen = [
        f"{name} {', '.join(f'{key} {values[key]}' for key in FILTERS[name].grid)}"
        for name, values in record["settings"].items()
    ]
    runs = [
        f"{name} has {run['parameters']:,} parameters and saw {run['patches']:,} "
        f"patches in {run['epochs']} epochs, {run['seconds']:,} s of training."
        for name, run in record["runs"].items()
    ]
    made = (
        f"{record['data'][0].upper()}{record['data'][1:]}: {train} files train, "
        f"{validation} validate, {test} test. Gaussian noise of sigma "
        f"{record['noise']['sigma']:g}, clipped to [0, 1]. The test photographs "
        f"({', '.join(shapes)}; at most {LARGEST} pixels a side, from the middle) are "
        f"denoised whole, by the models in tiles of {SIZE}x{SIZE}. Filters have the "
        f"parameters that suit the other files best, by the middle {TUNED_SIDE}x"
        f"{TUNED_SIDE} of each: {'; '.join(chosen)}."
    )
    how = (
        f"{' '.join(runs)} On {record['hardware']}, {record['backend']}; other work "
        "shared the machine, so that seconds are too many."
    )
    few = f"{test} photographs are few: others may order otherwise what lies close."
    paragraphs = [made, verdict(record["rows"]), few, how]
    folded = [textwrap.fill(text, 88, break_on_hyphens=False) for text in paragraphs]
    return "\n\n".join(
        [
            f"# Photographs: trained on {train}, measured on {test} others",
            folded[0],
            markdown_table(figures_table(record)).rstrip(),
            *folded[1:],
            f"![The test photographs and a detail of each]({drawn})\n",
        ]
    )


def figures_table(record: dict[str, Any]) -> Table:
    """Return a row for each denoiser: each photograph's figures, and their mean."""
    test = record["files"]["test"]
    heads = [f"{name}: {key}" for key in ("PSNR, dB", "SSIM") for name in test]
    rows = [
        [
            row["name"],
            *(f"{value:.2f}" for value in row["psnr"]),
            *(f"{value:.3f}" for value in row["ssim"]),
            f"{np.mean(row['psnr']):.2f}",
            f"{row['seconds']:.1f}",
        ]
        for row in record["rows"]
    ]
    return Table(["denoiser", *heads, "mean PSNR, dB", "seconds"], rows, words=(0,))


def verdict(rows: list[dict[str, Any]]) -> str:
    """Return the order of the denoisers by mean PSNR, and whether SSIM agrees."""
    means = {
        key: {row["name"]: float(np.mean(row[key])) for row in rows}
        for key in ("psnr", "ssim")
    }
    order, other = (
        sorted(means[key], key=means[key].__getitem__, reverse=True)
        for key in ("psnr", "ssim")
    )
    told = ", ".join(f"{name} ({means['psnr'][name]:.2f} dB)" for name in order)
    agrees = "the same" if order == other else ", ".join(other)
    return f"By mean PSNR, the best first: {told}. By mean SSIM: {agrees}."


@styled
def picture(clean: list[np.ndarray], answers: Answers) -> Figure:
    """Draw each photograph, and a detail under it: truth, noisy, and all answers."""
    columns = {"truth": clean, **answers}
    figure = Figure(
        figsize=(2.1 * len(columns), 4.5 * len(clean)), layout="constrained"
    )
    axes = figure.subplots(2 * len(clean), len(columns))
    for column, (name, images) in enumerate(columns.items()):
        for number, image in enumerate(images):
            whole, detail = axes[2 * number : 2 * number + 2, column]
            show_image(whole, image)
            show_image(detail, middle(image, DETAIL))
            likeness = figures([clean[number]], [image])["psnr"][0]
            title = name if images is clean else f"{name}\n{likeness:.2f} dB"
            whole.set_title(title, fontsize=10)
            for axis in (whole, detail):
                axis.set(xticks=[], yticks=[])
    return figure


if __name__ == "__main__":
    main()
