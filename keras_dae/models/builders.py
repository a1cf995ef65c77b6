"""Build a functional Keras model from a `DAESpec`, and split it in two."""

from collections.abc import Collection, Iterator
from itertools import pairwise
from math import log, prod, sqrt

import keras
import numpy as np
from keras import layers

from keras_dae.errors import KerasDAEError
from keras_dae.models.architectures import DAESpec
from keras_dae.system.numerics import float32
from keras_dae.system.streams import stream

# The sigmoid of -2 is about the mean pixel of MNIST. With an initial bias of 0 the
# output would be 0.5 everywhere. The first updates would then lower every pixel and
# kill the ReLUs before it, and the model would output black images forever.
DEFAULT_OUTPUT_BIAS = -2.0
# The last kernel starts at a tenth of the He scale. The initial output is then the mean
# pixel, and not noise; suppressing that noise would kill latent maps.
OUTPUT_SCALE = 0.1
# Initial bias of the latent. A positive bias activates all maps from the first step.
# With a bias of 0, some maps die (docs/families.md), and DAE_1_13, a single
# convolution, reaches one of several minima, depending on the seed.
LATENT_BIAS = 1.0
LATENT_BIASES = {1: 0.5}  # depth -> initial bias, if it is another


@float32()
def build(
    spec: DAESpec,
    *,
    seed: int = 0,
    output_bias: float = DEFAULT_OUTPUT_BIAS,
    latent_bias: float | None = None,
) -> keras.Model:
    """Build the denoising autoencoder that `spec` describes (paper, section 3.2).

    Input and output are float32 of shape (batch, H, W, C), the output in (0, 1).
    A ReLU follows each layer except the last, which has a sigmoid. A residual block is
    ReLU(x + second(first(x))), with a ReLU between the two layers. The model has only
    built-in layers, so `keras.models.load_model` can load its file. The bottleneck is
    `model.get_layer("latent")`.

    Args:
        spec: the architecture, from `keras_dae.models.architectures.plan`.
        seed: seed for the weights, which are the same on every backend.
        output_bias: initial bias of the last layer, `logit(mean pixel)` of the training
            images.
        latent_bias: initial bias of the latent; None means 0.5 at depth 1, else 1.

    Example:
        >>> build(plan(depth=5, latent=13)).output_shape
        (None, 28, 28, 1)
    """
    noisy = x = taken = keras.Input(spec.image_shape, name="noisy")
    begin = {*spec.blocks, *(2 * spec.depth - 2 - place for place in spec.blocks)}
    for place, layer in enumerate(_layers(spec, begin)):
        if place in begin:
            taken = x
        x = layer(x)
        if place - 1 in begin:
            x = layers.Add(name=f"{layer.name}_sum")([taken, x])
            x = layers.Activation("relu", name=f"{layer.name}_relu")(x)
    model = keras.Model(noisy, x, name=spec.name)
    model.set_weights(
        initial_weights(
            spec, seed=seed, output_bias=output_bias, latent_bias=latent_bias
        )
    )
    return model


def _layers(spec: DAESpec, begin: Collection[int]) -> Iterator[layers.Layer]:
    """Yield convolutions, then their mirrors; after one of `begin` none has a ReLU."""
    for place, row in enumerate(spec.layers):
        yield layers.Conv2D(
            row.filters,
            row.kernel_size,
            strides=row.strides,
            padding=row.padding,
            activation="linear" if place - 1 in begin else "relu",
            kernel_initializer="he_normal",
            data_format="channels_last",
            name="latent" if place + 1 == spec.depth else f"encoder_{place + 1}",
        )
    mirrored = zip(reversed(spec.layers), reversed(spec.widths[:-1]), strict=True)
    for number, (row, filters) in enumerate(mirrored, 1):
        second, last = spec.depth + number - 2 in begin, number == spec.depth
        yield layers.Conv2DTranspose(
            filters,
            row.kernel_size,
            strides=row.strides,
            padding=row.padding,
            # Since the division is exact, the transposed convolution needs no output
            # padding. The default of keras would add it if the kernel is below the
            # stride.
            output_padding=0 if row.padding == "valid" else None,
            activation="sigmoid" if last else "linear" if second else "relu",
            kernel_initializer="he_normal",
            data_format="channels_last",
            name="denoised" if last else f"decoder_{number}",
        )


