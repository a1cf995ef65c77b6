"""Untrusted models, which run in a restricted process.

`open_model` returns a Keras model for trusted files and presets, and a `WalledModel`
for any other file. Both can be used to denoise. The functions here whose names do not
mention a path run in the process of `walls.MODELS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_dae.errors import KerasDAEError
from keras_dae.evaluation import onnx_files
from keras_dae.models import files
from keras_dae.models.builders import decoder, encoder
from keras_dae.models.counting import macs
from keras_dae.models.gate import inspect
from keras_dae.models.live_maps import alive, live_maps
from keras_dae.models.reach import Reach, reach
from keras_dae.system import backend
from keras_dae.system.limits import Bounds, bounds_of
from keras_dae.system.own import is_own
from keras_dae.system.parcels import carried
from keras_dae.system.walls import FILES, MODELS

ONNX_FILE = "onnx file"
HALVES = {"encoder": encoder, "decoder": decoder}
IMAGES, VALUES = 500, 1 << 22  # limits per call
SECONDS_AN_IMAGE = 0.05
carried(Reach)


@carried
@dataclass(frozen=True)
class Facts:
    """Properties of a model.

    Attributes:
        name: the name of the model.
        input_shape: the shape with the batch axis.
        output_shape: the shape with the batch axis.
        parameters: number of parameters; None if unknown.
        macs: multiply-adds per image; None if the size is variable.
        reach: radius of the receptive field, if known.
        max_difference: largest difference between its engine and keras.
    """

    name: str
    input_shape: Any
    output_shape: Any
    parameters: int | None = None
    macs: int | None = None
    reach: Reach | None = None
    max_difference: float = 0.0


class WalledModel:
    """A model file that runs in a restricted process.

    Args:
        path: the file.
        kind: a row of `ENGINES` or of `HALVES` for a `.keras` file, or `ONNX_FILE`.

    Attributes:
        facts: properties of the model.

    Raises:
        KerasDAEError: the file cannot be read within the limits, or does not run.
    """

    def __init__(self, path: Path, kind: str = "keras") -> None:
        self.path, self.kind = path, kind
        if kind == ONNX_FILE:
            self.facts = Facts(path.name, self._call("look", 0, 0), None)
        else:
            inspect(path)
            self.facts = self._call("look", 0, 0)
        self.name = self.facts.name
        self.input_shape, self.output_shape = (
            self.facts.input_shape,
            self.facts.output_shape,
        )
        self.max_difference = self.facts.max_difference

    def count_params(self) -> int | None:
        """Return the number of parameters."""
        return self.facts.parameters

    def get_weights(self) -> list[np.ndarray]:
        """Return the weights, as a Keras model does."""
        return [one for part in files.weights(self.path).values() for one in part]

    def engine(self, name: str) -> "WalledModel":
        """Return the model on another engine, or one of its `HALVES`."""
        return self if name == self.kind else WalledModel(self.path, name)

    def __call__(self, noisy: np.ndarray) -> np.ndarray:
        """Return the outputs for float32 (N, H, W, C)."""
        most = max(1, min(IMAGES, VALUES // max(1, noisy[:1].size)))
        if self.kind == ONNX_FILE:  # its batch size may be fixed
            most = max(1, len(noisy))
        parts = [
            self._call("answer", part.nbytes, len(part), part)
            for part in (noisy[i : i + most] for i in range(0, len(noisy), most))
        ]
        return np.concatenate(parts)

    def _call(self, function: str, size: int, images: int, *arguments: Any) -> Any:
        alone, threads = bounds_of(self.path), backend.threads()
        bounds = Bounds(
            alone.memory + size * 16,
            alone.seconds + images * SECONDS_AN_IMAGE,
            threads,
        )
        room, place = MODELS, __name__
        what: tuple[Any, ...] = (self.kind, threads)
        if self.kind == ONNX_FILE:
            room, place, what = FILES, onnx_files.__name__, (threads,)
        return room.call(
            f"{place}:{function}",
            *(str(self.path), *what, *arguments),
            bounds=bounds,
            refuse=lambda words: KerasDAEError(f"{self.path} {words}."),
        )


def open_model(path: Path | str) -> "keras.Model | WalledModel":
    """Return the model of a `.keras` file; untrusted ones run in a restricted process.

    Raises:
        UsageError: there is no such file.
        KerasDAEError: it is damaged, or must not be loaded.
    """
    path = Path(path)
    return files.load(path) if is_own(path) else WalledModel(path)


def reach_of(model: "keras.Model | WalledModel") -> Reach | None:
    """Return the radius of the receptive field, or None if unknown."""
    return model.facts.reach if isinstance(model, WalledModel) else reach(model)


def macs_of(model: "keras.Model | WalledModel") -> int | None:
    """Return the multiply-adds per image, or None if the size is variable."""
    return model.facts.macs if isinstance(model, WalledModel) else macs(model)


def live_maps_of(model: "keras.Model | WalledModel", noisy: np.ndarray) -> list[float]:
    """Return the share of images in which each latent map is not all 0."""
    if isinstance(model, WalledModel):
        return alive(model.engine("encoder")(noisy))
    return live_maps(model, noisy)


def look(path: str, kind: str, threads: int) -> Facts:
    """Open a file and return its properties."""
    backend.use_threads(threads)
    return _opened(path, kind)[0]


def answer(path: str, kind: str, threads: int, noisy: np.ndarray) -> np.ndarray:
    """Return the outputs of the model in a file."""
    backend.use_threads(threads)
    return np.asarray(_opened(path, kind)[1](noisy))


@cache
def _opened(path: str, kind: str) -> tuple[Facts, Callable[[np.ndarray], Any]]:
    from keras_dae.evaluation.engines import difference, model_denoiser

    model, sees = files.open_model(Path(path)), None
    if kind in HALVES:
        model, kind = HALVES[kind](model), "keras"
    if isinstance(model.input_shape, tuple) and None in model.input_shape[1:3]:
        sees = reach(model)
    denoise = model_denoiser(model, kind)
    facts = Facts(
        model.name,
        model.input_shape,
        model.output_shape,
        parameters=model.count_params(),
        macs=macs(model),
        reach=sees,
        max_difference=difference(denoise),
    )
    return facts, denoise
