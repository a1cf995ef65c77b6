"""The best affine map from noisy to clean images, of full or reduced rank.

It shows what a denoiser without non-linearity can do. Least squares over noisy training
pairs needs only two matrices of squared image size, which are summed block by block.
The images are never all in memory as floats.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg

from keras_dae.errors import check
from keras_dae.images.datasets import Splits
from keras_dae.images.noise import Noise
from keras_dae.images.pairs import NoisyCleanPairs

BLOCK = 2000
RANKS: dict[str, int | None] = {
    "affine, rank 100": 100,
    "affine, rank 256": 256,
    "affine, rank 676": 676,
    "affine, full rank": None,
}
DRAWS = 10  # more draws lower the test error by less than 0.1 %
# Directions of the noisy images with less than this share of the largest variance
# contain rounding errors and no signal.
CUTOFF = 1e-10


@dataclass(frozen=True)
class AffineMap:
    """The map `denoised = clip(noisy @ down @ up + bias, 0, 1)` on flat images.

    Attributes:
        down: (pixels, rank), or (pixels, pixels) if `up` is None.
        up: (rank, pixels); None if a single matrix has fewer numbers than two.
        bias: (pixels,).
    """

    down: np.ndarray
    up: np.ndarray | None
    bias: np.ndarray

    def __call__(self, noisy: np.ndarray) -> np.ndarray:
        """Return the denoised images of shape (N, H, W, C), float32 in [0, 1]."""
        flat = noisy.reshape(len(noisy), -1) @ self.down
        if self.up is not None:
            flat = flat @ self.up
        answer: np.ndarray = np.clip(flat + self.bias, 0, 1).reshape(noisy.shape)
        return answer

    @property
    def macs(self) -> int:
        """Multiply-adds per image."""
        return self.down.size + (0 if self.up is None else self.up.size)

    @property
    def facts(self) -> dict[str, Any]:
        """Return the parameters, their bytes as float32, and multiply-adds."""
        parameters = self.macs + self.bias.size
        return {"parameters": parameters, "bytes": 4 * parameters, "macs": self.macs}


@dataclass(frozen=True)
class LeastSquares:
    """The least-squares solution over noisy and clean images, in float64.

    Attributes:
        weights: (pixels, pixels), from centred noisy to centred clean images.
        noisy_mean: mean noisy image, (pixels,).
        clean_mean: mean clean image, (pixels,).
        directions: orthonormal columns, (pixels, pixels), the directions in which the
            fitted clean images vary, in decreasing order.
    """

    weights: np.ndarray
    noisy_mean: np.ndarray
    clean_mean: np.ndarray
    directions: np.ndarray

    def map(self, rank: int | None = None) -> AffineMap:
        """Return the best map whose matrix has at most this rank; None for full rank.

        Reduced-rank regression (A. J. Izenman, "Reduced-rank regression for the
        multivariate linear model", 1975): the best map of rank r is the full one,
        projected on the first r singular directions of its fitted values.

        Raises:
            UsageError: the rank is below 1.
        """
        pixels = len(self.weights)
        check(rank is None or rank > 0, "rank must be positive.", rank=rank)
        kept = pixels if rank is None else min(rank, pixels)
        basis = self.directions[:, :kept]
        down, up = self.weights @ basis, basis.T
        matrix = self.weights if kept == pixels else down @ up
        bias = (self.clean_mean - self.noisy_mean @ matrix).astype(np.float32)
        if 2 * kept < pixels:
            return AffineMap(down.astype(np.float32), up.astype(np.float32), bias)
        return AffineMap(matrix.astype(np.float32), None, bias)


def fit_affine(splits: Splits, noise: Noise, *, seed: int, draws: int) -> LeastSquares:
    """Fit on the training images, each with `draws` draws of the noise.

    Args:
        splits: the data; only the training images are used.
        noise: noise to add.
        seed: seed for the noise.
        draws: number of noisy copies per image.
    """
    pairs = NoisyCleanPairs(
        splits.train,
        noise,
        batch_size=BLOCK,
        seed=seed,
        low=splits.low,
        high=splits.high,
    )
    size = int(np.prod(splits.image_shape))
    inputs = np.zeros((size + 1, size + 1))  # with a constant 1 for the bias
    products = np.zeros((size + 1, size))
    for pairs.epoch in range(draws):
        for index in range(len(pairs)):
            noisy, clean = (part.reshape(len(part), -1) for part in pairs[index])
            given = np.ones((len(noisy), size + 1))
            given[:, :size] = noisy
            inputs += given.T @ given
            products += given.T @ clean.astype(np.float64)
    return solve(inputs, products)


def solve(inputs: np.ndarray, products: np.ndarray) -> LeastSquares:
    """Return the solution from sums over images.

    Args:
        inputs: sum of outer products of the noisy images, each with a 1 appended,
            shape (pixels + 1, pixels + 1).
        products: sum of the outer products of these with the clean images,
            shape (pixels + 1, pixels).
    """
    count = inputs[-1, -1]
    noisy_mean, clean_mean = inputs[-1, :-1] / count, products[-1] / count
    covariance = inputs[:-1, :-1] / count - np.outer(noisy_mean, noisy_mean)
    cross = products[:-1] / count - np.outer(noisy_mean, clean_mean)
    values, vectors = linalg.eigh(covariance)
    sound = values > CUTOFF * max(values[-1], 0)
    scaled = vectors[:, sound] / values[sound]
    weights = scaled @ (vectors[:, sound].T @ cross)
    # The right singular vectors of the fitted values are the eigenvectors of their
    # covariance, the largest one last.
    _, directions = linalg.eigh(weights.T @ cross)
    return LeastSquares(weights, noisy_mean, clean_mean, directions[:, ::-1])
