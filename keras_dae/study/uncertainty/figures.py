"""Figures of uncertainty."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from keras_dae.study.common.lines import line_styles
from keras_dae.study.nine.diagrams import GREY, PALETTE, styled

WANTED = (0.88, 0.92)


@dataclass(frozen=True)
class Example:
    """Test images with outputs of a model: arrays (N, H, W), and the model's name."""

    name: str
    clean: np.ndarray
    noisy: np.ndarray
    answer: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


@styled
def coverage(results: Mapping[str, Any]) -> Figure:
    """Draw coverage by predicted spread, inside strokes, and for other noise.

    Args:
        results: content of `uncertainty.json`.
    """
    rows = [_named(row) for row in results["rows"]]
    styles = line_styles(rows)
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2), sharey=True)
    for row in rows:
        tenths = [100 * one["coverage"] for one in row["test"]["deciles"]]
        left.plot(
            range(1, len(tenths) + 1), tenths, **styles[row["name"]], label=row["name"]
        )
    left.set(
        xlabel="tenth of the pixels, the smallest predicted spread first",
        ylabel="pixels in their interval, %",
    )
    left.set_xticks(range(1, 11))
    left.legend(ncols=3, fontsize=8.5, loc="lower right")
    _groups(right, rows)
    for axes in (left, right):
        axes.axhspan(*(100 * one for one in WANTED), color=GREY, alpha=0.15, lw=0)
        axes.axhline(100 * results["level"], color=GREY, lw=1)
        axes.grid(axis="y")
    low, high = left.get_ylim()  # of the data
    left.set_ylim(min(75, low), max(97, high))
    return figure


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with depth and latent from the name of the model."""
    parts = str(row["name"]).split("_")
    known = {}
    if len(parts) == 3 and parts[1].isdigit() and parts[2].isdigit():
        known = {"depth": int(parts[1]), "latent": int(parts[2])}
    return {**row, "kind": "model", **known}


def _groups(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """Draw one column of dots per group: strokes, uncertain pixels, other noises."""
    groups = {"all": [row["test"]["coverage"] for row in rows]}
    groups["strokes"] = [row["test"]["strokes"] for row in rows]
    groups["unsure"] = [row["test"]["unsure"] for row in rows]
    for number, one in enumerate(rows[0]["shifted"]):
        sigma = one["noise"].split(",")[1].strip().replace(" ", "\n")
        for key, word in (("coverage", "all"), ("strokes", "strokes")):
            values = [row["shifted"][number][key] for row in rows]
            groups[f"{sigma}\n{word}"] = values
    for place, values in enumerate(groups.values()):
        shown = [100 * value for value in values if value is not None]
        colour = PALETTE[0] if place < 3 else PALETTE[3]
        axes.plot([place] * len(shown), shown, "o", color=colour, ms=5, alpha=0.7)
    axes.set_xticks(range(len(groups)), list(groups), fontsize=8.5)
    axes.axvline(2.5, color=GREY, lw=1, ls=":")
    axes.set_title("right of the line: no guarantee", fontsize=9, color=GREY)


@styled
def images(example: Example) -> Figure:
    """Draw test images, outputs, errors and widths, one column per image."""
    error = np.abs(example.answer - example.clean)
    outside = (example.clean < example.lower) | (example.clean > example.upper)
    rows = {
        "clean": (example.clean, "gray"),
        "noisy": (example.noisy, "gray"),
        example.name: (example.answer, "gray"),
        "error": (error, "magma"),
        "width": (example.upper - example.lower, "magma"),
        "outside": (np.where(outside, 1.0, 0.25 * example.clean), "gray"),
    }
    count = len(example.clean)
    size = (1.05 * count + 1.6, 1.05 * len(rows) + 0.2)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(rows), count, squeeze=False)
    for line, (name, (values, colours)) in zip(panels, rows.items(), strict=True):
        for axes, image in zip(line, values, strict=True):
            shown = axes.imshow(image, cmap=colours, vmin=0, vmax=1)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
        if colours != "gray":
            figure.colorbar(shown, ax=list(line), fraction=0.02, pad=0.01)
    return figure
