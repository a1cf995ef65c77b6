"""The section of the report on depth, and its terminal table."""

from collections.abc import Iterator, Mapping
from statistics import mean
from typing import Any

import rich.table

from keras_dae.evaluation.contrasts import FEWEST_SEEDS
from keras_dae.study.depth_limit.verdicts import counts, read_back
from keras_dae.study.report.report import Table, Written
from keras_dae.study.report.tables import setting, text_table

# File name without extension -> caption, in the order of the report.
FIGURES = {
    "depth-limit": "Training, validation and test loss over depth; bands from the "
    "lowest to the highest seed.",
}
ENDED = (
    "Each network was trained until its validation loss stopped improving, and is "
    "measured with the weights of the epoch with the lowest validation loss. The "
    "column 'last epoch' is the mean training loss during the last epoch."
)
OLD = (
    "These runs are older than the protocol. Each network was trained for a fixed "
    "number of steps and measured with its last weights. The training loss during the "
    "last epoch was not recorded, so the column 'last epoch' repeats the column "
    "'training'."
)
TRAINABILITY = {
    "repaired": "the training loss rises with depth in plain networks. Residual "
    "connections repair this: in residual networks it does not rise, and at the "
    "largest depth it is lower",
    "not repaired": "the training loss rises with depth in plain networks. Residual "
    "connections are not shown to repair this",
    "not needed": "the training loss does not rise with depth in plain networks",
    "not decided": "it is not decided whether the training loss rises with depth: "
    "there are too few seeds, or one kind of network is missing",
}


def write(results: dict[str, Any]) -> Written:
    """Return title, sentences and table for `depth_limit.json`, also for old files."""
    said = list(_sentences(results))
    said.insert(0, ENDED if "trainability" in results else OLD)
    results = read_back(results)
    heads = ["training images", "network", "depth", "parameters", "steps"]
    heads += ["steps to the best epoch", "training", "last epoch", "validation"]
    heads += ["test", "gap"]
    cells = []
    for finding in results["findings"]:
        for index, depth in enumerate(finding["depths"]):
            runs = [row for row in results["rows"] if is_of(row, finding, depth)]
            means = {part: values[index] for part, values in finding["means"].items()}
            counts = [mean(_steps(row, at) for row in runs) for at in (False, True)]
            cells.append(
                [
                    *(f"{finding['train_images']:,}", finding["net"], str(depth)),
                    *(f"{runs[0]['parameters']:,}", f"{counts[0]:,.0f}"),
                    *(f"{counts[1]:,.0f}", f"{means['train']:.5f}"),
                    *(f"{means['fitted']:.5f}", f"{means['validation']:.5f}"),
                    *(f"{means['test']:.5f}", f"{finding['gap'][index]:+.5f}"),
                ]
            )
    depths = [row["depth"] for row in results["rows"]]
    text = (
        f"Depth from {min(depths)} to {max(depths)} at a latent of "
        f"{results['latent']}x{results['latent']} (paper, section 5.4). The training "
        "loss is measured after training, on the training images with noise that "
        "training did not use. The gap is the validation loss minus this loss. "
        f"{setting(results)}"
    )
    return "How deep before it overfits", [text, " ".join(said)], [Table(heads, cells)]


def is_of(row: Mapping[str, Any], finding: Mapping[str, Any], depth: int) -> bool:
    """Return whether a finding includes a row at this depth."""
    place = (row["train_images"], row["depth"]) == (finding["train_images"], depth)
    return place and counts(row, finding["net"])


def _steps(row: Mapping[str, Any], best: bool) -> float:
    """Return the steps of a run, all or those until its best epoch."""
    share = row["best_epoch"] / row["epochs"] if best else 1
    return float(row["steps"] * share)


def _sentences(results: Mapping[str, Any]) -> Iterator[str]:
    """Yield sentences on the effect of depth, and on runs that ended too early.

    Files older than residual networks do not name a network.
    """
    yield from map(depth_sentence, results["findings"])
    for one in results.get("trainability", []):
        yield (
            f"With {one['train_images']:,} training images, "
            f"{TRAINABILITY[one['verdict']]}."
        )
    if cut := sum(row.get("most_steps", False) for row in results["rows"]):
        yield (
            f"{cut} of {len(results['rows'])} runs reached the limit of steps before "
            "their validation loss stopped improving."
        )


def depth_sentence(finding: Mapping[str, Any]) -> str:
    """Return a sentence on where depth stops helping, and on the size of the gap."""
    depths, means, gap = finding["depths"], finding["means"], finding["gap"]
    best, enough = depths.index(finding["best"]), depths.index(finding["enough"])
    seeds = finding["seeds"]
    by_more = f" by more than the spread over {seeds} seeds" if seeds > 1 else ""
    whose = f"{finding['net']} networks" if "net" in finding else "networks"
    opens = finding["opens"]
    over = (
        "At no depth is the gap more than 10 % of the training loss."
        if opens is None
        else f"From depth {opens}, the gap is more than 10 % of the training loss."
    )
    return (
        f"With {finding['train_images']:,} training images, {whose} have the lowest "
        f"validation loss at depth {finding['best']} "
        f"({means['validation'][best]:.5f}). No network deeper than "
        f"{finding['enough']} ({means['validation'][enough]:.5f}) is better{by_more}. "
        f"The gap is {gap[0]:+.5f} at depth {depths[0]} and {gap[-1]:+.5f} at depth "
        f"{depths[-1]}. {over} {_overfitting(finding)}"
    )


def _overfitting(finding: Mapping[str, Any]) -> str:
    """Return whether deeper networks overfit, or are only harder to train."""
    if finding["seeds"] < FEWEST_SEEDS:
        return (
            "Whether deeper networks overfit is not decided: this needs "
            f"{FEWEST_SEEDS} seeds."
        )
    if "overfits" not in finding:  # of an older version
        return "Whether deeper networks overfit was not decided."
    if finding["overfits"] is None:
        return (
            "No deeper network overfits: at none has the training loss of the last "
            "epoch fallen and the validation loss risen."
        )
    return (
        f"Networks overfit at depth {finding['overfits']}: the training loss of the "
        "last epoch has fallen and the validation loss has risen."
    )


def depth_table(results: dict[str, Any]) -> rich.table.Table:
    """Return the losses by number of images and depth, for a terminal."""
    (rows,) = write(results)[2]
    caption = " ".join(_sentences(results))
    title = "Depth by number of training images"
    return text_table(title, rows.heads, rows.rows, caption)
