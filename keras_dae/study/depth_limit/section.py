"""The section of the report on depth, and its terminal tables."""

from collections.abc import Iterator, Mapping
from statistics import mean
from typing import Any

import rich.table

from keras_dae.evaluation.contrasts import FEWEST_SEEDS
from keras_dae.study.depth_limit.verdicts import counts
from keras_dae.study.report.report import Table, Written
from keras_dae.study.report.tables import setting, text_table

# File name without extension -> caption, in the order of the report.
FIGURES = {
    "depth-limit": "Training, validation and test loss over depth; bands from the "
    "lowest to the highest seed.",
}
EXPLAINED = (
    "Each network was trained until its validation loss stopped improving, or for the "
    "largest number of steps. It is measured with the weights of the epoch with the "
    "lowest validation loss. The column 'training' is the loss of these weights on the "
    "training images, with noise that training did not use. The gap is the validation "
    "loss minus this loss. The column 'last epoch' is the mean training loss during "
    "the last epoch."
)
VERDICTS = (
    "'Best': the validation loss is the lowest. 'Enough': no deeper network is better "
    "by more than the spread over seeds. 'Gap': the first depth at which the "
    "validation loss is more than 10 % above the training loss. 'Overfits': the first "
    "depth beyond the best one with a lower training loss in the last epoch and a "
    "higher validation loss than the best one. 'Harder to train': the first depth with "
    "a higher training loss in the last epoch than a shallower one. Losses differ if "
    "their means are more than 3 standard errors over seeds apart."
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
    """Return title, sentences and tables for `depth_limit.json`."""
    depths = [row["depth"] for row in results["rows"]]
    text = (
        f"Depth from {min(depths)} to {max(depths)} at a latent of "
        f"{results['latent']}x{results['latent']} (paper, section 5.4). {EXPLAINED} "
        f"{setting(results)}"
    )
    tables = [verdict_rows(results), loss_rows(results)]
    meaning = f"The first table holds a depth for each verdict. {VERDICTS}"
    texts = [text, meaning, " ".join(_sentences(results))]
    return "How deep before it overfits", texts, tables


def verdict_rows(results: Mapping[str, Any]) -> Table:
    """Return the verdicts by number of training images and kind of network."""
    heads = ["training images", "network", "seeds", "best", "enough", "gap"]
    heads += ["overfits", "harder to train"]
    rows = []
    for one in results["findings"]:
        too_few = one["seeds"] < FEWEST_SEEDS
        tested = ["not decided" if too_few else _depth(one["overfits"])]
        tested += ["not decided" if too_few else _depth(one["harder"])]
        row = [f"{one['train_images']:,}", one["net"], str(one["seeds"])]
        row += [str(one["best"]), str(one["enough"]), _depth(one["opens"]), *tested]
        rows.append(row)
    return Table(heads, rows, words=(0, 1))


def _depth(found: int | None) -> str:
    return "at no depth" if found is None else str(found)


def loss_rows(results: Mapping[str, Any]) -> Table:
    """Return the losses by number of training images, kind of network and depth."""
    heads = ["training images", "network", "depth", "parameters", "steps"]
    heads += ["steps to the best epoch", "training", "last epoch", "validation"]
    heads += ["test", "gap"]
    cells = []
    for finding in results["findings"]:
        for index, depth in enumerate(finding["depths"]):
            runs = [row for row in results["rows"] if is_of(row, finding, depth)]
            means = {part: values[index] for part, values in finding["means"].items()}
            steps = [mean(_steps(row, at) for row in runs) for at in (False, True)]
            cells.append(
                [
                    *(f"{finding['train_images']:,}", finding["net"], str(depth)),
                    *(f"{runs[0]['parameters']:,}", f"{steps[0]:,.0f}"),
                    *(f"{steps[1]:,.0f}", f"{means['train']:.5f}"),
                    *(f"{means['fitted']:.5f}", f"{means['validation']:.5f}"),
                    *(f"{means['test']:.5f}", f"{finding['gap'][index]:+.5f}"),
                ]
            )
    return Table(heads, cells, words=(0, 1))


def is_of(row: Mapping[str, Any], finding: Mapping[str, Any], depth: int) -> bool:
    """Return whether a finding includes a row at this depth."""
    place = (row["train_images"], row["depth"]) == (finding["train_images"], depth)
    return place and counts(row, finding["net"])


def _steps(row: Mapping[str, Any], best: bool) -> float:
    """Return the steps of a run, all or those until its best epoch."""
    share = row["best_epoch"] / row["epochs"] if best else 1
    return float(row["steps"] * share)


def _sentences(results: Mapping[str, Any]) -> Iterator[str]:
    """Yield sentences on residual connections, and on runs that ended too early."""
    for one in results["trainability"]:
        yield (
            f"With {one['train_images']:,} training images, "
            f"{TRAINABILITY[one['verdict']]}."
        )
    if cut := sum(row["most_steps"] for row in results["rows"]):
        yield (
            f"{cut} of {len(results['rows'])} runs reached the limit of steps before "
            "their validation loss stopped improving."
        )


def depth_tables(results: dict[str, Any]) -> tuple[rich.table.Table, rich.table.Table]:
    """Return losses and verdicts by number of images and network, for a terminal."""
    losses, verdicts = loss_rows(results), verdict_rows(results)
    title = "Depth by number of training images"
    return (
        text_table(title, losses.heads, losses.rows, EXPLAINED),
        text_table(
            "Verdicts",
            verdicts.heads,
            verdicts.rows,
            " ".join([VERDICTS, *_sentences(results)]),
        ),
    )
