"""Labelled images whose class anyone can see, for classifiers."""

import pytest

from keras_dae.images import datasets
from tests.labelled import bright


@pytest.fixture(scope="session")
def labelled():
    """Splits of 8x8 images whose class anyone can see."""
    images, labels = bright(90, 8)
    arrays = datasets.Arrays(images[:60], labels[:60], images[60:], labels[60:])
    return datasets.split("labelled", arrays, arrays.sha256(), 0)
