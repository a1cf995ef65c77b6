"""An image before and after: what the panels hold."""

import numpy as np
import pytest

from keras_dae.denoising.comparison import LONGEST, comparison


@pytest.mark.parametrize("channels", [1, 3])
def test_panels_show_the_images_and_their_difference(channels):
    noisy = np.full((6, 8, channels), 0.75, np.float32)
    denoised = np.full((6, 8, channels), 0.5, np.float32)
    axes = comparison(noisy, denoised, noisy).axes[:4]
    assert [one.get_title() for one in axes] == [
        *("clean", "input", "output", "|output - input|"),
    ]
    shown = [np.unique(one.images[0].get_array()).tolist() for one in axes]
    assert shown == [[0.75], [0.75], [0.5], [0.25]]


def test_a_large_image_is_averaged_over_whole_blocks():
    noisy = np.zeros((2, 2 * LONGEST + 2, 1), np.float32)  # blocks of 3, and 2 rows
    noisy[:, ::3] = 0.75
    shown = comparison(noisy, noisy).axes[0].images[0].get_array()
    assert shown.shape == (1, (2 * LONGEST + 2) // 3)
    assert np.unique(shown).tolist() == [0.25]
