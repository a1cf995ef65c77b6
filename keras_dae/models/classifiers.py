"""A small convolutional classifier, which measures how readable images are."""

from math import prod, sqrt

import keras
import numpy as np
from keras import layers

from keras_dae.system.numerics import float32

# (filters, side of the kernel, stride): a strided convolution, a second one followed by
# max pooling, and a third; about 56,000 weights at 28x28. There is no dropout, since
# random layers differ between backends.
LAYERS = ((24, 5, 2), (48, 3, 1), (48, 3, 1))
POOLED = 2  # number of the convolution before max pooling


@float32()
def build_classifier(
    image_shape: tuple[int, int, int], classes: int, *, seed: int = 0
) -> keras.Model:
    """Build a convolutional classifier of built-in layers.

    The input is float32 of shape (batch, H, W, C). The output is the probability of
    each class, (batch, classes).

    Args:
        image_shape: height, width and channels of the images.
        classes: number of classes.
        seed: seed for the weights, which are the same on every backend.
    """
    image = x = keras.Input(image_shape, name="image")
    for number, (filters, kernel, strides) in enumerate(LAYERS, 1):
        x = layers.Conv2D(
            filters,
            kernel,
            strides=strides,
            padding="same",
            activation="relu",
            data_format="channels_last",
            name=f"features_{number}",
        )(x)
        if number == POOLED and min(x.shape[1:3]) > 1:
            x = layers.MaxPooling2D(2, data_format="channels_last")(x)
    x = layers.Flatten(name="flat")(x)
    x = layers.Dense(classes, activation="softmax", name="probabilities")(x)
    model = keras.Model(image, x, name="classifier")
    rng = np.random.default_rng([seed])
    model.set_weights([_start(rng, kept.shape) for kept in model.get_weights()])
    return model


def _start(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw a kernel by He's normal initialization; biases start at 0."""
    if len(shape) == 1:
        return np.zeros(shape, "float32")
    kernel = rng.standard_normal(shape, dtype=np.float32)
    return kernel * np.float32(sqrt(2 / prod(shape[:-1])))
