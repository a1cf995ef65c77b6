"""Random numbers as pure functions of integers: one stream per purpose.

NumPy pads the entropy of a seed with zeros, so that `[7]` and `[7, 0, 0]` give the same
stream. Here the number of the purpose and the count of integers come first, so that
different purposes or lists of integers never share a stream.
"""

import numpy as np

PURPOSES = {
    "weights": 1,  # (seed): initial weights
    "split": 2,  # (data seed): the split into training and validation
    "order": 3,  # (seed, epoch): the permutation of the training images
    "train": 4,  # (seed, epoch, batch): training noise
    "validation": 5,  # (seed, block): frozen noise of the validation images
    "test": 6,  # (seed, block): frozen noise of the test images
    # 7 was the resampling of test errors for the claims; it must not be reused.
    "intervals": 8,  # (seed): resampling of test images for a row of `compare`
    "measured": 10,  # (seed, block): frozen noise of training images, to measure on
    "ceiling weights": 9,  # initial weights of a model without a bottleneck
    "patches": 11,  # (seed, epoch): training patches; (data seed): fixed patches
    "targets": 20,  # (seed, epoch, batch): second noise, or hidden pixels
    "frozen targets": 21,  # (seed, block): the same, frozen for validation
    # 22 and 23 were for networks of one image; they must not be reused.
    "augment": 24,  # (seed, epoch, batch): changes of training images
    "photo weights": 25,  # initial weights of a denoiser of photographs
    "rate": 30,  # (seed, step): noise in place of rounding the latent
}


def words(purpose: str, *integers: int) -> list[int]:
    """Return the seed of the stream of `purpose` for these non-negative integers."""
    return [PURPOSES[purpose], len(integers), *integers]


def of_32_bits(seeds: list[int]) -> bool:
    """Return whether each number fits in 32 bits, which NumPy does not split."""
    return min(seeds) >= 0 and max(seeds) < 2**32


def stream(purpose: str, *integers: int) -> np.random.Generator:
    """Return the generator of `purpose` for these non-negative integers."""
    seeds = words(purpose, *integers)
    if of_32_bits(seeds):
        # Pass an array, since NumPy would convert the numbers of a list one by one.
        return np.random.default_rng(np.array(seeds, np.uint32))
    return np.random.default_rng(seeds)
