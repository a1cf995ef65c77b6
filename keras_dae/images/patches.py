"""Square patches of images of any size: fixed ones, and random ones in each epoch.

Images are kept in their own type. A patch is converted to float32 in [0, 1] on request,
by the range of that type, as `denoise` does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_dae.errors import check
from keras_dae.images.io.pictures import RANGES, to_unit
from keras_dae.system.streams import stream

SIDES = (8, 1024)  # smallest and largest side of a patch, in pixels
MAX_PATCHES = 100_000
MOST = 256  # patches per image and epoch, by default


@dataclass(frozen=True)
class Cut:
    """How images are cut into patches.

    Attributes:
        size: side of a patch in pixels, from 8 to 1024.
        channels: 1 for grey, 3 for RGB.
        patches: patches per image and epoch, and the most per image for validation and
            test. None means as many as fit without overlap, at most 256.

    Raises:
        UsageError: a value is out of range.
    """

    size: int = 64
    channels: int = 1
    patches: int | None = None

    def __post_init__(self) -> None:
        low, high = SIDES
        check(
            low <= self.size <= high,
            f"size must be from {low} to {high}.",
            size=self.size,
        )
        check(
            self.channels in (1, 3),
            "channels must be 1 (grey) or 3 (RGB).",
            channels=self.channels,
        )
        check(
            self.patches is None or 0 < self.patches <= MAX_PATCHES,
            f"patches must be from 1 to {MAX_PATCHES:,}.",
            patches=self.patches,
        )

    def count(self, image: np.ndarray) -> int:
        """Return the number of patches of an image (H, W, C) per epoch."""
        if self.patches is not None:
            return self.patches
        height, width = image.shape[:2]
        return int(min((height // self.size) * (width // self.size), MOST))


class Patches:
    """Patches as `Images`: float32 in [0, 1], cut out on request.

    They are shuffled, so any prefix samples every image.

    Args:
        images: (H, W, C) with sides of at least `cut.size`, of a type in `RANGES`; C is
            1 or `cut.channels`.
        places: image, top and left of each patch, integers (n, 3).
        cut: side and channels of a patch.
    """

    def __init__(
        self, images: Sequence[np.ndarray], places: np.ndarray, cut: Cut
    ) -> None:
        self.images, self.places, self.cut = images, places, cut
        self.shape: tuple[int, ...] = (len(places), cut.size, cut.size, cut.channels)
        self.dtype, self.ndim = np.dtype(np.float32), 4
        self.size = int(np.prod(self.shape))

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Return the patches of a slice or of integer indices: (n, size, size, C)."""
        places, side = self.places[key], self.cut.size
        patches = np.empty((len(places), *self.shape[1:]), np.float32)
        for patch, (image, top, left) in zip(patches, places, strict=True):
            pixels = self.images[image][top : top + side, left : left + side]
            patch[...] = unit(pixels)  # broadcasts one channel to three if needed
        return patches

    def first(self, count: int) -> "Patches":
        """Return the first `count` patches, which can also be drawn again."""
        return Patches(self.images, self.places[:count], self.cut)

    def drawn(self, seed: int, epoch: int) -> "Patches":
        """Return as many patches per image, at positions drawn from seed and epoch."""
        return self._at(stream("patches", seed, epoch))

    def _at(self, rng: np.random.Generator) -> "Patches":
        sides = np.array([image.shape[:2] for image in self.images])
        room = sides[self.places[:, 0]] - self.cut.size + 1
        corners = rng.integers(0, room)
        return Patches(
            self.images, np.column_stack([self.places[:, 0], corners]), self.cut
        )


def unit(pixels: np.ndarray) -> np.ndarray:
    """Return values of a type in `RANGES` as float32 in [0, 1]."""
    return to_unit(pixels, *RANGES[pixels.dtype.name], False)


def random_patches(images: Sequence[np.ndarray], cut: Cut, seed: int) -> Patches:
    """Return training patches, `cut.count` per image, at random positions."""
    rng = stream("patches", seed)
    counts = [cut.count(image) for image in images]
    places = np.zeros((sum(counts), 3), np.int64)
    places[:, 0] = rng.permutation(np.repeat(np.arange(len(images)), counts))
    return Patches(images, places, cut)._at(rng)


def fixed_patches(images: Sequence[np.ndarray], cut: Cut, seed: int) -> Patches:
    """Return patches for evaluation: those of a grid without overlap.

    If an image has more of them than `cut.count`, that many are drawn at random.
    """
    rng = stream("patches", seed)
    places = []
    for number, image in enumerate(images):
        tops, lefts = (even(side, cut.size) for side in image.shape[:2])
        cells = np.array([(number, top, left) for top in tops for left in lefts])
        places.append(rng.permutation(cells)[: cut.count(image)])
    if not places:
        return Patches(images, np.zeros((0, 3), np.int64), cut)
    return Patches(images, rng.permutation(np.concatenate(places)), cut)


def even(length: int, size: int) -> list[int]:
    """Return the starts of patches along a side, evenly spaced."""
    count = length // size
    free = length - count * size
    return [n * size + free * (n + 1) // (count + 1) for n in range(count)]
