"""An image before and after: what the panels hold."""

import numpy as np
import pytest

from keras_dae.denoising.comparison import LONGEST, comparison


@pytest.mark.parametrize("channels", [1, 3])
def test_panels_show_before_after_and_what_was_removed(channels):
    noisy = np.full((6, 8, channels), 0.75, np.float32)
    denoised = np.full((6, 8, channels), 0.5, np.float32)
    axes = comparison(noisy, denoised, noisy).axes
    assert [one.get_title() for one in axes] == [
        *("clean", "before", "after", "what was removed, 2x"),
    ]
    shown = [np.unique(one.images[0].get_array()).tolist() for one in axes]
    # 0.25 was removed: twice that around middle grey is white
    assert shown == [[0.75], [0.75], [0.5], [1.0]]


@pytest.mark.parametrize(
    ("removed", "title", "shown"),
    [
        (-0.02, "what was removed, 10x", 0.3),
        (0.4, "what was removed", 0.9),
        (0.0, "what was removed, 10x", 0.5),
    ],
)
def test_what_was_removed_is_enlarged_where_it_is_faint(removed, title, shown):
    denoised = np.full((6, 8, 3), 0.5, np.float32)
    axis = comparison(denoised + np.float32(removed), denoised).axes[2]
    assert axis.get_title() == title
    np.testing.assert_allclose(axis.images[0].get_array(), shown, atol=1e-6)


def test_a_large_image_is_averaged_over_whole_blocks():
    noisy = np.zeros((2, 2 * LONGEST + 2, 1), np.float32)  # blocks of 3, and 2 rows
    noisy[:, ::3] = 0.75
    shown = comparison(noisy, noisy).axes[0].images[0].get_array()
    assert shown.shape == (1, (2 * LONGEST + 2) // 3)
    assert np.unique(shown).tolist() == [0.25]
