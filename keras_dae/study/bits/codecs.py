"""Image formats to compare with: CODECS. Each image is a separate file."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from keras_dae.evaluation.metrics import mse


@dataclass(frozen=True)
class Codec:
    """One row of `CODECS`.

    Attributes:
        format: name of the format in Pillow.
        settings: label -> options for Pillow's `save`.
    """

    format: str
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


QUALITIES = (1, 10, 30, 60, 90)
CODECS = {
    "JPEG": Codec(
        "JPEG", {f"quality {q}": {"quality": q, "optimize": True} for q in QUALITIES}
    ),
    "WebP": Codec(
        "WEBP", {f"quality {q}": {"quality": q, "method": 6} for q in QUALITIES}
    ),
    "JPEG 2000": Codec(
        "JPEG2000",
        {
            f"{level} dB": {
                **{"quality_mode": "dB", "quality_layers": [level]},
                **{"irreversible": True, "no_jp2": True, "num_resolutions": 3},
            }
            for level in (12, 18, 24, 30, 40)
        },
    ),
    "PNG": Codec("PNG", {"lossless": {"optimize": True}}),
}


def to_bytes(images: np.ndarray) -> np.ndarray:
    """Return images in [0, 1] as integers from 0 to 255."""
    levels: np.ndarray = np.rint(255 * np.clip(images, 0, 1)).astype(np.uint8)
    return levels


def save(image: np.ndarray, codec: Codec, options: Mapping[str, Any]) -> bytes:
    """Return the file of one image, uint8 (H, W, C) of 1 or 3 channels."""
    file = io.BytesIO()
    pixels = image[..., 0] if image.shape[2] == 1 else image
    Image.fromarray(pixels).save(file, codec.format, **options)
    return file.getvalue()


def read(data: bytes, channels: int) -> np.ndarray:
    """Return the image in a file, float32 (H, W, C) in [0, 1]."""
    with Image.open(io.BytesIO(data)) as picture:
        pixels = np.asarray(picture.convert("L" if channels == 1 else "RGB"))
    values = pixels.reshape(*pixels.shape[:2], channels).astype(np.float32)
    return values / np.float32(255)


def codec_rows(
    name: str, clean: np.ndarray, images: np.ndarray
) -> list[dict[str, Any]]:
    """Return the file sizes of a format, one row per setting.

    Args:
        name: a row of `CODECS`.
        clean: images to compare the decoded files with, (N, H, W, C) in [0, 1].
        images: images to save, of the same shape.

    Returns:
        Rows of codec, setting, mean bits per file, `beyond_blank` (the same without the
        size of a black image, which is nearly all header), and the mean MSE.
    """
    codec, levels = CODECS[name], to_bytes(images)
    rows = []
    for setting, options in codec.settings.items():
        files = [save(image, codec, options) for image in levels]
        decoded = np.stack([read(data, clean.shape[3]) for data in files])
        blank = 8 * len(save(np.zeros_like(levels[0]), codec, options))
        bits = 8 * float(np.mean([len(data) for data in files]))
        rows.append(
            {
                **{"codec": name, "setting": setting},
                **{"bits": bits, "beyond_blank": bits - blank},
                "mse": float(mse(clean, decoded).mean()),
            }
        )
    return rows
