"""The section of the report on bits, and its terminal table."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import rich.table

from keras_dae.study.bits.measure import MORE
from keras_dae.study.bits.turns import error_at, leaders
from keras_dae.study.nine.claims import SMALLER_LATENT
from keras_dae.study.report.report import Table, Written
from keras_dae.study.report.tables import setting, text_table

# File name without extension -> caption, in the order of the report.
FIGURES = {
    "bits": "Test error against bits per image. Left: the models, with latents that "
    "are quantized, coded and decoded from the bytes alone. Right: the same with files "
    "of the clean, the noisy and the denoised image, headers included.",
    "bits-claims": "At how many bits each claim holds. Both models of a comparison "
    "have the same bits; a claim says that the first has the higher error. Bold: (*).",
}
TITLE = "How many bits"
COMPARED = (0.125, 0.25, 0.375, 0.5, 0.75, 1.0)  # bits per pixel in the table
Results = Mapping[str, Any]


def write(results: dict[str, Any]) -> Written:
    """Return title, sentences and tables for `bits.json`."""
    text = (
        "The paper's compression rate counts numbers; this section counts bits. "
        "Latents are rounded to multiples of a step, which is chosen on validation "
        "images for each rate. They are coded by a range coder with histograms of "
        "training latents. A linear prediction from the values coded before selects "
        "the histogram. Errors are those of test images decoded from the bytes alone; "
        "many images are coded together. '1 % more' is the step at which the "
        "validation error is 1 % above that of exact latents."
    )
    texts = [text, setting(results), _star(results), _leads(results), _formats(results)]
    tables = [bits_rows(results), _format_rows(results)]
    if results["turns"]:
        tables.append(_turn_rows(results))
    texts.append(f"Computed in {results['core_minutes']:g} core-minutes.")
    return TITLE, [text for text in texts if text], tables


def bits_rows(results: Results) -> Table:
    """Return the cost of each model at 1 % more error, and its error at equal bits."""
    bits = [rate * results["pixels"] for rate in COMPARED]
    heads = [
        *("model", "values", "exact MSE", f"bits at {MORE:.0%} more", "bits per value"),
        *("MSE at these bits", "bits without prediction", "bits of single images"),
        *(f"MSE at {number:.0f} bits" for number in bits),
    ]
    cells = []
    for row in results["rows"]:
        more = row["more"]
        line = [row["name"], str(row["values"]), f"{row['mse']:.5f}"]
        if more is None:
            line += ["-"] * 5
        else:
            line += [f"{more['bits']:.0f}", f"{more['bits'] / row['values']:.2f}"]
            line += [f"{more['mse']:.5f}", f"{more['without_neighbours']:.0f}"]
            line.append(f"{more['bits'] + more['alone'] - more['expected_alone']:.0f}")
        errors = error_at(row["points"], np.array(bits))
        line += ["-" if np.isnan(error) else f"{error:.5f}" for error in errors]
        cells.append(line)
    return Table(heads, cells)


def _star(results: Results) -> str:
    """Return at how few bits claim (*) is reversed."""
    rows = [row for row in results["turns"] if row["claim"] == SMALLER_LATENT]
    if not rows:
        return ""
    turned = [
        f"{row['worse']} has the lower error than {row['better']} {_where(row)}"
        for row in rows
        if row["below"] is not None
    ]
    held = [
        f"{row['worse']} above {row['better']} down to {row['low']:.0f} bits"
        for row in rows
        if row["below"] is None
    ]
    words = (
        f"Claim (*), that a smaller latent gives a higher loss, is reversed at low "
        f"rates in {len(turned)} of {len(rows)} comparisons"
    )
    words += f": {'; '.join(turned)}." if turned else "."
    return words + (f" It holds in {'; '.join(held)}." if held else "")


def _where(row: Mapping[str, Any]) -> str:
    """Return at which numbers of bits a claim is reversed."""
    (start, end), *more = row["turned"]
    if not more and start <= 1.02 * row["low"]:
        if end >= 0.98 * row["high"]:
            return f"at every number of bits up to {row['high']:.0f}"
        return f"below {end:.0f} bits"
    ranges = [f"from {low:.0f} to {high:.0f} bits" for low, high in row["turned"]]
    return " and ".join(ranges)


def _leads(results: Results) -> str:
    """Return which model has the lowest error at each number of bits."""
    bits = [rate * results["pixels"] for rate in COMPARED]
    found = zip(bits, leaders(results["rows"], bits), strict=True)
    words = [f"{name} at {number:.0f}" for number, name in found if name]
    return f"The lowest error at equal bits: {', '.join(words)}." if words else ""


def _formats(results: Results) -> str:
    after = results["after"]
    return (
        f"Files of the first {results['format_images']:,} test images, one per image. "
        "'Beyond blank' subtracts the size of a black image, which is nearly all "
        f"header. {after} is the model with the lowest validation error."
    )


def _format_rows(results: Results) -> Table:
    heads = ["file", "of images", "setting", "bits", "beyond blank", "MSE"]
    cells = [
        [
            *(row["codec"], row["source"], row["setting"]),
            *(f"{row['bits']:.0f}", f"{row['beyond_blank']:.0f}", f"{row['mse']:.5f}"),
        ]
        for row in results["formats"]
    ]
    return Table(heads, cells, words=(0, 1, 2))


def _turn_rows(results: Results) -> Table:
    heads = [
        "expected higher",
        "expected lower",
        "exact",
        "highest bits at which it is reversed",
        "measured",
    ]
    cells = [
        [
            *(row["worse"], row["better"]),
            "holds" if row["holds_exactly"] else "fails",
            "never" if row["below"] is None else f"{row['below']:.0f}",
            f"{row['low']:.0f} to {row['high']:.0f}",
        ]
        for row in results["turns"]
    ]
    return Table(heads, cells, words=(0, 1, 2))


def bits_table(results: dict[str, Any]) -> rich.table.Table:
    """Return the cost of each model, for a terminal."""
    table = bits_rows(results)
    title = f"Bits per image of {results['dataset']['name']}, decoded from the bytes"
    return text_table(title, table.heads, table.rows)
