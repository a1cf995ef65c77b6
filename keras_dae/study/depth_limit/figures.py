"""The figure of losses against depth by number of training images."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from keras_dae.study.depth_limit.section import is_of
from keras_dae.study.depth_limit.verdicts import NETS
from keras_dae.study.nine.diagrams import BLUE, GREEN, GREY, INK, ORANGE, styled

LOSSES = {"fitted": BLUE, "validation": ORANGE, "test": GREEN}
MARKS = {"fitted": "o", "validation": "s", "test": "^"}
WORDS = {"fitted": "training, last epoch"}


@styled
def depth_limit(results: Mapping[str, Any]) -> Figure:
    """Draw losses against depth: a column per number of images, a row per network.

    Lines are means over seeds, bands the range.

    Args:
        results: content of `depth_limit.json`.
    """
    found = results["findings"]
    sizes = sorted({one["train_images"] for one in found})
    nets = [net for net in NETS if any(one["net"] == net for one in found)]
    size = (4.7 * len(sizes) + 0.6, 3.9 * len(nets) + 0.7)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(
        len(nets), len(sizes), sharex=True, sharey=True, squeeze=False
    )
    for finding in found:
        place = nets.index(finding["net"]), sizes.index(finding["train_images"])
        _panel(grid[place], finding, results["rows"])
    for axes in grid.flat:
        axes.set_visible(bool(axes.lines))
    for axes in grid[:, 0]:
        axes.set_ylabel("mean squared error (mean over pixels)")
    for axes in grid[-1]:
        axes.set_xlabel("depth")
    handles = [
        *(
            Line2D([], [], color=LOSSES[p], marker=MARKS[p], label=WORDS.get(p, p))
            for p in LOSSES
        ),
        Line2D([], [], color=INK, ls="--", label="deeper stops helping"),
    ]
    if any(finding["overfits"] is not None for finding in found):
        handles.append(Line2D([], [], color=GREY, ls="-.", label="overfits"))
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def _panel(
    axes: Axes, finding: Mapping[str, Any], rows: list[Mapping[str, Any]]
) -> None:
    """Draw the losses of one network on one number of images."""
    depths = finding["depths"]
    own = [row for row in rows if any(is_of(row, finding, d) for d in depths)]
    for part, colour in LOSSES.items():
        values = [[r[part] for r in own if r["depth"] == d] for d in depths]
        means = finding["means"][part]
        axes.plot(depths, means, color=colour, marker=MARKS[part], ms=4.5)
        low, high = [min(v) for v in values], [max(v) for v in values]
        axes.fill_between(depths, low, high, color=colour, alpha=0.18, lw=0)
    _marks(axes, finding)
    title = f"{finding['train_images']:,} training images, {finding['net']}"
    axes.set(title=title, yscale="log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axes.minorticks_off()
    axes.set_xticks(sorted({row["depth"] for row in rows}))
    axes.grid(axis="y")


def _marks(axes: Axes, finding: Mapping[str, Any]) -> None:
    axes.axvline(finding["enough"], color=INK, ls="--", lw=1.2, zorder=0)
    if finding["overfits"] is not None:
        beside = 0.12 if finding["overfits"] == finding["enough"] else 0.0
        at = finding["overfits"] + beside
        axes.axvline(at, color=GREY, ls="-.", lw=1.2, zorder=0)
