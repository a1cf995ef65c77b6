"""Tables for a terminal."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from keras_dae.evaluation.metrics import added_metrics, psnr_of
from keras_dae.images.noise_words import noise_label
from keras_dae.study.report.comparison_words import (
    interval_words,
    live_words,
    p_words,
    verdict_words,
)

VERDICT_STYLES = {
    **{"HOLDS": "green", "FAILS": "red", "UNCLEAR": "yellow"},
    "NOT DECIDED": "dim",
}


def new_table(title: str, *columns: str, caption: str | None = None) -> Table:
    """Return an empty table in the common style; the first column is text."""
    table = Table(
        title=title,
        caption=caption,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table


def architecture_table(rows: list[dict[str, Any]]) -> Table:
    """Return table 1 of the paper with other properties of the architectures."""
    table = new_table(
        "Denoising autoencoders (the decoder mirrors the encoder)",
        *("model", "latent", "ratio", "encoder", "filters"),
        *("parameters", "multiply-adds", "field"),
        caption="ratio: latent values per pixel value; field: side of the "
        "receptive field of a latent value, in pixels",
    )
    for row in rows:
        height, width, channels = row["latent_shape"]
        table.add_row(
            row["name"],
            f"({channels}, {height}, {width})",
            f"{row['latent_ratio']:.2%}",
            row["layers"],
            str(row["filters"]),
            f"{row['parameters']:,}",
            f"{row['macs']:,}",
            str(row["receptive_field"]),
        )
    return table


def results_table(results: dict[str, Any]) -> Table:
    """Return models and baselines by test error, averaged over seeds."""
    data, noise = results["dataset"], results["noise"]
    draws = results.get("test_draws", 1)
    drawn = f", mean of {draws} draws" if draws > 1 else ""
    title = f"Test images of {data['name']} ({data['test']:,}), {noise_label(noise)}"
    table = new_table(
        title + drawn,
        *("denoiser", "seeds", "MSE", "± over seeds", "sum over pixels", "PSNR dB"),
        "SSIM",
        "live maps",
        *(metric.label for metric in added_metrics().values()),
        caption="MSE: mean over pixels; PSNR of the mean MSE; SSIM: Gaussian window, "
        "sigma 1.5; live maps: latent maps that are above 0 in any test image, over "
        f"all runs. Data sha256 {data['sha256'][:12]}, "
        f"noisy test images {noise['test_sha256'][:12]}. {results['hardware']}",
    )
    by_name: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in (*results["models"], *results["floors"]):
        by_name[row["name"]].append(row)
    for name, rows in by_name.items():
        errors = [row["test"]["mse"] for row in rows]
        likeness = [row["test"].get("ssim") for row in rows]
        table.add_row(
            name,
            str(len(rows)) if "seed" in rows[0] else "",
            f"{np.mean(errors):.5f}",
            f"{np.std(errors, ddof=1):.5f}" if len(rows) > 1 else "",
            f"{np.mean([row['test']['mse_sum'] for row in rows]):.2f}",
            _psnr_words(float(np.mean(errors))),
            f"{np.mean(likeness):.3f}" if None not in likeness else "",
            live_words(rows) or "",
            *(
                metric.text(row["test"].get(name) for row in rows)
                for name, metric in added_metrics().items()
            ),
        )
    return table


def _psnr_words(error: float) -> str:
    return f"{psnr_of(error):.2f}" if error > 0 else "inf"


def claims_table(rows: list[dict[str, Any]]) -> Table:
    """Return each comparison behind the paper's claims with its verdict."""
    table = new_table(
        "The paper's claims, pair by pair",
        *("claim", "higher error", "lower error", "difference", "95 % interval"),
        *("p (Holm)", "verdict"),
        caption="difference of mean test MSE; Welch's test over seeds, images paired",
    )
    for row in rows:
        table.add_row(
            row["claim"].split()[0],
            row["worse"],
            row["better"],
            f"{row['difference']:+.5f}",
            interval_words(row),
            p_words(row["p_holm"]),
            Text(verdict_words(row), style=VERDICT_STYLES[row["verdict"]]),
        )
    return table


def jobs_table(rows: list[dict[str, Any]]) -> Table:
    """Return the state of each run of a sweep."""
    table = new_table("Runs", "run", "state", "seconds", "reason")
    for row in rows:
        table.add_row(
            row["run"], row["state"], f"{row['seconds']:.0f}", row["reason"] or ""
        )
    return table


