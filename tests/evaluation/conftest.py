"""Labelled images whose class anyone can see, for classifiers."""

import numpy as np
import pytest

from keras_dae.images import datasets


@pytest.fixture(scope="session")
def labelled():
    """Splits of 8x8 images: class 3 bright on the left, 5 on the right, 7 above."""
    rng = np.random.default_rng(2)
    labels = np.tile(np.array([3, 5, 7], np.uint8), 30)
    images = rng.integers(0, 60, (90, 8, 8), dtype=np.uint8)
    images[labels == 3, :, :4] += 190
    images[labels == 5, :, 4:] += 190
    images[labels == 7, :4] += 190
    images[0, 0, :2] = 0, 255
    arrays = datasets.Arrays(images[:60], labels[:60], images[60:], labels[60:])
    return datasets.split("labelled", arrays, arrays.sha256(), 0)
