"""Figures 1 and 2: the autoencoder and the denoising pipeline, drawn from a `DAESpec`.

The module also defines what all figures share: style, colours and how images are shown.
Lengths are in inches, with the origin at the lower left of the figure.
"""

from dataclasses import dataclass
from math import ceil, prod, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Circle, FancyArrowPatch, Polygon, Rectangle

from keras_dae.evaluation.metrics import mse
from keras_dae.models.architectures import Conv, DAESpec

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType  # not in the lowest supported version

# Okabe and Ito's palette, which colour-blind readers can distinguish.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")
BLUE, ORANGE, GREEN, VERMILION, *_ = PALETTE
INK, GREY = "#222222", "#666666"
LATENT_COLOUR_MAP = "cividis"
TIMES = "\N{MULTIPLICATION SIGN}"

STYLE: "dict[RcKeyType, Any]" = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.parse_math": False,  # names can contain dollar signs
    "axes.titlesize": 11,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
styled = rc_context(STYLE)  # a decorator that does not change global settings


@dataclass(frozen=True)
class Stages:
    """One image at each stage of a model.

    Attributes:
        clean: the image, (H, W, C) in [0, 1].
        noisy: the image with noise, same shape.
        latent: the output of the encoder, (h, h, 4), at least 0.
        denoised: the output of the decoder, (H, W, C) in [0, 1].
        unclipped: the noisy image before it is clipped to [0, 1]; None if it is not
            clipped.
    """

    clean: np.ndarray
    noisy: np.ndarray
    latent: np.ndarray
    denoised: np.ndarray
    unclipped: np.ndarray | None = None


def show_image(axes: Axes, image: np.ndarray, **options: Any) -> AxesImage:
    """Show an image of shape (H, W, C) or (H, W), with black at 0 and white at 1.

    Three channels are shown as red, green and blue; any other number as its mean.
    """
    if image.ndim == 3 and image.shape[-1] != 3:
        image = image.mean(axis=-1)
    shown: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 1, **options}
    if image.ndim == 3:
        image = np.clip(image, 0, 1)
    return axes.imshow(image, interpolation="nearest", **shown)


