"""One image before and after denoising, side by side with what was changed."""

import numpy as np
from matplotlib.figure import Figure

LONGEST = 900  # pixels of a side that a panel shows; larger images are averaged


def comparison(
    noisy: np.ndarray, denoised: np.ndarray, clean: np.ndarray | None = None
) -> Figure:
    """Draw input, output and their difference, the clean image first if it is known.

    Args:
        noisy: what was read, float in [0, 1], (H, W, C) with C 1 or 3.
        denoised: what was written, alike.
        clean: what it should be, alike, or None.
    """
    noisy, denoised = _shrunk(noisy), _shrunk(denoised)
    difference = np.abs(denoised - noisy).mean(axis=2)
    panels = [("input", noisy), ("output", denoised)]
    if clean is not None:
        panels.insert(0, ("clean", _shrunk(clean)))
    height, width = noisy.shape[:2]
    inches = 2.9 * min(max(height / width, 0.3), 3.0)
    figure = Figure(figsize=(2.9 * (len(panels) + 1) + 0.6, inches + 0.5), dpi=150)
    figure.set_layout_engine("constrained")
    axes = figure.subplots(1, len(panels) + 1)
    for axis, (title, image) in zip(axes, panels, strict=False):
        grey = image.shape[2] == 1
        axis.imshow(image[..., 0] if grey else image, cmap="gray", vmin=0, vmax=1)
        axis.set_title(title, fontsize=10)
    drawn = axes[-1].imshow(difference, cmap="magma", vmin=0, vmax=1)
    axes[-1].set_title("|output - input|", fontsize=10)
    figure.colorbar(drawn, ax=axes[-1], shrink=0.8)
    for axis in axes:
        axis.set_axis_off()
    return figure


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
