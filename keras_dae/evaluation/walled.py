"""Strangers' models, which answer from a process with walls.

`open_model` gives a Keras model for the user's own files and presets, and for any other
a `WalledModel`: what it is, and what it answers to arrays. Both do where images are
denoised. The functions without a path in their name run in the process of
`walls.MODELS`.
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
IMAGES, VALUES = 500, 1 << 22  # of one call, at most
SECONDS_AN_IMAGE = 0.05
carried(Reach)


@carried
@dataclass(frozen=True)
class Facts:
    """What a model is.

    Attributes:
        name: its own.
        input_shape: with the batch.
        output_shape: with the batch.
        parameters: how many numbers its layers hold; None where it is not told.
        macs: multiply-adds for an image; None where a size is open.
        reach: how far it sees, where that is known.
        max_difference: what its engine is away from keras at most.
    """

    name: str
    input_shape: Any
    output_shape: Any
    parameters: int | None = None
    macs: int | None = None
    reach: Reach | None = None
    max_difference: float = 0.0


class WalledModel:
    """A model's file that answers from a process with walls.

    Args:
        path: the file.
        kind: a row of `ENGINES` or of `HALVES` for a `.keras` file, or `ONNX_FILE`.

    Attributes:
        facts: what it is.

    Raises:
        KerasDAEError: it cannot be read within the bounds, or answers nothing.
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
        """Return how many numbers its layers hold."""
        return self.facts.parameters

    def get_weights(self) -> list[np.ndarray]:
        """Return the arrays of its weights, as a Keras model does."""
        return [one for part in files.weights(self.path).values() for one in part]

    def engine(self, name: str) -> "WalledModel":
        """Return the model as another engine answers it, or one of its `HALVES`."""
        return self if name == self.kind else WalledModel(self.path, name)

    def __call__(self, noisy: np.ndarray) -> np.ndarray:
        """Return the answers to float32 (N, H, W, C)."""
        most = max(1, min(IMAGES, VALUES // max(1, noisy[:1].size)))
        if self.kind == ONNX_FILE:  # it may take one number of images alone
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
    """Return the model of a `.keras` file, within walls unless it is the user's own.

    Raises:
        UsageError: no such file.
        KerasDAEError: it is damaged, or not to be loaded.
    """
    path = Path(path)
    return files.load(path) if is_own(path) else WalledModel(path)


def reach_of(model: "keras.Model | WalledModel") -> Reach | None:
    """Return how far a model sees, None where that is not known."""
    return model.facts.reach if isinstance(model, WalledModel) else reach(model)


def macs_of(model: "keras.Model | WalledModel") -> int | None:
    """Return the multiply-adds for an image, None where a size is open."""
    return model.facts.macs if isinstance(model, WalledModel) else macs(model)


def live_maps_of(model: "keras.Model | WalledModel", noisy: np.ndarray) -> list[float]:
    """Return the share of images in which each latent map is above 0."""
    if isinstance(model, WalledModel):
        return alive(model.engine("encoder")(noisy))
    return live_maps(model, noisy)


def look(path: str, kind: str, threads: int) -> Facts:
    """Open a file and say what it is."""
    backend.use_threads(threads)
    return _opened(path, kind)[0]


def answer(path: str, kind: str, threads: int, noisy: np.ndarray) -> np.ndarray:
    """Return what a file's model answers."""
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
