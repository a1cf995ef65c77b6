"""Inference engines: ENGINES."""

import tempfile
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from math import prod
from pathlib import Path

import keras
import numpy as np

from keras_dae.errors import KerasDAEError, UsageError, check
from keras_dae.evaluation.baselines import Denoiser
from keras_dae.evaluation.onnx_files import onnx_session
from keras_dae.evaluation.walled import WalledModel
from keras_dae.models.batches import images_at_once, widest
from keras_dae.models.builders import decoder, encoder
from keras_dae.models.gate import OPEN_SIDE
from keras_dae.system import backend
from keras_dae.system.numerics import float32

BATCH = 500  # largest batch size
PROBES = 16  # images on which an engine is compared with keras
TOLERANCE = 1e-5  # absolute, for outputs in [0, 1]
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def model_denoiser(model: keras.Model | WalledModel, engine: str = "keras") -> Denoiser:
    """Return `model` as a function of arrays (N, H, W, C).

    Args:
        model: any model of images.
        engine: a row of ENGINES.

    Raises:
        UsageError: the engine is unknown, or does not support the backend.
        KerasDAEError: its packages are missing, or its outputs differ.
    """
    check(
        engine in ENGINES, f"engine must be one of {', '.join(ENGINES)}.", engine=engine
    )
    if isinstance(model, WalledModel):
        return model.engine(engine)
    return InParts(ENGINES[engine](model), widest(model))


def halves(model: keras.Model | WalledModel) -> tuple[Denoiser, Denoiser]:
    """Return encoder and decoder of an autoencoder, as functions of arrays.

    Raises:
        KerasDAEError: the model has no layer named 'latent'.
    """
    if isinstance(model, WalledModel):
        return model.engine("encoder"), model.engine("decoder")
    return model_denoiser(encoder(model)), model_denoiser(decoder(model))


class InParts:
    """A denoiser that splits a batch into parts that fit in memory.

    Attributes:
        max_difference: that of the engine.
    """

    def __init__(self, denoise: Denoiser, values: int | None) -> None:
        self.denoise, self.values = denoise, values
        self.max_difference = difference(denoise)

    def __call__(self, noisy: np.ndarray) -> np.ndarray:
        """Return the outputs for (N, H, W, C)."""
        # If the size is variable, assume 64 channels at full resolution as the widest.
        values = self.values or 64 * prod(noisy.shape[1:3])
        size = images_at_once(values, BATCH)
        if len(noisy) <= size:
            return self.denoise(noisy)
        parts = range(0, len(noisy), size)
        return np.concatenate([self.denoise(noisy[i : i + size]) for i in parts])


def difference(denoise: Denoiser) -> float:
    """Return the largest difference between an engine and keras; 0 for keras."""
    return float(getattr(denoise, "max_difference", 0.0))


def by_keras(model: keras.Model) -> Denoiser:
    """Return a denoiser that uses the Keras backend; on torch, a lean forward pass."""
    if backend.name() == "torch":
        from keras_dae.training.fast.steps import answer

        lean = answer(model)
        if lean is not None:
            return float32()(lean)

    @float32()
    def predict(noisy: np.ndarray) -> np.ndarray:
        answers = model.predict(noisy, batch_size=BATCH, verbose=0)
        return np.asarray(answers, dtype=np.float32)

    return predict


class ByOnnx:
    """A denoiser that runs a model in ONNX Runtime, from a temporary file.

    Attributes:
        max_difference: largest absolute difference from keras on random images.

    Raises:
        UsageError: the backend is not torch, which is needed to export ONNX here.
        KerasDAEError: a package is missing, or the outputs differ by more than
            `TOLERANCE`.
    """

    def __init__(self, model: keras.Model) -> None:
        if backend.name() != "torch":
            raise UsageError(
                f"--engine onnx needs the torch backend. Received: {backend.name()}."
            )
        missing = [name for name in ONNX_PACKAGES if find_spec(name) is None]
        if missing:
            raise KerasDAEError(
                f"--engine onnx needs {', '.join(missing)}, not installed here. "
                'Run: pip install "keras-dae[onnx]"'
            )
        shape = [side or OPEN_SIDE for side in model.input_shape[1:]]
        images = np.random.default_rng(0).random((PROBES, *shape), dtype=np.float32)
        model.predict_on_batch(images[:2])  # keras exports only models that were called
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            # The exporter warns about tracing; its result is compared below.
            warnings.simplefilter("ignore")
            path = Path(folder) / "model.onnx"
            model.export(path, format="onnx", verbose=False)
            self._session = onnx_session(path, backend.threads())
        self._input = self._session.get_inputs()[0].name
        expected = by_keras(model)(images)
        self.max_difference = float(np.abs(self(images) - expected).max())
        if not self.max_difference <= TOLERANCE:
            raise KerasDAEError(
                "The outputs of ONNX Runtime differ by up to "
                f"{self.max_difference:.2g} "
                f"from those of keras for {model.name}, more than {TOLERANCE:g}. Use "
                "--engine keras."
            )

    def __call__(self, noisy: np.ndarray) -> np.ndarray:
        """Return the outputs for (N, H, W, C)."""
        return np.asarray(self._session.run(None, {self._input: noisy})[0])


ENGINES: dict[str, Callable[[keras.Model], Denoiser]] = {
    "keras": by_keras,
    "onnx": ByOnnx,
}
