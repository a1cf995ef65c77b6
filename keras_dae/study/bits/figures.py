"""Figures of bits: error against bits, and the bits at which claims hold."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, NullLocator

from keras_dae.study.common.lines import Style, line_styles
from keras_dae.study.nine.claims import SMALLER_LATENT
from keras_dae.study.nine.diagrams import BLUE, GREY, INK, ORANGE, styled

Results = Mapping[str, Any]
# Line style of each format; the colour stands for the saved image.
DASHES = {"JPEG": "-", "WebP": "--", "JPEG 2000": ":", "PNG": ""}
TICKS = (25, 50, 100, 200, 300, 400, 600, 1000, 2000, 4000)
NEAR = (0.0085, 0.009, 0.0095, 0.01, 0.011, 0.012, 0.014, 0.016, 0.018, 0.02, 0.025)
WIDE = (0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2)


def model_styles(rows: list[dict[str, Any]]) -> dict[str, Style]:
    """Return name -> line style of each model; models other than the nine are stars."""
    plain = [row for row in rows if "depth" in row]
    others = [row for row in rows if "depth" not in row]
    styles = line_styles(plain)
    for number, row in enumerate(others):
        styles[row["name"]] = {
            **{"color": INK, "ls": ("-", "--", ":", "-.")[number % 4], "lw": 1.8},
            **{"marker": "*", "ms": 8},
        }
    return styles


@styled
def curves(results: Results) -> Figure:
    """Draw MSE against bits for each model, and for image formats.

    Args:
        results: content of `bits.json`.
    """
    figure = Figure(figsize=(11.5, 6.4), layout="constrained")
    near, wide = figure.subplots(1, 2)
    styles = model_styles(results["rows"])
    for axes, ticks in ((near, NEAR), (wide, WIDE)):
        for row in results["rows"]:
            x, y = ([p[key] for p in row["points"]] for key in ("bits", "mse"))
            axes.plot(x, y, **styles[row["name"]])
        axes.set(xscale="log", yscale="log", xlabel="bits per image")
        axes.grid()
        _ticks(axes, ticks)
    near.set(ylabel="test MSE of the decoded image", title="The models")
    wide.set(title="The models and image files")
    formats = _formats(wide, results)
    errors = [p["mse"] for row in results["rows"] for p in row["points"]]
    if errors:
        least = min(errors)
        near.set_ylim(0.98 * least, min(1.02 * max(errors), 2.6 * least))
        wide.set_ylim(0.1 * least)
    handles = [Line2D([], [], **styles[name], label=name) for name in styles]
    figure.legend(handles=handles + formats, loc="outside lower center", ncols=6)
    return figure


def _formats(axes: Axes, results: Results) -> list[Line2D]:
    """Draw the formats; return the handles of their legend."""
    after = f"after {results['after']}"
    words = {
        "clean": (BLUE, "file of the clean image"),
        "noisy": (ORANGE, "file of the noisy image"),
        after: (GREY, f"file of the output of {results['after']}"),
    }
    for source, (colour, _) in words.items():
        for codec, dash in DASHES.items():
            rows = [
                row
                for row in results["formats"]
                if (row["source"], row["codec"]) == (source, codec)
            ]
            x, y = ([row[key] for row in rows] for key in ("bits", "mse"))
            axes.plot(x, y, color=colour, ls=dash, marker="." if dash else "P", lw=1.3)
    return [
        *(Line2D([], [], color=c, lw=3, label=label) for c, label in words.values()),
        *(
            Line2D([], [], color=INK, ls=dash, marker="" if dash else "P", label=codec)
            for codec, dash in DASHES.items()
        ),
    ]


def _ticks(axes: Axes, errors: tuple[float, ...]) -> None:
    """Set ticks at round numbers of bits and errors."""
    for axis, ticks in ((axes.xaxis, TICKS), (axes.yaxis, errors)):
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.tick_params(axis="x", rotation=45)


@styled
def claims(results: Results) -> Figure:
    """Draw for each comparison the bits at which the claim holds or is reversed.

    Args:
        results: content of `bits.json`.
    """
    rows = results["turns"]
    figure = Figure(figsize=(9, 0.34 * len(rows) + 1.6), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(rows):
        low, high, below = row["low"], row["high"], row["below"]
        axes.barh(place, high - low, left=low, color=BLUE, height=0.62)
        for start, end in row["turned"]:
            axes.barh(place, end - start, left=start, color=ORANGE, height=0.62)
        if below is not None and below < 0.98 * high:
            axes.text(below, place, f" {below:.0f}", color="white", va="center", size=8)
    names = [f"{row['worse']} above {row['better']}" for row in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=8)
    axes.invert_yaxis()
    star = [row["claim"] == SMALLER_LATENT for row in rows]
    for label, is_star in zip(axes.get_yticklabels(), star, strict=True):
        label.set_fontweight("bold" if is_star else "normal")
    axes.set(xscale="log", xlabel="bits per image, the same for both models")
    axes.xaxis.set_major_locator(FixedLocator(TICKS))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(axis="x")
    handles = [
        Patch(color=BLUE, label="the claim holds"),
        Patch(color=ORANGE, label="it is reversed"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2)
    return figure
