"""A Keras model as a function of tiles with any number of channels."""

from abc import ABC, abstractmethod

import keras
import numpy as np

from keras_dae.denoising.tiles import (
    Predict,
    Tiling,
    default_overlap,
    denoise_array,
    even_tile,
    round_up,
    skip_flat,
    tiles_at_once,
)
from keras_dae.denoising.turns import over_turns
from keras_dae.errors import KerasDAEError, check
from keras_dae.evaluation.engines import difference, model_denoiser
from keras_dae.evaluation.walled import WalledModel, reach_of
from keras_dae.images.io.pictures import pad_to, unpad

# Side of the tiles if the model accepts any size. The margins are computed twice: about
# a seventh of a 512 pixel tile if the receptive field has a radius of 16 pixels.
MOST_TILE, LEAST_TILE = 512, 64
FREE_TILE = 128  # the same if the receptive field is not known
SHADES = {1: "grey", 3: "RGB"}
# A copy of the image in each channel would come back with its noise: the model takes
# what all channels share for content.
GREY_IN_COLOUR = "a model of colour images removes no noise from it; use photo-gray"


class Tiled(ABC):
    """A denoiser of tiles, and how images are split into them.

    Attributes:
        sides: height and width of its input, None if they are variable.
    """

    sides: tuple[int | None, int | None]

    @property
    @abstractmethod
    def tile(self) -> tuple[int, int]:
        """Height and width of a tile of a large image."""

    @abstractmethod
    def tiling(self, height: int, width: int, overlap: int | None = None) -> Tiling:
        """Return how an image of this size is split into tiles."""

    @abstractmethod
    def __call__(self, tiles: np.ndarray) -> np.ndarray:
        """Denoise tiles (n, h, w, C), float32 in [0, 1]."""

    def predictor(self, *, best: bool = False) -> Predict:
        """Return the function of tiles to use: flat tiles stay as they are.

        Args:
            best: average over eight rotations and flips.
        """
        return skip_flat(over_turns(self) if best else self)

    def denoise(
        self, image: np.ndarray, *, overlap: int | None = None, best: bool = False
    ) -> np.ndarray:
        """Denoise a float32 image of shape (H, W, C) and any size in tiles.

        Args:
            image: float32 in [0, 1], shape (H, W, C).
            overlap: as in `tiling`.
            best: average over eight rotations and flips.
        """
        height, width, channels = image.shape
        tiling = self.tiling(height, width, overlap)
        answer = denoise_array(
            pad_to(image, tiling.size),
            self.predictor(best=best),
            tiling.tile,
            overlap=tiling.overlap,
            margin=tiling.margin,
            batch=tiles_at_once(tiling.tile, channels),
        )
        return unpad(answer, image.shape)


class TileModel(Tiled):
    """A Keras model as a function of tiles with one channel or three.

    Attributes:
        sides: height and width of its input, None if they are variable.
        max_difference: largest difference between the engine and keras; 0 for keras.

    Raises:
        KerasDAEError: the model does not map images of 1 or 3 channels to images of the
            same shape.
    """

    def __init__(self, model: keras.Model | WalledModel, engine: str = "keras") -> None:
        shape, answer = model.input_shape, model.output_shape
        images = isinstance(shape, tuple) and len(shape) == 4
        if not images or shape[-1] not in SHADES or answer != shape:
            raise KerasDAEError(
                f"{model.name} maps {shape} to {answer}. A denoising model must map "
                "images of 1 or 3 channels to images of the same shape."
            )
        self.model, self.channels = model, shape[-1]
        self._denoise = model_denoiser(model, engine)
        self.max_difference = difference(self._denoise)
        self.sides = shape[1], shape[2]
        self.reach = reach_of(model) if self.sides == (None, None) else None
        if self.reach is not None and self.reach.period > MOST_TILE:
            raise KerasDAEError(
                f"{model.name} takes images whose sides are multiples of "
                f"{self.reach.period:,} pixels; at most {MOST_TILE} are tiled."
            )

    @property
    def tile(self) -> tuple[int, int]:
        """Height and width of a tile of a large image."""
        free = FREE_TILE if self.reach is None else MOST_TILE
        return self.sides[0] or free, self.sides[1] or free

    def tiling(self, height: int, width: int, overlap: int | None = None) -> Tiling:
        """Return how an image of this size is split into tiles.

        Args:
            height: height of the image in pixels.
            width: width of the image in pixels.
            overlap: pixels that tiles share. None uses twice the radius of the
                receptive field if it is known, so that the result is that of one pass
                over the whole image. Otherwise None uses half a tile.

        Raises:
            UsageError: the overlap is as large as a tile.
        """
        if self.reach is None:
            tile = self.tile
            size = max(height, tile[0]), max(width, tile[1])
            shared = default_overlap(tile) if overlap is None else overlap
            return Tiling(size, tile, checked_overlap(shared, tile))
        period = self.reach.period
        size = _at_least(height, period), _at_least(width, period)
        most = MOST_TILE // period * period
        margin = round_up(self.reach.pixels, period)
        shared = (
            2 * margin if overlap is None else checked_overlap(overlap, (most, most))
        )
        # A small image is one tile. The receptive field can be larger than a tile.
        shared = min(round_up(shared, period), min(*size, most) - period)
        height, width = (even_tile(side, most, shared, period) for side in size)
        return Tiling(size, (height, width), shared, min(margin, shared // 2))

    def __call__(self, tiles: np.ndarray) -> np.ndarray:
        """Denoise tiles (n, h, w, C); C can be 3 for a model of grey images.

        Raises:
            KerasDAEError: the tiles are grey and the model expects colour.
        """
        number, height, width, channels = tiles.shape
        if channels == self.channels:
            return self._answer(tiles)
        if self.channels == 1:  # denoise each colour separately
            single = np.moveaxis(tiles, 3, 1).reshape(-1, height, width, 1)
            answers = self._answer(single).reshape(number, channels, height, width)
            return np.moveaxis(answers, 1, 3)
        raise KerasDAEError(f"The image is grey; {GREY_IN_COLOUR}.")

    def _answer(self, tiles: np.ndarray) -> np.ndarray:
        # Padding to a shape used before avoids a compilation by jax and tensorflow.
        number = len(tiles)
        wanted = 1 << (number - 1).bit_length()
        if keras.backend.backend() != "torch" and wanted != number:
            tiles = np.concatenate(
                [tiles, np.zeros((wanted - number, *tiles.shape[1:]), np.float32)]
            )
        answers = self._denoise(tiles)
        if not np.isfinite(answers).all():
            raise KerasDAEError("The outputs of the model are not finite.")
        kept: np.ndarray = answers[:number]
        return kept


def checked_overlap(overlap: int, tile: tuple[int, int]) -> int:
    """Return an overlap that is smaller than a tile.

    Raises:
        UsageError: it is not.
    """
    check(
        0 <= overlap < min(tile),
        f"overlap must be from 0 to {min(tile) - 1} for tiles of {tile[0]}x{tile[1]}.",
        overlap=overlap,
    )
    return overlap


def _at_least(side: int, period: int) -> int:
    return round_up(max(side, LEAST_TILE), period)
