"""The parts of `python -m benchmarks.cuda`, each run in a process of its own.

python -m benchmarks.cuda.parts NAME RESULT.json cuda|cpu [--quick]
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cuda.steps import fitting, plain, step_rows, synchronize

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Job:
    """What a part is told: where to write, on which device, and whether it is tried."""

    path: Path
    device: str
    quick: bool

    def save(self, found: Any) -> None:
        """Write what was found so far."""
        self.path.write_text(json.dumps(found, indent=1))

    def specs(self) -> list[Any]:
        """Return the nine models, or the smallest one."""
        from keras_dae.models.architectures import paper_specs, plan

        return [plan(1, 5)] if self.quick else paper_specs()


def machine(job: Job) -> None:
    """Hardware, driver and versions."""
    import torch

    from keras_dae.system import backend

    words = ["--query-gpu=name,driver_version,memory.total,power.limit", "--format=csv"]
    try:
        done = subprocess.run(["nvidia-smi", *words], capture_output=True, text=True)
        card = done.stdout.strip().splitlines()[-1:]
    except OSError:
        card = []
    job.save(
        {
            **backend.environment(),
            "python": platform.python_version(),
            "nvidia-smi": card,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "gpus": torch.cuda.device_count(),
        }
    )


def parity(job: Job) -> None:
    """Measure how much CPU and device outputs differ, with TF32 off and on."""
    import keras

    from keras_dae.models.files import load
    from keras_dae.system.numerics import float32
    from keras_dae.system.own import PRESETS
    from keras_dae.training.fast.steps import answer

    noisy = np.random.default_rng(0).random((64, 28, 28, 1), dtype=np.float32)
    rows = []
    for spec in job.specs():
        path = PRESETS / f"{spec.name}.keras"
        with keras.device("cpu"), float32():
            wanted = _answer(answer(load(path)), noisy)
        row: dict[str, Any] = {"model": spec.name}
        for tf32 in (False, True):
            with keras.device(job.device), float32(tf32=tf32):
                found = _answer(answer(load(path)), noisy)
            name = "tf32" if tf32 else "float32"
            row[name] = float(np.abs(found - wanted).max())
        rows.append(row)
        job.save(rows)
    worst = max(row["float32"] for row in rows)
    job.save({"rows": rows, "largest": worst, "within_1e-5": worst <= 1e-5})


def _answer(run: Any, noisy: np.ndarray) -> np.ndarray:
    assert run is not None
    answers: np.ndarray = run(noisy)
    return answers


def steps(job: Job) -> None:
    """All nine in each way of computing a step."""
    step_rows(job.specs(), 6 if job.quick else 200, job.save)


def compiled(job: Job) -> None:
    """The plain loop with torch.compile, of three models; compiling takes a minute."""
    from keras_dae.models.architectures import plan

    count, rows = 6 if job.quick else 200, []
    chosen = [(1, 5)] if job.quick else [(5, 13), (3, 5), (1, 13)]
    for spec in (plan(*pair) for pair in chosen):
        # Without a GPU the compiler's front alone: its back takes minutes of a CPU.
        back = "inductor" if job.device == "cuda" else "eager"
        rows.append({"model": spec.name, **plain(spec, count, compiler=back)})
        job.save(rows)


def precision(job: Job) -> None:
    """Speed of float32, TF32, bfloat16 and deterministic kernels; what they cost."""
    from keras_dae.models.architectures import plan

    count, rows = 6 if job.quick else 200, []
    ways: dict[str, dict[str, Any]] = {
        "float32": {},
        "tf32": {"precision": "tf32"},
        "bfloat16": {"precision": "bfloat16"},
        "deterministic": {"deterministic": True},
    }
    if job.device == "cpu":
        del ways["tf32"]
    for pair in [(1, 5)] if job.quick else [(5, 13), (3, 5), (1, 13)]:
        spec = plan(*pair)
        row: dict[str, Any] = {"model": spec.name}
        for name, changes in ways.items():
            row[name] = fitting(spec, count, noise_on="device", **changes)
            row[name]["val_loss"] = _quality(job, pair, changes)
        rows.append(row)
        job.save(rows)


def _quality(job: Job, pair: tuple[int, int], changes: dict[str, Any]) -> list[float]:
    """Return the last validation MSE of short runs, one for each seed."""
    from keras_dae.images.datasets import load
    from keras_dae.training.config import make_config
    from keras_dae.training.fitting import fit

    splits, found = load("mnist5k"), []
    small = {"depth": pair[0], "latent": pair[1], "train_images": 3200, **changes}
    if job.quick:
        small |= {"train_images": 128, "validation_images": 20}
    for seed in range(1 if job.quick else 2):
        config = make_config(
            {**small, "noise_on": "device", "epochs": 2, "warmup_steps": 20}
            | {"seed": seed}
        )
        with tempfile.TemporaryDirectory() as folder:
            found.append(fit(config, splits, folder).history()["val_loss"][-1])
    return found


def generator(job: Job) -> None:
    """Pairs per second: NumPy in one thread and in several, and the device's own."""
    from benchmarks.cuda.steps import splits_of
    from keras_dae.images import drawing
    from keras_dae.images.noise import Gaussian
    from keras_dae.training.config import make_config
    from keras_dae.training.feeding import training_data

    splits = splits_of(640 if job.quick else 64_000)
    numba = drawing.compiled(Gaussian(), splits.train) is not None
    found: dict[str, Any] = {"numba": numba}
    for noise_on in ("host", "device"):
        pairs = training_data(make_config({"noise_on": noise_on}), splits)
        pairs.at_once, seconds = 8, []
        for epoch in range(3):
            pairs.epoch = epoch
            began = time.perf_counter()
            for index in range(len(pairs)):
                pairs[index]
            synchronize()
            seconds.append(time.perf_counter() - began)
        found[noise_on] = {"pairs_per_second": len(pairs.images) / min(seconds[1:])}
        job.save(found)


