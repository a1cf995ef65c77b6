"""Write the width of each pixel's interval to a file next to the output."""

from collections.abc import Container
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_dae.errors import UsageError
from keras_dae.images.io.formats import encoded
from keras_dae.images.io.pictures import Page, Picture, UnreadableError
from keras_dae.system.storage import replacing
from keras_dae.uncertainty.calibrate import Uncertainty
from keras_dae.uncertainty.records import KEY, from_json

WHITE = 65535  # the 16-bit PNG value of a width of 1


def uncertainty_of(name: str, card: dict[str, Any], model: keras.Model) -> Uncertainty:
    """Return the calibrated uncertainty from the card of a model.

    Raises:
        UsageError: the model is not calibrated.
        KerasDAEError: the calibration is damaged, or belongs to other weights.
    """
    if KEY not in card:
        raise UsageError(f"{name} is not calibrated. Run `keras-dae calibrate` first.")
    return from_json(card[KEY], model)


def width_paths(target: Path | None, pages: int) -> list[Path]:
    """Return the paths of the width images of an output, one PNG file per page.

    Raises:
        UsageError: the output is not a file.

    Example:
        >>> [path.name for path in width_paths(Path("out/a.denoised.tif"), 2)]
        ['a.denoised.tif.width.png', 'a.denoised.tif.width-2.png']
    """
    if target is None:
        raise UsageError(
            "--uncertainty writes an extra file, so -o must name a folder or a file."
        )
    names = ["width", *(f"width-{page + 1}" for page in range(1, pages))]
    return [target.with_name(f"{target.name}.{name}.png") for name in names]


def check_free(paths: list[Path], overwrite: bool, read: Container[Path]) -> None:
    """Refuse to overwrite an existing file, or one that is read.

    Raises:
        UnreadableError: a file exists, and `overwrite` is not set; or it is in `read`.
    """
    for path in paths:
        if path.resolve() in read:
            raise UnreadableError(f"its {path} is also read")
        if path.exists() and not overwrite:
            raise UnreadableError(f"its {path} exists; --overwrite replaces it")


def write_widths(path: Path, width: np.ndarray) -> None:
    """Write widths (H, W, C) in [0, 1] as a 16-bit PNG file, rounded up."""
    values = np.ceil(width.astype(np.float64) * WHITE).astype(np.uint16)
    picture = Picture("PNG", [Page(values)], {"parts": [], "options": {}})
    with replacing(path) as temporary:
        temporary.write_bytes(encoded(picture))


def unlike(
    found: Uncertainty, unit: np.ndarray, sides: tuple[int | None, int | None]
) -> str | None:
    """Return why the intervals of an image are not reliable (completes "is"), or None.

    Args:
        found: the calibrated uncertainty of the model.
        unit: the noisy image, float32 in [0, 1], (H, W, C).
        sides: height and width of the model's input, None if they are variable.
    """
    reasons = []
    if None not in sides and unit.shape[:2] != sides:
        height, width = unit.shape[:2]
        reasons.append(f"{height}x{width} pixels (calibration {sides[0]}x{sides[1]})")
    if words := found.unlike(unit):
        reasons.append(words)
    if not reasons:
        return None
    return (
        f"unlike the images of the calibration: {', '.join(reasons)}; its intervals "
        "are not reliable"
    )
