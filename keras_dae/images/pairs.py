"""The generator of noisy and clean pairs: NumPy in, NumPy out, no hidden state.

Every random number is a pure function of integers, so a pair does not depend on
what was drawn before it, on the backend, or on an interruption:

- training: image order, and where patches lie, from (seed, epoch), noise from (seed,
  epoch, batch); fresh noise in every epoch (paper, algorithm 1);
- validation and test: noise from (seed, block) for fixed blocks of `FROZEN_BLOCK`
  images, so it is the same for every model, batch size and epoch.

`keras_dae.streams` turns each of these into a stream of its own.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import keras
import numpy as np

from keras_dae.errors import check
from keras_dae.images.noise import Noise
from keras_dae.images.patches import Patches
from keras_dae.images.rows import Images, whole_numbers
from keras_dae.streams import stream

VALIDATION, TEST = "validation", "test"
MEASURED = "measured"  # training images, under noise that no training drew
Pair = tuple[np.ndarray, np.ndarray]
FROZEN_BLOCK = 256
# Streams made at once for the batches to come: one made alone, between two draws that
# fill the processor's caches, costs ten times as much.
STREAMS_AHEAD = 32
# Frozen pairs, noisy and clean, of more float32 bytes than this are drawn anew, block
# by block, each time they are asked for, and not held.
HELD_BYTES = 512 * 2**20


def normalise(images: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return `images` as float32, max-min normalised to [0, 1] (paper, section 2.2).

    Args:
        images: any real dtype and shape.
        low: value that becomes 0; smaller ones are clipped to it.
        high: value that becomes 1; larger ones are clipped to it.
    """
    scaled, reach = np.empty(images.shape, np.float32), np.float32(high - low)
    # Converted to float32 on the way into the first operation, not in a pass before.
    if low == 0:
        np.divide(images, reach, out=scaled, dtype=np.float32)
    else:
        np.subtract(images, np.float32(low), out=scaled, dtype=np.float32)
        scaled /= reach
    if images.dtype == np.uint8 and low <= 0 and high >= 255:
        return scaled  # nothing there to clip
    return np.clip(scaled, 0.0, 1.0, out=scaled)