def _command(*words: str) -> tuple[float, str]:
    """Run a command of keras-dae; return its wall seconds and standard output."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "keras_dae", *words],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"keras-dae {words[0]} ended with {done.returncode}")
    return time.perf_counter() - began, done.stdout


def _sweep(job: Job, *options: str) -> dict[str, Any]:
    """Carry out a sweep of the nine, score its runs; return seconds and errors."""
    small = ["--depths", "1", "--latents", "5", "--data", "mnist5k"]
    small += ["--train-images", "128", "--validation-images", "20", "--epochs", "1"]
    words = [*options, "--seeds", "1", "--device", job.device, "--json"]
    with tempfile.TemporaryDirectory() as folder:
        words += ["--out", folder, "--noise-on", "device"]
        seconds, said = _command("sweep", *words, *(small if job.quick else []))
        runs = json.loads(said)
        scored = json.loads(
            _command("evaluate", "--out", folder, "--device", job.device, "--json")[1]
        )
        record = next(Path(folder).glob("*/environment.json"))
        steps_were = json.loads(record.read_text())["steps"]
    models = scored["results"][0]["models"]
    return {
        "seconds": seconds,
        "data": Path(runs[0]["run"]).name.split("-DAE")[0],
        "run_seconds": {Path(row["run"]).name: row["seconds"] for row in runs},
        "test_mse": {row["name"]: row["test"]["mse"] for row in models},
        "steps": steps_were,
    }


def study(job: Job) -> None:
    """The nine by the paper's recipe, 15 epochs, noise on the device."""
    job.save(_sweep(job, "--config", "configs/paper.toml", "--data", "auto"))


def fast(job: Job) -> None:
    """The nine by configs/fast.toml."""
    job.save(_sweep(job, "--config", "configs/fast.toml", "--data", "auto"))


def together(job: Job) -> None:
    """Two epochs of the nine, one run at a time and several."""
    found = {}
    for jobs in (1, 2) if job.quick else (1, 3, 6):
        one = _sweep(job, "--epochs", "2", "--data", "auto", "--jobs", str(jobs))
        found[f"{jobs} at a time"] = one["seconds"]
        job.save(found)


def denoise(job: Job) -> None:
    """Twelve megapixels in colour by `denoise`, from a cold start."""
    from PIL import Image

    height, width = (96, 128) if job.quick else (3000, 4000)
    rows = np.add.outer(np.arange(height), np.arange(width)) / (height + width)
    clean = np.stack([rows, 1 - rows, rows**2], 2)
    noise = np.random.default_rng(0).normal(0, 0.1, clean.shape)
    pixels = (255 * (clean + noise).clip(0, 1)).astype(np.uint8)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "image.png"
        Image.fromarray(pixels).save(source)
        for number in range(2):
            target = str(Path(folder) / f"{number}.png")
            seconds, said = _command(
                *("denoise", str(source), "--out", target),
                *("--device", job.device, "--json"),
            )
            row = json.loads(said)["images"][0]
            found.append({"command_s": seconds, "image_s": row["seconds"]})
            job.save(found)


def start(job: Job) -> None:
    """Seconds from the shell until a command answers."""
    python, found = sys.executable, {}
    first = "import torch; torch.zeros(1, device='cuda')"
    programs = {
        "import torch": [python, "-c", "import torch"],
        "first tensor": [python, "-c", first if job.device == "cuda" else first[:12]],
        "import keras": [python, "-c", "import keras"],
        "keras as commands import it": [
            *(python, "-c"),
            "from keras_dae.system import backend; backend.select()",
        ],
        "doctor": [python, "-m", "keras_dae", "doctor"],
        "models": [python, "-m", "keras_dae", "models"],
    }
    for name, words in programs.items():
        began = time.perf_counter()
        subprocess.run(words, stdout=subprocess.DEVNULL, check=False)
        found[name] = time.perf_counter() - began
        job.save(found)


def tests(job: Job) -> None:
    """The tests that stand on a GPU; their end, and the names of those that fail."""
    where = ["tests/training/fast/test_graphs.py"] if job.quick else ["tests"]
    words = ["-m", "cuda", "-q", "-p", "no:cacheprovider", *where]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    lines = done.stdout.strip().splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    job.save({"exit": done.returncode, "failed": failed, "end": lines[-1:]})
    if done.returncode:
        print(done.stdout[-8000:])
        raise SystemExit(f"pytest ended with {done.returncode}")


PARTS: dict[str, Callable[[Job], None]] = {
    part.__name__: part
    for part in (
        *(machine, parity, steps, study, tests, precision, generator, denoise),
        *(fast, together, start, compiled),
    )
}


def main() -> None:
    """Run one part."""
    name, path, device = sys.argv[1:4]
    job = Job(Path(path).resolve(), device, "--quick" in sys.argv)
    PARTS[name](job)


if __name__ == "__main__":
    main()
