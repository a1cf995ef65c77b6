"""Images whose class anyone can see, for classifiers."""

import numpy as np


def bright(count: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels: 3 is bright on the left, 5 on the right, 7 above."""
    rng = np.random.default_rng(2)
    labels = np.tile(np.array([3, 5, 7], np.uint8), count // 3)
    images = rng.integers(0, 60, (count, side, side), dtype=np.uint8)
    half = side // 2
    images[labels == 3, :, :half] += 190
    images[labels == 5, :, half:] += 190
    images[labels == 7, :half] += 190
    images[0, 0, :2] = 0, 255
    return images, labels
