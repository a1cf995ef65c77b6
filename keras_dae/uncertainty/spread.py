"""Predict the spread of a pixel: a bound that nine in ten errors do not exceed.

It is the product of two factors. A table maps the output to the quantile of its error.
A small convolutional network corrects it from the noisy image and the surrounding
outputs. The network starts with a correction of 1, and is trained with the pinball
loss: the mean width plus the weighted excess of errors.
"""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_dae.evaluation.engines import model_denoiser
from keras_dae.system.numerics import float32

ENTRIES = 64  # entries of the table
CHANNELS, KERNEL = 8, 5
REACH = 2 * (KERNEL // 2)  # radius of the receptive field in pixels
TINY = 1e-12  # added to errors and outputs before taking logarithms
MOST_CORRECTION = 3.0  # limit of the logarithm: a factor of 20 in either direction
ROWS_AT_ONCE = 1 << 20  # pixels per band of a large image
EPOCHS, BATCH, RATE = 2, 32, 0.01


def _logit(answer: np.ndarray) -> np.ndarray:
    value = answer.astype(np.float64).clip(0, 1)
    return np.log(value + TINY) - np.log(1 - value + TINY)


def fit_table(answer: np.ndarray, error: np.ndarray, level: float) -> np.ndarray:
    """Return the quantile of the error as a function of the output, as a table.

    Args:
        answer: denoised values in [0, 1], any shape.
        error: absolute errors, same shape.
        level: the quantile, in (0, 1).

    Returns:
        (2, entries): logits of outputs, ascending, and logarithms of the quantiles.
    """
    places, errors = _logit(answer).ravel(), error.astype(np.float64).ravel()
    order = np.argsort(places, kind="stable")
    parts = [one for one in np.array_split(order, ENTRIES) if len(one)]
    rows = {
        float(places[part].mean()): float(
            np.log(np.quantile(errors[part], level) + TINY)
        )
        for part in parts
    }  # of bins with the same output, the last one counts
    return np.array(sorted(rows.items())).T


class Spread:
    """The predicted spread of the outputs of any denoiser.

    Args:
        table: result of `fit_table`.
        network: features (N, H, W, 3 C) -> corrections (N, H, W, C), logarithms.
    """

    def __init__(self, table: np.ndarray, network: keras.Model) -> None:
        self.table, self.network = table, network
        self._correct = model_denoiser(network)

    @property
    def channels(self) -> int:
        """Channels of the images."""
        return int(self.network.output_shape[-1])

    def by_table(self, answer: np.ndarray) -> np.ndarray:
        """Return the spread from the output alone, in its shape."""
        found: np.ndarray = np.exp(np.interp(_logit(answer), *self.table))
        return found

    def __call__(self, noisy: np.ndarray, answer: np.ndarray) -> np.ndarray:
        """Return the predicted spread of outputs, float32 from 1e-12 to 1.

        Args:
            noisy: the input, float32 (N, H, W, C) in [0, 1].
            answer: the outputs, same shape.
        """
        if answer.shape[3] != self.channels:
            return self._of_other_channels(noisy, answer)
        height = answer.shape[1]
        rows = max(1, ROWS_AT_ONCE // max(1, answer.shape[2]))
        found = np.empty(answer.shape, np.float32)
        for top in range(0, height, rows):
            first, last = max(0, top - REACH), min(height, top + rows + REACH)
            band = self._band(noisy[:, first:last], answer[:, first:last])
            found[:, top : top + rows] = band[:, top - first :][:, :rows]
        return found

    def _of_other_channels(self, noisy: np.ndarray, answer: np.ndarray) -> np.ndarray:
        """Return the spread for each colour, or for grey repeated to three channels."""
        if self.channels == 1:
            colours = range(answer.shape[3])
            parts = [
                self(noisy[..., one : one + 1], answer[..., one : one + 1])
                for one in colours
            ]
            return np.concatenate(parts, axis=3)
        found = self(np.repeat(noisy, 3, axis=3), np.repeat(answer, 3, axis=3))
        grey: np.ndarray = found.mean(axis=3, keepdims=True)
        return grey

    def _band(self, noisy: np.ndarray, answer: np.ndarray) -> np.ndarray:
        by_table = self.by_table(answer)
        found = self._correct(features(noisy, answer, by_table))
        found = found.clip(-MOST_CORRECTION, MOST_CORRECTION)
        spread: np.ndarray = (by_table * np.exp(found)).clip(TINY, 1)
        return spread.astype(np.float32)


def features(noisy: np.ndarray, answer: np.ndarray, by_table: np.ndarray) -> np.ndarray:
    """Return the input of the network, float32 (N, H, W, 3 C)."""
    parts = [noisy - 0.5, answer - 0.5, np.log(by_table) / 10]
    return np.concatenate(parts, axis=-1).astype(np.float32)


@float32()
def build(channels: int, seed: int = 0) -> keras.Model:
    """Return the network, with initial corrections of 0."""
    inputs = keras.Input((None, None, 3 * channels))
    hidden = keras.layers.Conv2D(
        CHANNELS * channels,
        KERNEL,
        padding="same",
        activation="relu",
        kernel_initializer=keras.initializers.GlorotUniform(seed),
    )(inputs)
    last = keras.layers.Conv2D(
        channels, KERNEL, padding="same", kernel_initializer="zeros"
    )
    return keras.Model(inputs, last(hidden), name="spread")


def shapes(channels: int) -> list[tuple[int, ...]]:
    """Return the shapes of the weights of the network, in order."""
    hidden = CHANNELS * channels
    return [
        (KERNEL, KERNEL, 3 * channels, hidden),
        (hidden,),
        (KERNEL, KERNEL, hidden, channels),
        (channels,),
    ]


def with_weights(
    table: np.ndarray, weights: Iterable[np.ndarray], channels: int
) -> Spread:
    """Return a spread from its table and weights."""
    network = build(channels)
    network.set_weights(list(weights))
    return Spread(table, network)


@float32()
def fit_spread(
    noisy: np.ndarray,
    answer: np.ndarray,
    clean: np.ndarray,
    *,
    level: float,
    seed: int = 0,
    callbacks: Iterable[keras.callbacks.Callback] = (),
) -> Spread:
    """Fit the spread of a denoiser's outputs on training images.

    Args:
        noisy: noisy training images, float32 (N, H, W, C) in [0, 1].
        answer: the outputs of the denoiser.
        clean: the clean images.
        level: the share of pixels whose error the spread should bound.
        seed: seed for the initial weights.
        callbacks: Keras callbacks.
    """
    error = np.abs(answer - clean)
    network = build(answer.shape[-1], seed)
    spread = Spread(fit_table(answer, error, level), network)
    by_table = spread.by_table(answer)
    batches = -(-len(noisy) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(RATE, EPOCHS * batches)
    network.compile(keras.optimizers.Adam(rate), loss=_pinball(level))
    network.fit(
        features(noisy, answer, by_table),
        np.concatenate([error, by_table], axis=-1).astype(np.float32),
        batch_size=BATCH,
        epochs=EPOCHS,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
    )
    return Spread(spread.table, network)


def _pinball(level: float) -> Any:
    """Return the loss of corrections, given errors and spreads from the table."""

    def loss(target: Any, correction: Any) -> Any:
        channels = correction.shape[-1]
        error, by_table = target[..., :channels], target[..., channels:]
        beyond = error - by_table * keras.ops.exp(correction)
        return keras.ops.mean(keras.ops.maximum(level * beyond, (level - 1) * beyond))

    return loss
