"""Memory of a training, for data of several sizes: it must not grow with them.

    python benchmarks/memory.py --gigabytes 0.5 --gigabytes 4 --out memory.json

For each size an uncompressed npz of random blobs, 28x28 uint8, is written to a
temporary folder (it asks for that much free disk), then a child process reads it,
trains DAE_1_5 on it for one epoch of batches of 1,024, or for `--steps` steps of it,
validates and scores what it wrote.

The child runs under RLIMIT_DATA, 2 GB by default: what a process writes to counts
there, the pages of a mapped file do not. RLIMIT_AS would count the mapping, however
little of it is in memory, and the libraries' own reservations besides: torch alone
reserves more addresses than it ever touches. The figure is the peak of RssAnon, memory
that no file stands behind, looked at every 50 ms. Of it, 8 bytes an image are two lists
of rows: which images train, and in which order.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.system.storage import write_text

PIXELS, TEST_IMAGES, BATCH = 28 * 28, 1000, 1024
WRITTEN = 100 * BATCH  # images written at a time
PROOF = "peak_anonymous_mb"


class EnoughError(Exception):
    """The steps asked for are taken."""


def blobs(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return images of one bright round spot each, (count, 28, 28), uint8."""
    side = np.arange(28, dtype=np.float32)
    centre = rng.uniform(6, 22, (2, count, 1)).astype(np.float32)
    width = rng.uniform(2, 5, (count, 1)).astype(np.float32)
    down, across = np.exp(-(((side - centre) / width) ** 2))
    return (255 * down[:, :, np.newaxis] * across[:, np.newaxis]).astype(np.uint8)


def write(path: Path, gigabytes: float) -> int:
    """Write a data set of `gigabytes` of training images; return their number."""
    count, rng = round(gigabytes * 1e9 / PIXELS), np.random.default_rng(0)
    needed, free = int(gigabytes * 1.05e9), shutil.disk_usage(path.parent).free
    if free < needed:
        raise KerasDAEError(
            f"{path.parent} has {free / 1e9:.1f} GB of free disk, and data of "
            f"{gigabytes:g} GB need {needed / 1e9:.1f} GB; --folder names another "
            "place."
        )
    # Drawn once and turned round, since drawing gigabytes would take the longest.
    drawn = blobs(rng, WRITTEN)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, images in (("x_train", count), ("x_test", TEST_IMAGES)):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                header = {"descr": "|u1", "fortran_order": False}
                npy.write_array_header_1_0(
                    member, {**header, "shape": (images, 28, 28)}
                )
                for turn, start in enumerate(range(0, images, WRITTEN)):
                    part = np.roll(drawn, turn, axis=2)[: images - start]
                    member.write(np.ascontiguousarray(part).data)
    return count


def anonymous_mb() -> float:
    """Return this process's anonymous memory, in MB of 10^6 bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise UsageError("This system does not tell anonymous memory; Linux does.")


def watch(peak: list[float]) -> None:
    """Keep the largest anonymous memory seen in `peak`, for ever."""
    while True:
        peak[0] = max(peak[0], anonymous_mb())
        time.sleep(0.05)


def train(data: Path, runs: Path, steps: int | None) -> dict[str, Any]:
    """Read, train and score in this process; return what it took."""
    from keras_dae.system import backend

    backend.select("cpu", 1)
    from keras_dae.evaluation.scoring import TestBench, score_model
    from keras_dae.evaluation.walled import open_model
    from keras_dae.images.datasets import load
    from keras_dae.training.config import make_config
    from keras_dae.training.fitting import fit
    from keras_dae.training.progress import FitProgress

    class Bounded(FitProgress):
        def batch(self, epoch: int, images: int) -> None:
            if steps is not None and images >= steps * BATCH:
                raise EnoughError

    peak = [before := anonymous_mb()]
    threading.Thread(target=watch, args=(peak,), daemon=True).start()
    began = time.perf_counter()
    splits = load(f"npz:{data}")
    read = time.perf_counter() - began
    config = make_config(
        {"data": splits.name, "depth": 1, "latent": 5, "epochs": 1, "batch_size": BATCH}
    )
    progress = Bounded("", epochs=1, images=len(splits.train), quiet=True)
    began, figures = time.perf_counter(), {}
    try:
        folder = fit(config, splits, runs, progress=progress)
    except EnoughError:
        pass
    else:
        bench = TestBench(splits, config.make_noise())
        row, _ = score_model(bench, open_model(folder.model_path))
        val_loss = folder.history()["val_loss"][-1]
        figures = {"val_loss": val_loss, "test_mse": row["test"]["mse"]}
    return {
        "images": len(splits.train) + len(splits.validation),
        "steps": min(steps or sys.maxsize, -(-len(splits.train) // BATCH)),
        PROOF: round(peak[0], 1),
        "libraries_mb": round(before, 1),
        "read_seconds": round(read, 1),
        "fit_seconds": round(time.perf_counter() - began, 1),
        **figures,
    }


def limited(arguments: list[str], limit_gb: float) -> dict[str, Any]:
    """Run this script as a child with RLIMIT_DATA and return what it printed."""
    code = (
        "import resource, runpy, sys; "
        f"resource.setrlimit(resource.RLIMIT_DATA, ({int(limit_gb * 1e9)},) * 2); "
        f"sys.argv = {[__file__, *arguments]!r}; "
        f"runpy.run_path({__file__!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip() or "no word").splitlines()[-1]
        raise KerasDAEError(f"The training under {limit_gb:g} GB failed: {last}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(
    sizes: list[float], folder: Path | None, steps: int | None, limit_gb: float
) -> list[dict[str, Any]]:
    """Return a row for each size; what is written on the way is removed."""
    rows = []
    for gigabytes in sizes:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            data = Path(place) / "blobs.npz"
            write(data, gigabytes)
            arguments = ["--child", str(data)]
            arguments += [] if steps is None else ["--steps", str(steps)]
            found = limited(arguments, limit_gb)
        rows.append({"bench": "memory", "gigabytes": gigabytes, **found})
        print(json.dumps(rows[-1]), flush=True)
    return rows


def main() -> None:
    """Measure each size, print a row each, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, action="append")
    parser.add_argument("--steps", type=int, help="end the epoch after so many steps")
    parser.add_argument("--limit-gb", type=float, default=2.0)
    parser.add_argument("--folder", type=Path, help="where the data are written")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        print(json.dumps(train(options.child, options.child.parent, options.steps)))
        return
    sizes = options.gigabytes or [0.5, 1.0, 2.0, 4.0]
    try:
        rows = measure(sizes, options.folder, options.steps, options.limit_gb)
    except KerasDAEError as error:
        sys.exit(f"Error: {error}")
    if options.out is not None:
        write_text(options.out, json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
