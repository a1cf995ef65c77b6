"""Batches on the training device: drawn there, or copied in advance."""

from typing import Any

import keras
import numpy as np
import torch
from torch import Tensor

from keras_dae.images.noise import Noise
from keras_dae.images.pairs import NoisyCleanPairs
from keras_dae.images.rows import Images, normalise
from keras_dae.system.private import torch_device
from keras_dae.training.fast.noise import add_noise, check_noise
from keras_dae.training.fast.philox import Draw

# Images of at most this many bytes stay on the device during the run.
RESIDENT_BYTES = 1 << 32


class Carrier:
    """Copies items to the device in threads, in parallel with computations.

    It is used as `NoisyCleanPairs.carrier`: `send` is called in the thread that drew an
    item, `receive` where the item is used.
    """

    def __init__(self) -> None:
        self.device = torch.device(torch_device())
        self.stream: Any = None
        if self.device.type == "cuda":
            self.stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]

    def send(self, item: tuple[np.ndarray, ...]) -> tuple[tuple[Tensor, ...], Any]:
        """Start to copy an item from pinned memory."""
        parts = tuple(torch.from_numpy(part) for part in item)
        if self.stream is None:
            return parts, None
        with torch.cuda.stream(self.stream):
            sent = tuple(
                part.pin_memory().to(self.device, non_blocking=True) for part in parts
            )
            return sent, self.stream.record_event()

    def receive(self, sent: tuple[tuple[Tensor, ...], Any]) -> tuple[Tensor, ...]:
        """Return the item; computations with it wait for the copy."""
        parts, copied = sent
        if copied is not None:
            current = torch.cuda.current_stream(self.device)
            current.wait_event(copied)
            for part in parts:  # prevents early reuse of its memory
                part.record_stream(current)
        return parts


class DevicePairs(NoisyCleanPairs):
    """`NoisyCleanPairs` whose noise is drawn on the device of keras.

    The order of images is that of `NoisyCleanPairs`. The noise is drawn by another
    generator, which is also a pure function of (seed, epoch, batch):
    `keras_dae.training.fast.philox`. Items are tensors on the device. Images that fit
    there are copied once, as uint8 if they are uint8.

    Args:
        images: as in `NoisyCleanPairs`, like the remaining arguments.
        noise: a noise that `check_noise` accepts.

    Raises:
        UsageError: the noise cannot be drawn on a device.
    """

    def __init__(self, images: Images, noise: Noise | str, **options: Any) -> None:
        super().__init__(images, noise, **options)
        check_noise(self.noise)
        self.device = torch.device(torch_device())
        self._numbers: tuple[int, Tensor] | None = None
        # Tensors, since a GPU multiplies by the reciprocal of a number.
        limits = np.array([self.low, self.high - self.low], np.float32)
        self._low, self._reach = torch.from_numpy(limits).to(self.device)
        width = 1 if self.images.dtype == np.uint8 else 4
        held = isinstance(self.images, np.ndarray)
        self._resident: Tensor | None = None
        if held and self.images.size * width <= RESIDENT_BYTES:
            self._resident = self._moved(self.images[:])

    def _item(self, epoch: int, index: int) -> Any:
        first = index * self.at_once
        last = min(first + self.at_once, self.batches)
        clean = self._clean(epoch, first * self.batch_size, last * self.batch_size)
        # The last batch of an epoch can be smaller.
        whole = min(last, self.images_per_epoch // self.batch_size)
        taken = (whole - first) * self.batch_size
        parts = []
        if whole > first:
            parts.append(self._noisy(epoch, range(first, whole), clean[:taken]))
        if last > whole:
            parts.append(self._noisy(epoch, range(whole, last), clean[taken:]))
        return torch.cat(parts) if len(parts) > 1 else parts[0], clean

    def _noisy(self, epoch: int, batches: range, clean: Tensor) -> Tensor:
        _, *image = clean.shape
        shape = (len(clean) // len(batches), *image)
        draw = Draw(self.seed, epoch, batches, shape, self.device)  # type: ignore[arg-type]
        return add_noise(self.noise, clean, draw)

    def _clean(self, epoch: int, start: int, stop: int) -> Tensor:
        """Return images `start` to `stop` of the epoch's order, normalized."""
        if self._resident is not None:
            return self._scaled(self._resident[self._order_there(epoch)[start:stop]])
        rows = self._order_of(epoch)[start:stop]
        return self._scaled(self._moved(self._images_of(epoch)[rows]))

    def _order_there(self, epoch: int) -> Tensor:
        kept = self._numbers
        if kept is None or kept[0] != epoch:
            order = torch.from_numpy(self._order_of(epoch).astype(np.int64))
            kept = self._numbers = (epoch, order.to(self.device))
        return kept[1]

    def _moved(self, images: np.ndarray) -> Tensor:
        """Return images on the device: uint8, or float32 and normalized."""
        if images.dtype != np.uint8:
            images = normalise(images, self.low, self.high)
        moved = torch.from_numpy(np.ascontiguousarray(images))
        if self.device.type != "cuda":
            return moved.to(self.device)
        return moved.pin_memory().to(self.device, non_blocking=True)

    def _scaled(self, images: Tensor) -> Tensor:
        """Return images scaled as in `normalise`: float32 in [0, 1]."""
        if images.dtype != torch.uint8:
            return images
        scaled = images.float().sub_(self._low).div_(self._reach)
        return scaled.clamp_(0, 1)


class HeldPairs(keras.utils.PyDataset):  # type: ignore[misc]  # keras is untyped
    """Frozen pairs in batches, stored on the device of keras.

    Args:
        arrays: noisy and clean images, and weights if there are any, N of each.
        batch_size: images per batch.
    """

    def __init__(self, arrays: tuple[np.ndarray, ...], batch_size: int) -> None:
        super().__init__()
        device = torch.device(torch_device())
        self.parts = tuple(torch.from_numpy(part).to(device) for part in arrays)
        self.batch_size = batch_size

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-len(self.parts[0]) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        """Return batch `index`, float32 tensors of shape (batch, H, W, C)."""
        start = index * self.batch_size
        return tuple(part[start : start + self.batch_size] for part in self.parts)
