"""A small blind denoiser of photographs: specification and Keras model.

A convolution of stride 2 reduces the image to half resolution. Residual blocks follow,
and a transposed convolution restores the resolution. The output is the input minus the
estimated noise. No layer has a bias, so doubling the input doubles the output, and the
network generalizes to noise levels that it was not trained on (S. Mohan et al., "Robust
and Interpretable Blind Image Denoising via Bias-Free CNNs", 2020).
"""

from collections.abc import Mapping
from math import sqrt

import keras
import numpy as np
from keras import layers

from keras_dae.models.photo_spec import ENDS, KERNEL, PHOTO, STRIDE, PhotoSpec
from keras_dae.system.streams import stream

__all__ = ["PhotoSpec", "build_photo", "initial_weights", "torch_weights"]

# Initial scale of the last kernel of each block, and of the kernel that outputs the
# noise.
BLOCK_SCALE, NOISE_SCALE = 0.3, 0.1


def build_photo(spec: PhotoSpec) -> keras.Model:
    """Build the denoiser that `spec` describes, with He normal weights.

    Input and output are float32 of shape (batch, H, W, channels), with black 0 and
    white 1. Height and width are variable and must be even: `pad_to` pads an image.

    Args:
        spec: the specification.

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
    return keras.Model(noisy, denoised, name=PHOTO)


def initial_weights(spec: PhotoSpec, seed: int) -> list[np.ndarray]:
    """Draw the initial weights, in the order of `get_weights()`.

    They are normal with a variance by the fan-in. Blocks start near the identity, and
    the model near its input. NumPy draws them, so that they are the same on every
    backend.

    Args:
        spec: the specification.
        seed: seed for the weights.
    """
    rng = stream("photo weights", seed)

    def kernel(side: int, given: int, made: int, fan_in: float) -> np.ndarray:
        drawn = rng.standard_normal((side, side, given, made), dtype=np.float32)
        return drawn * np.float32(sqrt(1 / fan_in))

    wide, inside = spec.filters, KERNEL**2 * spec.filters
    weights = [kernel(ENDS, spec.channels, wide, ENDS**2 * spec.channels)]
    for _ in range(spec.blocks):
        weights.append(kernel(KERNEL, wide, wide, inside))
        weights.append(kernel(KERNEL, wide, wide, inside) * np.float32(BLOCK_SCALE))
    seen = wide * (ENDS / STRIDE) ** 2  # fan-in of one output pixel
    last = kernel(ENDS, spec.channels, wide, seen) * np.float32(NOISE_SCALE)
    return [*weights, last]


def torch_weights(arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Convert weights from PyTorch's names and layout to the order of `get_weights()`.

    Args:
        arrays: name -> kernel, as saved by the training program: `head.weight`,
            `enc.0.N.a.weight`, `enc.0.N.b.weight`, `tail.weight`.

    Raises:
        KeyError: an array is missing.
    """
    blocks = sum(name.endswith(".a.weight") for name in arrays)
    inner = [f"enc.0.{n}.{part}" for n in range(blocks) for part in "ab"]
    names = ["head", *inner, "tail"]
    return [arrays[f"{name}.weight"].transpose(2, 3, 1, 0) for name in names]
