"""The width of each pixel's interval, as a file beside the denoised one."""

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

WHITE = 65535  # of a width of 1, in a PNG file of 16 bits


def uncertainty_of(name: str, card: dict[str, Any], model: keras.Model) -> Uncertainty:
    """Return what a model's card says of its uncertainty.

    Raises:
        UsageError: the model is not calibrated.
        KerasDAEError: what the card says is damaged, or of other weights.
    """
    if KEY not in card:
        raise UsageError(
            f"{name} is not calibrated; `keras-dae calibrate` gives it intervals."
        )
    return from_json(card[KEY], model)


def width_paths(target: Path | None, pages: int) -> list[Path]:
    """Return where the widths of an output's pages go, one PNG file a page.

    Raises:
        UsageError: an output that has no file.

    Example:
        >>> [path.name for path in width_paths(Path("out/a.denoised.tif"), 2)]
        ['a.denoised.width.png', 'a.denoised.width-2.png']
    """
    if target is None:
        raise UsageError(
            "--uncertainty writes a file beside the output; -o names a folder or file."
        )
    names = ["width", *(f"width-{page + 1}" for page in range(1, pages))]
    return [target.with_name(f"{target.stem}.{name}.png") for name in names]


def check_free(paths: list[Path], overwrite: bool) -> None:
    """Refuse to write over a file that is there.

    Raises:
        UnreadableError: one of them exists, and `overwrite` is not set.
    """
    for path in paths:
        if path.exists() and not overwrite:
            raise UnreadableError(f"its {path} exists; --overwrite replaces it")


def write_widths(path: Path, width: np.ndarray) -> None:
    """Write widths (H, W, C) in [0, 1] as a PNG file of 16 bits, rounded up."""
    values = np.ceil(width.astype(np.float64) * WHITE).astype(np.uint16)
    picture = Picture("PNG", [Page(values)], {"parts": [], "options": {}})
    with replacing(path) as temporary:
        temporary.write_bytes(encoded(picture))


def unlike(
    found: Uncertainty, unit: np.ndarray, sides: tuple[int | None, int | None]
) -> str | None:
    """Return why the intervals of an image promise nothing, to follow "is"; else None.

    Args:
        found: of the model that answers.
        unit: the noisy image, float32 in [0, 1], (H, W, C).
        sides: height and width of the model's images, None where they are open.
    """
    reasons = []
    if None not in sides and unit.shape[:2] != sides:
        height, width = unit.shape[:2]
        reasons.append(f"{height}x{width} pixels (there {sides[0]}x{sides[1]})")
    if words := found.unlike(unit):
        reasons.append(words)
    if not reasons:
        return None
    return (
        f"unlike the images of the calibration: {', '.join(reasons)}; its intervals "
        "promise nothing"
    )
