"""The figures of the paper, from arrays, histories and rows to matplotlib figures.

Functions here do not read files, open windows or change their arguments.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

from keras_dae.evaluation.metrics import mse
from keras_dae.study.nine.diagrams import GREY, INK, PALETTE, TIMES, show_image, styled
from keras_dae.study.nine.diagrams import Stages as Stages
from keras_dae.study.nine.diagrams import pipeline as pipeline
from keras_dae.study.nine.diagrams import scheme as scheme
from keras_dae.system.storage import replacing

ERROR = "absolute\nerror,\n0 to 1"
# First epochs that may exceed the axis, since they would flatten the rest.
STEEP_EPOCHS = 2
Rows = Sequence[Mapping[str, Any]]
Bars = dict[tuple[int, int, str], list[float]]  # (depth, latent, name) -> test errors


def png_bytes(figure: Figure) -> bytes:
    """Return `figure` as a PNG; the same figure gives the same bytes."""
    figure.savefig(buffer := BytesIO(), dpi=150, metadata={"Software": None})
    return buffer.getvalue()


def save_png(figure: Figure, path: Path | str) -> None:
    """Write `figure` to `path` as a PNG, atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(png_bytes(figure))


@styled
def samples(clean: np.ndarray, noisy: np.ndarray) -> Figure:
    """Draw figure 3, clean images above their noisy ones (paper, section 2.2).

    Args:
        clean: images of shape (n, H, W, C) in [0, 1]; eight per line.
        noisy: the same images with noise, same shape.
    """
    across = min(len(clean), 8)
    lines = -(-len(clean) // across)
    figure, grid = _image_grid(["clean", "noisy"] * lines, across, top=0.1)
    for index in range(lines * across):
        line, column = divmod(index, across)
        for row, images in ((2 * line, clean), (2 * line + 1, noisy)):
            if index < len(images):
                show_image(grid[row, column], images[index])
    return figure


@styled
def reconstruction(
    clean: np.ndarray, noisy: np.ndarray, denoised: np.ndarray, name: str
) -> Figure:
    """Draw figure 4: truth, noisy, output and absolute error (paper, section 3.1).

    Args:
        clean: images of shape (n, H, W, C) in [0, 1].
        noisy: the model's input, same shape.
        denoised: the model's output, same shape.
        name: the model, for the title.
    """
    error = np.abs(denoised.astype(np.float64) - clean).mean(axis=-1)
    rows = {"clean": clean, "noisy": noisy, "denoised": denoised, ERROR: error}
    figure, grid = _image_grid(list(rows), len(clean), top=0.4, gap=0.24)
    for axes_row, (label, images) in zip(grid, rows.items(), strict=True):
        for axes, image in zip(axes_row, images, strict=True):
            show_image(axes, image, cmap="inferno" if label == ERROR else "gray")
    for row, images in ((1, noisy), (2, denoised)):
        for axes, value in zip(grid[row], mse(clean, images), strict=True):
            axes.set_xlabel(f"MSE {value:.4f}", fontsize=8.5, labelpad=2)
    figure.suptitle(name, y=1 - 0.1 / figure.get_figheight(), va="top", fontsize=11)
    return figure


@styled
def all_models(
    clean: np.ndarray, noisy: np.ndarray, denoised: Mapping[str, np.ndarray]
) -> Figure:
    """Draw figure 7: the same images denoised by every model (paper, section 5.2).

    Args:
        clean: images of shape (n, H, W, C) in [0, 1].
        noisy: the models' input, same shape.
        denoised: model name -> its output, same shape, in the order of the columns.
    """
    columns = {"clean": clean, "noisy": noisy, **denoised}
    labels = [f"sample {number}" for number in range(1, len(clean) + 1)]
    figure, grid = _image_grid(labels, len(columns), top=0.5)
    for (name, images), axes_column in zip(columns.items(), grid.T, strict=True):
        for axes, image in zip(axes_column, images, strict=True):
            show_image(axes, image)
        error = mse(clean, images).mean()
        measured = f"MSE {error:.4f}" if images is not clean else "mean MSE:"
        axes_column[0].set_title(f"{name}\n{measured}", fontsize=8.8, pad=4)
    return figure


def _image_grid(
    labels: Sequence[str], columns: int, *, top: float, gap: float = 0.06
) -> tuple[Figure, np.ndarray]:
    """Return a figure of square axes, and these as an array (rows, columns).

    `labels` name the rows. `top`, the space above them, and `gap` are in inches.
    """
    rows, side, left, edge, between = len(labels), 0.92, 0.9, 0.1, 0.06
    width = left + columns * side + (columns - 1) * between + edge
    height = top + rows * side + (rows - 1) * gap + edge
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(
        left / width, edge / height, 1 - edge / width, 1 - top / height,
        between / side, gap / side,
    )  # fmt: skip
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    for axes, label in zip(grid[:, 0], labels, strict=True):
        axes.set_ylabel(label, rotation=0, ha="right", va="center", labelpad=8)
    return figure, grid


def latent_colours(rows: Rows) -> dict[int, str]:
    """Return latent side -> colour, the largest side first, as in every figure."""
    sides = sorted({row["latent"] for row in rows}, reverse=True)
    return {side: PALETTE[i % len(PALETTE)] for i, side in enumerate(sides)}


@styled
def losses(runs: Rows) -> Figure:
    """Draw figure 5: loss by epoch, one panel per depth (paper, section 4.2).

    With several seeds the mean is drawn, in a band from the lowest to the highest.

    Args:
        runs: one entry per run: depth, latent, and `history` with the lists `loss` and
            `val_loss` (mean squared error over pixels per epoch, above 0).
    """
    runs = [run for run in runs if run["history"]["loss"]]
    depths = sorted({run["depth"] for run in runs})
    colours = latent_colours(runs)
    one_epoch = all(len(run["history"]["loss"]) == 1 for run in runs)
    figure = Figure(
        figsize=(max(3.3 * len(depths) + 0.6, 6.2), 4.6), layout="constrained"
    )
    panels = figure.subplots(1, max(len(depths), 1), sharey=True, squeeze=False)[0]
    for axes, depth in zip(panels, depths, strict=False):
        for side, colour in colours.items():
            of_curve = [r for r in runs if (r["depth"], r["latent"]) == (depth, side)]
            for key, line in (("loss", "-"), ("val_loss", "--")):
                _curve(axes, [run["history"][key] for run in of_curve], colour, line)
        axes.set(title=_convolutions(depth), xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        if one_epoch:
            axes.set_xticks([1])
        axes.grid(axis="y")
    _loss_axis(panels[0], [run["history"] for run in runs])
    once: dict[str, Any] = {"marker": "o", "mfc": "white"} if one_epoch else {}
    handles = [
        *(Line2D([], [], lw=3, color=colours[s], label=_side(s)) for s in colours),
        Line2D([], [], color=INK, label="training", **(once and {**once, "mfc": INK})),
        Line2D([], [], color=INK, ls="--", label="validation", **once),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def _side(latent: int) -> str:
    return f"{latent}{TIMES}{latent}"


def _convolutions(depth: int) -> str:
    return f"{depth} convolution" + ("s" if depth > 1 else "")


def _curve(axes: Axes, histories: list[list[float]], colour: str, line: str) -> None:
    """Draw the mean and the range of histories, which can differ in length."""
    if not histories:
        return
    values = np.full((len(histories), max(map(len, histories))), np.nan)
    for row, history in zip(values, histories, strict=True):
        row[: len(history)] = history
    epochs = np.arange(1, values.shape[1] + 1)
    look: dict[str, Any] = {"color": colour, "lw": 1.6}
    if len(epochs) == 1:  # a line through one point would be invisible
        filled = colour if line == "-" else "white"
        look |= {"marker": "o", "ms": 7, "mfc": filled}
    axes.plot(epochs, np.nanmean(values, axis=0), line, **look)
    if len(histories) > 1:
        low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
        axes.fill_between(epochs, low, high, color=colour, alpha=0.18, lw=0)


def _loss_axis(axes: Axes, histories: list[Mapping[str, list[float]]]) -> None:
    """Make the shared axis logarithmic, fit it to the later epochs, and add a note."""
    axes.set_ylabel("mean squared error (mean over pixels)")
    axes.set_yscale("log")
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    note = "Training loss is averaged during the epoch, while the weights still move."
    curves = [history[key] for history in histories for key in ("loss", "val_loss")]
    if curves:
        late = [curve[STEEP_EPOCHS:] or curve for curve in curves]
        low, high = min(map(min, curves)) * 0.95, max(map(max, late)) * 1.08
        axes.set_ylim(low, high)
        even, decades = MaxNLocator(7, steps=(1, 2, 5, 10)), LogLocator(subs=(1, 2, 5))
        axes.yaxis.set_major_locator(even if high < 5 * low else decades)
        if (highest := max(map(max, curves))) > high:
            note += f"\nFirst epochs run off the top, up to {highest:.3g}."
    axes.figure.supxlabel(note, fontsize=8.5, color=GREY)


@styled
def test_loss(models: Rows, floors: Rows) -> Figure:
    """Draw figure 6: test error by depth and latent size (paper, section 5.1).

    Bars are means over seeds, error bars their standard deviation, dots the seeds.

    Args:
        models: one row per run: name, depth, latent and `test` with its `mse`.
        floors: one row per baseline: name and `test`. Those far above the bars are
            drawn in a second panel with its own scale, with a break between.
    """
    bars: Bars = {}
    for row in sorted(models, key=lambda row: (row["depth"], -row["latent"])):
        key = (row["depth"], row["latent"], row["name"])
        bars.setdefault(key, []).append(row["test"]["mse"])
    top = 1.15 * max(np.mean(bar) + _deviation(bar) for bar in bars.values())
    heights = {row["name"]: row["test"]["mse"] for row in floors}
    above = {name: value for name, value in heights.items() if value > top}
    below = {name: value for name, value in heights.items() if value <= top}
    size = (max(0.75 * len(bars) + 2.4, 6), 5.4 if above else 4)
    figure = Figure(figsize=size, layout="constrained")
    if above:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
        upper.set_ylim(0.85 * min(above.values()), 1.08 * max(above.values()))
        upper.spines["bottom"].set_visible(False)
        upper.tick_params(bottom=False, labelbottom=False)
        _floor_lines(upper, above, gap=0.14)
        for axes, edge in ((upper, 0), (lower, 1)):  # the break in the axis
            mark = {"marker": [(-1, -0.6), (1, 0.6)], "ms": 10, "color": GREY}
            axes.plot(0, edge, transform=axes.transAxes, clip_on=False, **mark)
    else:
        lower = figure.subplots()
    lower.set(ylim=(0, top), ylabel="test mean squared error (mean over pixels)")
    lower.grid(axis="y")
    _draw_bars(lower, bars, latent_colours(models))
    _floor_lines(lower, below, gap=0.06)
    return figure


@styled
def families(studies: Mapping[str, Rows]) -> Figure:
    """Draw the test errors of several families of models, one panel per family.

    Dots are seeds. Lines connect the means of models of the same depth.

    Args:
        studies: title -> one row per run: depth, latent and `test` with its `mse`.
    """
    figure = Figure(figsize=(3.3 * len(studies), 3.6), layout="constrained")
    panels = figure.subplots(1, len(studies), sharey=True, squeeze=False)[0]
    depths = sorted({row["depth"] for rows in studies.values() for row in rows})
    markers = dict(zip(depths, "osD^v", strict=False))
    for axes, (title, rows) in zip(panels, studies.items(), strict=True):
        colours = latent_colours(rows)
        for depth, marker in markers.items():
            of_depth = [row for row in rows if row["depth"] == depth]
            _by_latent(axes, of_depth, colours, marker)
        axes.set(title=title, xlabel="latent", xlim=(-0.4, len(colours) - 0.6))
        axes.set_xticks(range(len(colours)), [_side(side) for side in colours])
        axes.grid(axis="y")
    handles = [
        Line2D([], [], color=GREY, marker=marker, label=_convolutions(depth))
        for depth, marker in markers.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    panels[0].set_ylabel("test mean squared error")
    return figure


def _by_latent(axes: Axes, rows: Rows, colours: Mapping[int, str], marker: str) -> None:
    """Draw the test errors of models of one depth, and a line through the means."""
    means: dict[int, float] = {}
    for place, (side, colour) in enumerate(colours.items()):
        found = [row["test"]["mse"] for row in rows if row["latent"] == side]
        if not found:
            continue
        means[place] = float(np.mean(found))
        shifts = np.linspace(-0.1, 0.1, len(found)) if len(found) > 1 else [0.0]
        look: dict[str, Any] = {"ms": 5, "mec": "white", "mew": 0.5, "color": colour}
        axes.plot(np.add(shifts, place), found, marker, **look)
    axes.plot(list(means), list(means.values()), color=GREY, lw=1.2, zorder=1)


def _deviation(errors: Sequence[float]) -> float:
    """Return the standard deviation over seeds; 0 for a single one."""
    return float(np.std(errors, ddof=1)) if len(errors) > 1 else 0.0


def _draw_bars(axes: Axes, bars: Bars, colours: Mapping[int, str]) -> None:
    """Draw the bars, with a gap between depths."""
    depths = sorted({depth for depth, _, _ in bars})
    places = {key: i + 0.5 * depths.index(key[0]) for i, key in enumerate(bars)}
    for (key, errors), place in zip(bars.items(), places.values(), strict=True):
        mean, deviation = float(np.mean(errors)), _deviation(errors)
        axes.bar(place, mean, 0.82, color=colours[key[1]])
        if len(errors) > 1:
            axes.errorbar(place, mean, deviation, color=INK, capsize=5, lw=1.3)
            shifts = np.linspace(-0.18, 0.18, len(errors))
            axes.plot(place + shifts, errors, "o", ms=4.5, mfc="white", mec=INK, mew=1)
        top = max(mean + deviation, *errors)
        axes.annotate(
            f"{mean:.4f}", (place, top), (0, 6), textcoords="offset points",
            ha="center", fontsize=9, bbox={"fc": "white", "ec": "none", "pad": 0.5},
        )  # fmt: skip
    axes.set_xticks(list(places.values()), [_side(side) for _, side, _ in bars])
    axes.tick_params(axis="x", length=0)
    half = max(place / 2 + 0.7, 1.6)  # so that a single bar does not fill the panel
    axes.set_xlim(place / 2 - half, place / 2 + half)
    for depth in depths:
        middle = np.mean([place for key, place in places.items() if key[0] == depth])
        axes.annotate(
            _convolutions(depth), (float(middle), 0), (0, -30), weight="bold",
            ha="center", xycoords=("data", "axes fraction"), textcoords="offset points",
        )  # fmt: skip


def _floor_lines(axes: Axes, heights: Mapping[str, float], gap: float) -> None:
    """Draw a labelled line per baseline; labels keep `gap` (of the axis) apart."""
    low, high = axes.get_ylim()
    place = -1.0
    for name, height in sorted(heights.items(), key=lambda item: item[1]):
        axes.axhline(height, color=GREY, lw=1, ls=(0, (4, 3)))
        line = (height - low) / (high - low)
        place = max(line, place + gap)
        axes.annotate(
            f"{name} {height:.4f}", (1, line), (1.03, place),
            xycoords="axes fraction", va="center", fontsize=9,
            arrowprops={"arrowstyle": "-", "color": GREY, "relpos": (0, 0.5)},
        )  # fmt: skip
