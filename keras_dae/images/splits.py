"""A data set split into training, validation and test images."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from keras_dae.errors import KerasDAEError, check
from keras_dae.images.folder import PARTS, ImageFiles
from keras_dae.images.io.arrays import Arrays
from keras_dae.images.patches import Patches, fixed_patches, random_patches
from keras_dae.images.ranges import given_range, range_of
from keras_dae.images.rows import Images, Rows, as_images, extremes, whole_numbers
from keras_dae.system.storage import array_sha256
from keras_dae.system.streams import stream

VALIDATION_SHARE = 0.2


@dataclass(frozen=True, repr=False)
class Splits:
    """Training, validation and test images as stored, (N, H, W, C), with labels (N,).

    Images are arrays, `Rows` of a file where the data set is large, or `Patches`
    of a folder's images.

    Attributes:
        name: the data set, never 'auto'.
        train: images for training.
        validation: images for model selection.
        test: images for evaluation only.
        labels: 'train', 'validation' and 'test' to labels; empty without labels.
        low: image value that is scaled to 0.
        high: image value that is scaled to 1.
        sha256: hash of the content of the data set.
        files: 'train', 'validation' and 'test' to file names; empty if the images are
            not those of a folder.
        notes: sentences on data that were changed or left out.
    """

    name: str
    train: Images
    validation: Images
    test: Images
    labels: dict[str, np.ndarray]
    low: float
    high: float
    sha256: str
    files: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        counts = ", ".join(f"{part}={len(getattr(self, part)):,}" for part in PARTS)
        shape = "x".join(map(str, self.image_shape))
        return f"Splits({self.name!r}, {counts}, images of {shape}, {self.train.dtype})"

    @classmethod
    def from_arrays(
        cls,
        train: Images,
        validation: Images,
        test: Images | None = None,
        *,
        labels: dict[str, np.ndarray] | None = None,
        value_range: tuple[float, float] | None = None,
        name: str = "arrays",
    ) -> "Splits":
        """Return arrays of clean images as splits.

        Args:
            train: training images, (N, H, W, C) or (N, H, W).
            validation: validation images, of the same shape and type.
            test: test images; None for no test images.
            labels: 'train', 'validation' and 'test' to class numbers, (N,).
            value_range: values that are scaled to 0 and 1. The default depends on the
                type, and is (0, 1) for floats.
            name: name of the data in tables and run folders.

        Raises:
            UsageError: the images differ in shape or type, or floats are outside [0, 1]
                without `value_range`.

        Example:
            >>> images = np.zeros((10, 28, 28), "uint8")
            >>> Splits.from_arrays(images[:8], images[8:]).image_shape
            (28, 28, 1)
        """
        train, validation = as_images(train), as_images(validation)
        test = train[:0] if test is None else as_images(test)
        parts = {"train": train, "validation": validation, "test": test}
        kinds = {(part.shape[1:], part.dtype.name) for part in parts.values()}
        check(
            len(kinds) == 1,
            "train, validation and test must have the same image shape and type.",
            **{part: (one.shape, one.dtype.name) for part, one in parts.items()},
        )
        low, high = range_of(train) if value_range is None else given_range(value_range)
        for part, given in (labels or {}).items():
            check(
                part in parts and len(given) == len(parts[part]),
                "labels must hold one label per image, by part: train, validation or "
                "test.",
                part=part,
                labels=len(given),
            )
        digest = array_sha256(train, validation, test)
        return cls(
            *(name, train, validation, test),
            labels=labels or {},
            low=low,
            high=high,
            sha256=digest,
        )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        height, width, channels = self.train.shape[1:]
        return height, width, channels

    def limited(
        self,
        train: int | None = None,
        test: int | None = None,
        validation: int | None = None,
    ) -> "Splits":
        """Return the data set with only the first images of each split.

        None keeps all. Range and hash remain those of the whole data set.

        Raises:
            UsageError: a number is below 1 or above the number of images.
        """
        found = self
        asked = {"train": train, "test": test, "validation": validation}
        for part, count in asked.items():
            if count is None:
                continue
            images = getattr(self, part)
            check(
                1 <= count <= len(images),
                f"{self.name} holds {len(images):,} {part} images; use at least 1.",
                **{f"{part}_images": count},
            )
            labels = dict(found.labels)
            if part in labels:
                labels[part] = labels[part][:count]
            # Keep `Patches`, whose positions can be drawn again.
            few = images.first(count) if isinstance(images, Patches) else images[:count]
            kept: dict[str, Any] = {part: few, "labels": labels}
            found = replace(found, **kept)
        return found

    def values(self) -> dict[str, Any]:
        """Return type and range of the images as JSON values, for a model's card."""
        return {"dtype": self.train.dtype.name, "low": self.low, "high": self.high}

    def describe(self) -> dict[str, Any]:
        """Return name, sha256 and counts of the data set as JSON values."""
        used: dict[str, Any] = {"name": self.name, "sha256": self.sha256}
        used |= {part: len(getattr(self, part)) for part in PARTS}
        if self.files:
            used["files"] = {part: len(names) for part, names in self.files.items()}
        return used


def split(
    name: str, arrays: Arrays | ImageFiles, digest: str, split_seed: int
) -> Splits:
    """Return `arrays` as splits: a random 20 % of the training set is for validation.

    Arrays in memory are copied. Other images stay where they are, and the splits store
    an index of four bytes per image. Image files are split as in `ImageFiles.parts`.
    """
    if isinstance(arrays, ImageFiles):
        return _split_files(name, arrays, digest, split_seed)
    train, test = as_images(arrays.x_train), as_images(arrays.x_test)
    check(
        train.shape[1:] == test.shape[1:],
        "x_train and x_test must have the same image shape.",
        x_train=train.shape[1:],
        x_test=test.shape[1:],
    )
    low, high = extremes(train)
    if low == high:
        raise KerasDAEError(
            f"Every pixel of x_train in {name} is {low:g}; normalization needs at "
            "least two values."
        )
    order = whole_numbers(len(train))
    stream("split", split_seed).shuffle(order)
    cut = len(train) - round(VALIDATION_SHARE * len(train))
    if not 0 < cut < len(train):
        raise KerasDAEError(
            f"{name} holds {len(train)} training images, but at least 3 are needed to "
            "train and validate."
        )
    labels = {}
    if arrays.y_train is not None and arrays.y_test is not None:
        labels = {
            "train": arrays.y_train[order[:cut]],
            "validation": arrays.y_train[order[cut:]],
            "test": arrays.y_test,
        }
    fitted, chosen_by = _rows(train, order[:cut]), _rows(train, order[cut:])
    return Splits(name, fitted, chosen_by, test, labels, low, high, digest)


def _split_files(name: str, found: ImageFiles, digest: str, seed: int) -> Splits:
    """Return the patches of the files as float32; each file is scaled by its type."""
    parts, patches, files = found.parts(seed), {}, {}
    for part, numbers in parts.items():
        images = [page for number in numbers for page in found.pages[number]]
        cut = random_patches if part == "train" else fixed_patches
        patches[part] = cut(images, found.cut, seed)
        files[part] = tuple(found.names[number] for number in numbers)
    return Splits(
        name,
        **patches,
        labels={},
        low=0.0,
        high=1.0,
        sha256=digest,
        files=files,
        notes=found.notes,
    )


def _rows(images: Images, index: np.ndarray) -> Images:
    in_memory = type(images) is np.ndarray  # and no subclass
    return images[index] if in_memory else Rows(images, index)
