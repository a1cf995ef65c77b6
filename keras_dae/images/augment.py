"""Augment training images: rotate, flip, darken, or make details finer."""

import numpy as np

DARKER = 0.3  # of the images are multiplied by a gain from 0.5 to 1
SMOOTH = 0.03  # of the images become smooth ramps, which are rare in photographs
# of the images get finer details. Without them, a model takes thin lines for noise.
FINE = 0.05
STEPS = (2, 4)  # smallest and largest distance of the pixels that are kept
SPREAD = 0.5  # standard deviation of the change of colours
TURNS = 8  # four rotations, each with and without a flip


def augmented(clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the images, each one changed at random.

    Args:
        clean: float32 (N, H, W, C) in [0, 1]. Images that are not square are rotated
            by 180 degrees only.
        rng: random generator for the choices.

    Example:
        >>> augmented(np.ones((2, 4, 4, 1), np.float32), np.random.default_rng(0)).shape
        (2, 4, 4, 1)
    """
    count = len(clean)
    turns = rng.integers(0, TURNS, count)
    gains = np.where(rng.random(count) < DARKER, rng.uniform(0.5, 1, count), 1)
    smooth = rng.random(count) < SMOOTH
    finer = rng.random(count) < FINE
    changed = np.empty(clean.shape, np.float32)
    for number, image in enumerate(clean):
        if smooth[number]:
            changed[number] = ramp(image.shape, rng)
        else:
            changed[number] = turned(image, int(turns[number]))
            changed[number] *= np.float32(gains[number])
            if finer[number]:
                changed[number] = fine(changed[number], rng)
    return changed


def turned(image: np.ndarray, turn: int) -> np.ndarray:
    """Return one of eight rotations and flips of an image (H, W, C); 0 is unchanged."""
    if turn & 4 and image.shape[0] == image.shape[1]:
        image = image.swapaxes(0, 1)
    rows, columns = (
        slice(None, None, 1 - (turn & 2)),
        slice(None, None, 1 - turn % 2 * 2),
    )
    return image[rows, columns]


def ramp(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return an image (H, W, C) with a random linear ramp in each channel."""
    height, width, channels = shape
    level, down, across = rng.random((3, channels), dtype=np.float32)
    y, x = (np.linspace(-0.5, 0.5, side, dtype=np.float32) for side in (height, width))
    plane = level + (down - 0.5) * y[:, None, None] + (across - 0.5) * x[:, None]
    return np.asarray(plane).clip(0, 1)


def fine(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an image (H, W, C) of every second to fourth pixel, with other colours.

    Reflections fill its shape. Details are finer than in photographs, edges are jagged,
    and half of the images have stronger or weaker colours.
    """
    low, high = STEPS
    step = rng.integers(low, high, endpoint=True)
    small = image[::step, ::step]
    if rng.random() < 0.5:
        channels = image.shape[2]
        change = np.eye(channels) + rng.normal(0, SPREAD, (channels, channels))
        mean = small.mean(axis=(0, 1))
        small = ((small - mean) @ change + mean).clip(0, 1)
    missing = [
        (0, full - part) for full, part in zip(image.shape, small.shape, strict=True)
    ]
    return np.pad(small, missing, mode="symmetric").astype(np.float32)
