"""A small blind denoiser of photographs: its geometry as data, and its Keras model.

One convolution of stride 2 takes the image to half resolution, residual blocks work
there, one transposed convolution comes back, and the answer is the input minus the
noise found. No layer has a bias, so an image of twice the values gets an answer of
twice the values, and the net holds for noise levels that it never saw (S. Mohan et
al., "Robust and Interpretable Blind Image Denoising via Bias-Free CNNs", 2020).
"""

from collections.abc import Mapping
from math import sqrt

import keras
import numpy as np
from keras import layers

from keras_dae.models.photo_spec import ENDS, KERNEL, PHOTO, STRIDE, PhotoSpec
from keras_dae.system.streams import stream

__all__ = ["PhotoSpec", "build_photo", "initial_weights", "torch_weights"]

# Of the start: the last kernel of each block, and the one that answers the noise.
BLOCK_SCALE, NOISE_SCALE = 0.3, 0.1


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
    return keras.Model(noisy, denoised, name=PHOTO)


def initial_weights(spec: PhotoSpec, seed: int) -> list[np.ndarray]:
    """Draw the starting weights, in the order of `get_weights()`.

    Normal numbers of variance 1 by the fan-in, where a block starts near the identity
    and the model near its input. Drawn in NumPy: every backend starts alike.

    Args:
        spec: the geometry.
        seed: what they are drawn from.
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
    seen = wide * (ENDS / STRIDE) ** 2  # kernels that meet in one pixel of the answer
    last = kernel(ENDS, spec.channels, wide, seen) * np.float32(NOISE_SCALE)
    return [*weights, last]


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
