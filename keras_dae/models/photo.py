"""A small blind denoiser of photographs: its geometry as data, and its Keras model.

One convolution of stride 2 takes the image to half resolution, residual blocks work
there, one transposed convolution comes back, and the answer is the input minus the
noise found. No layer has a bias, so an image of twice the values gets an answer of
twice the values, and the net holds for noise levels that it never saw (S. Mohan et
al., "Robust and Interpretable Blind Image Denoising via Bias-Free CNNs", 2020).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from keras_dae.errors import check

ENDS = 4  # kernel of the first and the last convolution, whose stride is 2
KERNEL = 3
STRIDE = 2


@dataclass(frozen=True)
class PhotoSpec:
    """A denoiser of photographs as data: what `build_photo` builds.

    Attributes:
        channels: channels of the image, 1 (grey) or 3 (colour).
        blocks: residual blocks of two 3x3 convolutions at half resolution.
        filters: channels at half resolution.

    Raises:
        UsageError: a value below 1.
    """

    channels: int = 3
    blocks: int = 3
    filters: int = 64

    def __post_init__(self) -> None:
        for name in ("channels", "blocks", "filters"):
            value = getattr(self, name)
            check(value >= 1, f"{name} must be at least 1.", **{name: value})

    @property
    def parameters(self) -> int:
        """Weights of all kernels; there are no biases."""
        ends = 2 * ENDS**2 * self.channels * self.filters
        return ends + 2 * self.blocks * (KERNEL * self.filters) ** 2


def build_photo(spec: PhotoSpec) -> keras.Model:
    """Build the denoiser that `spec` describes, with He's normal weights.

    Input and output are float32 of shape (batch, H, W, channels), black 0 and white
    1. Height and width are open, and must be even: `pad_to` pads an image.

    Args:
        spec: the geometry.

    Example:
        >>> build_photo(PhotoSpec(channels=3)).output_shape
        (None, None, None, 3)
    """
    same = {"padding": "same", "use_bias": False, "data_format": "channels_last"}
    same["kernel_initializer"] = "he_normal"

    def conv(name: str, activation: str | None = None) -> layers.Layer:
        return layers.Conv2D(
            spec.filters, KERNEL, activation=activation, name=name, **same
        )

    noisy = keras.Input((None, None, spec.channels), name="noisy")
    x = layers.Conv2D(
        spec.filters, ENDS, strides=STRIDE, activation="relu", name="down", **same
    )(noisy)
    for number in range(1, spec.blocks + 1):
        inner = conv(f"block_{number}_a", "relu")(x)
        inner = conv(f"block_{number}_b")(inner)
        x = layers.Add(name=f"block_{number}")([x, inner])
    x = layers.Activation("relu", name="features")(x)
    noise = layers.Conv2DTranspose(
        spec.channels, ENDS, strides=STRIDE, name="noise", **same
    )(x)
    denoised = layers.Subtract(name="denoised")([noisy, noise])
    return keras.Model(noisy, denoised, name="photo")


def torch_weights(arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Return weights in the order of `get_weights()` from PyTorch's names and layout.

    Args:
        arrays: name -> kernel, as the training program saves them: `head.weight`,
            `enc.0.N.a.weight`, `enc.0.N.b.weight`, `tail.weight`.

    Raises:
        KeyError: an array that is not there.
    """
    blocks = sum(name.endswith(".a.weight") for name in arrays)
    inner = [f"enc.0.{n}.{part}" for n in range(blocks) for part in "ab"]
    names = ["head", *inner, "tail"]
    return [arrays[f"{name}.weight"].transpose(2, 3, 1, 0) for name in names]