def initial_weights(
    spec: DAESpec, *, seed: int, output_bias: float, latent_bias: float | None = None
) -> list[np.ndarray]:
    """Draw the initial weights, in the order of `model.get_weights()`.

    They follow He's normal initialization, with each kernel centred (see `he_normal`).
    The fan-in of a transposed convolution is that of one output pixel, `in * (kernel /
    strides)**2`. The last kernel of a residual block is 0, so that the block starts as
    the identity. NumPy draws them, so that they are the same on every backend.
    """
    rng = stream("weights", seed)
    weights: list[np.ndarray] = []
    steps = list(zip(spec.layers, pairwise(spec.widths), strict=True))
    for row, (given, made) in steps:
        shape = (row.kernel_size, row.kernel_size, given, made)
        kernel = he_normal(rng, shape, prod(shape[:3]), inputs=2)
        weights += [kernel, np.zeros(made, "float32")]
    if latent_bias is None:
        latent_bias = LATENT_BIASES.get(spec.depth, LATENT_BIAS)
    weights[-1] += np.float32(latent_bias)
    for row, (made, given) in reversed(steps):
        # keras stores the kernel of a transposed convolution as (height, width, out,
        # in).
        shape = (row.kernel_size, row.kernel_size, made, given)
        seen = given * (row.kernel_size / row.strides) ** 2
        kernel = he_normal(rng, shape, seen, inputs=3)
        weights += [kernel, np.zeros(made, "float32")]
    for place in spec.blocks:  # a kernel and a bias per layer
        for second in (place + 1, 2 * spec.depth - 1 - place):
            weights[2 * second][:] = 0
    weights[-2] *= np.float32(OUTPUT_SCALE)
    weights[-1] += np.float32(output_bias)
    return weights


def he_normal(
    rng: np.random.Generator, shape: tuple[int, ...], fan_in: float, inputs: int
) -> np.ndarray:
    """Draw a kernel with zero mean per output channel.

    The output of a ReLU is not negative. A kernel with a negative sum would map it to
    values below 0 almost everywhere, and the next ReLU would be dead. With only four
    latent maps, one dead map matters.
    """
    kernel = rng.standard_normal(shape, dtype=np.float32)
    kernel *= np.float32(sqrt(2 / fan_in))
    kernel -= kernel.mean(axis=(0, 1, inputs), keepdims=True)
    return kernel


def output_bias(mean_pixel: float) -> float:
    """Return `logit(mean_pixel)`, for which the initial output is the mean pixel.

    Args:
        mean_pixel: mean of the clean training images in [0, 1]; clipped to a distance
            of 0.01 from 0 and 1.
    """
    mean = min(max(mean_pixel, 0.01), 0.99)
    return log(mean / (1 - mean))


@float32()
def encoder(model: keras.Model) -> keras.Model:
    """Return the part from the noisy image to the latent; weights are shared.

    Raises:
        KerasDAEError: the model has no layer named 'latent'.
    """
    latent = _latent(model)
    (noisy,) = model.inputs
    return keras.Model(noisy, latent.output, name=f"{model.name}_encoder")


@float32()
def decoder(model: keras.Model) -> keras.Model:
    """Return the part from the latent to the denoised image; weights are shared.

    Raises:
        KerasDAEError: the model has no layer named 'latent'.
    """
    latent = _latent(model)
    after = model.layers[model.layers.index(latent) + 1 :]
    start = keras.Input(latent.output.shape[1:], name="latent_values")
    made = {id(latent.output): start}  # id of a tensor -> its replacement
    for layer in after:
        several = isinstance(layer.input, list)
        given = [made[id(x)] for x in (layer.input if several else [layer.input])]
        made[id(layer.output)] = layer(given if several else given[0])
    (denoised,) = model.outputs
    return keras.Model(start, made[id(denoised)], name=f"{model.name}_decoder")


def _latent(model: keras.Model) -> keras.layers.Layer:
    try:
        return model.get_layer("latent")
    except ValueError as error:
        raise KerasDAEError(
            f"The model {model.name} has no layer named 'latent', so it cannot be "
            "split into encoder and decoder."
        ) from error
