"""Load a user's denoiser: a `.keras` file, an ONNX file or a Python callable.

A loader returns a function of noisy images, float32 (N, H, W, C), and its facts:
parameters, bytes (of its file) and macs, None where unknown.
"""

import hashlib
import importlib
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.evaluation.baselines import Denoiser
from keras_dae.evaluation.engines import model_denoiser
from keras_dae.evaluation.guard import guarded, said
from keras_dae.evaluation.scoring import load_for
from keras_dae.evaluation.walled import ONNX_FILE, WalledModel, macs_of
from keras_dae.images.splits import Splits
from keras_dae.system import backend
from keras_dae.system.storage import is_file, reason

MOST_BATCH = 1 << 28  # bytes of the images that an ONNX model takes at once

FORMS = "a .keras file, an .onnx file or MODULE:FUNCTION"


Facts = dict[str, Any]
# A restricted process does not count in the CPU time of this one.
APART: Facts = {"clock": "wall"}
Loaded = tuple[Denoiser, Facts]


def load_keras(path: Path, splits: Splits) -> Loaded:
    """Load a `.keras` file as a denoiser.

    Raises:
        KerasDAEError: the file is not a readable model, or its shape differs.
    """
    model = load_for(splits, path)
    facts = {
        "parameters": model.count_params(),
        "bytes": path.stat().st_size,
        "macs": macs_of(model),
        **(APART if isinstance(model, WalledModel) else {}),
    }
    return model_denoiser(model), facts


def load_onnx(path: Path, splits: Splits) -> Loaded:
    """Load an ONNX file with one image input as a denoiser.

    The layout, (N, H, W, C) or (N, C, H, W), and the batch size are those of the file.

    Raises:
        KerasDAEError: onnxruntime is missing, the file is not a readable model, or its
            shape differs.
    """
    for name in ("onnx", "onnxruntime"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise KerasDAEError(
                f"{path} needs the package {name}, which is not installed. "
                'Run: pip install "keras-dae[onnx]"'
            ) from error
    if not is_file(path):
        raise UsageError(f"There is no model file {path}.")
    model = WalledModel(path, ONNX_FILE)
    wanted = model.input_shape
    height, width, channels = splits.image_shape
    if wanted and _fits(wanted[1:], (height, width, channels)):
        first = False
    elif wanted and _fits(wanted[1:], (channels, height, width)):
        first = True
    else:
        raise KerasDAEError(
            f"{path} needs {wanted}; {splits.name} has images of {splits.image_shape}."
        )
    denoise = _onnx_denoiser(model, wanted[0], first)
    size = path.stat().st_size
    facts = {"parameters": None, "bytes": size, "macs": None, **APART}
    return denoise, facts


def _fits(wanted: list[Any], shape: tuple[int, ...]) -> bool:
    """Return whether a shape with variable sizes (names) matches this one."""
    return len(wanted) == len(shape) and all(
        not isinstance(want, int) or want == have
        for want, have in zip(wanted, shape, strict=True)
    )


def _onnx_denoiser(
    model: Denoiser, batch: int | None, channels_first: bool
) -> Denoiser:
    def run(noisy: np.ndarray) -> np.ndarray:
        if channels_first:
            noisy = np.ascontiguousarray(np.moveaxis(noisy, -1, 1))
        answer = model(noisy)
        return np.moveaxis(answer, 1, -1) if channels_first else answer

    def denoise(noisy: np.ndarray) -> np.ndarray:
        if batch is None:
            return run(noisy)
        if batch * noisy[:1].nbytes > MOST_BATCH:
            raise KerasDAEError(
                f"The ONNX model takes batches of {batch:,} images alone, more than "
                f"{MOST_BATCH >> 20} MiB."
            )
        lacking = -len(noisy) % batch
        padded = np.concatenate([noisy, *[noisy[-1:]] * lacking])
        parts = [run(padded[i : i + batch]) for i in range(0, len(padded), batch)]
        return np.concatenate(parts)[: len(noisy)]

    return guarded(denoise, "The ONNX model")


def load_callable(text: str) -> Loaded:
    """Load the Python callable MODULE:FUNCTION as a denoiser.

    It runs with the rights of this process. The module is searched first in the working
    folder.

    Raises:
        UsageError: it cannot be imported, or is not callable.
    """
    denoise = guarded(_import(text), text)
    return denoise, {"parameters": None, "bytes": None, "macs": None}


def _import(text: str) -> Callable[..., Any]:
    module, _, name = text.partition(":")
    try:
        with _working_folder_first():
            found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # importing a module can raise anything
        raise UsageError(
            f"{text} cannot be imported: {said(error)}. A callable is given as "
            "MODULE:FUNCTION."
        ) from error
    if not callable(found):
        raise UsageError(f"{text} is not callable. Received: {type(found).__name__}.")
    denoise: Callable[..., Any] = found
    return denoise


@contextmanager
def _working_folder_first() -> Any:
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


LOADERS: dict[str, Callable[[Path, Splits], Loaded]] = {
    ".keras": load_keras,
    ".onnx": load_onnx,
}


def load_denoiser(text: str, splits: Splits) -> Loaded:
    """Load the denoiser that a user named.

    Args:
        text: a `.keras` file, an `.onnx` file or MODULE:FUNCTION.
        splits: the images to denoise.
    """
    loader = LOADERS.get(Path(text).suffix)
    return loader(Path(text), splits) if loader else load_callable(text)


def fingerprint_of(text: str) -> dict[str, Any] | None:
    """Return JSON values that the outputs of a user's denoiser depend on.

    None for a callable: it can read any file, so it is measured each time.

    Raises:
        UsageError: there is no such file, it cannot be imported, or the text is not a
            denoiser.
    """
    path = Path(text)
    if path.suffix in LOADERS:
        package = {".keras": backend.versions(), ".onnx": _onnx_version()}
        return {"file_sha256": file_sha256(path), "versions": package[path.suffix]}
    module, colon, name = text.partition(":")
    if not (module and colon and name):
        raise UsageError(f"A denoiser must be {FORMS}. Received: {text!r}.")
    _import(text)
    return None


def _onnx_version() -> str:
    return f"onnxruntime {backend.package_version('onnxruntime')}"


def file_sha256(path: Path) -> str:
    """Return the sha256 of the bytes of a file.

    Raises:
        UsageError: there is no such file.
        KerasDAEError: it cannot be read.
    """
    if not is_file(path):
        raise UsageError(f"There is no model file {path}.")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise KerasDAEError(f"Cannot read {path}: {reason(error)}.") from error
