"""A Keras model as what answers tiles, whatever their channels."""

import keras
import numpy as np

from keras_dae.errors import KerasDAEError
from keras_dae.evaluation.engines import difference, model_denoiser

FREE_TILE = 128  # side of a tile where the model takes any size
SHADES = {1: "grey", 3: "RGB"}


class TileModel:
    """A Keras model as a function of tiles with one channel or three.

    Attributes:
        tile: height and width of its input.
        max_difference: what its engine is away from keras at most; 0 for keras.

    Raises:
        KerasDAEError: a model that does not map images of 1 or 3 channels to images
            of the same shape.
    """

    def __init__(self, model: keras.Model, engine: str = "keras") -> None:
        shape, answer = model.input_shape, model.output_shape
        images = isinstance(shape, tuple) and len(shape) == 4
        if not images or shape[-1] not in SHADES or answer != shape:
            raise KerasDAEError(
                f"{model.name} maps {shape} to {answer}; a model that denoises maps "
                "images of 1 or 3 channels to images of the same shape."
            )
        self.model, self.channels = model, shape[-1]
        self._denoise = model_denoiser(model, engine)
        self.max_difference = difference(self._denoise)
        self.tile = (shape[1] or FREE_TILE, shape[2] or FREE_TILE)

    def __call__(self, tiles: np.ndarray) -> np.ndarray:
        """Return (n, h, w, C) denoised; C may be 1 or 3 whatever the model's own."""
        number, height, width, channels = tiles.shape
        if channels == self.channels:
            return self._answer(tiles)
        if self.channels == 1:  # each colour is an image of its own
            single = np.moveaxis(tiles, 3, 1).reshape(-1, height, width, 1)
            answers = self._answer(single).reshape(number, channels, height, width)
            return np.moveaxis(answers, 1, 3)
        grey: np.ndarray = self._answer(np.repeat(tiles, 3, axis=3))
        return np.asarray(grey.mean(axis=3, keepdims=True))

    def _answer(self, tiles: np.ndarray) -> np.ndarray:
        # A shape that was seen before costs jax and tensorflow no compilation.
        number = len(tiles)
        wanted = 1 << (number - 1).bit_length()
        if keras.backend.backend() != "torch" and wanted != number:
            tiles = np.concatenate(
                [tiles, np.zeros((wanted - number, *tiles.shape[1:]), np.float32)]
            )
        answers = self._denoise(tiles)
        if not np.isfinite(answers).all():
            raise KerasDAEError("The model answers values that are not finite.")
        kept: np.ndarray = answers[:number]
        return kept
