"""Figures of classification: from rows and images to matplotlib figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from keras_dae.study.common.lines import line_styles
from keras_dae.study.nine.diagrams import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    show_image,
    styled,
)

COLOURS = {"cnn": BLUE, "logistic": ORANGE}
MARKERS = {"cnn": "o", "logistic": "s"}
# On the logarithmic axis of the error rate, 95 to 100 % is as wide as 50 to 95 %.
TICKS = (0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
MOST_READ = 0.004
Rows = Sequence[Mapping[str, Any]]


@styled
def accuracies(results: Mapping[str, Any]) -> Figure:
    """Draw the accuracy for each denoiser, averaged over seeds, with clean and noisy.

    Args:
        results: content of `classification.json`.
    """
    rows = [row for row in results["rows"] if row["kind"] not in ("clean", "noisy")]
    names = list(dict.fromkeys(row["tested_on"] for row in rows))
    figure = Figure(figsize=(8.4, 0.3 * len(names) + 1.9), layout="constrained")
    axes = figure.subplots()
    for kind in results["classifiers"]:
        colour, marker = COLOURS[kind], MARKERS[kind]
        for trained_on, face in (("clean", colour), ("denoised", "white")):
            points = by_name(rows, kind, trained_on)
            axes.plot(
                [misread(share) for share in points.values()],
                [names.index(name) for name in points],
                ls="", marker=marker, color=colour, mfc=face, ms=6.5,
            )  # fmt: skip
        for line, tested in (("-", "clean"), (":", "noisy")):
            of_all = [r for r in results["rows"] if r["tested_on"] == tested]
            (level,) = by_name(of_all, kind, "clean").values()
            axes.axvline(misread(level), color=colour, ls=line, lw=1.2, zorder=0)
    axes.set_yticks(range(len(names)), names)
    axes.set_xscale("log")
    axes.set(xlim=(1.05, MOST_READ), ylim=(len(names) - 0.5, -0.5))
    axes.set_xlabel("accuracy on the test images (scaled by the error rate)")
    shown = [share for share in TICKS if 1 - share >= MOST_READ]
    axes.set_xticks([1 - share for share in shown], [f"{100 * s:g} %" for s in shown])
    axes.minorticks_off()
    axes.grid(axis="x")
    figure.legend(
        handles=_legend(results["classifiers"]), loc="outside upper center", ncols=2
    )
    return figure


def misread(accuracy: float) -> float:
    """Return the error rate, at least `MOST_READ`, since a log axis has no 0."""
    return max(1 - accuracy, MOST_READ)


def by_name(
    rows: Rows, kind: str, trained_on: str, column: str = "accuracy"
) -> dict[str, float]:
    """Return name -> a column of a classifier's rows, averaged over seeds."""
    found: dict[str, list[float]] = {}
    for row in rows:
        of_kind = (row["classifier"], row["trained_on"]) == (kind, trained_on)
        if of_kind and row.get(column) is not None:
            found.setdefault(row["tested_on"], []).append(row[column])
    return {name: mean(values) for name, values in found.items()}


def _legend(classifiers: Mapping[str, str]) -> list[Line2D]:
    handles = []
    for kind, about in classifiers.items():
        look: dict[str, Any] = {
            "color": COLOURS[kind],
            "marker": MARKERS[kind],
            "ls": "",
            "ms": 6.5,
        }
        handles += [
            Line2D([], [], **look, label=f"{about}, trained on clean images"),
            Line2D(
                [], [], **look, mfc="white", label="the same, trained on denoised ones"
            ),
        ]
    handles += [
        Line2D([], [], color=GREY, label="clean images"),
        Line2D([], [], color=GREY, ls=":", label="noisy images"),
    ]
    # The legend is filled by columns: filled marks and the clean line come first.
    return handles[::2] + handles[1::2]


