"""A figure of one image before and after denoising, with the difference."""

import numpy as np
from matplotlib.figure import Figure

MOST_TIMES = 10  # largest factor by which the difference is amplified
LONGEST = 900  # pixels per side of a panel; larger images are averaged


def comparison(
    noisy: np.ndarray, denoised: np.ndarray, clean: np.ndarray | None = None
) -> Figure:
    """Draw input, output and difference; the clean image comes first if it is known.

    The difference is drawn around middle grey. A faint difference is amplified, and its
    title states the factor.

    Args:
        noisy: the input, (H, W, C) with C 1 or 3; values are clipped to [0, 1].
        denoised: the output, of the same shape.
        clean: the clean image of the same shape, or None.
    """
    noisy, denoised = _shrunk(noisy.clip(0, 1)), _shrunk(denoised.clip(0, 1))
    removed, times = _visible(noisy - denoised)
    title = "what was removed" + (f", {times}x" if times > 1 else "")
    panels = [("before", noisy), ("after", denoised), (title, removed)]
    if clean is not None:
        panels.insert(0, ("clean", _shrunk(clean.clip(0, 1))))
    height, width = noisy.shape[:2]
    inches = 2.9 * min(max(height / width, 0.3), 3.0)
    figure = Figure(figsize=(2.9 * len(panels), inches + 0.5), dpi=150)
    figure.set_layout_engine("constrained")
    axes = figure.subplots(1, len(panels))
    for axis, (title, image) in zip(axes, panels, strict=True):
        grey = image.shape[2] == 1
        axis.imshow(image[..., 0] if grey else image, cmap="gray", vmin=0, vmax=1)
        axis.set_title(title, fontsize=10)
        axis.set_axis_off()
    return figure


def _visible(removed: np.ndarray) -> tuple[np.ndarray, int]:
    """Return differences around 0.5, amplified by a whole factor, and the factor.

    The factor keeps 99 % of the differences within [0, 1].
    """
    most = float(np.quantile(np.abs(removed), 0.99))
    times = int(min(max(0.5 / max(most, 1e-6), 1), MOST_TIMES))
    return (0.5 + times * removed).clip(0, 1), times


def _shrunk(image: np.ndarray) -> np.ndarray:
    """Return means of square blocks, so that no side is longer than LONGEST."""
    block = -(-max(image.shape[:2]) // LONGEST)
    if block == 1:
        return image
    height, width = (max(1, size // block) for size in image.shape[:2])
    rows, columns = min(block, image.shape[0]), min(block, image.shape[1])
    cut = image[: height * rows, : width * columns]
    means: np.ndarray = cut.reshape(height, rows, width, columns, -1).mean(axis=(1, 3))
    return means.clip(0.0, 1.0)
