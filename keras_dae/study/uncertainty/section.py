"""The section of the report on uncertainty, and its terminal table."""

from collections.abc import Mapping
from typing import Any

import rich.table

from keras_dae.images.noise_words import noise_label
from keras_dae.study.report.report import Table, Written
from keras_dae.study.report.tables import text_table

# File name without extension -> caption, in the order of the report.
FIGURES = {
    "uncertainty-coverage": "Coverage in each tenth of the pixels by predicted spread; "
    "the band is 88 to 92 %. Right: inside strokes, and for other noise.",
    "uncertainty-images": "Test images: clean, noisy, output, error, and the width of "
    "each pixel's interval. Pixels outside their interval are in the last row.",
}
HEADS = [
    *("model", "coverage", "lowest tenth", "highest tenth", "in strokes", "uncertain"),
    *("mean width", "mean width, formula", "rank", "rank, formula"),
    *("rank, uncertain", "rank, uncertain, formula"),
]
SHIFT_HEADS = [
    *("model", "noise", "coverage", "in strokes", "lowest tenth", "uncertain"),
    "warned of",
]


def write(results: dict[str, Any]) -> Written:
    """Return title, sentences and tables for `uncertainty.json`."""
    level, confidence = results["level"], results["confidence"]
    counts = results["dataset"]
    text = (
        "Each output pixel has an interval, calibrated on validation images. With "
        f"probability {confidence:.0%} over their draw, the intervals cover at least "
        f"{level:.0%} of an image's pixels, on average over similar images. Each group "
        "of predicted spread has its own factor, since a single one would cover the "
        "certainly black pixels and miss the uncertain ones. A tenth is a tenth of all "
        "test pixels, ranked by predicted spread; pixels of equal spread count with "
        "their mean. Strokes are clean pixels of at least 0.5; uncertain pixels "
        "have outputs from 0.1 to 0.9. 'Formula' uses the standard deviation "
        "sqrt(0.32 f (1 - f)) for an output f, calibrated in the same way. Rank "
        "is Spearman's correlation of width and error over pixels."
    )
    data = (
        f"Data: {counts['name']}, {counts['test']:,} test images, "
        f"{noise_label(results['noise'])}; {results['core_minutes']} core-minutes."
    )
    shift = (
        "The guarantee does not hold for images unlike those of the calibration, for "
        "example with another strength of the noise. 'Warned of' is the share of "
        "images for which `denoise --uncertainty` prints a warning; this includes a "
        "few percent of images like those of the calibration."
    )
    tables = [
        Table(HEADS, [_line(row) for row in results["rows"]]),
        Table(SHIFT_HEADS, list(_shifted(results)), words=(0, 1)),
        _widths(results),
    ]
    return "Uncertainty of the output pixels", [text, data, shift], tables


def _line(row: Mapping[str, Any]) -> list[str]:
    test, free = row["test"], row["free"]
    tenths = [one["coverage"] for one in test["deciles"]]
    return [
        row["name"],
        *map(_share, (test["coverage"], min(tenths), max(tenths))),
        *map(_share, (test["strokes"], test["unsure"])),
        *(f"{one['width']:.4f}" for one in (test, free)),
        *(_figure(one["rank"]) for one in (test, free)),
        *(_figure(one["rank_unsure"]) for one in (test, free)),
    ]


def _widths(results: Mapping[str, Any]) -> Table:
    """Return the share of pixels in each bin of widths, and their coverage."""
    heads, rows = ["model"], []
    for one in results["rows"][0]["test"]["by_width"]:
        heads += [f"width {one['from']:g} to {one['to']:g}", "coverage"]
    for row in results["rows"]:
        bins = row["test"]["by_width"]
        cells = [_share(one[key]) for one in bins for key in ("share", "coverage")]
        rows.append([row["name"], *cells])
    return Table(heads, rows)


def _shifted(results: Mapping[str, Any]) -> Any:
    for row in results["rows"]:
        for one in (row["test"], *row["shifted"]):
            lowest = min(tenth["coverage"] for tenth in one["deciles"])
            shares = (one["coverage"], one["strokes"], lowest, one["unsure"])
            promise = "" if one is row["test"] else " (no guarantee)"
            name = one["noise"] + promise
            yield [row["name"], name, *map(_share, shares), _share(one["unlike"])]


def report_table(name: str, reports: list[dict[str, Any]]) -> rich.table.Table:
    """Return the results of `calibrate --report` for one model, for a terminal.

    Args:
        name: name of the model.
        reports: for the noise of the calibration first, then for others.
    """
    first, *shifted = reports
    row = {"name": name, "test": first, "shifted": shifted}
    lines = [
        [*line[1:], f"{one['width']:.4f}", _figure(one["rank"])]
        for line, one in zip(_shifted({"rows": [row]}), reports, strict=True)
    ]
    heads = [*SHIFT_HEADS[1:], "mean width", "rank"]
    return text_table(f"Intervals of {name} on test images", heads, lines)


def parts_table(name: str, report: dict[str, Any]) -> rich.table.Table:
    """Return the coverage of each bin of widths and each tenth, for a terminal."""
    rows = [
        [
            f"width {one['from']:g} to {one['to']:g}",
            *map(_share, (one["share"], one["coverage"])),
        ]
        for one in report["by_width"]
    ]
    rows += [
        [
            f"tenth {number}, spread to {one['spread']:.2g}",
            *map(_share, (1 / len(report["deciles"]), one["coverage"])),
        ]
        for number, one in enumerate(report["deciles"], 1)
    ]
    heads = ["pixels", "share", "coverage"]
    return text_table(f"Parts of the test pixels, {name}", heads, rows)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def coverage_tables(results: dict[str, Any]) -> list[rich.table.Table]:
    """Return the tables of the section, for a terminal."""
    titles = ("Intervals on test images", "Where the guarantee ends", "By width")
    return [
        text_table(title, table.heads, table.rows)
        for title, table in zip(titles, write(results)[2], strict=True)
    ]