def denoise_table(rows: list[dict[str, Any]]) -> Table:
    """Return the result for each image file."""
    done = sum(row["state"] == "done" for row in rows)
    measured = any(row.get("metrics") for row in rows)
    skipped = sum(row["state"] == "skipped" for row in rows)
    table = new_table(
        f"{done} of {len(rows)} denoised" + (f", {skipped} skipped" if skipped else ""),
        *("image", "state", "size", "type", "pages", "noise", "seconds"),
        *(("PSNR dB before", "after") if measured else ()),
        "output or reason",
        caption="noise: its standard deviation, estimated on values from 0 to 1",
    )
    for row in rows:
        known = row.get("width") is not None
        errors = [row.get("input_metrics"), row.get("metrics")] if measured else []
        table.add_row(
            row["input"],
            Text(row["state"], style="red" if row["state"] == "failed" else "green"),
            f"{row['width']}x{row['height']} {row['channels']}" if known else "",
            f"{row['format']} {row['type']}" if known else "",
            str(row["pages"]) if known else "",
            f"{row['estimate']['sigma']:.3f}" if row.get("estimate") else "",
            f"{row['seconds']:.1f}",
            *(_psnr_words(error["mse"]) if error else "" for error in errors),
            "; ".join(filter(None, _words(row))),
        )
    return table


def _words(row: dict[str, Any]) -> list[str | None]:
    """Return the notes on an image file."""
    return [row["output"] or row["reason"], row.get("note"), row.get("warning")]


def parity_table(rows: list[dict[str, Any]]) -> Table:
    """Return differences from torch and speeds, one row per model and runtime."""
    table = new_table(
        "The same file on each runtime",
        *("model", "runtime", "form", "state", "largest difference", "ms per image"),
        caption="difference from torch in absolute values; batches of 64 on the CPU",
    )
    styles = {"same": "green", "absent": "yellow"}
    for row in rows:
        difference, speed = row["max_difference"], row.get("milliseconds_per_image")
        table.add_row(
            row["model"],
            row["runtime"],
            row["form"],
            Text(row["state"], style=styles.get(row["state"], "red")),
            f"{difference:.2g}" if difference is not None else "",
            f"{speed:.3f}" if speed is not None else "",
        )
    return table


def doctor_table(rows: list[dict[str, Any]]) -> Table:
    """Return the checks of `doctor`; text columns are aligned to the left."""
    table = Table(
        title="keras_dae on this machine", title_justify="left", box=box.SIMPLE_HEAD
    )
    for column in ("", "name", "state", "detail"):
        table.add_column(column)
    styles = {"ok": "green", "absent": "yellow", "broken": "red"}
    for row in rows:
        state = Text(row["state"], style=styles[row["state"]])
        table.add_row(row["what"], row["name"], state, row["detail"])
    return table


def pretrained_table(cards: dict[str, dict[str, Any]]) -> Table:
    """Return the pretrained models, with training and first scores of their cards."""
    table = new_table(
        "Pretrained models",
        *("model", "parameters", "trained on", "images"),
        *("measured on", "MSE", "PSNR dB", "SSIM"),
    )
    for name, card in cards.items():
        measured_on, figures = next(iter(card["figures"].items()))
        table.add_row(
            name,
            f"{card['parameters']:,}",
            f"{card['data']}, {noise_label(card['noise'])}",
            f"{card['images']['train']:,}",
            measured_on,
            f"{figures['mse']:.5f}",
            f"{psnr_of(figures['mse']):.2f}",
            f"{figures['ssim']:.3f}",
        )
    # Models of one kind share limits and licence, which are printed once.
    kinds = {
        f"{card['data']}: {card['limits']} {card['licence']}" for card in cards.values()
    }
    psnr = "PSNR is that of the mean MSE over the images measured on."
    table.caption = "\n".join([psnr, *sorted(kinds)])
    return table


def text_table(
    title: str, heads: list[str], rows: list[list[str]], caption: str | None = None
) -> Table:
    """Return a table of text, with the first column aligned to the left."""
    table = new_table(title, *heads, caption=caption)
    for row in rows:
        table.add_row(*row)
    return table


def setting(results: Mapping[str, Any]) -> str:
    """Return a sentence on the setting of a table: data, noise with its hash, seeds.

    Args:
        results: content of a JSON file of results: `dataset`, `rows` and, if there is a
            single noise, `noise`.
    """
    data, noise = results["dataset"], results.get("noise")
    words = [f"{data['name']}, {data['test']:,} test images"]
    if noise is not None:
        words.append(noise_label(noise))
        if "test_sha256" in noise:
            words.append(f"noisy test images sha256 {noise['test_sha256'][:16]}")
    seeds = results.get("seeds") or sorted(
        {row["seed"] for row in results["rows"] if row.get("seed") is not None}
    )
    if seeds:
        plural = "s" if len(seeds) > 1 else ""
        words.append(f"seed{plural} {', '.join(map(str, seeds))}")
    return f"Data: {'; '.join(words)}."
