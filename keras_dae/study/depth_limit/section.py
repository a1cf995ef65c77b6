"""The section of the report on depth, and its terminal table."""

from collections.abc import Mapping
from statistics import mean
from typing import Any

import rich.table

from keras_dae.evaluation.contrasts import FEWEST_SEEDS
from keras_dae.study.report.report import Table, Written
from keras_dae.study.report.tables import setting, text_table

# File name without ending -> caption, in the order of the report.
FIGURES = {
    "depth-limit": "Training, validation and test loss over depth, after the last "
    "epoch; bands from the lowest to the highest seed.",
}


def write(results: dict[str, Any]) -> Written:
    """Return title, paragraph and table of `depth_limit.json`."""
    heads = ["training images", "depth", "parameters", "steps", "training loss"]
    heads += ["validation", "best epoch", "test", "gap"]
    cells = []
    for finding in results["findings"]:
        for index, depth in enumerate(finding["depths"]):
            runs = [
                row
                for row in results["rows"]
                if (row["train_images"], row["depth"])
                == (finding["train_images"], depth)
            ]
            means = {part: values[index] for part, values in finding["means"].items()}
            cells.append(
                [
                    *(f"{finding['train_images']:,}", str(depth)),
                    *(f"{runs[0]['parameters']:,}", f"{runs[0]['steps']:,}"),
                    *(f"{means['train']:.5f}", f"{means['validation']:.5f}"),
                    f"{mean(row['best_epoch'] for row in runs):.0f} of "
                    f"{runs[0]['epochs']}",
                    *(f"{means['test']:.5f}", f"{finding['gap'][index]:+.5f}"),
                ]
            )
    text = (
        f"Depth from {min(r['depth'] for r in results['rows'])} to "
        f"{max(r['depth'] for r in results['rows'])} at a latent of "
        f"{results['latent']}x{results['latent']} (paper, section 5.4). The training "
        "loss is measured after training, on the training images under noise that no "
        f"step was made on; the gap is the validation loss less it. {setting(results)}"
    )
    paragraph = " ".join(depth_sentence(one) for one in results["findings"])
    return "How deep before it overfits", [text, paragraph], [Table(heads, cells)]


def depth_sentence(finding: Mapping[str, Any]) -> str:
    """Return where depth stops helping on so many images, and how large the gap is."""
    depths, means, gap = finding["depths"], finding["means"], finding["gap"]
    best, enough = depths.index(finding["best"]), depths.index(finding["enough"])
    seeds = finding["seeds"]
    chance = f"the spread over {seeds} seeds" if seeds > 1 else "0 (one seed)"
    text = (
        f"On {finding['train_images']:,} images the validation loss is lowest at depth "
        f"{finding['best']} ({means['validation'][best]:.5f}); beyond depth "
        f"{finding['enough']} ({means['validation'][enough]:.5f}) no deeper model is "
        f"better by more than {chance}. "
    )
    text += (
        f"Validation less training loss is {gap[0]:+.5f} at depth {depths[0]} and "
        f"{gap[-1]:+.5f} at depth {depths[-1]}"
    )
    if finding["opens"] is None:
        text += ", never over 10 % of the training loss."
    else:
        text += f", over 10 % of the training loss from depth {finding['opens']} on."
    return f"{text} {_overfitting(finding)}"


def _overfitting(finding: Mapping[str, Any]) -> str:
    """Return whether deeper models overfit, or are merely harder to train."""
    if finding["seeds"] < FEWEST_SEEDS:
        return "Whether deeper models overfit is not decided, for want of seeds."
    if "overfits" not in finding:  # of an older version
        return "Whether deeper models overfit was not decided."
    if finding["overfits"] is None:
        return (
            "No deeper model overfits: at none has the training loss fallen and the "
            "validation loss risen."
        )
    return (
        f"From depth {finding['overfits']} on deeper models overfit: the training loss "
        "has fallen and the validation loss risen."
    )


def depth_table(results: dict[str, Any]) -> rich.table.Table:
    """Return the losses by number of images and depth, for a terminal."""
    (rows,) = write(results)[2]
    caption = " ".join(depth_sentence(one) for one in results["findings"])
    title = "Depth by number of training images"
    return text_table(title, rows.heads, rows.rows, caption)
