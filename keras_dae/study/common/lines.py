"""Lines of many denoisers in one panel, told apart in print and by the colour-blind."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.image import AxesImage

from keras_dae.study.nine.diagrams import GREY, INK, PALETTE

Style = dict[str, Any]
DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def line_styles(rows: Sequence[Mapping[str, Any]]) -> dict[str, Style]:
    """Return name -> matplotlib's colour, line and marker, in the order of the rows.

    A model's colour is that of its latent, its line and marker tell the depth; models
    that share both, or have neither, get one after the other of all combinations. The
    noisy input is black and filters are grey, each with a marker of its own.

    Args:
        rows: `name`, `kind` ('model', 'filter' or 'noisy') and, of runs, `depth` and
            `latent`.
    """
    named = {row["name"]: row for row in rows}
    models = [row for row in named.values() if row["kind"] == "model"]
    pairs = [(row.get("latent"), row.get("depth")) for row in models]
    alike = len(set(pairs)) < len(pairs) or any(None in pair for pair in pairs)
    latents = sorted({latent for latent, _ in pairs if latent}, reverse=True)
    depths = sorted({depth for _, depth in pairs if depth}, reverse=True)
    styles: dict[str, Style] = {}
    for name, row in named.items():
        number = len(styles)
        if name == "noisy input" or row["kind"] == "noisy":
            styles[name] = {"color": INK, "ls": "-", "marker": "x", "lw": 1.2}
        elif row["kind"] == "filter":
            marker, dash = MARKERS[number % len(MARKERS)], DASHES[number % len(DASHES)]
            styles[name] = {"color": GREY, "ls": dash, "marker": marker, "lw": 1.2}
            styles[name]["mfc"] = "white"
        else:
            colour = number if alike else latents.index(row["latent"])
            line = number // len(PALETTE) if alike else depths.index(row["depth"])
            styles[name] = {
                "color": PALETTE[colour % len(PALETTE)],
                "ls": DASHES[line % len(DASHES)],
                "marker": MARKERS[line % len(MARKERS)],
                "lw": 1.6,
            }
        styles[name] |= {"ms": 4.5}
    return styles


def heat(
    axes: Axes,
    values: Sequence[Sequence[float]],
    columns: Sequence[str],
    rows: Sequence[str],
    *,
    form: str = "{:.1f}",
) -> AxesImage:
    """Show a table as colours around 0, blue above and orange below, with its figures.

    Args:
        axes: where.
        values: a list a row, NaN for what was not measured.
        columns: the columns' names.
        rows: the rows' names.
        form: how a figure is written.
    """
    flat = [value for row in values for value in row if value == value]
    top = max(max(map(abs, flat), default=1.0), 1e-9)
    shown = axes.imshow(
        values, cmap="PuOr", norm=TwoSlopeNorm(0, -top, top), aspect="auto"
    )
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            if value == value:
                colour = "white" if abs(value) > 0.6 * top else INK
                text = form.format(round(value, 1) + 0.0)  # no -0.0
                axes.text(j, i, text, color=colour, ha="center", va="center", size=9)
    return shown
