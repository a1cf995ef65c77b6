from types import SimpleNamespace

import numpy as np
import pytest

from keras_dae.models.architectures import plan
from keras_dae.models.builders import build
from keras_dae.models.live_maps import live_maps
from keras_dae.study.nine import measure as scored


def test_a_dead_map_and_one_of_half_the_images_by_construction():
    """Biases of -1000 and 1 kill and wake; a kernel of ones wakes where light is."""
    model = build(plan(1, 13), seed=0)
    layer = next(layer for layer in model.layers if layer.weights)
    kernel, bias = layer.get_weights()
    kernel[:], bias[:] = 0, 0
    kernel[..., 2] = 1
    bias[:2] = -1000, 1
    layer.set_weights([kernel, bias])
    noisy = np.zeros((4, 28, 28, 1), np.float32)
    noisy[1, 14, 14] = noisy[3, 2, 3] = 0.5
    # Map 3 has no weights and no bias: 0 everywhere is not above 0.
    assert live_maps(model, noisy) == pytest.approx([0, 1, 0.5, 0])


def test_dead_maps_are_told_in_one_sentence(monkeypatch):
    told = []
    bench = SimpleNamespace(
        splits=SimpleNamespace(test=np.zeros(3), image_shape=(1, 1, 1)),
        take=lambda index: (index, index),
    )
    for shares in ([0.0, 1.0, 0.5, 0.0], [1.0, 1.0, 0.5, 1.0]):
        monkeypatch.setattr(scored, "live_maps_of", lambda *_, shares=shares: shares)
        assert scored._live_maps(None, "run", bench, told.append) == shares
    assert told == ["run: 2 of 4 latent maps answer 0 for all of 3 test images."]
