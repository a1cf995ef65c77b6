"""Choose a pretrained model for an image: photographs, or pages of digits."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from keras_dae.denoising.advice import usual
from keras_dae.denoising.trained import Trained, find_model, pretrained_cards
from keras_dae.images.estimates import SMALLEST, describe

if TYPE_CHECKING:
    from keras_dae.denoising.pages import Chosen
    from keras_dae.denoising.tile_model import TileModel

AUTO = "auto"
DIGITS, COLOUR, GREY = "DAE_5_13", "photo", "photo-gray"
# Noisy digits are clipped, so nearly half of their pixels are black. This is rare in a
# photograph, even in a dark one.
LEAST_BLACK = 0.3
# Strokes remain visible: percentiles 30 and 95 of the 3x3 means differ by this much in
# 19 of 20 noisy digits, and in few photographs of similar noise and darkness.
STROKES = 0.35
MARGIN = 0.03  # beyond the range of 98 of 100 training images


@dataclass(frozen=True)
class Choice:
    """The pretrained model chosen for an image.

    Attributes:
        name: the name of the model.
        why: a description of the image that completes "The image is ...".
    """

    name: str
    why: str


def choose(unit: np.ndarray) -> Choice:
    """Choose the pretrained model for an image.

    Args:
        unit: float32 in [0, 1], (H, W, C) with C 1 or 3: the image or its centre.

    Example:
        >>> choose(np.zeros((64, 64, 3), np.float32)).name
        'photo'
    """
    if unit.shape[2] == 3:
        return Choice(COLOUR, "in colour")
    if min(unit.shape[:2]) < SMALLEST:
        return Choice(GREY, "grey, and too small to classify")
    seen = describe(unit)
    ranges = usual(pretrained_cards()[DIGITS])
    alike = all(
        low - MARGIN <= seen[key] <= high + MARGIN
        for key, (low, high) in ranges.items()
    )
    black = float(np.mean(unit <= 0))
    if alike and black >= LEAST_BLACK and _strokes(unit) >= STROKES:
        return Choice(
            DIGITS,
            f"like noisy digits: estimated noise {seen['sigma']:.2f}, "
            f"{black:.0%} of it black",
        )
    return Choice(GREY, "grey, and unlike noisy digits")


def _strokes(unit: np.ndarray) -> float:
    from scipy.ndimage import uniform_filter

    low, high = np.percentile(uniform_filter(unit[..., 0], 3), [30, 95])
    return float(high - low)


def chooser(
    load: Callable[[Trained], "TileModel"],
) -> Callable[[np.ndarray], "Chosen"]:
    """Return a version of `choose` that also loads the model, each one only once.

    Args:
        load: loads a pretrained model as a `TileModel`.
    """
    from keras_dae.denoising.pages import Chosen

    @cache
    def loaded(name: str) -> tuple[Trained, "TileModel"]:
        trained = find_model(name)
        return trained, load(trained)

    def chosen(unit: np.ndarray) -> Chosen:
        choice = choose(unit)
        trained, model = loaded(choice.name)
        return Chosen(choice.name, choice.why, model, trained.card)

    return chosen
