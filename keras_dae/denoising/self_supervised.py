"""Denoise an image with a small network that is trained on this image alone.

The method is Zero-Shot Noise2Noise (Y. Mansour and R. Heckel, "Zero-Shot Noise2Noise:
Efficient Image Denoising without any Data", CVPR 2023). Each 2x2 block gives two pixels
of half resolution, the means of its diagonals. If the noise is independent between
pixels, the two small images share their content but not their noise, so that each can
be the target of the other. Here the training steps use random crops, so that the time
does not grow with the size of the image.
"""

from typing import Any

import keras
import numpy as np
from keras import layers

from keras_dae.denoising.tile_model import TileModel
from keras_dae.images.io.pictures import Page, UnreadableError, to_unit
from keras_dae.system.streams import stream

STEPS = 1000
BATCH, CROP = 4, 48  # crops per step, and their side in pixels
SMALLEST = 16  # smallest side in pixels
FILTERS, SLOPE = 48, 0.2
LEARNING_RATE = 3e-3


def learn(
    page: Page,
    limits: tuple[float, float],
    *,
    seed: int = 0,
    steps: int = STEPS,
) -> keras.Model:
    """Return a model that is trained on `page` alone and denoises it.

    Args:
        page: an image of 1 or 3 channels with noise that is independent between
            pixels. Each side must be at least `SMALLEST`.
        limits: the values that are scaled to 0 and 1.
        seed: seed for the initial weights and the crops.
        steps: training steps.

    Returns:
        A model of images (N, H, W, C) of any height and width, float32 in [0, 1].

    Raises:
        UnreadableError: the image is too small.
    """
    height, width, channels = page.values.shape
    if min(height, width) < SMALLEST:
        raise UnreadableError(
            f"is {width}x{height} pixels; --self needs {SMALLEST}x{SMALLEST} or more"
        )
    denoiser = build(channels, seed)
    trainer = _trainer(denoiser)
    schedule = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    trainer.compile(keras.optimizers.Adam(schedule), loss="mse")
    trainer.fit(Crops(page, limits, seed, steps), epochs=1, shuffle=False, verbose=0)
    return denoiser


def build(channels: int, seed: int = 0) -> keras.Model:
    """Return an untrained model that subtracts the output of three convolutions.

    Args:
        channels: 1 or 3.
        seed: seed for the weights.
    """
    noisy = keras.Input((None, None, channels), name="noisy")
    # With centred and scaled inputs, training is several times faster.
    x = layers.Rescaling(4.0, offset=-2.0, name="centred")(noisy)
    for number, kernel in enumerate((3, 3)):
        x = layers.Conv2D(FILTERS, kernel, padding="same", name=f"conv{number}")(x)
        x = layers.LeakyReLU(negative_slope=SLOPE, name=f"relu{number}")(x)
    noise = layers.Conv2D(channels, 1, name="noise")(x)
    denoised = layers.Subtract(name="denoised")([noisy, noise])
    model = keras.Model(noisy, denoised, name="self_supervised")
    rng = stream("self weights", seed)
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D):
            kernel, bias = layer.get_weights()
            # He initialization; a small last layer, so that at first output = input.
            gain = 0.1 if layer.name == "noise" else np.sqrt(2)
            drawn = rng.standard_normal(kernel.shape, np.float32)
            drawn *= np.float32(gain / np.sqrt(np.prod(kernel.shape[:3])))
            layer.set_weights([drawn, np.zeros_like(bias)])
    return model


def halves(images: Any) -> tuple[Any, Any]:
    """Return the two half-resolution images of (N, H, W, C), both sides even.

    Each pixel is the mean of one diagonal of a 2x2 block.
    """
    one = (images[:, 0::2, 1::2] + images[:, 1::2, 0::2]) * 0.5
    other = (images[:, 0::2, 0::2] + images[:, 1::2, 1::2]) * 0.5
    return one, other


def _trainer(denoiser: keras.Model) -> keras.Model:
    """Return a model whose outputs are the four residuals to minimize.

    For each half, they are its denoised version minus the other half, and minus the
    same half of the denoised image.
    """
    channels = denoiser.input_shape[-1]
    noisy = keras.Input((None, None, channels), name="crops")
    one, other = halves(noisy)
    answer_one, answer_other = denoiser(one), denoiser(other)
    whole_one, whole_other = halves(denoiser(noisy))
    errors = layers.Concatenate(name="errors")(
        [
            answer_one - other,
            answer_other - one,
            answer_one - whole_one,
            answer_other - whole_other,
        ]
    )
    return keras.Model(noisy, errors, name="self_supervised_errors")


class Crops(keras.utils.PyDataset):  # type: ignore[misc]  # keras is untyped
    """Random crops of one page with targets of 0, one batch per step.

    Args:
        page: the image.
        limits: the values that are scaled to 0 and 1.
        seed: seed for the positions, combined with the step.
        steps: number of batches.
    """

    def __init__(
        self, page: Page, limits: tuple[float, float], seed: int, steps: int
    ) -> None:
        super().__init__()
        self.page, self.limits = page, limits
        self.seed, self.steps = seed, steps
        self.side = min(CROP, *page.values.shape[:2]) // 2 * 2

    def __len__(self) -> int:
        """Return the number of batches."""
        return self.steps

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return batch `index`: crops and zeros, float32 (BATCH, h, w, C)."""
        if not 0 <= index < self.steps:
            raise IndexError(f"batch {index} of {self.steps}")
        height, width, channels = self.page.values.shape
        rng, side = stream("crops", self.seed, index), self.side
        tops = rng.integers(0, height - side + 1, BATCH)
        lefts = rng.integers(0, width - side + 1, BATCH)
        crops = [
            self.page.values[top : top + side, left : left + side]
            for top, left in zip(tops, lefts, strict=True)
        ]
        unit = to_unit(np.stack(crops), *self.limits, self.page.inverted)
        half = side // 2
        return unit, np.zeros((BATCH, half, half, 4 * channels), np.float32)


def learn_tiles(page: Page, limits: tuple[float, float]) -> TileModel:
    """Return the model of `learn` as a `TileModel`."""
    return TileModel(learn(page, limits))
