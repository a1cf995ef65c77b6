"""Batches on the device that trains: drawn there, or copied while others are used."""

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

# Images of at most so many bytes are kept on the device for the whole run.
RESIDENT_BYTES = 1 << 32


class Carrier:
    """Copies items to the device of a run, from threads, beside its computations.

    For `NoisyCleanPairs.carrier`: `send` is called in the thread that drew an item,
    `receive` by whoever asked for it.
    """

    def __init__(self) -> None:
        self.device = torch.device(torch_device())
        self.stream: Any = None
        if self.device.type == "cuda":
            self.stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]

    def send(self, item: tuple[np.ndarray, ...]) -> tuple[tuple[Tensor, ...], Any]:
        """Begin to copy an item, from memory that the device reads by itself."""
        parts = tuple(torch.from_numpy(part) for part in item)
        if self.stream is None:
            return parts, None
        with torch.cuda.stream(self.stream):
            sent = tuple(
                part.pin_memory().to(self.device, non_blocking=True) for part in parts
            )
            return sent, self.stream.record_event()

    def receive(self, sent: tuple[tuple[Tensor, ...], Any]) -> tuple[Tensor, ...]:
        """Return the item; what is computed with it waits for the copy."""
        parts, copied = sent
        if copied is not None:
            current = torch.cuda.current_stream(self.device)
            current.wait_event(copied)
            for part in parts:  # its memory is not given away before
                part.record_stream(current)
        return parts


class DevicePairs(NoisyCleanPairs):
    """`NoisyCleanPairs` whose noise is drawn on the device that keras computes on.

    Images are in the order of `NoisyCleanPairs`. Noise comes from another generator, a
    pure function of (seed, epoch, batch) too: `keras_dae.training.fast.philox`. Items
    are tensors on the device. Images that fit there are copied once, as uint8 where
    they are uint8.

    Args:
        images: as of `NoisyCleanPairs`, with the rest.
        noise: one that `check_noise` lets pass.

    Raises:
        UsageError: a noise that is not drawn on a device.
    """

    def __init__(self, images: Images, noise: Noise | str, **options: Any) -> None:
        super().__init__(images, noise, **options)
        check_noise(self.noise)
        self.device = torch.device(torch_device())
        self._numbers: tuple[int, Tensor] | None = None
        # Tensors, since a GPU multiplies by the inverse of a number.
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
        # The last batch of an epoch may hold fewer images than the others.
        whole = min(last, len(self.images) // self.batch_size)
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
        """Return images `start` to `stop` of the epoch's order, normalised."""
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
        """Return images on the device: uint8, or float32 and normalised."""
        if images.dtype != np.uint8:
            images = normalise(images, self.low, self.high)
        moved = torch.from_numpy(np.ascontiguousarray(images))
        if self.device.type != "cuda":
            return moved.to(self.device)
        return moved.pin_memory().to(self.device, non_blocking=True)

    def _scaled(self, images: Tensor) -> Tensor:
        """Return images as `normalise` does: float32 in [0, 1]."""
        if images.dtype != torch.uint8:
            return images
        scaled = images.float().sub_(self._low).div_(self._reach)
        return scaled.clamp_(0, 1)


class HeldPairs(keras.utils.PyDataset):  # type: ignore[misc]  # keras is untyped
    """Frozen pairs in batches, held on the device that keras computes on.

    Args:
        arrays: noisy and clean images, and weights where there are any, each of N.
        batch_size: images of a batch.
    """

    def __init__(self, arrays: tuple[np.ndarray, ...], batch_size: int) -> None:
        super().__init__()
        device = torch.device(torch_device())
        self.parts = tuple(torch.from_numpy(part).to(device) for part in arrays)
        self.batch_size = batch_size

    def __len__(self) -> int:
        """Return the batches of one pass."""
        return -(-len(self.parts[0]) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        """Return batch `index`, float32 tensors of shape (batch, H, W, C)."""
        start = index * self.batch_size
        return tuple(part[start : start + self.batch_size] for part in self.parts)
