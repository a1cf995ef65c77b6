"""The section of the report on classification, and its terminal table."""

from collections.abc import Mapping
from statistics import mean, stdev
from typing import Any

import rich.table

from keras_dae.images.noise_words import noise_label
from keras_dae.study.classification.figures import by_name, percent
from keras_dae.study.report.report import Table, Written
from keras_dae.study.report.tables import setting, text_table

# File name without extension -> caption, in the order of the report.
FIGURES = {
    "classification-accuracy": "Accuracy of two classifiers on the outputs of each "
    "denoiser.",
    "classification-sigma": "Accuracy over the strength of gaussian noise; the "
    "classifiers are trained on clean images. Dotted: the strength that the "
    "models were trained with.",
    "classification-confusions": "Test images that the convolutional network "
    "classifies correctly when clean and wrongly when denoised, by true and predicted "
    "class.",
    "classification-worst": "The misclassified images with the highest confidence, "
    "after the model with the fewest misclassified images and after the one with the "
    "most.",
}


def write(results: dict[str, Any]) -> Written:
    """Return title, sentences and table for `classification.json`."""
    logistic = results["logistic"]
    text = (
        "This section measures how accurately two classifiers classify denoised images "
        "(paper, section 5.4). The classifiers are trained on clean training images. "
        "The share of accuracy recovered is (denoised - noisy) / (clean - "
        "noisy). Means over seeds; after \N{PLUS-MINUS SIGN} their standard error. "
        "The columns 'trained on denoised' show classifiers trained on "
        "training images that the same model denoised. Logistic regression: "
        f"{logistic['scale']} scale, C {logistic['C']:g}, chosen "
        "on the validation images."
    )
    return (
        "Accuracy of classifiers",
        [
            text,
            f"{setting(results)} {_slow(results)}",
            _noisy_sentence(results),
            _reference_sentence(results),
            _turned(results),
        ],
        [accuracy_rows(results)],
    )


def _slow(results: Mapping[str, Any]) -> str:
    """Return a sentence on denoisers too slow for all test images."""
    total = results["dataset"]["test"]
    few = {r["tested_on"]: r["images"] for r in results["rows"] if r["images"] < total}
    words = [
        f"{name} on the first {count:,} test images" for name, count in few.items()
    ]
    return (
        f"Slow denoisers were measured on fewer images: {'; '.join(words)}."
        if words
        else ""
    )


def accuracy_rows(results: Mapping[str, Any]) -> Table:
    """Return accuracy and recovered share by classifier, per kind of test images.

    The command prints them too.
    """
    rows, kinds = results["rows"], results["classifiers"]
    heads = ["test images"]
    judge = results["judge"] if results.get("reference") else None
    for kind, about in kinds.items():
        heads += [f"{about}, accuracy", "recovered"]
        heads += ["recovered of the reference"] * (kind == judge)
        heads.append("trained on denoised")
    columns = ("accuracy", "recovered", "recovered_of_reference")
    clean = {
        kind: [by_name(rows, kind, "clean", column) for column in columns]
        for kind in kinds
    }
    own = {kind: by_name(rows, kind, "denoised") for kind in kinds}
    cells = []
    for name in dict.fromkeys(row["tested_on"] for row in rows):
        line = [name]
        for kind in kinds:
            accuracy, recovered, of_reference = clean[kind]
            error = _standard_error(results, kind, name)
            line += [percent(accuracy[name]) + error, percent(recovered.get(name))]
            if kind == judge:
                line.append(percent(of_reference.get(name)))
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
        "Classifiers trained on noisy images for as long as those on clean images, "
        f"without a denoiser: {', '.join(words)}."
    )


def _standard_error(results: Mapping[str, Any], kind: str, name: str) -> str:
    """Return the standard error over seeds of an accuracy, in points, or ''."""
    found = [
        row["accuracy"]
        for row in results["rows"]
        if (row["classifier"], row["trained_on"], row["tested_on"])
        == (kind, "clean", name)
    ]
    return f" \N{PLUS-MINUS SIGN} {100 * _error(found):.2f}" if found[1:] else ""


def _error(values: list[float]) -> float:
    return float(stdev(values) / len(values) ** 0.5)


def _reference(results: Mapping[str, Any]) -> tuple[float, float, int]:
    """Return the reference's accuracy, its standard error and the number of seeds."""
    found = [r["accuracy"] for r in results["rows"] if r["trained_on"] == "reference"]
    return mean(found), _error(found), len(found)


def _reference_sentence(results: Mapping[str, Any]) -> str:
    """Return a sentence on the reference, which was trained on noisy images."""
    if not results.get("reference"):
        return "No reference was trained on noisy images for as long as the denoisers."
    accuracy, error, seeds = _reference(results)
    about, steps = results["classifiers"][results["judge"]], results["reference"]
    return (
        f"The reference is the {about} trained on noisy images, with noise drawn anew "
        f"each epoch, for {steps['steps']:,} steps of {steps['batch']} images, as many "
        "steps as the longest training of a denoiser took to its saved epoch. It "
        f"classifies {percent(accuracy)} \N{PLUS-MINUS SIGN} {100 * error:.2f} of the "
        f"noisy test images correctly ({seeds} seeds); recovered of the reference is "
        "(denoised - noisy) / (reference - noisy)."
    )


def _turned(results: Mapping[str, Any]) -> str:
    """Return a sentence on the most frequent confusion of each model."""
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
                f"{row['name']} {classes[true]} as {classes[read]} ({count:,} of "
                f"{row['misread']:,} misclassified)"
            )
    return (
        f"Most frequent confusion of each model: {'; '.join(words)}." if words else ""
    )


def reading_table(results: dict[str, Any]) -> rich.table.Table:
    """Return the accuracies for each kind of test images, for a terminal."""
    rows = accuracy_rows(results)
    data = results["dataset"]
    title = f"Test images of {data['name']} ({data['test']:,}), "
    title += noise_label(results["noise"])
    caption = "recovered: (denoised - noisy) / (clean - noisy)"
    return text_table(title, rows.heads, rows.rows, caption)
