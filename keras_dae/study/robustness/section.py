"""The section of the report on other noises, and its terminal table."""

from collections.abc import Mapping
from typing import Any

import rich.table

from keras_dae.study.report.report import Table, Written
from keras_dae.study.report.tables import setting, text_table

# File name without extension -> caption, in the order of the report.
FIGURES = {
    "robustness-gain": "What each denoiser gains on each noise.",
    "robustness-psnr": "PSNR over strength, one panel per noise: the best filter, and "
    "the deepest and shallowest models of the study with the largest and the smallest "
    "latent. The table shows all.",
    "robustness-ssim": "SSIM over strength.",
    "robustness-mse": "MSE over strength.",
}


def write(results: dict[str, Any]) -> Written:
    """Return title, sentences and table for `robustness.json`."""
    images = results["dataset"]["test"]
    kinds = list(results["grid"])
    text = (
        f"Each denoiser is tested on {images:,} images for each noise and strength. "
        "Models are used as they were trained. Filters are tuned on validation images "
        "for each noise and strength. The gain is the PSNR of the output minus that of "
        "the noisy images, in dB, both of the mean MSE. The table shows its mean over "
        "the strengths. The paper says that each traditional filter suits its own kind "
        "of noise (section 1.2)."
    )
    heads = ["denoiser", *kinds, "gains most on"]
    parts: list[list[list[str]]] = [[], []]
    for row in results["gains"]:
        line = [
            f"{row['gain'][kind]:+.2f}" if kind in row["gain"] else "-"
            for kind in kinds
        ]
        part = parts[row["kind"] == "filter"]
        part.append([row["name"], *line, row["best"]])
    table = Table(heads, parts[0], words=(0, len(heads) - 1), beneath=parts[1])
    texts = [text, setting(results), filter_sentence(results)]
    return "Other noises, other strengths", texts, [table]


def filter_sentence(results: Mapping[str, Any]) -> str:
    """Return the noise with the highest gain of each filter, and the best filters."""
    filters = [row for row in results["gains"] if row["kind"] == "filter"]
    if not filters:
        return ""
    most = "; ".join(
        f"{row['name']} on {row['best']} ({row['gain'][row['best']]:+.1f} dB)"
        for row in filters
    )
    best = []
    for kind in results["grid"]:
        gains = {r["name"]: r["gain"][kind] for r in filters if kind in r["gain"]}
        if gains:
            name = max(gains, key=gains.__getitem__)
            best.append(f"{kind} {name} ({gains[name]:+.1f} dB)")
    return (
        f"Noise with the highest gain of each filter: {most}. Best filter for each "
        f"noise: {'; '.join(best)}."
    )


def gains_table(results: dict[str, Any]) -> rich.table.Table:
    """Return the gain of each denoiser for each noise, for a terminal."""
    (rows,) = write(results)[2]
    images = results["dataset"]["test"]
    title = f"Gain in PSNR, dB, mean over strengths ({images:,} images per cell)"
    return text_table(title, rows.heads, rows.rows + rows.beneath)
