"""Training targets: clean images, or targets made from noisy images alone.

- `noisy`: the input and the target are two noisy copies of an image (J. Lehtinen et
  al., "Noise2Noise", ICML 2018).
- `blind-spot`: there is one noisy copy of each image. Some of its pixels are hidden
  from the model, and only these count in the loss (J. Batson and L. Royer,
  "Noise2Self", ICML 2019).
- `split`: there is one noisy copy of each image. More noise is added to it, and the
  target is unbiased given the sum; see `keras_dae.images.split`.
- `r2r`: `split` for noise that is not clipped (T. Pang et al., "Recorrupted-to-
  Recorrupted", CVPR 2021).

`noisy` and `blind-spot` apply `unbiased.target_of` to their targets, so that clipping
does not bias the model. The noisy copy is the same as in training on clean targets. If
the images are already noisy (`noisy_images`), the noisy copy is the image itself.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_dae.errors import check
from keras_dae.images.frozen import FROZEN_BLOCK, FrozenPairs
from keras_dae.images.noise import Gaussian, Noise
from keras_dae.images.pairs import NoisyCleanPairs
from keras_dae.images.rows import Images
from keras_dae.images.split import recorrupt, split_target
from keras_dae.images.unbiased import check_mean, is_clipped, target_of
from keras_dae.system.streams import stream

CLEAN = "clean"
GRID = 4  # one pixel in GRID x GRID is hidden
MEASURED_IMAGES = 4096  # enough to estimate the mean target to within 0.001
Batch = tuple[np.ndarray, ...]


def noisy_targets(
    noisy: np.ndarray, clean: np.ndarray, noise: Noise, rng: np.random.Generator
) -> Batch:
    """Return (noisy, target): the target is another noisy copy, made unbiased."""
    return noisy, target_of(noise)(noise(clean, rng))


def blind_spot_targets(
    noisy: np.ndarray, clean: np.ndarray, noise: Noise, rng: np.random.Generator
) -> Batch:
    """Return (masked, target, weights) from one noisy copy alone.

    Args:
        noisy: (N, H, W, C), each side at least 2 pixels.
        clean: not used.
        noise: the noise in `noisy`.
        rng: random generator for the hidden pixels.

    Returns:
        The noisy images with one pixel in `GRID` x `GRID` replaced by the mean of its
        eight neighbours; the targets made unbiased; and weights (N, H, W), which are 0
        for pixels that were not replaced and have mean 1 in each image.
    """
    hidden = _hidden(noisy.shape, rng)
    masked = np.where(hidden[..., None], _neighbours(noisy), noisy)
    share = hidden.mean(axis=(1, 2), keepdims=True, dtype=np.float32)
    return masked, target_of(noise)(noisy), hidden / share


def split_targets(
    noisy: np.ndarray, clean: np.ndarray, noise: Noise, rng: np.random.Generator
) -> Batch:
    """Return (noisier, target) from one noisy copy alone; see `keras_dae.images.split`.

    Args:
        noisy: (N, H, W, C).
        clean: not used.
        noise: the noise in `noisy`: Gaussian with a single sigma.
        rng: random generator for the additional noise.
    """
    if is_clipped(noise):
        return split_target(noise.sigma)(noisy, rng)
    return recorrupt(noisy, noise(np.zeros_like(noisy), rng))


TARGETS: dict[str, Callable[..., Batch]] = {
    "noisy": noisy_targets,
    "blind-spot": blind_spot_targets,
    "split": split_targets,
    "r2r": split_targets,
}


def training_pairs(
    targets: str,
    images: Images,
    noise: Noise,
    *,
    noisy_images: bool = False,
    **options: Any,
) -> NoisyCleanPairs:
    """Return the training batches for `targets`; for the rest see `TargetPairs`.

    Raises:
        UsageError: the targets are unknown, or need images without noise.
    """
    if targets == CLEAN and not noisy_images:
        return NoisyCleanPairs(images, noise, **options)
    return TargetPairs(targets, images, noise, noisy_images=noisy_images, **options)


class TargetPairs(NoisyCleanPairs):
    """Training batches whose targets are not clean images.

    `pairs[i]` is the result of a row of `TARGETS`. It depends on `(seed, epoch, i)`
    only. The random numbers of the row come from a separate stream.

    Args:
        targets: a row of `TARGETS`.
        images: as in `NoisyCleanPairs`, like the remaining arguments.
        noise: noise that `unbiased.target_of` supports.
        noisy_images: whether the images are already noisy; then no noise is added.

    Raises:
        UsageError: the targets are unknown or need images without noise, or the mean
            of the noise cannot be corrected.
    """

    def __init__(
        self,
        targets: str,
        images: Images,
        noise: Noise,
        *,
        noisy_images: bool = False,
        **options: Any,
    ) -> None:
        check_targets(targets, noise, noisy_images)
        super().__init__(images, _added(noise, noisy_images), **options)
        self.targets, self.made_with = targets, noise

    def _item(self, epoch: int, index: int) -> Any:
        noisy, clean = super()._item(epoch, index)
        first = index * self.at_once
        batches = [
            TARGETS[self.targets](
                noisy[start : start + self.batch_size],
                clean[start : start + self.batch_size],
                self.made_with,
                stream("targets", self.seed, epoch, first + number),
            )
            for number, start in enumerate(range(0, len(noisy), self.batch_size))
        ]
        return _joined(batches)

    def mean_target(self) -> float:
        """Return the mean target of the first images of epoch 0: the mean pixel."""
        count = min(self.batches, -(-MEASURED_IMAGES // self.batch_size))
        items = range(-(-count // self.at_once))
        total = [self._item(0, index)[1].mean(dtype=np.float64) for index in items]
        return float(np.mean(total))


class FrozenTargets(FrozenPairs):
    """Frozen validation batches whose targets are not clean images.

    The noisy images are those of `FrozenPairs`.

    Args:
        targets: a row of `TARGETS`.
        images: as in `FrozenPairs`, like the remaining arguments.
        noise: noise that `unbiased.target_of` supports.
        noisy_images: as in `TargetPairs`.
    """

    def __init__(
        self,
        targets: str,
        images: Images,
        noise: Noise,
        *,
        noisy_images: bool = False,
        **options: Any,
    ) -> None:
        check_targets(targets, noise, noisy_images)
        super().__init__(images, _added(noise, noisy_images), **options)
        self.targets, self.made_with = targets, noise

    def block(self, number: int) -> Any:
        """Draw block `number` with a row of `TARGETS`."""
        noisy, clean = super().block(number)
        rng = stream("frozen targets", self.seed, number)
        return TARGETS[self.targets](noisy, clean, self.made_with, rng)

    def arrays(self) -> Batch:
        """Return all blocks, each part as one array."""
        blocks = range(-(-len(self.images) // FROZEN_BLOCK))
        return _joined([self.block(number) for number in blocks])


def check_targets(targets: str, noise: Noise, noisy_images: bool = False) -> None:
    """Raise an error if targets are unknown or do not fit the noise or the images.

    Raises:
        UsageError: the targets do not fit.
    """
    known = (CLEAN, *TARGETS)
    check(
        targets in known, f"targets must be one of {', '.join(known)}.", targets=targets
    )
    check(
        not noisy_images or targets == "blind-spot",
        "Noisy images need targets=blind-spot: there is no clean image and no "
        "second noisy copy, and their sigma is not known exactly.",
        targets=targets,
    )
    check_mean(targets, noise)


def _added(noise: Noise, noisy_images: bool) -> Noise:
    """Return the noise to add to the images: none if they are already noisy."""
    return Gaussian(0.0) if noisy_images else noise


def _joined(batches: list[Batch]) -> Batch:
    if len(batches) == 1:
        return batches[0]
    return tuple(np.concatenate(part) for part in zip(*batches, strict=True))


def _hidden(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Draw a position of the grid per image; return a mask of its pixels, (N, H, W)."""
    number, height, width, _ = shape
    grid = min(GRID, height, width)
    rows, columns = rng.integers(0, grid, (2, number, 1))
    on_row = np.arange(height) % grid == rows
    on_column = np.arange(width) % grid == columns
    hidden: np.ndarray = on_row[:, :, None] & on_column[:, None, :]
    return hidden


def _neighbours(images: np.ndarray) -> np.ndarray:
    """Return the mean of the eight neighbours of each pixel, with reflected edges."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    # The pixel itself is never added, so that not even rounding reveals it.
    beside = padded[:, :-2] + padded[:, 2:]
    total = beside[:, :, :-2] + beside[:, :, 1:-1] + beside[:, :, 2:]
    total += padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]
    mean: np.ndarray = total / np.float32(8)
    return mean
