"""Denoise one page of an image file."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.denoising.tile_model import (
    GREY_IN_COLOUR,
    MOST_TILE,
    Tiled,
    TileModel,
    checked_overlap,
)
from keras_dae.denoising.tiles import (
    Tiling,
    denoise_rows,
    tile_count,
    tiles_at_once,
)
from keras_dae.denoising.trained import card_range
from keras_dae.errors import check
from keras_dae.images.estimates import middle
from keras_dae.images.io.pictures import (
    MAX_MEGAPIXELS,
    Page,
    UnreadableError,
    from_unit,
    pad_to,
    to_unit,
    unpad,
)
from keras_dae.images.noise import Noise
from keras_dae.images.ranges import beyond, put_beyond
from keras_dae.uncertainty.calibrate import Uncertainty

Tick = Callable[[int], None]
MOST_TILE_MEGAPIXELS = 16  # of a tile that is larger than the page


def no_tick(tiles: int) -> None:
    """Ignore progress."""


@dataclass(frozen=True)
class Chosen:
    """A model chosen for an image.

    Attributes:
        name: the name of the model.
        why: a description of the image that completes "The image is ...".
        model: the model.
        card: the card of the model; empty if it has none.
    """

    name: str
    why: str
    model: TileModel
    card: dict[str, Any]


@dataclass(frozen=True)
class Task:
    """Settings for denoising, the same for each file of a batch.

    Attributes:
        model: the model; None if `choose` selects it.
        card: the card of the model; empty if it has none.
        choose: selects the model from the centre of an image, float32 in [0, 1],
            (H, W, C).
        strength: blend of input (0) and output (1).
        sigma: upper limit of the noise to remove from a page, as a standard deviation
            on [0, 1]; None for no limit.
        best: average over eight rotations and flips of the image.
        overlap: pixels that neighbouring tiles share; None for the default of the
            model.
        range: values that are scaled to 0 and 1; None for those of the data type.
        noise: noise to add before denoising, for a demonstration; None for real images.
        noise_seed: seed for the noise, combined with the number of the file.
        megapixels: size limit of one file.
        clean: clean image to measure against. With `noise`, the input is used.
        learn: returns a denoiser for one page, given the page and the values that are
            scaled to 0 and 1. It replaces `model`, and has tiles of the same size.
        uncertainty: computes the width of each pixel's interval, which is written to a
            separate file; None writes none.
        overwrite: replace existing files of widths.
    """

    model: Tiled | None = None
    card: dict[str, Any] = field(default_factory=dict)
    choose: Callable[[np.ndarray], Chosen] | None = None
    strength: float = 1.0
    sigma: float | None = None
    best: bool = False
    overlap: int | None = None
    range: tuple[float, float] | None = None
    noise: Noise | None = None
    noise_seed: int = 0
    megapixels: float = MAX_MEGAPIXELS
    clean: Path | None = None
    learn: Callable[[Page, tuple[float, float]], Tiled] | None = None
    uncertainty: Uncertainty | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        check(
            0 <= self.strength <= 1,
            "strength must be from 0 to 1.",
            strength=self.strength,
        )
        if self.model is None and self.overlap is not None:
            checked_overlap(self.overlap, (MOST_TILE, MOST_TILE))
        if self.model is not None:
            tile = self.model.tiling(*self.model.tile, self.overlap).tile
            check(
                not self.best or tile[0] == tile[1],
                "best needs a model of square images.",
                tile=tile,
            )


def _tiling(page: Page, task: Task) -> Tiling:
    assert task.model is not None  # chosen by now
    height, width = page.values.shape[:2]
    return task.model.tiling(height, width, task.overlap)


def check_channels(page: Page, task: Task) -> None:
    """Refuse a grey page for a model of colour images.

    Raises:
        UnreadableError: the page is grey and the model expects colour.
    """
    channels = page.values.shape[2]
    if isinstance(task.model, TileModel) and task.model.channels > channels:
        equal = ", in three equal channels" if page.copies > 1 else ""
        raise UnreadableError(f"is grey{equal}; {GREY_IN_COLOUR}")


def check_padded(page: Page, task: Task) -> None:
    """Refuse a narrow page that becomes too large when padded to the size of a tile.

    Raises:
        UnreadableError: the padded page exceeds the limit.
    """
    height, width = page.values.shape[:2]
    total = prod(_tiling(page, task).size) / 1e6
    words = (
        f"holds {width:,} x {height:,} pixels, which are {total:,.0f} megapixels when "
        "padded to the tile size"
    )
    # Of a tile alone, which a small page is enlarged to, much less is reasonable.
    if total > MOST_TILE_MEGAPIXELS and total > 4 * height * width / 1e6:
        raise UnreadableError(f"{words}, too many for so small an image")
    if total > task.megapixels:
        raise UnreadableError(
            f"{words}, more than {task.megapixels:,.0f}", "--max-megapixels allows more"
        )


def tiles(page: Page, task: Task) -> int:
    """Return the number of tiles of a page."""
    tiling = _tiling(page, task)
    return tile_count(*tiling.size, tiling.tile, tiling.overlap)


def _strength(page: Page, limits: tuple[float, float], task: Task) -> float:
    """Return the strength at which at most `task.sigma` of noise is removed.

    The noise that the model would remove is measured in the centre of the page.
    """
    if task.sigma is None:
        return task.strength
    assert task.model is not None
    unit = to_unit(middle(page.values), *limits, page.inverted).clip(0, 1)
    answer = task.model.denoise(unit, overlap=task.overlap, best=task.best)
    removed = float(np.std(unit - answer, dtype=np.float64))
    return task.strength * min(1.0, task.sigma / max(removed, 1e-12))


def denoise_page(
    page: Page,
    limits: tuple[float, float],
    task: Task,
    tick: Tick = no_tick,
    unrounded: list[np.ndarray] | None = None,
) -> np.ndarray:
    """Return the denoised values of a page: same shape, same type.

    Apart from the page and the result, one band of tiles is held in memory.

    Args:
        page: the page.
        limits: its values that are scaled to 0 and 1.
        task: model and settings.
        tick: called after each batch with the number of tiles done.
        unrounded: if given, also receives the output as float32 in [0, 1], (H, W, C).
    """
    low, high = limits
    shape, dtype = page.values.shape, page.values.dtype
    strength = _strength(page, limits, task)
    if strength == 0:
        tick(tiles(page, task))
        return page.values.copy()
    tiling = _tiling(page, task)
    source = pad_to(page.values, tiling.size)
    result = np.empty_like(source)
    answer = None if unrounded is None else np.empty(source.shape, np.float32)
    # Values cut off by a percentile belong to the image. Values beyond the range of a
    # model are noise.
    keep = task.range is not None or card_range(task.card, dtype) != limits

    def read(top: int, bottom: int) -> np.ndarray:
        return to_unit(source[top:bottom], low, high, page.inverted).clip(0, 1)

    def write(top: int, rows: np.ndarray) -> None:
        if answer is not None:
            answer[top : top + len(rows)] = rows
        if strength < 1:
            rows = read(top, top + len(rows)) * np.float32(1 - strength) + (
                rows * np.float32(strength)
            )
        values = from_unit(rows, dtype, low, high, page.inverted)
        excess = beyond(source[top : top + len(rows)], limits) if keep else None
        result[top : top + len(rows)] = put_beyond(values, excess)

    assert task.model is not None  # chosen by now
    denoise_rows(
        read,
        write,
        source.shape,
        task.model.predictor(best=task.best),
        tiling.tile,
        overlap=tiling.overlap,
        margin=tiling.margin,
        batch=tiles_at_once(tiling.tile, shape[2]),
        tick=tick,
    )
    if unrounded is not None and answer is not None:
        unrounded.append(unpad(answer, shape))
    return unpad(result, shape)