@styled
def scheme(spec: DAESpec, stages: Stages) -> Figure:
    """Draw figure 1, the autoencoder (paper, section 1.3), layer by layer.

    Args:
        spec: the model; each convolution and its mirror becomes one arrow.
        stages: the images at both ends and the latent between them.
    """
    sizes = (*spec.sizes, *reversed(spec.sizes[:-1]))
    widths = (*spec.widths, *reversed(spec.widths[:-1]))
    step = max(1.2, 6.0 / (len(sizes) - 1))
    width = step * (len(sizes) - 1) + 1.8
    figure, axes = _canvas(width, 3.5)
    title = f"{spec.parameters:,} parameters, {spec.macs:,} multiply-adds"
    axes.text(0.3, 3.2, spec.name, fontsize=13, weight="bold", va="center")
    axes.text(width - 0.3, 3.2, title, color=GREY, ha="right", va="center")
    ends = [
        _feature_map(axes, spec, stages, index, 0.9 + index * step)
        for index in range(len(sizes))
    ]
    for index, (size, channels) in enumerate(zip(sizes, widths, strict=True)):
        label = f"{size}{TIMES}{size}{TIMES}{channels}"
        axes.text(0.9 + index * step, 0.92, label, ha="center", va="center")
    operations = (*spec.layers, *reversed(spec.layers))
    axes.text(0.9, 2.45, "kernel\n/stride", color=GREY, ha="center", fontsize=9)
    for index, layer in enumerate(operations):
        right, left = ends[index][1], ends[index + 1][0]
        _arrow(axes, (right + 0.05, 1.75), (left - 0.05, 1.75))
        colour = BLUE if index < spec.depth else GREEN
        middle = 0.9 + (index + 0.5) * step
        axes.text(middle, 2.45, _kernel(layer), color=colour, ha="center")
    for place in spec.blocks:
        for first, colour in ((place, BLUE), (2 * spec.depth - 2 - place, GREEN)):
            _connection(axes, 0.9 + first * step, 0.9 + (first + 2) * step, colour)
    _halves(axes, spec, 0.9, step)
    return figure


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure with one empty axes whose coordinates are inches."""
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_autoscale_on(False)
    axes.set_axis_off()
    return figure, axes


def _kernel(layer: Conv) -> str:
    """Return kernel and stride on one line and the padding, if 'same', on the next."""
    return str(layer).replace("x", TIMES).replace(" same", "\nsame")


def _picture(
    axes: Axes, image: np.ndarray, x: float, y: float, side: float, **options: Any
) -> None:
    """Show `image` in a framed square of this side, centred at (x, y)."""
    half = side / 2
    order = options.pop("zorder", 2)
    edge = options.pop("edge", INK)
    extent = (x - half, x + half, y - half, y + half)
    show_image(axes, image, extent=extent, aspect="auto", zorder=order, **options)
    frame = Rectangle((x - half, y - half), side, side, fill=False, ec=edge, lw=1)
    frame.set_zorder(order)
    axes.add_patch(frame)


def _feature_map(
    axes: Axes, spec: DAESpec, stages: Stages, index: int, x: float
) -> tuple[float, float]:
    """Draw the maps after `index` operations; return their left and right ends."""
    last = 2 * spec.depth
    mirrored = min(index, last - index)
    # The drawn area is proportional to the side of the map, so that 5x5 stays visible.
    side = 0.95 * sqrt(spec.sizes[mirrored] / spec.image_size)
    if index in (0, last):
        image = stages.noisy if index == 0 else stages.denoised
        _picture(axes, image, x, 1.75, side)
        return x - side / 2, x + side / 2
    planes = min(spec.widths[mirrored], 5)
    shift = 0.07
    reach = shift * (planes - 1) / 2
    top = stages.latent.max() or 1.0
    for plane in reversed(range(planes)):
        move = shift * plane - reach
        if index == spec.depth:
            _picture(
                axes, stages.latent[..., plane], x + move, 1.75 + move, side,
                cmap=LATENT_COLOUR_MAP, vmax=top, edge=ORANGE, zorder=3 - plane / 10,
            )  # fmt: skip
        else:
            corner = (x + move - side / 2, 1.75 + move - side / 2)
            fill = "#d6e8f4" if index < spec.depth else "#d3efe6"
            edge = BLUE if index < spec.depth else GREEN
            patch = Rectangle(corner, side, side, fc=fill, ec=edge, lw=1)
            patch.set_zorder(3 - plane / 10)
            axes.add_patch(patch)
    return x - reach - side / 2, x + reach + side / 2


def _arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], **options: Any
) -> None:
    shown: dict[str, Any] = {"color": GREY, "arrowstyle": "-|>", **options}
    axes.add_patch(
        FancyArrowPatch(
            start, end, mutation_scale=11, lw=1.3, shrinkA=0, shrinkB=0, **shown
        )
    )


def _connection(axes: Axes, start: float, end: float, colour: str) -> None:
    """Draw the skip connection around the two layers of a residual block."""
    bent = {"connectionstyle": "arc3,rad=-0.1", "color": colour, "zorder": 4}
    _arrow(axes, (start, 2.2), (end, 2.2), **bent)


def _halves(axes: Axes, spec: DAESpec, first: float, step: float) -> None:
    """Draw brackets with names below the maps of encoder and decoder."""
    count = f"{spec.depth} " if spec.depth > 1 else ""
    name = "convolutions" if spec.depth > 1 else "convolution"
    latent = first + spec.depth * step
    sigmoid = "sigmoid" if spec.depth == 1 else "ReLU, sigmoid last"
    for left, right, text, colour in (
        (first - 0.5, latent - 0.12, f"encoder: {count}{name}, ReLU", BLUE),
        (
            latent + 0.12,
            first + 2 * spec.depth * step + 0.5,
            f"decoder: {count}transposed {name}, {sigmoid}",
            GREEN,
        ),
    ):
        axes.plot([left, left, right, right], [0.7, 0.62, 0.62, 0.7], color=colour)
        middle = (left + right) / 2
        axes.text(middle, 0.45, text, color=colour, ha="center", va="center")
    kept, given = prod(spec.latent_shape), prod(spec.image_shape)
    text = (
        f"latent: {kept:,} values for the image's {given:,}, {100 * kept / given:.2f} %"
    )
    axes.text(latent, 0.18, text, color="#9a6a00", ha="center", va="center")


@styled
def pipeline(spec: DAESpec, stages: Stages) -> Figure:
    """Draw figure 2, the denoising pipeline (paper, section 1.4).

    Args:
        spec: the model.
        stages: one image at each stage; the loss shown is measured from it.
    """
    figure, axes = _canvas(11.4, 3.5)
    y = 2.1
    _picture(axes, stages.clean, 0.95, y, 1.3)
    before = stages.noisy if stages.unclipped is None else stages.unclipped
    noise = before.astype(np.float64) - stages.clean
    reach = max(float(np.abs(noise).max()), 1e-9)  # grey means no noise
    _picture(axes, (noise / reach + 1) / 2, 2.1, y + 0.8, 0.62, edge=GREY)
    axes.add_patch(Circle((2.1, y), 0.16, fc="white", ec=INK, lw=1.3))
    axes.text(2.1, y, "+", fontsize=15, ha="center", va="center_baseline")
    if stages.unclipped is not None:
        box = {"boxstyle": "round,pad=0.25", "fc": "white", "ec": INK, "lw": 1}
        axes.text(2.63, y, "clip", fontsize=8.5, ha="center", va="center", bbox=box)
        _arrow(axes, (2.27, y), (2.48, y))
    _picture(axes, stages.noisy, 3.65, y, 1.3)
    _half(axes, 5.32, y, 1.3, 0.66, BLUE, "encoder")
    _latent_maps(axes, stages.latent, 6.95, y, 1.25)
    _half(axes, 8.58, y, 0.66, 1.3, GREEN, "decoder")
    _picture(axes, stages.denoised, 10.45, y, 1.3)
    _arrow(axes, (2.1, y + 0.46), (2.1, y + 0.18))
    for start, end in (
        (1.63, 1.92), (2.28 if stages.unclipped is None else 2.83, 2.97),
        (4.33, 4.77), (5.87, 6.26), (7.65, 8.03), (9.13, 9.77),
    ):  # fmt: skip
        _arrow(axes, (start, y), (end, y))
    height, side, channels = spec.latent_shape
    for x, text in (
        (0.95, "clean"),
        (3.65, "noisy"),
        (6.95, f"latent, {channels} maps of {height}{TIMES}{side}"),
        (10.45, "denoised"),
    ):
        axes.text(x, y - 0.86, text, ha="center", va="center", fontsize=11)
    axes.text(2.48, y + 0.8, "noise", va="center", fontsize=11)
    axes.text(0.3, 3.2, spec.name, va="center", fontsize=13, weight="bold")
    _loss(axes, stages, 0.95, 10.45, y - 1.05)
    return figure


def _half(
    axes: Axes, x: float, y: float, left: float, right: float, colour: str, name: str
) -> None:
    """Draw encoder or decoder as a trapezoid of these heights, centred at (x, y)."""
    corners = [
        (x - 0.52, y - left / 2), (x - 0.52, y + left / 2),
        (x + 0.52, y + right / 2), (x + 0.52, y - right / 2),
    ]  # fmt: skip
    axes.add_patch(Polygon(corners, closed=True, fc=colour, ec="none"))
    axes.text(x, y, name, color="white", weight="bold", ha="center", va="center")


def _latent_maps(
    axes: Axes, latent: np.ndarray, x: float, y: float, side: float
) -> None:
    """Show each latent map in a grid centred at (x, y), on a common scale."""
    across = ceil(sqrt(latent.shape[-1]))
    pitch = side / across
    top = latent.max() or 1.0
    for index in range(latent.shape[-1]):
        row, column = divmod(index, across)
        centre = (x + (column - (across - 1) / 2) * pitch,
                  y - (row - (across - 1) / 2) * pitch)  # fmt: skip
        _picture(
            axes, latent[..., index], *centre, pitch - 0.06,
            cmap=LATENT_COLOUR_MAP, vmax=top, edge=ORANGE,
        )  # fmt: skip


def _loss(axes: Axes, stages: Stages, left: float, right: float, y: float) -> None:
    """Draw the loss as an arrow from the denoised to the clean image."""
    error = float(mse(stages.clean[None], stages.denoised[None])[0])
    pixels = stages.clean.size
    text = f"loss: MSE = {error:.4f}, the mean over {pixels:,} pixel values"
    text += f" (their sum: {error * pixels:.2f})"
    axes.plot(
        [left, left, right, right], [y - 0.15, 0.45, 0.45, y - 0.15], color=VERMILION
    )
    for x in (left, right):
        _arrow(axes, (x, y - 0.3), (x, y), color=VERMILION)
    axes.text(
        (left + right) / 2, 0.45, text, color=VERMILION, fontsize=12,
        ha="center", va="center", bbox={"fc": "white", "ec": "none", "pad": 6},
    )  # fmt: skip
