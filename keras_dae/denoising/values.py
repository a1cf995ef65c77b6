"""Scale the values of pages for a model, and describe them."""

from typing import Any

import numpy as np

from keras_dae.denoising.tiles import Predict
from keras_dae.images.io.pictures import RANGES, Picture
from keras_dae.images.ranges import Range, range_note


def describe_values(
    picture: Picture, ranges: list[Range], gaps: list[Any], asked: Range | None
) -> dict[str, Any]:
    """Return the value range of the first page, and notes on all pages."""
    notes = [picture.note]
    scaled = [
        limits
        for page, limits in zip(picture.pages, ranges, strict=True)
        if asked is None and limits != RANGES.get(page.values.dtype.name)
    ]
    if scaled:
        pages = f"page 1 of {len(scaled)}, each with its own range: "
        first = pages if len(scaled) > 1 else ""
        words = first + range_note(scaled[0])
        notes.append(f"{words} (use --range LOW..HIGH for another range)")
    missing = sum(int((~np.isfinite(g)).sum()) for g in gaps if g is not None)
    if missing:
        notes.append(f"values that are not finite are kept: {missing:,}")
    return {"range": list(ranges[0]), "note": "; ".join(filter(None, notes)) or None}


def answers(model: Predict, tiles: np.ndarray) -> np.ndarray:
    """Denoise tiles, except those of a single colour, which contain no noise.

    The outputs for such tiles are all alike and would show as a grid.
    """
    noisy = (tiles != tiles[:, :1, :1]).any(axis=(1, 2, 3))
    if noisy.all():
        return model(tiles)
    found = tiles.copy()
    if noisy.any():
        found[noisy] = model(tiles[noisy])
    return found
