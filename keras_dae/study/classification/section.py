"""The section of the report on what classifiers read, and its terminal table."""

from collections.abc import Mapping
from typing import Any

import rich.table

from keras_dae.images.noise_words import noise_label
from keras_dae.study.classification.figures import by_name, percent
from keras_dae.study.report.report import Table, Written
from keras_dae.study.report.tables import setting, text_table

# File name without ending -> caption, in the order of the report.
FIGURES = {
    "classification-accuracy": "What two classifiers read after each denoiser.",
    "classification-sigma": "Accuracy over the strength of gaussian noise; the "
    "classifiers are trained on clean images. Dotted: the strength that the "
    "models were trained with.",
    "classification-confusions": "Test images that the convolutional network "
    "reads rightly when clean and wrongly when denoised, by true and read class.",
    "classification-worst": "The images that are misread most surely, after the "
    "model with the fewest misread images and after the one with the most.",
}


def write(results: dict[str, Any]) -> Written:
    """Return title, sentences and table of `classification.json`."""
    logistic = results["logistic"]
    text = (
        "A denoiser is measured here by what classifiers read after it (paper, section "
        "5.4). The classifiers are trained on clean training images and asked for the "
        "class of test images; accuracy recovered is (denoised - noisy) / (clean - "
        "noisy). Means over seeds. The last columns are of classifiers trained on "
        "training images that the same model denoised. Logistic regression: "
        f"{logistic['scale']} scale, C {logistic['C']:g}, chosen "
        "on the validation images."
    )
    return (
        "What a classifier reads",
        [
            text,
            f"{setting(results)} {_slow(results)}",
            _noisy_sentence(results),
            _turned(results),
        ],
        [accuracy_rows(results)],
    )


def _slow(results: Mapping[str, Any]) -> str:
    """Return a sentence on what was too slow to be read after on all test images."""
    total = results["dataset"]["test"]
    few = {r["tested_on"]: r["images"] for r in results["rows"] if r["images"] < total}
    words = [
        f"{name} on the first {count:,} test images" for name, count in few.items()
    ]
    return f"Slow, and read after on fewer: {'; '.join(words)}." if words else ""


def accuracy_rows(results: Mapping[str, Any]) -> Table:
    """Return accuracy and recovered share of each kind of test images, by classifier.

    Also what the command prints.
    """
    rows, kinds = results["rows"], results["classifiers"]
    heads = ["test images"]
    for about in kinds.values():
        heads += [f"{about}, accuracy", "recovered", "trained on denoised"]
    clean = {kind: by_name(rows, kind, "clean") for kind in kinds}
    own = {kind: by_name(rows, kind, "denoised") for kind in kinds}
    cells = []
    for name in dict.fromkeys(row["tested_on"] for row in rows):
        line = [name]
        for kind in kinds:
            lost = clean[kind]["clean"] - clean[kind]["noisy"]
            share = (clean[kind][name] - clean[kind]["noisy"]) / lost if lost else None
            line += [percent(clean[kind][name]), percent(share)]
            line.append(percent(own[kind].get(name)))
        cells.append(line)
    return Table(heads, cells)


def _noisy_sentence(results: Mapping[str, Any]) -> str:
    words = []
    for kind, about in results["classifiers"].items():
        trained = by_name(results["rows"], kind, "noisy")
        if trained:
            words.append(f"{about} {percent(trained['noisy'])}")
    if not words:
        return ""
    return (
        "Trained on noisy images instead, and reading them as they are: "
        f"{', '.join(words)}; what a denoiser has to beat to be worth its place "
        "before a classifier."
    )


def _turned(results: Mapping[str, Any]) -> str:
    """Return a sentence on the classes that each model turns into others most."""
    classes, words = results["classes"], []
    for row in results["confusions"]:
        pairs = [
            (count, true, read)
            for true, counts in enumerate(row["counts"])
            for read, count in enumerate(counts)
            if count
        ]
        if row["kind"] == "model" and pairs:
            count, true, read = max(pairs, key=lambda pair: pair[0])
            words.append(
                f"{row['name']} {classes[true]} into {classes[read]} ({count:,} of "
                f"{row['misread']:,} misread)"
            )
    return f"Turned into another class most often: {'; '.join(words)}." if words else ""


def reading_table(results: dict[str, Any]) -> rich.table.Table:
    """Return what classifiers read of each kind of test images, for a terminal."""
    rows = accuracy_rows(results)
    data = results["dataset"]
    title = f"Test images of {data['name']} ({data['test']:,}), "
    title += noise_label(results["noise"])
    caption = "recovered: (denoised - noisy) / (clean - noisy)"
    return text_table(title, rows.heads, rows.rows, caption)
