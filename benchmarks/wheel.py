"""What somebody gets who installs the wheel alone: build, install, denoise, offline.

    python -m benchmarks.wheel artifacts/wheel.json

Builds the wheel from a copy of the tree, installs it with the versions of
constraints.txt into an empty environment, and runs its `keras-dae denoise` from an
empty folder, with no network: on noisy digits, which must come out at a sixth of their
error, and on a photograph of 4000x3000 pixels, which must end under 2 GB.
"""

import argparse
import json
import os
import resource
import subprocess
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from skimage import data

from benchmarks.build import build
from keras_dae.images.datasets import load
from keras_dae.images.noise import make_noise
from keras_dae.system import backend
from keras_dae.system.storage import write_json

ROOT = Path(__file__).parents[1]
DIGITS, SIGMA = 10, 0.5
PHOTOGRAPH = (4000, 3000)
# Nothing answers there, so a download fails at once.
OFFLINE = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")


def main() -> None:
    """Build, install, denoise, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        wheel = build(place / "dist")
        command = install(wheel, place / "venv")
        record: dict[str, Any] = {
            "wheel": {"name": wheel.name, "bytes": wheel.stat().st_size},
            "hardware": backend.hardware(),
            "digits": digits(command, place),
            "photograph": photograph(command, place),
        }
    write_json(out, record)
    print(json.dumps(record, indent=1))


def install(wheel: Path, place: Path) -> Path:
    """Return the `keras-dae` of an environment that holds the wheel and its needs."""
    venv.create(place, with_pip=True)
    pip = [str(place / "bin/python"), "-m", "pip", "install", "--quiet"]
    limits = ["-c", str(ROOT / "constraints.txt")]
    subprocess.run([*pip, *limits, str(wheel)], check=True)
    return place / "bin/keras-dae"


def run(command: Path, folder: Path, *arguments: str) -> dict[str, Any]:
    """Return what a command printed as JSON, its seconds, and its peak memory."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "KER"))}
    began = time.perf_counter()
    done = subprocess.run(
        [str(command), *arguments, "--threads", "1", "--json"],
        cwd=folder,
        env={**clean, **OFFLINE},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    seconds = time.perf_counter() - began
    # Linux counts the largest child so far, in kilobytes.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return {**json.loads(done.stdout), "seconds": seconds, "peak_bytes": peak}


def digits(command: Path, place: Path) -> dict[str, Any]:
    """Return how far noisy digits, one PNG each, are from the clean ones after."""
    folder = place / "digits"
    folder.mkdir()
    test = load("mnist5k").test
    images = np.asarray(test[:: len(test) // DIGITS][:DIGITS, ..., 0])
    noise = make_noise("gaussian", sigma=SIGMA)
    unit = (images / 255).astype(np.float32)[..., np.newaxis]
    noisy = np.round(255 * noise(unit, np.random.default_rng([0]))).astype(np.uint8)[
        ..., 0
    ]
    for number, image in enumerate(noisy):
        Image.fromarray(image).save(folder / f"{number}.png")
    told = run(command, folder, "denoise", ".", "-o", "out", "--model", "DAE_5_13")
    answers = [Image.open(folder / f"out/{n}.denoised.png") for n in range(DIGITS)]

    def error(found: Any) -> float:
        return float(np.mean((np.asarray(found, float) / 255 - unit[..., 0]) ** 2))

    before, after = error(noisy), error([np.asarray(one) for one in answers])
    return {
        "data": "mnist5k, digits of the training set of MNIST; the noise is new",
        "images": DIGITS,
        "noise": f"gaussian, sigma {SIGMA}, clipped",
        "mse_before": before,
        "mse_after": after,
        "times_better": before / after,
        "done": told["done"],
        "seconds": told["seconds"],
    }


def photograph(command: Path, place: Path) -> dict[str, Any]:
    """Return seconds and peak memory of a large photograph."""
    folder = place / "photograph"
    folder.mkdir()
    Image.fromarray(data.astronaut()).resize(PHOTOGRAPH).save(folder / "photo.jpg")
    told = run(command, folder, "denoise", "photo.jpg", "-o", "out")
    with Image.open(folder / "out/photo.denoised.jpg") as answer:
        size = answer.size
    return {
        "size": size,
        "done": told["done"],
        "seconds": told["seconds"],
        "peak_bytes": told["peak_bytes"],
    }


if __name__ == "__main__":
    main()
