"""Values of pages on their way to a model and back, and what to say of them."""

from typing import Any

import numpy as np

from keras_dae.denoising.tiles import Predict
from keras_dae.images.io.pictures import RANGES, Picture
from keras_dae.images.ranges import Range, range_note


def describe_values(
    picture: Picture, ranges: list[Range], gaps: list[Any], asked: Range | None
) -> dict[str, Any]:
    """Return the range of the first page's values, and what to say of all of them."""
    notes = [picture.note]
    scaled = [
        limits
        for page, limits in zip(picture.pages, ranges, strict=True)
        if asked is None and limits != RANGES.get(page.values.dtype.name)
    ]
    if scaled:
        each = f"; in each of {len(scaled)} pages so" if len(scaled) > 1 else ""
        words = range_note(scaled[0]) + each
        notes.append(f"{words} (--range LOW..HIGH tells another range)")
    missing = sum(int((~np.isfinite(g)).sum()) for g in gaps if g is not None)
    if missing:
        notes.append(f"values that are not finite stay as they are: {missing:,}")
    return {"range": list(ranges[0]), "note": "; ".join(filter(None, notes)) or None}


def answers(model: Predict, tiles: np.ndarray) -> np.ndarray:
    """Return tiles denoised; one of a single colour has no noise and stays.

    What a model makes of such a one shows as a grid, since all tiles are alike.
    """
    noisy = (tiles != tiles[:, :1, :1]).any(axis=(1, 2, 3))
    if noisy.all():
        return model(tiles)
    found = tiles.copy()
    if noisy.any():
        found[noisy] = model(tiles[noisy])
    return found
