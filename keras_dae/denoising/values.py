"""Describe the values of the pages of a file."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_dae.images.io.pictures import Picture
from keras_dae.images.ranges import Range


def describe_values(
    picture: Picture, ranges: list[Range], sources: Sequence[str], gaps: list[Any]
) -> dict[str, Any]:
    """Return the value range of the first page, and notes on all pages.

    Args:
        picture: the pages.
        ranges: per page, the values that are scaled to 0 and 1.
        sources: per page, where the range is from; empty if that needs no note.
        gaps: per page, the result of `fill_gaps`.
    """
    notes = [picture.note]
    noted = [pair for pair in zip(ranges, sources, strict=True) if pair[1]]
    if noted:
        ((low, high), source), several = noted[0], len(noted) > 1
        first = f"page 1 of {len(noted)}, each with its own range: " if several else ""
        notes.append(
            f"{first}values from {low:g} to {high:g} were scaled to 0 to 1: {source} "
            "(use --range LOW..HIGH for another range)"
        )
    missing = sum(np.count_nonzero(gap) for gap in gaps if gap is not None)
    if missing:
        notes.append(
            f"values that are not finite, or beyond 1e30, are kept: {missing:,}"
        )
    return {"range": list(ranges[0]), "note": "; ".join(filter(None, notes)) or None}
