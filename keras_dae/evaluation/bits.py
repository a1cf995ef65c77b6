"""Latents as bytes: a uniform quantiser and a range coder, and back from the bytes.

The numbers of a latent are coded in their order, each with a histogram of training
latents. Which of a number's histograms counts is told by a linear prediction from the
numbers before it, which the decoder knows too: neighbours, and other channels. The
prediction is made of whole numbers, so that both sides find the same one.

The coder is constriction's (Bamler 2022, "Understanding Entropy Coding With Asymmetric
Numeral Systems (ANS): a Statistician's Perspective"), of the extra `bits`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular

from keras_dae.errors import KerasDAEError, check

CONTEXTS = 16  # histograms of a number
WEIGHT_SCALE = 1 << 12  # a prediction's factors are whole multiples of 1 / this
PRIOR = 4.0  # training latents that a number's common histogram counts as in each
QUANTILE_IMAGES = 4000  # of the training latents, to find the edges of contexts
MAX_VALUES = 4096  # of a latent: a prediction has the square of them as factors
MAX_SYMBOL = 1 << 20  # whole numbers of a prediction stay exact in float64


@dataclass(frozen=True)
class LatentCoder:
    """A quantiser and the probabilities of its whole numbers; `fit_coder` makes it.

    Attributes:
        step: width of the quantiser; a latent value z becomes rint(z / step).
        low: the least whole number of each of the D latent values in training.
        weights: (D, D), whole numbers; row i predicts value i from those before it.
        edges: (D, CONTEXTS - 1); the prediction's place among them is the context.
        tables: of each value the probabilities, (CONTEXTS, levels).
    """

    step: float
    low: np.ndarray
    weights: np.ndarray
    edges: np.ndarray
    tables: tuple[np.ndarray, ...]

    def quantise(self, latents: np.ndarray) -> np.ndarray:
        """Return latents (N, ...) as whole numbers (D, N), within those of training."""
        high = self.low + [table.shape[1] - 1 for table in self.tables]
        numbers = whole_numbers(latents, self.step)
        kept: np.ndarray = np.clip(numbers, self.low[:, None], high[:, None])
        return kept

    def dequantise(self, numbers: np.ndarray) -> np.ndarray:
        """Return whole numbers (D, N) as latents, float32 (N, D)."""
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
        # Zeros at the end say nothing: the decoder puts them back.
        return bytes(words.astype(">u4").tobytes().rstrip(b"\0"))

    def decode(self, data: bytes, count: int) -> np.ndarray:
        """Return the whole numbers (D, count) that `data` was made from.

        Args:
            data: what `encode` gave.
            count: how many latents it was given.

        Raises:
            KerasDAEError: bytes that no latents give.
        """
        words = np.frombuffer(data + b"\0" * (-len(data) % 4), ">u4").astype(np.uint32)
        coder = constriction_package().stream.queue.RangeDecoder(words)
        numbers = np.empty((len(self.tables), count))  # whole, in float64
        for place, table in enumerate(self.tables):
            numbers[place] = self.low[place]
            if table.shape[1] > 1:
                predicted = self.weights[place, :place] @ numbers[:place]
                rows = table[self._contexts(predicted, place)]
                try:
                    numbers[place] += coder.decode(_model(), rows)
                except AssertionError as error:
                    raise KerasDAEError(
                        "The bytes are damaged: no latents give them."
                    ) from error
        return numbers.astype(np.int64)

    def expected_bits(self, latents: np.ndarray) -> float:
        """Return the bits of a latent by the probabilities alone, the mean over N."""
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
    """Return the coder of latents like these, quantised with this step.

    Args:
        latents: of training images, (N, ...); N from 2.
        step: width of the quantiser, above 0, in the latent's own units.
        contexts: histograms of a value; 1 looks at no neighbours.

    Raises:
        UsageError: no such step, or latents that are not finite.
        KerasDAEError: a step so small that numbers become too large, or a latent of
            more than `MAX_VALUES`.
    """
    check(0 < step < np.inf, "step must be a number above 0.", step=step)
    check(contexts >= 1, "contexts must be from 1.", contexts=contexts)
    check(
        len(latents) > 1 and bool(np.isfinite(latents).all()),
        "latents must be at least two, of finite values.",
        shape=np.shape(latents),
    )
    numbers = whole_numbers(latents, step)
    if len(numbers) > MAX_VALUES:
        raise KerasDAEError(
            f"A latent may have {MAX_VALUES:,} values to be coded; this one has "
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
    """Return latents (N, ...) as whole numbers of steps, int64 (D, N)."""
    flat = np.asarray(latents, np.float64).reshape(len(latents), -1)
    return np.ascontiguousarray(np.rint(flat / step).astype(np.int64).T)


def _linear_prediction(numbers: np.ndarray) -> np.ndarray:
    """Return the best linear prediction of each value from those before it.

    With the covariance L D L', L unit triangular, a value less its prediction is the
    row of L's inverse, so that the factors are I - inverse(L).
    """
    size = len(numbers)
    # Rounding has a variance of 1/12, which keeps the covariance of full rank.
    covariance = np.cov(numbers).reshape(size, size) + np.eye(size) / 12
    factor = np.linalg.cholesky(covariance)
    unit = factor / np.diag(factor)
    inverse = solve_triangular(unit, np.eye(size), lower=True, unit_diagonal=True)
    factors: np.ndarray = np.rint(np.tril(-inverse, -1) * WEIGHT_SCALE)
    return factors


def _probabilities(counts: np.ndarray) -> np.ndarray:
    """Return the histograms (contexts, levels) as probabilities, none of them 0."""
    common = counts.sum(axis=0) + 0.5
    common = common / common.sum()
    rows = counts + PRIOR * common
    shares: np.ndarray = rows / rows.sum(axis=1, keepdims=True)
    return shares


def constriction_package() -> Any:
    """Return the package that codes.

    Raises:
        KerasDAEError: it is not installed.
    """
    try:
        import constriction
    except ImportError:
        raise KerasDAEError(
            "Bits are counted with constriction, which is not installed: pip install "
            "'keras-dae[bits]'."
        ) from None
    return constriction


def _model() -> Any:
    return constriction_package().stream.model.Categorical(perfect=False)
