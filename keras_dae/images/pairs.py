"""Generator of noisy and clean pairs, from NumPy arrays to NumPy arrays.

Every random number is a pure function of integers. A pair therefore does not depend on
earlier draws, on the backend, or on an interruption. The order of images and the
positions of patches are drawn from (seed, epoch), noise from (seed, epoch, batch): new
noise in every epoch (paper, algorithm 1). `keras_dae.system.streams` turns each of
these tuples into a separate stream. For pairs that stay the same, see
`keras_dae.images.frozen`.
"""

from collections.abc import Callable
from threading import Lock
from typing import Any

import keras
import numpy as np

from keras_dae.errors import check
from keras_dae.images import drawing
from keras_dae.images.ahead import Ahead
from keras_dae.images.augment import augmented
from keras_dae.images.noise import Noise
from keras_dae.images.noise_words import as_noise
from keras_dae.images.patches import Patches
from keras_dae.images.ranges import range_of
from keras_dae.images.rows import Images, as_images, normalise, whole_numbers
from keras_dae.system.streams import of_32_bits, stream, words

Pair = tuple[np.ndarray, np.ndarray]
# Number of streams to create at once. Creating a single one between two draws, which
# fill the processor caches, takes ten times as long.
STREAMS_AHEAD = 32


class NoisyCleanPairs(keras.utils.PyDataset):  # type: ignore[misc]  # keras is untyped
    """Noisy and clean batches for `model.fit`, with new noise in each epoch.

    `pairs[i]` is `(noisy, clean)`, float32 of shape (batch, H, W, C). It depends on
    `(seed, epoch, i)` only. `fit` advances the epoch by itself; set `epoch` to resume
    at a later one. The images are shuffled here in each epoch, so `fit` needs no
    `shuffle`.

    Args:
        images: clean images, (N, H, W, C) or (N, H, W); they are not copied. With
            `Patches`, new positions are drawn in each epoch.
        noise: a noise object such as `Gaussian(0.5)`, or its text, `"gaussian:0.5"`.
        batch_size: images per batch; the last batch holds the rest.
        repeat: how often an epoch uses each image, each time with new noise.
        seed: seed for order and noise.
        low: image value that is scaled to 0; the default depends on the type.
        high: image value that is scaled to 1; the default depends on the type, and is 1
            for floats.
        augment: change the images at random, see `augment.augmented`.
        prefetch: draw the next item in a thread, or this many items in as many threads.
            The numbers are the same.

    Attributes:
        epoch: the epoch, from 0, of the batches.
        at_once: batches per item, concatenated; for training steps that split them
            again (`keras_dae.training.fast`).
        on_batch: called with the epoch and the number of images before the batch, for a
            progress bar.
        carrier: moves items to a device. Its `send` is called in the thread that drew
            an item, and its `receive` returns the item for use.

    Raises:
        UsageError: there are no images, the batch size is below 1, or float images are
            outside [0, 1] and `low` and `high` are not given.

    Example:
        >>> pairs = NoisyCleanPairs(np.zeros((100, 28, 28), "uint8"), "gaussian:0.5")
        >>> pairs[0][0].shape
        (64, 28, 28, 1)
    """

    def __init__(
        self,
        images: Images,
        noise: Noise | str,
        *,
        batch_size: int = 64,
        repeat: int = 1,
        seed: int = 0,
        low: float | None = None,
        high: float | None = None,
        augment: bool = False,
        prefetch: int = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check(batch_size > 0, "batch_size must be positive.", batch_size=batch_size)
        check(repeat > 0, "repeat must be positive.", repeat=repeat)
        check(len(images) > 0, "A data set must not be empty.", images=len(images))
        self.images, self.noise = as_images(images), as_noise(noise)
        self.batch_size, self.repeat, self.seed = batch_size, repeat, seed
        self.low, self.high = range_of(self.images, low, high)
        self.augment = augment
        self.epoch, self.at_once = 0, 1
        self.on_batch: Callable[[int, int], None] | None = None
        self.carrier: Any = None
        self._order: tuple[int, np.ndarray] | None = None
        self._patches: tuple[int, Images] | None = None
        self._streams: dict[tuple[int, int], np.random.Generator] = {}
        self._drawn = -1
        self._lock = Lock()  # guards state that is shared between items
        self._ahead = Ahead(self._ready, int(prefetch)) if prefetch else None

    @property
    def epoch(self) -> int:
        """The epoch, from 0, of the batches."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch = epoch
        self._asked: set[int] = set()

    def on_epoch_end(self) -> None:
        """Advance to the next epoch if keras has requested each item of this one.

        Keras also calls this at other times, when it has requested only some items.
        """
        if len(self._asked) >= len(self):
            self.epoch += 1

    @property
    def images_per_epoch(self) -> int:
        """Number of images of one epoch, with repetitions."""
        return len(self.images) * self.repeat

    @property
    def batches(self) -> int:
        """Batches of one epoch."""
        return -(-self.images_per_epoch // self.batch_size)

    def __len__(self) -> int:
        """Return the number of items per epoch: batches, or groups of batches."""
        return -(-self.batches // self.at_once)

    def order(self) -> np.ndarray:
        """Return the numbers of the images in the order of the current epoch."""
        return self._order_of(self.epoch)

    def __getitem__(self, index: int) -> Pair:
        """Return item `index` of the current epoch as (noisy, clean)."""
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        self._asked.add(index)
        if self.on_batch is not None:
            self.on_batch(self.epoch, index * self.at_once * self.batch_size)
        if self._ahead is None:
            return self._received(self._ready(self.epoch, index))
        return self._received(self._ahead.get((self.epoch, index), len(self)))

    def _ready(self, epoch: int, index: int) -> Any:
        """Return an item as sent by the thread that drew it."""
        item = self._item(epoch, index)
        return item if self.carrier is None else self.carrier.send(item)

    def _received(self, item: Any) -> Pair:
        """Return an item in the form in which it is used."""
        pair: Pair = item if self.carrier is None else self.carrier.receive(item)
        return pair

    def _order_of(self, epoch: int) -> np.ndarray:
        with self._lock:
            kept = self._order
            if kept is None or kept[0] != epoch:
                # Free it before allocating the next one, which is as large.
                kept = self._order = None
                order = whole_numbers(self.images_per_epoch)
                stream("order", self.seed, epoch).shuffle(order)
                if self.repeat > 1:
                    order %= len(self.images)
                kept = self._order = (epoch, order)
            return kept[1]

    def _item(self, epoch: int, index: int) -> Pair:
        first = index * self.at_once
        numbers = range(first, min(first + self.at_once, self.batches))
        draw = None if self.augment else drawing.compiled(self.noise, self.images)
        seeds = words("train", self.seed, epoch, numbers[-1])
        if draw is not None and of_32_bits(seeds):
            rows = self._order_of(epoch)[first * self.batch_size :]
            return draw(
                self._images_of(epoch),
                rows[: len(numbers) * self.batch_size],
                self.noise,
                [*seeds[:-1], first],
                self.batch_size,
                self.low,
                self.high,
            )
        pairs = [self._draw(epoch, number) for number in numbers]
        if len(pairs) == 1:
            return pairs[0]
        noisy, clean = zip(*pairs, strict=True)
        return np.concatenate(noisy), np.concatenate(clean)

    def _images_of(self, epoch: int) -> Images:
        if not isinstance(self.images, Patches):
            return self.images
        with self._lock:
            kept = self._patches
            if kept is None or kept[0] != epoch:
                kept = self._patches = (epoch, self.images.drawn(self.seed, epoch))
            return kept[1]

    def _draw(self, epoch: int, index: int) -> Pair:
        start = index * self.batch_size
        rows = self._order_of(epoch)[start : start + self.batch_size]
        clean = normalise(self._images_of(epoch)[rows], self.low, self.high)
        if self.augment:
            clean = augmented(clean, stream("augment", self.seed, epoch, index))
        return self.noise(clean, self._stream_of(epoch, index)), clean

    def _stream_of(self, epoch: int, index: int) -> np.random.Generator:
        """Return a new stream for a batch; also create those of the next batches."""
        with self._lock:
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
    """Callback that tells the training pairs the epoch, also after a resume.

    Args:
        pairs: the training pairs.
        before: epochs of earlier calls of `fit`, whose noise is not drawn again.
    """

    def __init__(self, pairs: NoisyCleanPairs, before: int = 0) -> None:
        super().__init__()
        self.pairs, self.before = pairs, before

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the epoch of the pairs."""
        self.pairs.epoch = self.before + epoch
