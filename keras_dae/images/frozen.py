"""Frozen pairs for validation and test: the same noise for every model and epoch.

The noise is drawn from (seed, block) for fixed blocks of `FROZEN_BLOCK` images
(`keras_dae.system.streams`). It depends neither on the batch size nor on earlier draws.
"""

import hashlib
from collections.abc import Iterable, Iterator
from math import prod

import keras
import numpy as np

from keras_dae.errors import check
from keras_dae.images.noise import Noise
from keras_dae.images.pairs import Pair
from keras_dae.images.rows import Images, normalise
from keras_dae.system.streams import stream

VALIDATION, TEST = "validation", "test"
MEASURED = "measured"  # training images with noise that training does not use
FROZEN_BLOCK = 256
# Frozen pairs larger than this (noisy and clean, in float32 bytes) are not kept in
# memory. They are drawn again, block by block, on each request.
HELD_BYTES = 512 * 2**20


def frozen_pairs(
    images: Images, noise: Noise, *, seed: int, split: str, low: float, high: float
) -> Iterator[Pair]:
    """Yield (noisy, clean) in blocks. Each call yields the same pairs.

    Shapes are (n, height, width, channels) with n at most `FROZEN_BLOCK`. Values are
    float32 in [0, 1]; noisy values exceed it if the noise does not clip.
    """
    frozen = FrozenPairs(images, noise, seed=seed, split=split, low=low, high=high)
    for block in range(-(-len(images) // FROZEN_BLOCK)):
        yield frozen.block(block)


def is_held(images: Images) -> bool:
    """Return whether the frozen pairs of `images` are few enough to keep in memory."""
    return len(images) <= images_held(images.shape[1:])


def images_held(shape: tuple[int, ...]) -> int:
    """Return how many images of this shape have frozen pairs that fit in memory."""
    return HELD_BYTES // (2 * prod(shape) * np.dtype(np.float32).itemsize)


def frozen_arrays(
    images: Images, noise: Noise, *, seed: int, split: str, low: float, high: float
) -> Pair:
    """Return all of `frozen_pairs` as two arrays of shape (N, H, W, C)."""
    pairs = frozen_pairs(images, noise, seed=seed, split=split, low=low, high=high)
    noisy, clean = zip(*pairs, strict=True)
    return np.concatenate(noisy), np.concatenate(clean)


def noise_sha256(noisy: np.ndarray | Iterable[np.ndarray]) -> str:
    """Return the sha256 of noisy images, which identifies the noise.

    Args:
        noisy: all images, or blocks of them in order.
    """
    digest = hashlib.sha256()
    for block in [noisy] if isinstance(noisy, np.ndarray) else noisy:
        digest.update(np.ascontiguousarray(block).data)
    return digest.hexdigest()


class FrozenPairs(keras.utils.PyDataset):  # type: ignore[misc]  # keras is untyped
    """Frozen pairs in batches. Each pass yields the same pairs.

    Memory does not grow with the number of images. Batches equal those of the arrays of
    `frozen_arrays` at this batch size.

    Args:
        images: (N, H, W, C); they are not copied.
        noise: a noise of `keras_dae.images.noise`.
        seed: seed for the noise.
        split: `VALIDATION` or `TEST`.
        low: image value that is scaled to 0.
        high: image value that is scaled to 1.
        batch_size: images per batch, a divisor of `FROZEN_BLOCK`.

    Raises:
        UsageError: the batch size does not divide `FROZEN_BLOCK`.
    """

    def __init__(
        self,
        images: Images,
        noise: Noise,
        *,
        seed: int,
        split: str,
        low: float,
        high: float,
        batch_size: int = FROZEN_BLOCK,
    ) -> None:
        super().__init__()
        check(
            batch_size > 0 and FROZEN_BLOCK % batch_size == 0,
            f"batch_size must divide {FROZEN_BLOCK}.",
            batch_size=batch_size,
        )
        self.images, self.noise = images, noise
        self.seed, self.split = seed, split
        self.low, self.high = low, high
        self.batch_size = batch_size
        self._last: tuple[int, Pair] | None = None

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-len(self.images) // self.batch_size)

    def __getitem__(self, index: int) -> Pair:
        """Return batch `index` as (noisy, clean), float32 (batch, H, W, C)."""
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        number, start = divmod(index * self.batch_size, FROZEN_BLOCK)
        last = self._last
        if last is None or last[0] != number:
            last = self._last = (number, self.block(number))
        end = start + self.batch_size
        return tuple(part[start:end] for part in last[1])  # type: ignore[return-value]

    def block(self, number: int) -> Pair:
        """Draw block `number`: (noisy, clean) of at most `FROZEN_BLOCK` images."""
        start = number * FROZEN_BLOCK
        images = self.images[start : start + FROZEN_BLOCK]
        clean = normalise(images, self.low, self.high)
        return self.noise(clean, stream(self.split, self.seed, number)), clean
