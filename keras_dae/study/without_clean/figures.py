"""The figure of training without clean images."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from keras_dae.study.nine.diagrams import PALETTE, styled

# Targets -> colour and marker, the same in each panel.
LOOKS = {
    "clean": (PALETTE[0], "o"),
    "noisy": (PALETTE[2], "s"),
    "split": (PALETTE[1], "^"),
    "r2r": (PALETTE[5], "v"),
    "blind-spot": (PALETTE[3], "D"),
}
WORDS = {
    "clean": "clean images",
    "noisy": "two noisy copies",
    "split": "one noisy copy, split",
    "r2r": "one noisy copy, unclipped, split",
    "blind-spot": "one noisy copy, blind spot",
}


@styled
def errors(results: Mapping[str, Any]) -> Figure:
    """Draw the test error of each model by its targets, one panel per noise.

    Args:
        results: content of `without_clean.json`.
    """
    noises = [noise["noise"] for noise in results["noises"]]
    models = {
        noise: list(
            dict.fromkeys(r["model"] for r in results["rows"] if r["noise"] == noise)
        )
        for noise in noises
    }
    widths = [max(len(models[noise]), 1) + 1 for noise in noises]
    figure = Figure(figsize=(1.7 * sum(widths) + 1.5, 4.2), layout="constrained")
    panels = figure.subplots(
        1, len(noises), squeeze=False, gridspec_kw={"width_ratios": widths}
    )[0]
    for axes, noise in zip(panels, noises, strict=True):
        rows = [row for row in results["rows"] if row["noise"] == noise]
        _panel(axes, rows, models[noise])
        axes.set_title(noise)
    panels[0].set_ylabel("test MSE (mean over pixels)")
    shown = {row["targets"] for row in results["rows"]}
    handles = [
        Line2D([], [], color=colour, marker=mark, ls="", label=WORDS[name])
        for name, (colour, mark) in LOOKS.items()
        if name in shown
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(4, len(shown)))
    return figure


def _panel(axes: Axes, rows: list[dict[str, Any]], models: list[str]) -> None:
    """Draw a dot per seed, and a line at the mean, for each model and its targets."""
    kinds = [name for name in LOOKS if any(r["targets"] == name for r in rows)]
    for place, model in enumerate(models):
        for number, name in enumerate(kinds):
            values = [
                row["mse"]
                for row in rows
                if (row["model"], row["targets"]) == (model, name)
            ]
            if not values:
                continue
            colour, mark = LOOKS[name]
            x = place + 0.6 * ((number + 0.5) / len(kinds) - 0.5)
            axes.plot([x] * len(values), values, color=colour, marker=mark, ls="")
            mean = sum(values) / len(values)
            axes.plot([x - 0.06, x + 0.06], [mean, mean], color=colour)
    axes.set_xticks(range(len(models)), models)
    axes.set_xlim(-0.6, len(models) - 0.4)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y")
