"""Comparisons as intervals: figure of the claims, and sections on their verdicts."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from keras_dae.study.nine.claims import count_verdicts
from keras_dae.study.nine.diagrams import GREY, INK, styled
from keras_dae.study.report.comparison_words import interval_words, verdict_words
from keras_dae.study.report.report import Table

# Colour and marker of each verdict, so that verdicts differ in more than colour.
MARKS = {
    **{"HOLDS": ("#009E73", "o"), "FAILS": ("#D55E00", "X"), "UNCLEAR": (GREY, "s")},
    "NOT DECIDED": (GREY, "D"),
}
Rows = Sequence[Mapping[str, Any]]


@styled
def comparisons(rows: Rows) -> Figure:
    """Draw the difference of test MSE of each comparison with its 95 % interval.

    There is one panel per claim. The claim says that the difference is above 0. With
    fewer than three seeds there is no interval.

    Args:
        rows: result of `keras_dae.study.nine.claims.decide`.
    """
    claims = list(dict.fromkeys(row["claim"] for row in rows))
    groups = [[row for row in rows if row["claim"] == claim] for claim in claims]
    heights = [len(group) + 1.6 for group in groups]
    figure = Figure(figsize=(8, 0.27 * sum(heights) + 0.4), layout="constrained")
    panels = figure.subplots(len(groups), 1, height_ratios=heights, squeeze=False)
    for axes, claim, group in zip(panels[:, 0], claims, groups, strict=True):
        for height, row in enumerate(reversed(group)):
            colour, marker = MARKS[row["verdict"]]
            if row["low"] is not None:
                axes.plot([row["low"], row["high"]], [height] * 2, color=colour, lw=3.5)
            look = {"color": colour, "mec": "white", "mew": 0.6}
            axes.plot(row["difference"], height, marker, ms=3.5, zorder=3, **look)
        axes.axvline(0, color=INK, lw=0.8)
        names = [f"{row['worse']}  >  {row['better']}" for row in reversed(group)]
        axes.set_yticks(range(len(group)), names, fontsize=8)
        axes.set_ylim(-0.7, len(group) - 0.3)
        # Relative to the edge of the figure, so that a long claim is not cut off.
        axes.annotate(
            claim, (0, 1), (0, 4), xycoords=("figure fraction", "axes fraction"),
            textcoords="offset points", fontsize=9, va="bottom", weight="bold",
        )  # fmt: skip
        axes.ticklabel_format(axis="x", style="sci", scilimits=(-3, -3))
        axes.grid(axis="x", alpha=0.3)
    label = "difference of mean test MSE"
    if any(row["low"] is not None for row in rows):
        label += ", 95 % interval"
    panels[-1, 0].set_xlabel(label)
    used = [name for name in MARKS if any(row["verdict"] == name for row in rows)]
    for name in used:
        colour, marker = MARKS[name]
        panels[0, 0].plot([], [], marker, color=colour, ls="-", label=name.lower())
    if used:
        panels[0, 0].legend(loc="best", fontsize=8, frameon=False)
    return figure


def family_claims(
    results: dict[str, Any], equal: str
) -> tuple[str, list[str], list[Table]]:
    """Return title, sentences and table for a balanced family's `claims.json`.

    Args:
        results: content of the file, and the claims of the study itself as `study`.
        equal: what is equal in the family, such as 'parameters'.
    """
    own = {_positions(row): row["verdict"] for row in results["study"]}
    sizes = [row["parameters"] for row in results["architectures"]]
    work = [row["macs"] for row in results["architectures"]]
    fields = [row["receptive_field"] for row in results["architectures"]]
    seeds = [count for row in results["claims"] for count in row["seeds"]]
    text = (
        "In the study's family, parameters, multiply-adds and receptive field change "
        "with depth and latent. The models of this family have nearly equal "
        f"{equal}: "
        f"{min(sizes):,} to {max(sizes):,} parameters, {min(work):,} to {max(work):,} "
        "multiply-adds per image and a receptive field of "
        f"{min(fields)} to {max(fields)} pixels ({_span(seeds)} seeds per model, "
        f"{results['epochs']} epochs)."
    )
    words = [
        f"{claim}: "
        + ", ".join(f"{name.lower()} in {n}" for name, n in counts.items() if n)
        for claim, counts in count_verdicts(results["claims"])
    ]
    heads = ["claim", "higher error", "lower error", "difference", "95 % interval"]
    heads += ["seeds", f"equal {equal}", "nine models"]
    cells = [
        [
            *(row["claim"].split()[0], row["worse"], row["better"]),
            f"{row['difference']:+.5f}",
            interval_words(row),
            " and ".join(map(str, dict.fromkeys(row["seeds"]))),
            *(verdict_words(row), own.get(_positions(row), "-")),
        ]
        for row in results["claims"]
    ]
    table = Table(heads, cells, words=(0, 1, 2, 6, 7))
    return f"The claims at equal {equal}", [text, f"{'; '.join(words)}."], [table]


def turned(results: dict[str, Any]) -> tuple[str, list[str], list[Table]]:
    """Return title, sentences and table for `verdicts.json`: changes of the verdicts.

    The first of `verdicts` are those of the study. The others are compared with them.
    """
    found = results["verdicts"]
    study = next(iter(found.values()))
    own = {_comparison(row): row["verdict"] for row in study}
    claims = [claim for claim, _ in count_verdicts(study)]
    runs, last = results["runs"], results["best_epoch_is_last"]
    gain = results["largest_gain_of_best_epoch"]
    lower = ""
    if last < runs:
        lower = f"; in the others the best one is lower by at most {gain:.6f}"
    text = (
        "The paper gives neither the seed of the noise nor whether the last or the "
        "best epoch was tested. So each comparison was repeated on other draws of "
        f"the test noise and with the validation loss. In {last} of {runs} runs the "
        f"last epoch is the best{lower}. Each cell gives the number of comparisons "
        "that hold/fail/are unclear/are not decided."
    )
    cells = []
    for how, rows in found.items():
        counts = dict(count_verdicts(rows))
        other = [
            f"{row['worse']} against {row['better']}: {row['verdict']}"
            for row in rows
            if row["verdict"] != own[_comparison(row)]
        ]
        shown = ["/".join(map(str, counts[claim].values())) for claim in claims]
        cells.append([how, *shown, "; ".join(other) or "none"])
    heads = ["decided by", *claims, "changed"]
    table = Table(heads, cells, words=(0, len(heads) - 1))
    return "Verdicts with other noise and other epochs", [text], [table]


def _span(counts: Sequence[int]) -> str:
    """Return the smallest and largest count, or the only one; 0 for none."""
    ends = {min(counts, default=0), max(counts, default=0)}
    return " to ".join(map(str, sorted(ends)))


def _comparison(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["claim"], row["worse"], row["better"]


def _positions(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a comparison is about, whatever the family of its models."""
    sides = (re.sub(r"[A-Z]+_", "", row[side]) for side in ("worse", "better"))
    return (row["claim"], *sides)