def frozen_pairs(
    images: Images, noise: Noise, *, seed: int, split: str, low: float, high: float
) -> Iterator[Pair]:
    """Yield (noisy, clean) in blocks, the same ones however often it is called.

    Shapes are (n, height, width, channels) with n at most `FROZEN_BLOCK`, values
    float32 in [0, 1] (noisy beyond it where the noise does not clip).
    """
    frozen = FrozenPairs(images, noise, seed=seed, split=split, low=low, high=high)
    for block in range(-(-len(images) // FROZEN_BLOCK)):
        yield frozen.block(block)


def is_held(images: Images) -> bool:
    """Tell whether the frozen pairs of `images` are few enough to be held."""
    return 2 * images.size * np.dtype(np.float32).itemsize <= HELD_BYTES


def frozen_arrays(
    images: Images, noise: Noise, *, seed: int, split: str, low: float, high: float
) -> Pair:
    """Return all of `frozen_pairs` as two arrays of shape (N, H, W, C)."""
    pairs = frozen_pairs(images, noise, seed=seed, split=split, low=low, high=high)
    noisy, clean = zip(*pairs, strict=True)
    return np.concatenate(noisy), np.concatenate(clean)


def noise_sha256(noisy: np.ndarray | Iterable[np.ndarray]) -> str:
    """Return the sha256 over the bytes of noisy images: which noise was drawn.

    Args:
        noisy: all of them, or blocks of them in their order.
    """
    digest = hashlib.sha256()
    for block in [noisy] if isinstance(noisy, np.ndarray) else noisy:
        digest.update(np.ascontiguousarray(block).data)
    return digest.hexdigest()


class FrozenPairs(keras.utils.PyDataset):  # type: ignore[misc]  # keras is untyped
    """The frozen pairs in batches, the same ones however often they are drawn.

    Memory does not grow with the number of images. Batches are those that the arrays
    of `frozen_arrays` give at this batch size.

    Args:
        images: (N, H, W, C), kept as they are.
        noise: a noise of `keras_dae.images.noise`.
        seed: what the noise is drawn from.
        split: `VALIDATION` or `TEST`.
        low: image value that becomes 0.
        high: image value that becomes 1.
        batch_size: images in a batch, a divisor of `FROZEN_BLOCK`.

    Raises:
        UsageError: a batch size that does not divide `FROZEN_BLOCK`.
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
        """Return the batches of one pass."""
        return -(-len(self.images) // self.batch_size)

    def __getitem__(self, index: int) -> Pair:
        """Return batch `index` as (noisy, clean), float32 (batch, H, W, C)."""
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        number, start = divmod(index * self.batch_size, FROZEN_BLOCK)
        last = self._last
        if last is None or last[0] != number:
            last = self._last = (number, self.block(number))
        noisy, clean = last[1]
        return (
            noisy[start : start + self.batch_size],
            clean[start : start + self.batch_size],
        )

    def block(self, number: int) -> Pair:
        """Draw block `number`: (noisy, clean) of at most `FROZEN_BLOCK` images."""
        start = number * FROZEN_BLOCK
        images = self.images[start : start + FROZEN_BLOCK]
        clean = normalise(images, self.low, self.high)
        return self.noise(clean, stream(self.split, self.seed, number)), clean


class NoisyCleanPairs(keras.utils.PyDataset):  # type: ignore[misc]  # keras is untyped
    """Noisy and clean batches for `model.fit`, freshly drawn in each epoch.

    `pairs[i]` is `(noisy, clean)`, float32 of shape (batch, H, W, C), and depends
    on `(seed, epoch, i)` alone. The epoch is set from outside (see `EpochClock`),
    since keras calls a data set's own epoch hooks at other times too. Pass
    `shuffle=False` to `fit`: the order is drawn here.

    Args:
        images: (N, H, W, C), kept as they are; `Patches` lie elsewhere in each epoch.
        noise: a noise of `keras_dae.images.noise`.
        batch_size: images in a batch; the last batch holds the rest.
        seed: what order and noise are drawn from.
        low: image value that becomes 0.
        high: image value that becomes 1.
        prefetch: draw the next batch in a thread while this one is used; the
            numbers are the same.

    Attributes:
        epoch: the epoch, from 0, that batches are drawn for.
        at_once: batches that one item holds, one after the other in one array; for a
            step that takes them apart again (`keras_dae.training.torch_steps`).
        on_batch: called with epoch and images before it, for a progress bar.

    Raises:
        UsageError: no images, or a batch size below 1.
    """

    def __init__(
        self,
        images: Images,
        noise: Noise,
        *,
        batch_size: int,
        seed: int,
        low: float = 0,
        high: float = 255,
        prefetch: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check(batch_size > 0, "batch_size must be positive.", batch_size=batch_size)
        check(len(images) > 0, "A data set needs images.", images=len(images))
        self.images, self.noise = images, noise
        self.batch_size, self.seed = batch_size, seed
        self.low, self.high = low, high
        self.epoch, self.at_once = 0, 1
        self.on_batch: Callable[[int, int], None] | None = None
        self._order: tuple[int, np.ndarray] | None = None
        self._patches: tuple[int, Images] | None = None
        self._streams: dict[tuple[int, int], np.random.Generator] = {}
        self._drawn = -1
        self._thread = ThreadPoolExecutor(1) if prefetch else None
        self._ahead: tuple[tuple[int, int], Future[Pair]] | None = None

    @property
    def batches(self) -> int:
        """Batches of one epoch."""
        return -(-len(self.images) // self.batch_size)

    def __len__(self) -> int:
        """Return the items of one epoch: its batches, or fewer of several each."""
        return -(-self.batches // self.at_once)

    def order(self) -> np.ndarray:
        """Return the permutation of the images in the current epoch."""
        return self._order_of(self.epoch)

    def __getitem__(self, index: int) -> Pair:
        """Return item `index` of the current epoch as (noisy, clean)."""
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        if self.on_batch is not None:
            self.on_batch(self.epoch, index * self.at_once * self.batch_size)
        if self._thread is None:
            return self._item(self.epoch, index)
        # Kept by key, since fit asks for some batches twice and out of turn.
        key, ahead = (self.epoch, index), self._ahead
        if ahead is None or ahead[0] != key:
            ahead = (key, self._thread.submit(self._item, *key))
        pair = ahead[1].result()
        self._ahead = None
        if index + 1 < len(self):
            after = (self.epoch, index + 1)
            self._ahead = (after, self._thread.submit(self._item, *after))
        return pair

    def _order_of(self, epoch: int) -> np.ndarray:
        if self._order is None or self._order[0] != epoch:
            self._order = None  # gone before its successor comes, which is as large
            order = whole_numbers(len(self.images))
            stream("order", self.seed, epoch).shuffle(order)
            self._order = (epoch, order)
        return self._order[1]

    def _item(self, epoch: int, index: int) -> Pair:
        first = index * self.at_once
        numbers = range(first, min(first + self.at_once, self.batches))
        pairs = [self._draw(epoch, number) for number in numbers]
        if len(pairs) == 1:
            return pairs[0]
        noisy, clean = zip(*pairs, strict=True)
        return np.concatenate(noisy), np.concatenate(clean)

    def _images_of(self, epoch: int) -> Images:
        if not isinstance(self.images, Patches):
            return self.images
        if self._patches is None or self._patches[0] != epoch:
            self._patches = (epoch, self.images.drawn(self.seed, epoch))
        return self._patches[1]

    def _draw(self, epoch: int, index: int) -> Pair:
        start = index * self.batch_size
        rows = self._order_of(epoch)[start : start + self.batch_size]
        clean = normalise(self._images_of(epoch)[rows], self.low, self.high)
        return self.noise(clean, self._stream_of(epoch, index)), clean

    def _stream_of(self, epoch: int, index: int) -> np.random.Generator:
        """Return a fresh stream of a batch; those that follow are made with it."""
        made = self._streams.pop((epoch, index), None)
        if made is None:
            count = STREAMS_AHEAD if index == self._drawn + 1 else 1
            self._streams = {
                (epoch, after): stream("train", self.seed, epoch, after)
                for after in range(index + 1, index + count)
            }
            made = stream("train", self.seed, epoch, index)
        self._drawn = index
        return made


class EpochClock(keras.callbacks.Callback):  # type: ignore[misc]  # keras is untyped
    """Tell the training pairs which epoch it is, also after a resume."""

    def __init__(self, pairs: NoisyCleanPairs) -> None:
        super().__init__()
        self.pairs = pairs

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the epoch that orders and noises are drawn for."""
        self.pairs.epoch = epoch
