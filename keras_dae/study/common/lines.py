"""Styles that distinguish many lines in one panel, also in print."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.image import AxesImage

from keras_dae.study.nine.diagrams import GREY, INK, PALETTE, VERMILION

Style = dict[str, Any]
DASHES = ("-", "--", ":", "-.")
DEPTHS = (5, 3, 1)  # each has a dash and a marker; other depths use the last
LATENT_COLOURS = dict(zip((13, 8, 5), PALETTE, strict=False))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def line_styles(rows: Sequence[Mapping[str, Any]]) -> dict[str, Style]:
    """Return name -> colour, line style and marker, in the order of the rows.

    Styles have the same meaning in every figure. The colour is that of the latent;
    marker and dash are those of the depth. Models without a latent are vermilion stars,
    each with its own dash. A model that is not of the study (another family or
    training) has hollow markers. The noisy input is black, filters are grey.

    Args:
        rows: `name`, `kind` ('model', 'filter' or 'noisy') and, for runs, `depth` and
            `latent`.
    """
    styles: dict[str, Style] = {}
    filters = others = 0
    for name, row in {row["name"]: row for row in rows}.items():
        if name == "noisy input" or row["kind"] == "noisy":
            look = {"color": INK, "ls": "-", "marker": "x", "lw": 1.2}
        elif row["kind"] == "filter":
            look = {"color": GREY, "ls": DASHES[filters % len(DASHES)], "lw": 1.2}
            look |= {"marker": MARKERS[-1 - filters % len(MARKERS)], "mfc": "white"}
            filters += 1
        elif row.get("latent") is None:
            look = {"color": VERMILION, "ls": DASHES[others % len(DASHES)], "lw": 1.6}
            look |= {"marker": "*", "mfc": "white" if others // len(DASHES) else None}
            others += 1
        else:
            place = DEPTHS.index(row["depth"]) if row["depth"] in DEPTHS else -1
            colour = LATENT_COLOURS.get(row["latent"], PALETTE[4])
            look = {"color": colour, "ls": DASHES[place], "lw": 1.6}
            look["marker"] = MARKERS[place]
            if name != f"DAE_{row['depth']}_{row['latent']}":
                look["mfc"] = "white"
        styles[name] = {**look, "ms": 5}
    return styles


def heat(
    axes: Axes,
    values: Sequence[Sequence[float]],
    columns: Sequence[str],
    rows: Sequence[str],
    *,
    form: str = "{:.1f}",
) -> AxesImage:
    """Draw a heat map around 0, blue above and orange below, with its values.

    Args:
        axes: the axes.
        values: one list per row, NaN if not measured.
        columns: names of the columns.
        rows: names of the rows.
        form: format of the values.
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
