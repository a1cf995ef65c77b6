"""One image before and after denoising, side by side with what was changed."""

import numpy as np
from matplotlib.figure import Figure

MOST_TIMES = 10  # that what was removed is enlarged
LONGEST = 900  # pixels of a side that a panel shows; larger images are averaged


def comparison(
    noisy: np.ndarray, denoised: np.ndarray, clean: np.ndarray | None = None
) -> Figure:
    """Draw before, after and what was removed, the clean image first if it is known.

    What was removed is drawn around a middle grey, enlarged where it is faint: its
    title says how often.

    Args:
        noisy: what was read, float in [0, 1], (H, W, C) with C 1 or 3.
        denoised: what was written, alike.
        clean: what it should be, alike, or None.
    """
    noisy, denoised = _shrunk(noisy), _shrunk(denoised)
    removed, times = _visible(noisy - denoised)
    title = "what was removed" + (f", {times}x" if times > 1 else "")
    panels = [("before", noisy), ("after", denoised), (title, removed)]
    if clean is not None:
        panels.insert(0, ("clean", _shrunk(clean)))
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
    """Return differences around 0.5, enlarged a whole number of times, and how often.

    At that number 99 % of them stay within [0, 1].
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
