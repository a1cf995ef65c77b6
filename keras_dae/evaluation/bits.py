"""Encode latents as bytes with a uniform quantizer and a range coder, and decode them.

The numbers of a latent are coded in order, each with a histogram of training latents.
Each number has several histograms. A linear prediction from the numbers before it
(neighbours and other channels), which the decoder also knows, selects one. The
prediction uses integers, so that encoder and decoder obtain the same result.

The range coder is that of the package constriction (Bamler 2022, "Understanding Entropy
Coding With Asymmetric Numeral Systems (ANS): a Statistician's Perspective"), in the
extra `bits`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular

from keras_dae.errors import KerasDAEError, check

CONTEXTS = 16  # histograms per number
WEIGHT_SCALE = 1 << 12  # factors of a prediction are multiples of 1 / this
PRIOR = 4.0  # weight of the common histogram in each one, in training latents
QUANTILE_IMAGES = 4000  # training latents used to find the edges of contexts
MAX_VALUES = 4096  # limit per latent, since the prediction has its square as factors
MAX_SYMBOL = 1 << 20  # limit that keeps integer predictions exact in float64


@dataclass(frozen=True)
class LatentCoder:
    """A quantizer and the probabilities of its integers; created by `fit_coder`.

    Attributes:
        step: width of the quantizer; a latent value z becomes rint(z / step).
        low: the smallest integer of each of the D latent values in training.
        weights: (D, D), integers; row i predicts value i from those before it.
        edges: (D, CONTEXTS - 1); the context is the bin of the prediction.
        tables: the probabilities of each value, (CONTEXTS, levels).
    """

    step: float
    low: np.ndarray
    weights: np.ndarray
    edges: np.ndarray
    tables: tuple[np.ndarray, ...]

    def quantise(self, latents: np.ndarray) -> np.ndarray:
        """Return latents (N, ...) as integers (D, N), clipped to the training range."""
        high = self.low + [table.shape[1] - 1 for table in self.tables]
        numbers = whole_numbers(latents, self.step)
        kept: np.ndarray = np.clip(numbers, self.low[:, None], high[:, None])
        return kept

    def dequantise(self, numbers: np.ndarray) -> np.ndarray:
        """Return integers (D, N) as latents, float32 (N, D)."""
        return np.ascontiguousarray((numbers * self.step).T, np.float32)

    def encode(self, latents: np.ndarray) -> bytes:
        """Return latents (N, ...) as bytes; equal latents give equal bytes.

        Example:
            >>> latents = np.array([[[[0.2]], [[1.1]]], [[[0.6]], [[0.9]]]], "float32")
            >>> coder = fit_coder(latents, step=0.5)
            >>> coder.dequantise(coder.decode(coder.encode(latents), 2))
            array([[0. , 1. ],
                   [0.5, 1. ]], dtype=float32)
        """
        numbers = self.quantise(latents)
        predicted = self.weights @ numbers.astype(np.float64)
        coder = constriction_package().stream.queue.RangeEncoder()
        for place, table in enumerate(self.tables):
            if table.shape[1] > 1:
                symbols = (numbers[place] - self.low[place]).astype(np.int32)
                rows = table[self._contexts(predicted[place], place)]
                coder.encode(symbols, _model(), rows)
        words: np.ndarray = coder.get_compressed()
        # Trailing zeros need not be stored; the decoder restores them.
        return bytes(words.astype(">u4").tobytes().rstrip(b"\0"))

    def decode(self, data: bytes, count: int) -> np.ndarray:
        """Return the integers (D, count) that `data` encodes.

        Args:
            data: result of `encode`.
            count: number of encoded latents.

        Raises:
            KerasDAEError: the bytes are not a valid encoding.
        """
        words = np.frombuffer(data + b"\0" * (-len(data) % 4), ">u4").astype(np.uint32)
        coder = constriction_package().stream.queue.RangeDecoder(words)
        numbers = np.empty((len(self.tables), count))  # integers stored as float64
        for place, table in enumerate(self.tables):
            numbers[place] = self.low[place]
            if table.shape[1] > 1:
                predicted = self.weights[place, :place] @ numbers[:place]
                rows = table[self._contexts(predicted, place)]
                try:
                    numbers[place] += coder.decode(_model(), rows)
                except AssertionError as error:
                    raise KerasDAEError(
                        "The bytes are damaged: they encode no latents."
                    ) from error
        return numbers.astype(np.int64)

    def expected_bits(self, latents: np.ndarray) -> float:
        """Return the mean bits per latent, computed from the probabilities."""
        numbers = self.quantise(latents)
        predicted = self.weights @ numbers.astype(np.float64)
        total = 0.0
        for place, table in enumerate(self.tables):
            contexts = self._contexts(predicted[place], place)
            symbols = numbers[place] - self.low[place]
            total -= float(np.log2(table[contexts, symbols]).sum())
        return total / int(numbers.shape[1])

    def _contexts(self, predicted: np.ndarray, place: int) -> np.ndarray:
        return np.searchsorted(self.edges[place], predicted, side="right")


def fit_coder(
    latents: np.ndarray, step: float, contexts: int = CONTEXTS
) -> LatentCoder:
    """Return a coder for latents like these, quantized with this step.

    Args:
        latents: latents of training images, (N, ...) with N at least 2.
        step: width of the quantizer, above 0, in units of the latent.
        contexts: histograms per value; 1 disables the prediction.

    Raises:
        UsageError: the step is invalid, or latents are not finite.
        KerasDAEError: the step is so small that numbers become too large, or a latent
            has more than `MAX_VALUES` values.
    """
    check(0 < step < np.inf, "step must be a number above 0.", step=step)
    check(contexts >= 1, "contexts must be at least 1.", contexts=contexts)
    check(
        len(latents) > 1 and bool(np.isfinite(latents).all()),
        "latents must be finite, and at least two.",
        shape=np.shape(latents),
    )
    numbers = whole_numbers(latents, step)
    if len(numbers) > MAX_VALUES:
        raise KerasDAEError(
            f"A latent can have at most {MAX_VALUES:,} values; this one has "
            f"{len(numbers):,}."
        )
    if max(abs(int(numbers.min())), int(numbers.max())) > MAX_SYMBOL:
        raise KerasDAEError(f"A step of {step:g} is too small for these latents.")
    weights = _linear_prediction(numbers)
    predicted = weights @ numbers.astype(np.float64)
    quantiles = np.arange(1, contexts) / contexts
    edges = np.quantile(predicted[:, :QUANTILE_IMAGES], quantiles, axis=1).T
    low, high = numbers.min(axis=1), numbers.max(axis=1)
    tables = []
    for place, levels in enumerate(high - low + 1):
        found = np.searchsorted(edges[place], predicted[place], side="right")
        cells = found * levels + numbers[place] - low[place]
        counts = np.bincount(cells, minlength=contexts * levels)
        tables.append(_probabilities(counts.reshape(contexts, levels)))
    return LatentCoder(step, low, weights, edges, tuple(tables))


def whole_numbers(latents: np.ndarray, step: float) -> np.ndarray:
    """Return latents (N, ...) as multiples of the step, int64 (D, N)."""
    flat = np.asarray(latents, np.float64).reshape(len(latents), -1)
    return np.ascontiguousarray(np.rint(flat / step).astype(np.int64).T)


def _linear_prediction(numbers: np.ndarray) -> np.ndarray:
    """Return the best linear prediction of each value from those before it.

    With the covariance L D L', L unit triangular, a value minus its prediction is the
    row of the inverse of L. The factors are therefore I - inverse(L).
    """
    size = len(numbers)
    # Rounding adds a variance of 1/12, which gives the covariance full rank.
    covariance = np.cov(numbers).reshape(size, size) + np.eye(size) / 12
    factor = np.linalg.cholesky(covariance)
    unit = factor / np.diag(factor)
    inverse = solve_triangular(unit, np.eye(size), lower=True, unit_diagonal=True)
    factors: np.ndarray = np.rint(np.tril(-inverse, -1) * WEIGHT_SCALE)
    return factors


def _probabilities(counts: np.ndarray) -> np.ndarray:
    """Return histograms (contexts, levels) as probabilities that are never 0."""
    common = counts.sum(axis=0) + 0.5
    common = common / common.sum()
    rows = counts + PRIOR * common
    shares: np.ndarray = rows / rows.sum(axis=1, keepdims=True)
    return shares


def constriction_package() -> Any:
    """Return the package constriction.

    Raises:
        KerasDAEError: it is not installed.
    """
    try:
        import constriction
    except ImportError:
        raise KerasDAEError(
            "Counting bits needs constriction, which is not installed: pip install "
            "'keras-dae[bits]'."
        ) from None
    return constriction


def _model() -> Any:
    return constriction_package().stream.model.Categorical(perfect=False)
