"""The section of the report on training without clean images, and its table."""

from collections.abc import Mapping
from typing import Any

import rich.table

from keras_dae.study.report.report import Table, Written
from keras_dae.study.report.tables import setting, text_table

# File name without extension -> caption, in the order of the report.
FIGURES = {
    "without-clean": "Test error by what a model was trained on; a dot per seed, a "
    "line at the mean.",
}


def write(results: dict[str, Any]) -> Written:
    """Return title, sentences and table for `without_clean.json`."""
    text = (
        "Models that were trained on noisy images alone, measured on clean test "
        "images: with two noisy copies of each image (noisy), or with one (split, "
        "blind-spot, r2r), new in each epoch. The rows 'clean' are the models of the "
        "study. The last column compares only the seeds that both have. "
        f"{setting(results)}"
    )
    texts = [text, *filter(None, map(_naive_sentence, results["noises"]))]
    return "Training without clean images", texts, [_table(results)]


def _table(results: Mapping[str, Any]) -> Table:
    heads = ["noise", "model", "targets", "epochs", "seeds", "MSE", "spread"]
    heads += ["above clean targets"]
    cells = [
        [
            *(group["noise"], group["model"], group["targets"]),
            *(str(group["epochs"]), str(len(group["seeds"]))),
            f"{group['mse']:.5f}",
            "-" if group["spread"] is None else f"{group['spread']:.5f}",
            excess(group),
        ]
        for group in in_order(results["groups"])
    ]
    return Table(heads, cells, words=(0, 1, 2))


def in_order(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return groups by noise and model, those with the lowest error first."""
    return sorted(groups, key=lambda one: (one["noise"], one["model"], one["mse"]))


def excess(group: Mapping[str, Any]) -> str:
    """Return the error above that of clean targets in per cent, as text."""
    if group["excess"] is None:
        return "-"
    text = f"{100 * group['excess']:+.1f} %"
    if group["excess_error"] is not None:
        text += f" (standard error {100 * group['excess_error']:.1f})"
    return text


def _naive_sentence(noise: Mapping[str, Any]) -> str:
    """Return a sentence on the best result of clipped targets without correction."""
    if not noise["naive"]:
        return ""
    return (
        f"With {noise['noise']}, a model trained on noisy targets without a correction "
        f"learns their mean, whose MSE is {noise['naive']:.4f}."
    )


def without_clean_table(results: dict[str, Any]) -> rich.table.Table:
    """Return the errors by targets, for a terminal."""
    (table,) = write(results)[2]
    return text_table("Training without clean images", table.heads, table.rows)
