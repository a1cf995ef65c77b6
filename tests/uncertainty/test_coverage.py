import numpy as np
import pytest

from keras_dae.uncertainty.calibrate import Answered
from keras_dae.uncertainty.coverage import deciles, measure


def test_deciles_by_hand():
    covered = np.array([True] * 10 + [False] * 10)
    rows = deciles(np.arange(20.0), covered, np.repeat([0.1, 0.3], 10))
    assert [row["coverage"] for row in rows] == [1.0] * 5 + [0.0] * 5
    assert [row["spread"] for row in rows] == list(range(1, 20, 2))
    assert rows[0]["width"] == pytest.approx(0.1)


def test_tied_pixels_share_one_coverage():
    """15 of 20 pixels are of one spread, 9 of them covered: 0.6 in seven tenths.

    The eighth tenth holds one of them and one other that is not covered: 0.3.
    """
    spread = np.array([0.0] * 15 + [1, 2, 3, 4, 5])
    for order in (slice(None), slice(None, None, -1)):  # whatever order they come in
        covered = np.array([True] * 9 + [False] * 6)[order]
        covered = np.concatenate([covered, np.zeros(5, bool)])
        rows = deciles(spread, covered, np.ones(20))
        found = [row["coverage"] for row in rows]
        assert found == pytest.approx([0.6] * 7 + [0.3, 0, 0])


def test_measure_by_hand():
    """Four pixels: black and covered, black and not, a stroke covered, one not."""
    clean = np.array([0, 0, 1, 1], np.float32).reshape(1, 2, 2, 1)
    answer = np.array([0.1, 0.2, 0.6, 0.95], np.float32).reshape(1, 2, 2, 1)
    half = np.array([0.1, 0.06, 0.4, 0.01], np.float32).reshape(1, 2, 2, 1)
    bounds = (answer - half).clip(0, 1), (answer + half).clip(0, 1)
    found = measure(Answered(answer, answer, clean), bounds, half)
    assert found["coverage"] == 0.5
    assert found["strokes"] == 0.5
    assert found["unsure"] == pytest.approx(2 / 3)
    assert found["width"] == pytest.approx((0.2 + 0.12 + 0.8 + 0.02) / 4)
    assert found["images_below"] == 1
    # Widths 0.2, 0.12, 0.8, 0.02 rank 3, 2, 4, 1; errors 0.1, 0.2, 0.4, 0.05 rank
    # 2, 3, 4, 1: 1 - 6 (1 + 1) / (4 * 15) = 0.8.
    assert found["rank"] == pytest.approx(0.8)
    rows = [(row["share"], row["coverage"]) for row in found["by_width"]]
    assert rows == [(0, None), (0.25, 0), (0.5, 0.5), (0.25, 1)]


def test_equal_widths_have_no_rank():
    same = np.full((1, 2, 2, 1), 0.3, np.float32)
    found = measure(Answered(same, same, same), (same - 0.1, same + 0.1), same)
    assert (found["rank"], found["strokes"], found["coverage"]) == (None, None, 1)
