"""Figures of robustness."""

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from keras_dae.study.common.candidates import NOISY
from keras_dae.study.common.lines import heat, line_styles
from keras_dae.study.nine.diagrams import GREY, INK, styled

Rows = Sequence[Mapping[str, Any]]
METRICS = {"psnr": "PSNR of the mean error, dB", "mse": "MSE", "ssim": "SSIM"}
# Kinds of noise that get weaker as the parameter grows.
REVERSED = ("poisson",)
ACROSS = 4


@styled
def strengths(results: Mapping[str, Any], metric: str = "psnr") -> Figure:
    """Draw a metric against strength, one panel per noise, one line per denoiser.

    Lines are means over seeds. Only some denoisers are drawn, see `_drawn`.

    Args:
        results: content of `robustness.json`.
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
    """Return name -> noise -> strength -> the metric, averaged over seeds."""
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
    """Return the denoisers to draw; the table has all.

    These are the noisy input, the filter that is best most often, and the models. Of
    the study's models only the deepest and the shallowest, with the largest and the
    smallest latent, are drawn.
    """
    kind_of = {row["name"]: row["kind"] for row in rows}
    filters = [name for name in lines if kind_of[name] == "filter"]
    compared = [name for name in filters if name != NOISY]
    best = min if metric == "mse" else max
    wins: Counter[str] = Counter()
    for noise, strength in dict.fromkeys((r["noise"], r["strength"]) for r in rows):
        here = {
            name: lines[name][noise][strength]
            for name in compared
            if strength in lines[name].get(noise, {})
        }
        if here:
            wins[best(here, key=here.__getitem__)] += 1
    left_out = set(compared) - {name for name, _ in wins.most_common(1)}
    return set(lines) - left_out - _between(rows)


def _between(rows: Rows) -> set[str]:
    """Return the study's models that are extreme neither in depth nor in latent."""
    own = {
        row["name"]: (row["depth"], row["latent"])
        for row in rows
        if row.get("latent") and row["name"] == f"DAE_{row['depth']}_{row['latent']}"
    }
    ends = [{min(side), max(side)} for side in zip(*own.values(), strict=True)]
    return {
        name
        for name, sides in own.items()
        if any(one not in both for one, both in zip(sides, ends, strict=True))
    }


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
    """Draw the mean gain of each denoiser for each noise, with its best noise framed.

    Args:
        results: content of `robustness.json`.
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
    note = "PSNR after minus PSNR before, dB, mean over strengths; framed: the highest"
    figure.supxlabel(note, fontsize=9, color=GREY)
    return figure
