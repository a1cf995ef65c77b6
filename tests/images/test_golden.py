"""The bytes that seed 0 has always drawn: published results stand on them.

Faster code must leave each of these as it is. Where the numbers are meant to change,
so does the version, and every committed study is made anew.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from keras_dae.images.frozen import TEST, VALIDATION, frozen_arrays, noise_sha256
from keras_dae.images.noise_words import parse_noise
from keras_dae.images.pairs import NoisyCleanPairs
from keras_dae.models.architectures import paper_specs
from keras_dae.models.builders import initial_weights

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())


def sha256(arrays):
    digest = hashlib.sha256()
    for array in arrays:
        assert array.dtype == np.float32
        # NumPy below 2.4 clips -0 to 0; the two are the same value.
        digest.update(np.ascontiguousarray(array + np.float32(0)).data)
    return digest.hexdigest()


def images(kind):
    """300 images of 9x7 pixels that hold their lowest and highest value."""
    rng = np.random.default_rng(11)
    drawn = rng.integers(17, 201, (300, 9, 7, 2), dtype=np.uint8)
    drawn[0, 0, 0] = 17, 200
    if kind == "uint8":
        return drawn
    return (drawn / 255).astype(kind)


def epochs(pairs):
    """The batches of epochs 0 and 1, noisy and clean."""
    for pairs.epoch in (0, 1):
        for index in range(len(pairs)):
            yield from pairs[index]


@pytest.mark.parametrize("prefetch", [False, True])
def test_batches_of_digits(digits, prefetch):
    """The study's own case: uint8 from 0 to 255, Gaussian noise of 0.5, clipped."""
    pairs = NoisyCleanPairs(
        digits.train, parse_noise("gaussian"), batch_size=128, seed=0, prefetch=prefetch
    )
    assert sha256(epochs(pairs)) == GOLDEN["digits"]


@pytest.mark.parametrize("noise", GOLDEN["batches"])
@pytest.mark.parametrize("kind", ["uint8", "float16", "float32", "float64"])
def test_batches(noise, kind):
    """Of each noise, and of images whose range is not 0 to 255."""
    of = images(kind)
    low, high = float(of.min()), float(of.max())
    pairs = NoisyCleanPairs(
        of, parse_noise(noise), batch_size=64, seed=0, low=low, high=high
    )
    assert sha256(epochs(pairs)) == GOLDEN["batches"][noise][kind]


def test_unclipped_batches():
    pairs = NoisyCleanPairs(
        images("uint8"), parse_noise("gaussian", clip=False), batch_size=64, seed=0
    )
    assert sha256(epochs(pairs)) == GOLDEN["unclipped"]


@pytest.mark.parametrize("split", [VALIDATION, TEST])
def test_frozen_noise(digits, split):
    part = getattr(digits, split)
    noisy, clean = frozen_arrays(
        part, parse_noise("gaussian"), seed=0, split=split, low=0, high=255
    )
    assert noise_sha256(noisy) == GOLDEN["frozen"][split]
    assert sha256([clean]) == GOLDEN["frozen"][f"clean {split}"]


@pytest.mark.parametrize("spec", paper_specs(), ids=lambda spec: spec.name)
def test_initial_weights(spec):
    """The first value of each kernel and bias; centring adds up, so not to the bit."""
    drawn = [
        float(array.ravel()[0])
        for array in initial_weights(spec, seed=0, output_bias=-2.0)
    ]
    assert drawn == pytest.approx(GOLDEN["weights"][spec.name], rel=1e-5)
