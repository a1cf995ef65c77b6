"""A Keras model as what answers tiles, whatever their channels."""

import keras
import numpy as np

from keras_dae.denoising.tiles import (
    Tiling,
    default_overlap,
    denoise_array,
    tiles_at_once,
)
from keras_dae.denoising.turns import over_turns
from keras_dae.errors import KerasDAEError, check
from keras_dae.evaluation.engines import difference, model_denoiser
from keras_dae.evaluation.walled import WalledModel, reach_of
from keras_dae.images.io.pictures import pad_to, unpad

# Sides of tiles where the model takes any size. What lies in the margins is computed
# twice: about a seventh of all at 512 pixels for a model that sees 16 pixels far.
MOST_TILE, LEAST_TILE = 512, 64
FREE_TILE = 128  # the same where it is not known how far the model sees
SHADES = {1: "grey", 3: "RGB"}


class TileModel:
    """A Keras model as a function of tiles with one channel or three.

    Attributes:
        sides: height and width of its input, None where they are open.
        max_difference: what its engine is away from keras at most; 0 for keras.

    Raises:
        KerasDAEError: a model that does not map images of 1 or 3 channels to images
            of the same shape.
    """

    def __init__(self, model: keras.Model | WalledModel, engine: str = "keras") -> None:
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
        self.sides: tuple[int | None, int | None] = (shape[1], shape[2])
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
        """Return how an image of this size is cut.

        Args:
            height: pixels of the image.
            width: the same.
            overlap: pixels that tiles share. None takes half a tile, or twice what
                the model sees where that is known: tiles then answer as one pass over
                the whole image does.

        Raises:
            UsageError: an overlap as large as a tile.
        """
        if self.reach is None:
            tile = self.tile
            size = max(height, tile[0]), max(width, tile[1])
            shared = default_overlap(tile) if overlap is None else overlap
            return Tiling(size, tile, _checked(shared, tile))
        period = self.reach.period
        size = _at_least(height, period), _at_least(width, period)
        most = MOST_TILE // period * period
        margin = _up(self.reach.pixels, period)
        shared = 2 * margin if overlap is None else _checked(overlap, (most, most))
        # A small image is one tile, and a model may see further than a tile.
        shared = min(_up(shared, period), min(*size, most) - period)
        height, width = (_even_tile(side, most, shared, period) for side in size)
        return Tiling(size, (height, width), shared, min(margin, shared // 2))

    def denoise(
        self, image: np.ndarray, *, overlap: int | None = None, best: bool = False
    ) -> np.ndarray:
        """Return a float32 image of shape (H, W, C), any size, denoised by tiles.

        Args:
            image: float32 in [0, 1], shape (H, W, C).
            overlap: as in `tiling`.
            best: whether to average the answers to eight turns.
        """
        height, width, channels = image.shape
        tiling = self.tiling(height, width, overlap)
        answer = denoise_array(
            pad_to(image, tiling.size),
            over_turns(self) if best else self,
            tiling.tile,
            overlap=tiling.overlap,
            margin=tiling.margin,
            batch=tiles_at_once(tiling.tile, channels),
        )
        return unpad(answer, image.shape)

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


def _checked(overlap: int, tile: tuple[int, int]) -> int:
    check(
        0 <= overlap < min(tile),
        f"overlap is from 0 to {min(tile) - 1} for tiles of {tile[0]}x{tile[1]}.",
        overlap=overlap,
    )
    return overlap


def _even_tile(side: int, most: int, shared: int, period: int) -> int:
    """Return the side of the smallest tiles that are no more than tiles of `most`."""
    count = max(1, -(-(side - shared) // (most - shared)))
    return min(side, _up(-(-(side - shared) // count) + shared, period))


def _up(value: int, period: int) -> int:
    return -(-value // period) * period


def _at_least(side: int, period: int) -> int:
    return _up(max(side, LEAST_TILE), period)
