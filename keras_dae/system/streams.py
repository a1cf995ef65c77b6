"""Random numbers as pure functions of integers: one stream for each purpose.

NumPy pads the entropy of a seed with zeros, so that `[7]` and `[7, 0, 0]` are one
stream. A purpose's number and the count of what follows come first here, and no two
purposes, and no two lists of integers, share a stream.
"""

import numpy as np

PURPOSES = {
    "weights": 1,  # the initial weights of a seed
    "split": 2,  # which images train and which validate
    "order": 3,  # (seed, epoch): the permutation of the training images
    "train": 4,  # (seed, epoch, batch): training noise
    "validation": 5,  # (seed, block): frozen noise of the validation images
    "test": 6,  # (seed, block): frozen noise of the test images
    # 7 was the resampling of test errors for the claims; it is not used again.
    "intervals": 8,  # (seed): resampling of test images for a row of the board
    "measured": 10,  # (seed, block): frozen noise of training images, to measure on
    "ceiling weights": 9,  # the initial weights of a model without a bottleneck
    "patches": 11,  # (seed, epoch): where training patches lie; (data seed): fixed ones
    "targets": 20,  # (seed, epoch, batch): second noise, or hidden pixels
    "frozen targets": 21,  # (seed, block): the same, frozen for validation
    "self weights": 22,  # the initial weights of a network for one image
    "augment": 24,  # (seed, epoch, batch): turns, mirrors and gains of training images
    "photo weights": 25,  # the initial weights of a denoiser of photographs
    "rate": 30,  # (seed, step): noise that stands for rounding the latent
    "crops": 23,  # (seed, step): where training crops of one image lie
}


def words(purpose: str, *integers: int) -> list[int]:
    """Return what seeds the stream of `purpose` at these non-negative integers."""
    return [PURPOSES[purpose], len(integers), *integers]


def of_32_bits(seeds: list[int]) -> bool:
    """Tell whether NumPy takes each of these words as it is."""
    return min(seeds) >= 0 and max(seeds) < 2**32


def stream(purpose: str, *integers: int) -> np.random.Generator:
    """Return the generator of `purpose` at these non-negative integers."""
    seeds = words(purpose, *integers)
    if of_32_bits(seeds):
        # The numbers of the list itself, which NumPy would take to pieces one by one.
        return np.random.default_rng(np.array(seeds, np.uint32))
    return np.random.default_rng(seeds)