@styled
def curves(results: Mapping[str, Any]) -> Figure:
    """Draw accuracy against the strength of the noise, one panel per classifier.

    Args:
        results: content of `classification.json`.
    """
    lines = results["curves"]
    styles = line_styles(lines)
    kinds = list(dict.fromkeys(line["classifier"] for line in lines))
    figure = Figure(figsize=(5.2 * len(kinds) + 0.4, 5.2), layout="constrained")
    panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    for axes, kind in zip(panels, kinds, strict=True):
        for line in lines:
            if line["classifier"] == kind:
                look = styles[line["name"]]
                axes.plot(line["sigmas"], line["accuracy"], **look)
        trained = results["noise"].get("sigma")
        if isinstance(trained, int | float):
            axes.axvline(trained, color=GREY, lw=1, ls=":", zorder=0)
        images = max(line["images"] for line in lines)
        under = f"sigma of gaussian noise (first {images:,} test images)"
        axes.set(title=results["classifiers"][kind], xlabel=under)
        axes.grid(axis="y")
    panels[0].set_ylabel("accuracy on the test images")
    panels[0].yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    handles = [Line2D([], [], **look, label=name) for name, look in styles.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=6)
    return figure


@styled
def confusions(results: Mapping[str, Any]) -> Figure:
    """Draw which class each model turns into which, one panel per model.

    Args:
        results: content of `classification.json`.
    """
    classes = [str(name) for name in results["classes"]]
    shown = [row for row in results["confusions"] if row["kind"] == "model"]
    across = min(3, len(shown))
    lines = -(-len(shown) // across)
    figure = Figure(figsize=(3.6 * across + 0.6, 3.7 * lines), layout="constrained")
    panels = figure.subplots(lines, across, squeeze=False)
    top = max(max(map(max, row["counts"])) for row in shown) or 1
    size = 9 if len(classes) <= 10 else 6
    for axes, row in zip(panels.flat, shown, strict=False):
        counts = np.array(row["counts"])
        axes.imshow(counts, cmap="Blues", vmin=0, vmax=top)
        for true, read in zip(*np.nonzero(counts), strict=True):
            colour = "white" if counts[true, read] > 0.6 * top else INK
            look = {"ha": "center", "va": "center", "color": colour, "size": size}
            axes.text(read, true, str(counts[true, read]), **look)
        share = row["misread"] / max(row["right_when_clean"], 1)
        axes.set_title(f"{row['name']}: {row['misread']:,} misread, {share:.2%}")
        axes.set_xticks(range(len(classes)), classes)
        axes.set_yticks(range(len(classes)), classes)
        axes.tick_params(length=0)
    for axes in panels.flat[len(shown) :]:
        axes.set_visible(False)
    for axes in panels[:, 0]:
        axes.set_ylabel("true")
    for axes in panels[-1]:
        axes.set_xlabel("class after denoising")
    return figure


@dataclass(frozen=True)
class Misread:
    """The images of one denoiser that are misclassified with the highest probability.

    Attributes:
        name: the denoiser.
        clean: images of shape (n, H, W, C).
        noisy: the same with noise.
        denoised: the outputs of the denoiser.
        words: a label for each, such as '5, read as 3'.
    """

    name: str
    clean: np.ndarray
    noisy: np.ndarray
    denoised: np.ndarray
    words: list[str]


@styled
def worst(blocks: Sequence[Misread]) -> Figure:
    """Show misclassified images: clean, noisy and denoised, one block per denoiser."""
    columns = max(len(block.words) for block in blocks)
    figure = Figure(figsize=(1.15 * columns + 1.1, 4.2 * len(blocks)))
    figure.set_layout_engine("constrained")
    parts = figure.subfigures(len(blocks), 1, squeeze=False)[:, 0]
    for part, block in zip(parts, blocks, strict=True):
        part.suptitle(block.name, fontsize=11)
        grid = part.subplots(3, columns, squeeze=False)
        rows = {"clean": block.clean, "noisy": block.noisy, "denoised": block.denoised}
        for line, (label, images) in zip(grid, rows.items(), strict=True):
            for axes in line:
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
            for axes, image in zip(line, images, strict=False):
                show_image(axes, image)
            line[0].set_ylabel(label, rotation=0, ha="right", va="center", labelpad=8)
        for axes, words in zip(grid[-1], block.words, strict=False):
            axes.set_xlabel(words, fontsize=9)
    return figure


def percent(value: float | None) -> str:
    """Return a share as a percentage with two decimals, a dash for None."""
    return "-" if value is None else f"{100 * value:.2f} %"
