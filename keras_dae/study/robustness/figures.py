"""Figures of robustness: rows in, a `Figure` out."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from keras_dae.study.common.lines import heat, line_styles
from keras_dae.study.nine.diagrams import GREY, INK, styled

Rows = Sequence[Mapping[str, Any]]
METRICS = {"psnr": "PSNR of the mean error, dB", "mse": "MSE", "ssim": "SSIM"}
# Noises whose strength falls as the parameter grows.
REVERSED = ("poisson",)
ACROSS = 4


@styled
def strengths(results: Mapping[str, Any], metric: str = "psnr") -> Figure:
    """Draw a metric over strength, one panel a noise, a line a denoiser.

    Of several seeds the mean is drawn. Of the filters, those are drawn that are the
    best filter somewhere.

    Args:
        results: what `robustness.json` holds.
        metric: 'psnr', 'mse' or 'ssim'.
    """
    rows = [row for row in results["rows"] if row["test"][metric] is not None]
    lines = _lines(rows, metric)
    shown = [name for name in lines if name in _drawn(rows, lines, metric)]
    styles = line_styles([row for row in rows if row["name"] in shown])
    kinds = list(results["grid"])
    across = min(ACROSS, len(kinds))
    high = -(-len(kinds) // across)
    figure = Figure(figsize=(3.4 * across + 0.4, 3.1 * high + 1), layout="constrained")
    panels = figure.subplots(high, across, squeeze=False, sharey=True)
    for axes, kind in zip(panels.flat, kinds, strict=False):
        for name in shown:
            points = lines[name].get(kind, {})
            axes.plot(list(points), list(points.values()), **styles[name])
        _strength_axis(axes, kind, results)
        if metric == "mse":
            axes.set_yscale("log")
    for axes in panels.flat[len(kinds) :]:
        axes.set_visible(False)
    for axes in panels[:, 0]:
        axes.set_ylabel(METRICS[metric])
    handles = [Line2D([], [], **styles[name], label=name) for name in styles]
    figure.legend(handles=handles, loc="outside upper center", ncols=6)
    return figure


def _lines(rows: Rows, metric: str) -> dict[str, dict[str, dict[float, float]]]:
    """Return name -> noise -> strength -> the metric, mean over seeds."""
    found: dict[str, dict[str, dict[float, list[float]]]] = {}
    for row in rows:
        of_noise = found.setdefault(row["name"], {}).setdefault(row["noise"], {})
        of_noise.setdefault(row["strength"], []).append(row["test"][metric])
    return {
        name: {
            kind: {strength: mean(values) for strength, values in points.items()}
            for kind, points in kinds.items()
        }
        for name, kinds in found.items()
    }


def _drawn(
    rows: Rows, lines: dict[str, dict[str, dict[float, float]]], metric: str
) -> set[str]:
    """Return the models, the noisy input, and each filter that is best somewhere."""
    kind_of = {row["name"]: row["kind"] for row in rows}
    filters = [name for name in lines if kind_of[name] == "filter"]
    compared = [name for name in filters if name != "noisy input"]
    drawn = {name for name in lines if name not in compared}
    best = min if metric == "mse" else max
    for row in rows:
        here = {
            name: value
            for name in compared
            if (value := lines[name].get(row["noise"], {}).get(row["strength"]))
            is not None
        }
        if here:
            drawn.add(best(here, key=here.__getitem__))
    return drawn


def _strength_axis(axes: Axes, kind: str, results: Mapping[str, Any]) -> None:
    values = results["grid"][kind]
    axes.set(title=kind, xlabel=results["strengths"][kind])
    if kind in REVERSED:
        axes.set_xscale("log", base=2)
        axes.invert_xaxis()
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.minorticks_off()
    axes.grid(axis="y")


@styled
def gain_table(results: Mapping[str, Any]) -> Figure:
    """Draw the mean gain of each denoiser on each noise, its best noise framed.

    Args:
        results: what `robustness.json` holds.
    """
    rows = sorted(results["gains"], key=lambda row: row["kind"] != "filter")
    kinds = list(results["grid"])
    values = [[row["gain"].get(kind, np.nan) for kind in kinds] for row in rows]
    figure = Figure(
        figsize=(1.02 * len(kinds) + 2.6, 0.34 * len(rows) + 1.3), layout="constrained"
    )
    axes = figure.subplots()
    heat(axes, values, kinds, [row["name"] for row in rows], form="{:+.1f}")
    for index, row in enumerate(rows):
        corner = (kinds.index(row["best"]) - 0.5, index - 0.5)
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, ec=INK, lw=2.2))
    border = sum(row["kind"] == "filter" for row in rows) - 0.5
    axes.axhline(border, color=INK, lw=1.2)
    note = "PSNR after less PSNR before, dB, mean over strengths; framed: the most"
    figure.supxlabel(note, fontsize=9, color=GREY)
    return figure
