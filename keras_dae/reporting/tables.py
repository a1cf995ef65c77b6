"""Rows as tables for a terminal."""

from collections import defaultdict
from typing import Any

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from keras_dae.images.noise import noise_label

VERDICT_STYLES = {"HOLDS": "green", "FAILS": "red", "UNCLEAR": "yellow"}


def _table(title: str, *columns: str, caption: str | None = None) -> Table:
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
    """Return table 1 of the paper with what it leaves open beside it."""
    table = _table(
        "Denoising autoencoders (the decoder mirrors the encoder)",
        *("model", "latent", "ratio", "encoder", "filters"),
        *("parameters", "multiply-adds", "sees"),
        caption="ratio: latent values by pixels; sees: the receptive field of a latent "
        "value, in pixels",
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
    """Return models and floors by test error, means over seeds."""
    data, noise = results["dataset"], results["noise"]
    table = _table(
        f"Test images of {data['name']} ({data['test']:,}), {noise_label(noise)}",
        *("denoiser", "seeds", "MSE", "± over seeds", "sum over pixels", "PSNR dB"),
        "SSIM",
        caption="MSE: mean over pixels; PSNR of the mean MSE; SSIM: Gaussian window, "
        f"sigma 1.5. Data sha256 {data['sha256'][:12]}, "
        f"noisy test images {noise['test_sha256'][:12]}. {results['hardware']}",
    )
    by_name: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in (*results["models"], *results["floors"]):
        by_name[row["name"]].append(row)
    for name, rows in by_name.items():
        errors = [row["test"]["mse"] for row in rows]
        psnrs = [row["test"]["psnr"] for row in rows]
        likeness = [row["test"].get("ssim") for row in rows]
        table.add_row(
            name,
            str(len(rows)) if "seed" in rows[0] else "",
            f"{np.mean(errors):.5f}",
            f"{np.std(errors, ddof=1):.5f}" if len(rows) > 1 else "",
            f"{np.mean([row['test']['mse_sum'] for row in rows]):.2f}",
            f"{np.mean(psnrs):.2f}" if None not in psnrs else "inf",
            f"{np.mean(likeness):.3f}" if None not in likeness else "",
        )
    return table


def claims_table(rows: list[dict[str, Any]]) -> Table:
    """Return each comparison behind the paper's claims with its verdict."""
    table = _table(
        "The paper's claims, pair by pair",
        *("claim", "higher error", "lower error", "difference", "95 % interval"),
        *("p (Holm)", "verdict"),
        caption="difference of mean test MSE, bootstrapped over seeds and test images",
    )
    for row in rows:
        table.add_row(
            row["claim"].split()[0],
            row["worse"],
            row["better"],
            f"{row['difference']:+.5f}",
            f"{row['low']:+.5f} to {row['high']:+.5f}",
            f"{row['p_holm']:.4f}",
            Text(row["verdict"], style=VERDICT_STYLES[row["verdict"]]),
        )
    return table


def jobs_table(rows: list[dict[str, Any]]) -> Table:
    """Return how each run of a sweep went."""
    table = _table("Runs", "run", "state", "seconds", "reason")
    for row in rows:
        table.add_row(
            row["run"], row["state"], f"{row['seconds']:.0f}", row["reason"] or ""
        )
    return table


def text_table(
    title: str, heads: list[str], rows: list[list[str]], caption: str | None = None
) -> Table:
    """Return rows that are text already, the first column to the left."""
    table = _table(title, *heads, caption=caption)
    for row in rows:
        table.add_row(*row)
    return table
