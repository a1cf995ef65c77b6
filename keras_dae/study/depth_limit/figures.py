"""The figure of depth by number of training images."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator

from keras_dae.study.nine.diagrams import BLUE, GREEN, GREY, INK, ORANGE, styled

LOSSES = {"train": BLUE, "validation": ORANGE, "test": GREEN}
MARKS = {"train": "o", "validation": "s", "test": "^"}


@styled
def depth_limit(results: Mapping[str, Any]) -> Figure:
    """Draw losses over depth, one panel a number of training images.

    Means over seeds, in a band from the lowest to the highest.

    Args:
        results: what `depth_limit.json` holds.
    """
    found = results["findings"]
    figure = Figure(figsize=(4.7 * len(found) + 0.6, 4.6), layout="constrained")
    panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for axes, finding in zip(panels, found, strict=True):
        size, depths = finding["train_images"], finding["depths"]
        own = [row for row in results["rows"] if row["train_images"] == size]
        for part, colour in LOSSES.items():
            values = [[r[part] for r in own if r["depth"] == d] for d in depths]
            look = {"color": colour, "marker": MARKS[part], "ms": 4.5}
            axes.plot(depths, finding["means"][part], **look)
            low, high = [min(v) for v in values], [max(v) for v in values]
            axes.fill_between(depths, low, high, color=colour, alpha=0.18, lw=0)
        _marks(axes, finding)
        axes.set(title=f"{size:,} training images", xlabel="depth")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axes.minorticks_off()
        axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
        axes.grid(axis="y")
    panels[0].set_ylabel("mean squared error (mean over pixels)")
    handles = [
        *(Line2D([], [], color=LOSSES[p], marker=MARKS[p], label=p) for p in LOSSES),
        Line2D([], [], color=INK, ls="--", label="deeper stops helping"),
    ]
    if any(finding["opens"] is not None for finding in found):
        handles.append(Line2D([], [], color=GREY, ls="-.", label="the gap opens"))
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def _marks(axes: Axes, finding: Mapping[str, Any]) -> None:
    axes.axvline(finding["enough"], color=INK, ls="--", lw=1.2, zorder=0)
    if finding["opens"] is not None:
        beside = 0.12 if finding["opens"] == finding["enough"] else 0.0
        axes.axvline(finding["opens"] + beside, color=GREY, ls="-.", lw=1.2, zorder=0)
