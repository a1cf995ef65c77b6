"""A data set split for a study: what fits, what chooses, what tests."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from keras_dae.errors import KerasDAEError, check
from keras_dae.images.folder import PARTS, ImageFiles
from keras_dae.images.io.arrays import Arrays
from keras_dae.images.patches import Patches, fixed_patches, random_patches
from keras_dae.images.ranges import range_of
from keras_dae.images.rows import Images, Rows, as_images, extremes, whole_numbers
from keras_dae.system.storage import array_sha256
from keras_dae.system.streams import stream

VALIDATION_SHARE = 0.2


@dataclass(frozen=True)
class Splits:
    """A data set split for a study; images as stored, (N, H, W, C), labels (N,).

    Images are arrays, `Rows` of a file where the data set is large, or `Patches`
    of a folder's images.

    Attributes:
        name: the data set that was really used, never 'auto'.
        train: images to fit on.
        validation: images to choose by.
        test: images that only an evaluation touches.
        labels: 'train', 'validation' and 'test' to labels; empty without labels.
        low: smallest training value, 0 after normalisation.
        high: largest training value, 1 after normalisation.
        sha256: hash of the data set's content.
        files: 'train', 'validation' and 'test' to the names of their files; empty
            where the images are not those of a folder.
        notes: what of the data is not used as it is, a sentence each.
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
            train: images to fit on, (N, H, W, C) or (N, H, W).
            validation: images to choose by, of the same shape and type.
            test: images to evaluate on; None takes none.
            labels: 'train', 'validation' and 'test' to class numbers, (N,).
            value_range: values that become 0 and 1; by default those of the type, and
                0 and 1 for floats.
            name: what tables and run folders call the data.

        Raises:
            UsageError: images of several shapes or types, or floats outside [0, 1]
                without `value_range`.

        Example:
            >>> images = np.zeros((10, 28, 28), "uint8")
            >>> Splits.from_arrays(images[:8], images[8:]).image_shape
            (28, 28, 1)
        """
        test = train[:0] if test is None else test
        parts = {"train": train, "validation": validation, "test": test}
        kinds = {(part.shape[1:], part.dtype.name) for part in parts.values()}
        check(
            len(kinds) == 1,
            "train, validation and test must have one image shape and one type.",
            **{part: (one.shape, one.dtype.name) for part, one in parts.items()},
        )
        low, high = range_of(train, *(value_range or (None, None)))
        digest = array_sha256(train, validation, test)
        found: dict[str, Any] = {
            part: as_images(images) for part, images in parts.items()
        }
        return cls(
            name, **found, labels=labels or {}, low=low, high=high, sha256=digest
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
        """Return the data set with the first so many images of each split.

        None keeps all. Range and hash stay those of the whole.

        Raises:
            UsageError: fewer than 1, or more than there are.
        """
        found = self
        asked = {"train": train, "test": test, "validation": validation}
        for part, count in asked.items():
            if count is None:
                continue
            images = getattr(self, part)
            check(
                1 <= count <= len(images),
                f"{self.name} holds {len(images):,} {part} images; take 1 or more.",
                **{f"{part}_images": count},
            )
            labels = dict(found.labels)
            if labels:
                labels[part] = labels[part][:count]
            # Patches stay what can be drawn anew.
            few = images.first(count) if isinstance(images, Patches) else images[:count]
            kept: dict[str, Any] = {part: few, "labels": labels}
            found = replace(found, **kept)
        return found

    def values(self) -> dict[str, Any]:
        """Return type and range of the images as JSON values, for a model's card."""
        return {"dtype": self.train.dtype.name, "low": self.low, "high": self.high}

    def describe(self) -> dict[str, Any]:
        """Return what was used as JSON values: name, sha256 and counts."""
        used: dict[str, Any] = {"name": self.name, "sha256": self.sha256}
        used |= {part: len(getattr(self, part)) for part in PARTS}
        if self.files:
            used["files"] = {part: len(names) for part, names in self.files.items()}
        return used


def split(
    name: str, arrays: Arrays | ImageFiles, digest: str, split_seed: int
) -> Splits:
    """Return `arrays` as splits: a drawn 20 % of the training set validates.

    Rows of arrays in memory are copied. Any other images stay where they are, and the
    splits know by four bytes an image which ones they hold. Image files are split as
    `ImageFiles.parts` says.
    """
    if isinstance(arrays, ImageFiles):
        return _split_files(name, arrays, digest, split_seed)
    train, test = as_images(arrays.x_train), as_images(arrays.x_test)
    check(
        train.shape[1:] == test.shape[1:],
        "x_train and x_test must hold images of one shape.",
        x_train=train.shape[1:],
        x_test=test.shape[1:],
    )
    low, high = extremes(train)
    if low == high:
        raise KerasDAEError(
            f"Every pixel of x_train in {name} is {low:g}; max-min normalisation "
            "needs at least two values."
        )
    order = whole_numbers(len(train))
    stream("split", split_seed).shuffle(order)
    cut = len(train) - round(VALIDATION_SHARE * len(train))
    if not 0 < cut < len(train):
        raise KerasDAEError(
            f"{name} holds {len(train)} training images; at least 3 are needed to "
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
    """Return the files' patches, float32: 0 to 1 are the range of each file's type."""
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
