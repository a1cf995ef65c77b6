"""The comparison as tables (terminal, Markdown, CSV) and two figures."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from rich.table import Table as RichTable

from keras_dae.evaluation.metrics import added_metrics, mse
from keras_dae.study.nine.diagrams import GREY, INK, PALETTE, show_image, styled
from keras_dae.study.report.comparison_words import NONE
from keras_dae.study.report.report import Table, markdown_table
from keras_dae.study.report.tables import new_table, setting

Board = dict[str, Any]
# Kind -> colour and marker, so that kinds differ in more than colour.
MARKS = {
    "floor": (GREY, "s"),
    "filter": (PALETTE[1], "^"),
    "dae": (PALETTE[0], "o"),
    "best": (PALETTE[4], "*"),
    "ceiling": (PALETTE[2], "D"),
    "user": (PALETTE[3], "P"),
}
SIZES = {"*": 12}  # points; a star looks smaller than it is
WORDS = {
    "floor": "trivial baseline",
    "filter": "classical filter",
    "dae": "denoising autoencoder",
    "best": "best autoencoder",
    "ceiling": "network without a bottleneck",
    "user": "user's denoiser",
}
PLUS_MINUS = "\N{PLUS-MINUS SIGN}"
# Columns that the report shows, but the narrower terminal does not.
REPORT_ONLY = ("PSNR, mean of images", "95 % interval")


def board_table(board: Board) -> Table:
    """Return the comparison as a text table, the lowest test error first."""
    total = board["dataset"]["test"]
    return Table(_heads(), [_cells(row, total) for row in board["rows"]], words=(0, 1))


def _heads() -> list[str]:
    return [
        *("denoiser", "kind", "test MSE", "95 % interval"),
        *(f"{PLUS_MINUS} over seeds", "PSNR, dB", "PSNR, mean of images", "SSIM"),
        *(metric.label for metric in added_metrics().values()),
        *("parameters", "bytes", "multiply-adds", "ms per image"),
    ]


def _cells(row: dict[str, Any], total: int) -> list[str]:
    test, spread = row["test"], row["test_std"]
    name = row["name"]
    if row["images"] < total:
        name += f" (first {row['images']:,} images)"
    return [
        *(name, row["kind"], f"{test['mse']:.5f}"),
        f"{row['mse_low']:.5f} to {row['mse_high']:.5f}",
        f"{spread['mse']:.5f}" if spread else NONE,
        _number(test["psnr"], ".2f"),
        _number(test["psnr_mean_image"], ".2f"),
        _number(test["ssim"], ".3f"),
        *(m.text([test.get(key)], NONE) for key, m in added_metrics().items()),
        *(_number(row[key], ",") for key in ("parameters", "bytes", "macs")),
        _number(row["ms_per_image"], ".3f"),
    ]


def _number(value: float | None, form: str) -> str:
    return NONE if value is None else format(value, form)


def notes(board: Board, mean_of_images: bool = True) -> str:
    """Return the notes for the table.

    Args:
        board: the comparison.
        mean_of_images: whether the table also shows the mean PSNR over images.
    """
    second = ", followed by the mean over images" if mean_of_images else ""
    chosen = [
        f"{row['name']}: "
        + ", ".join(f"{key} {value}" for key, value in row["settings"].items())
        for row in board["rows"]
        if row.get("tuned_on")
    ]
    draws = board.get("test_draws", 1)
    drawn = f", of {draws} draws of the noise" if draws > 1 else ""
    once = [row["name"] for row in board["rows"] if not row.get("test_draws")]
    if drawn and once:
        drawn += f" ({', '.join(once)}: of the first draw)"
    machines = dict.fromkeys(row["measured_on"] for row in board["rows"])
    text = (
        f"{setting(board)} All denoisers are measured on the same noisy images{drawn}. "
        f"MSE is the mean over pixels; PSNR is that of the mean MSE{second}. "
        "The interval is a bootstrap over test images. Bytes are those of the file, or "
        "of the parameters as float32 if there is no file. Unknown values are shown as "
        f"{NONE}. Times were measured on {'; '.join(machines)}, in batches; on a CPU "
        "they are CPU times of all threads together."
    )
    if apart := [row["name"] for row in board["rows"] if row.get("clock") == "wall"]:
        text += f" Those of {', '.join(apart)} are wall times."
    if any(row.get("correction", "plain") != "plain" for row in board["rows"]):
        text += (
            " Clipping raises the mean of dark pixels and lowers that of bright ones, "
            "and an averaging filter keeps this bias. 'inverse' corrects its output by "
            "the inverse of the known mean of clipped noise, 'curve' by the "
            "non-decreasing least-squares curve on validation images."
        )
    elif any(row["kind"] == "filter" for row in board["rows"]):
        text += (
            " No filter here is corrected for clipping, which raises the mean of dark "
            "pixels and lowers that of bright ones. A correction would improve each of "
            "them."
        )
    if chosen:
        text += (
            " Parameters of tuned filters were chosen on validation images ("
            + "; ".join(chosen)
            + ")."
        )
    return text


def terminal_table(board: Board) -> RichTable:
    """Return the comparison for a terminal."""
    table = board_table(board)
    kept = [i for i, head in enumerate(table.heads) if head not in REPORT_ONLY]
    shown = new_table(
        "The board",
        *(table.heads[place] for place in kept),
        caption=notes(board, False),
    )
    for row in table.rows:
        shown.add_row(*(row[place] for place in kept))
    return shown


def board_markdown(board: Board) -> str:
    """Return the comparison as a GitHub Markdown table with its notes."""
    return f"# The board\n\n{notes(board)}\n\n{markdown_table(board_table(board))}"


def csv_rows(board: Board) -> Iterator[dict[str, Any]]:
    """Yield a flat row per denoiser, without rounding."""
    for row in board["rows"]:
        yield {
            **{key: row[key] for key in ("name", "kind", "latent", "images")},
            "seeds": len(row["seeds"]),
            **{key: row["test"][key] for key in ("mse", "psnr", "psnr_mean_image")},
            **{key: row["test"].get(key) for key in ("ssim", *added_metrics())},
            "mse_std": (row["test_std"] or {}).get("mse"),
            **{key: row[key] for key in ("mse_low", "mse_high", "parameters")},
            **{key: row[key] for key in ("bytes", "macs", "ms_per_image")},
        }


@styled
def board_figure(board: Board) -> Figure:
    """Draw the test error of every denoiser, the lowest at the top.

    The line through a point is its standard deviation over seeds, if there are several.
    The intervals over test images are narrower than the points.
    """
    rows = [row for row in board["rows"] if row["test"]["mse"] > 0]
    figure = Figure(figsize=(8.6, 1.3 + 0.27 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(rows):
        error, (colour, marker) = row["test"]["mse"], MARKS[row["kind"]]
        axes.axhline(place, color=GREY, lw=0.4, alpha=0.4, zorder=0)
        if row["test_std"]:
            spread = row["test_std"]["mse"]
            axes.errorbar(error, place, xerr=spread, color=INK, lw=1.2, capsize=3)
        axes.plot(
            error, place, marker, color=colour, ms=SIZES.get(marker, 7), mec="white",
            mew=0.6,
        )  # fmt: skip
        axes.annotate(
            f"{error:.4f}", (error, place), (9, 0), textcoords="offset points",
            va="center", fontsize=8.5, bbox={"fc": "white", "ec": "none", "pad": 0.4},
        )  # fmt: skip
    total = board["dataset"]["test"]
    axes.set_yticks(
        range(len(rows)), [_cells(row, total)[0] for row in rows], fontsize=9
    )
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    _error_axis(axes, [row["test"]["mse"] for row in rows])
    axes.set_xlabel("test mean squared error (mean over pixels, logarithmic)")
    handles = [
        Line2D([], [], ls="", marker=MARKS[kind][1], color=MARKS[kind][0],
               ms=SIZES.get(MARKS[kind][1], 7), label=WORDS[kind])
        for kind in board["kinds"]
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def _error_axis(axes: Any, errors: list[float]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(0.85 * min(errors), 1.35 * max(errors))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.minorticks_off()
    axes.grid(axis="x")


@styled
def thumbnails(
    clean: np.ndarray, noisy: np.ndarray, answers: list[tuple[str, str, np.ndarray]]
) -> Figure:
    """Draw the same noisy images denoised by each denoiser, in two halves.

    Args:
        clean: images of shape (n, H, W, C) in [0, 1].
        noisy: the same with noise.
        answers: name, kind and denoised images of each denoiser, in display order.
    """
    lines = [("clean", "", clean), ("noisy", "", noisy), *answers]
    half, count, side = -(-len(lines) // 2), len(clean), 0.56
    # Inches that the longest name takes at 8 points.
    name = max(1.75, 0.068 * max(len(label) for label, *_ in lines) + 0.15)
    width, height = 2 * (count * side + name) + 0.1, half * side + 0.1
    figure = Figure(figsize=(width, height))
    for place, (label, kind, images) in enumerate(lines):
        column, row = divmod(place, half)
        left, top = column * (count * side + name) + name, 0.05 + row * side
        error = (
            ""
            if images is clean
            else (f"\nMSE of these {count}: {mse(clean, images).mean():.4f}")
        )
        figure.text(
            (left - 0.08) / width, 1 - (top + side / 2) / height, label + error,
            ha="right", va="center", fontsize=8, color=MARKS[kind][0] if kind else INK,
        )  # fmt: skip
        for index, image in enumerate(images):
            axes = figure.add_axes((
                (left + index * side) / width, 1 - (top + side - 0.03) / height,
                (side - 0.03) / width, (side - 0.03) / height,
            ))  # fmt: skip
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            show_image(axes, image)
    return figure
