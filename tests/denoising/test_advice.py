"""What a card says of its images, and what is said of one that is unlike them."""

import numpy as np
import pytest

from keras_dae.denoising.advice import advise, usual
from keras_dae.images.estimates import describe
from keras_dae.images.noise import make_noise
from keras_dae.images.noise_words import describe_noise, parse_noise


def card(text):
    return {"data": "mine", "noise": describe_noise(parse_noise(text))}


def test_what_a_card_measured_is_what_it_says():
    ranges = usual({"input": {"mean": [0.1, 0.4]}, "noise": card("blur")["noise"]})
    assert ranges == {"mean": (0.1, 0.4)}


def test_of_noise_alone_the_range_is_what_the_estimator_says_of_it():
    """Noise of sigma 0.2 that is clipped at black and white looks weaker there."""
    low, high = usual(card("gaussian:0.2"))["sigma"]
    assert 0.05 < low < high
    assert high == pytest.approx(0.2, abs=0.03)
    again = usual(card("gaussian:0.2"))["sigma"]
    assert again == (low, high)


def test_noises_in_a_row_count_together():
    low, high = usual(card("blur:1+gaussian:0.1"))["sigma"]
    assert 0.03 < low < high == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("known", [{}, {"noise": None}])
def test_a_card_that_says_nothing_of_use(known):
    assert usual(known) == {}


def test_an_image_of_other_noise_is_warned_of():
    grey = np.full((1, 64, 64, 1), 0.5, np.float32)
    known = card("gaussian:0.5")
    seen = describe(
        make_noise("gaussian", sigma=0.01)(grey, np.random.default_rng(0))[0]
    )
    said = advise(seen, usual(known), known)
    assert said.startswith(
        "unlike what the model was trained on (mine, gaussian, sigma 0.5, clipped): "
        "estimated noise 0.0"
    )
    alike = describe(parse_noise("gaussian:0.5")(grey, np.random.default_rng(1))[0])
    assert advise(alike, usual(known), known) is None
