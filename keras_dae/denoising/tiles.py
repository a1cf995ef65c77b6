"""Denoise images of any size with a model of fixed size, in overlapping tiles.

Along each axis, the windows of the tiles are divided by their sum, so that the weights
of a pixel add up to 1 (a partition of unity). The weight of a pixel is the product of
the weights along both axes.

The result is therefore a weighted mean of the outputs of the tiles. It stays within
their range, and differs from one pass over the whole image by at most the largest
difference within a tile. If the weight of a tile is 0 within `margin` pixels of its
edges, and the receptive field reaches no further, both are equal up to rounding.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from keras_dae.errors import check
from keras_dae.images.io.pictures import pad_to, unpad

BATCH = 256
PIXELS = 512 * 512  # of all tiles in one batch
# (n, height, width, channels), float32 in [0, 1] -> the same shape.
Predict = Callable[[np.ndarray], np.ndarray]
ReadRows = Callable[[int, int], np.ndarray]
WriteRows = Callable[[int, np.ndarray], None]


def skip_flat(model: Predict) -> Predict:
    """Return a model that returns tiles of a single colour as they are.

    They contain no noise, and the outputs of the model for them, which are all alike,
    would show as a grid.
    """

    def answers(tiles: np.ndarray) -> np.ndarray:
        noisy = (tiles != tiles[:, :1, :1]).any(axis=(1, 2, 3))
        if noisy.all():
            return model(tiles)
        found = tiles.copy()
        if noisy.any():
            found[noisy] = model(tiles[noisy])
        return found

    return answers


@dataclass(frozen=True)
class Tiling:
    """How an image is split into tiles.

    Attributes:
        size: height and width that the image is padded to, at least its own.
        tile: height and width of a tile.
        overlap: pixels that neighbouring tiles share.
        margin: pixels at the edges of a tile with weight 0.
    """

    size: tuple[int, int]
    tile: tuple[int, int]
    overlap: int
    margin: int = 0


@dataclass(frozen=True)
class Axis:
    """Positions of the tiles along one axis of an image.

    Attributes:
        length: length of the image in pixels.
        tile: length of a tile in pixels.
        starts: first pixel of each tile, from 0 to `length - tile`.
        weights: weights of the pixels of each tile, shape (tiles, tile). At each pixel
            of the image, the weights of all tiles add up to 1.
    """

    length: int
    tile: int
    starts: tuple[int, ...]
    weights: np.ndarray


def plan_axis(length: int, tile: int, overlap: int, margin: int = 0) -> Axis:
    """Return the tiles along one axis. The last tile ends at the end of the image.

    Args:
        length: length of the image in pixels, at least `tile`.
        tile: length of a tile in pixels.
        overlap: pixels that neighbours share, from 0 to `tile - 1`. The last two may
            share more.
        margin: pixels at each end of a tile that get weight 0 if a neighbour covers
            them; at most half the overlap.

    Raises:
        UsageError: a value is out of range.
    """
    check(length >= tile > 0, "tile exceeds the image.", length=length, tile=tile)
    check(
        0 <= overlap < tile, f"overlap must be from 0 to {tile - 1}.", overlap=overlap
    )
    check(0 <= 2 * margin <= overlap, "margin exceeds overlap / 2.", margin=margin)
    starts = [*range(0, length - tile, tile - overlap), length - tile]
    total = np.zeros(length)
    windows = []
    for number, start in enumerate(starts):
        window = _window(tile, overlap, margin)
        half = tile // 2
        if number == 0:
            window[:half] = 1.0
        if number == len(starts) - 1:
            window[half:] = 1.0
        windows.append(window)
        total[start : start + tile] += window
    weights = [w / total[s : s + tile] for s, w in zip(starts, windows, strict=True)]
    return Axis(length, tile, tuple(starts), np.array(weights, dtype=np.float32))


def _window(tile: int, overlap: int, margin: int) -> np.ndarray:
    """Return a window that is flat in the middle, with squared-sine flanks."""
    ramp = overlap - 2 * margin
    window = np.ones(tile)
    side = np.sin(np.pi / 2 * (np.arange(ramp) + 0.5) / max(ramp, 1)) ** 2
    side = np.concatenate([np.zeros(margin), side])
    window[: len(side)] = side
    # Flanks longer than half a tile cross; each pixel takes the lower one.
    return np.minimum(window, window[::-1])


def tile_count(height: int, width: int, shape: tuple[int, int], overlap: int) -> int:
    """Return the number of tiles of `shape` in an image, per channel group."""
    counts = [
        len(range(0, max(size - tile, 0), tile - overlap)) + 1
        for size, tile in zip((height, width), shape, strict=True)
    ]
    return counts[0] * counts[1]


def even_tile(side: int, most: int, shared: int, period: int = 1) -> int:
    """Return the side of the smallest tiles that are not more than tiles of `most`.

    Args:
        side: side of the image in pixels.
        most: largest side of a tile.
        shared: pixels that neighbouring tiles share.
        period: the side is a multiple of this, or that of the image.
    """
    count = max(1, -(-(side - shared) // (most - shared)))
    return min(side, round_up(-(-(side - shared) // count) + shared, period))


def round_up(value: int, period: int) -> int:
    """Return the smallest multiple of `period` that is not below `value`."""
    return -(-value // period) * period


def tiles_at_once(tile: tuple[int, int], channels: int) -> int:
    """Return the number of tiles per batch, which bounds the memory."""
    return max(1, min(BATCH, PIXELS // (tile[0] * tile[1])) // channels)


def denoise_rows(
    read: ReadRows,
    write: WriteRows,
    size: tuple[int, int, int],
    predict: Predict,
    tile: tuple[int, int],
    *,
    overlap: int,
    margin: int = 0,
    batch: int = BATCH,
    tick: Callable[[int], None] = lambda tiles: None,
) -> None:
    """Denoise an image one band of tiles at a time.

    Only one band is in memory. Rows are written in order, each one once, and only after
    they were last read.

    Args:
        read: `read(top, bottom)` -> float32 rows of shape (bottom - top, W, C).
        write: `write(top, rows)` receives finished rows of the same kind.
        size: height, width and channels of the image. No side is smaller than a tile.
        predict: the model, on tiles of shape (n, *tile, C).
        tile: height and width of a tile.
        overlap: pixels that neighbouring tiles share.
        margin: pixels at the edges of a tile with weight 0 (see `plan_axis`).
        batch: tiles per call of `predict`.
        tick: called after each batch with the number of tiles done.
    """
    height, width, channels = size
    rows = plan_axis(height, tile[0], overlap, margin)
    columns = plan_axis(width, tile[1], overlap, margin)
    group = max(1, batch // len(columns.starts))
    band = np.zeros((0, width, channels), np.float32)
    top = 0  # first image row of the band
    for first in range(0, len(rows.starts), group):
        numbers = range(first, min(first + group, len(rows.starts)))
        low, high = rows.starts[numbers[0]], rows.starts[numbers[-1]] + tile[0]
        band = _longer(band, high - top)
        pixels = read(low, high)
        for places, answers in _answers(pixels, rows, columns, numbers, predict, batch):
            for (row, column), answer in zip(places, answers, strict=True):
                weight = rows.weights[row][:, None] * columns.weights[column]
                y, x = rows.starts[row] - top, columns.starts[column]
                band[y : y + tile[0], x : x + tile[1]] += answer * weight[..., None]
            tick(len(places))
        done = height if high == height else rows.starts[numbers[-1] + 1]
        write(top, band[: done - top])
        band, top = band[done - top :].copy(), done


def _longer(band: np.ndarray, length: int) -> np.ndarray:
    """Return the band, extended to `length` rows with zeros."""
    missing = length - len(band)
    return np.concatenate([band, np.zeros((missing, *band.shape[1:]), np.float32)])


def _answers(
    pixels: np.ndarray,
    rows: Axis,
    columns: Axis,
    numbers: range,
    predict: Predict,
    batch: int,
) -> Iterator[tuple[list[tuple[int, int]], np.ndarray]]:
    """Yield the (row, column) of tiles with the outputs of the model."""
    low = rows.starts[numbers[0]]
    places = [(row, column) for row in numbers for column in range(len(columns.starts))]
    cuts = [*range(0, len(places), batch), len(places)]
    for begin, end in pairwise(cuts):
        tiles = np.stack(
            [
                pixels[
                    rows.starts[row] - low : rows.starts[row] - low + rows.tile,
                    columns.starts[column] : columns.starts[column] + columns.tile,
                ]
                for row, column in places[begin:end]
            ]
        )
        yield places[begin:end], predict(tiles)


def denoise_array(
    image: np.ndarray,
    predict: Predict,
    tile: tuple[int, int],
    *,
    overlap: int | None = None,
    margin: int = 0,
    batch: int = BATCH,
) -> np.ndarray:
    """Denoise a float32 image of shape (H, W, C) and any size in tiles.

    Args:
        image: float32 in [0, 1], shape (H, W, C).
        predict: the model, on arrays of shape (n, *tile, C).
        tile: height and width of the model's input.
        overlap: pixels that tiles share; the default is half the smaller side.
        margin: pixels at the edges of a tile with weight 0.
        batch: tiles per call.
    """
    padded = pad_to(image, tile)
    out = np.empty(padded.shape, np.float32)

    def write(top: int, rows: np.ndarray) -> None:
        out[top : top + len(rows)] = rows

    denoise_rows(
        lambda low, high: padded[low:high],
        write,
        padded.shape,
        predict,
        tile,
        overlap=default_overlap(tile) if overlap is None else overlap,
        margin=margin,
        batch=batch,
    )
    return unpad(out, image.shape)


def default_overlap(tile: tuple[int, int]) -> int:
    """Return half of the smaller side, so that four tiles cover each pixel."""
    return min(tile) // 2
