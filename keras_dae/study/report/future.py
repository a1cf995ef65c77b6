"""What goes beyond the paper's nine, as sections of the report.

Each function takes what one JSON file holds and returns its tables and sentences; all
figures in the sentences are computed here from the rows.
"""

from collections.abc import Mapping
from statistics import mean
from typing import Any

import rich.table

from keras_dae.images.noise_words import noise_label
from keras_dae.study.classification.figures import by_name, percent
from keras_dae.study.nine.intervals import matched, turned
from keras_dae.study.report.report import Section, Table
from keras_dae.study.report.tables import setting, text_table

# Section -> the file in a study's folder that it is written from.
SOURCES = {
    "verdicts": "verdicts.json",
    "matched": "matched/claims.json",
    "classification": "classification.json",
    "robustness": "robustness.json",
    "depth_limit": "depth_limit.json",
}
# Section -> figure files with their captions, in the order of the report.
CAPTIONS: dict[str, dict[str, str]] = {
    "verdicts": {},
    "matched": {},
    "classification": {
        "classification-accuracy": "What two classifiers read after each denoiser.",
        "classification-sigma": "Accuracy over the strength of gaussian noise; the "
        "classifiers are trained on clean images. Dotted: the strength that the "
        "models were trained with.",
        "classification-confusions": "Test images that the convolutional network "
        "reads rightly when clean and wrongly when denoised, by true and read class.",
        "classification-worst": "The images that are misread most surely, after the "
        "model with the fewest misread images and after the one with the most.",
    },
    "robustness": {
        "robustness-gain": "What each denoiser gains on each noise.",
        "robustness-psnr": "PSNR over strength, one panel a noise. Of the filters, "
        "those are drawn that are the best filter somewhere.",
        "robustness-ssim": "SSIM over strength.",
        "robustness-mse": "MSE over strength.",
    },
    "depth_limit": {
        "depth-limit": "Training, validation and test loss over depth, after the last "
        "epoch; bands from the lowest to the highest seed.",
    },
}


def sections(
    found: Mapping[str, dict[str, Any]], pngs: Mapping[str, bytes]
) -> list[Section]:
    """Return a section for each file of results that is there.

    Args:
        found: row of `SOURCES` -> what the file holds; for 'matched' also, as `study`,
            the claims of the study itself.
        pngs: file name -> PNG bytes, of those figures that are there.
    """
    made = []
    for stem, write in WRITERS.items():
        if stem in found:
            title, texts, tables = write(found[stem])
            figures = {
                f"{name}.png": (caption, pngs[f"{name}.png"])
                for name, caption in CAPTIONS[stem].items()
                if f"{name}.png" in pngs
            }
            made.append(Section(title, texts, tables, figures))
    return made


Written = tuple[str, list[str], list[Table]]


def classification(results: dict[str, Any]) -> Written:
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


def robustness(results: dict[str, Any]) -> Written:
    """Return title, sentences and table of `robustness.json`."""
    images = results["dataset"]["test"]
    kinds = list(results["grid"])
    text = (
        f"Each denoiser on {images:,} test images a cell, on noises and strengths that "
        "it was not made for. The gain is PSNR after less PSNR before, in dB, its mean "
        "over the strengths. The paper says of the traditional filters that each suits "
        "its own kind of noise (section 1.2)."
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
    """Return which noise each filter gains most on, and the best filter of each."""
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
    return f"Each filter gains most: {most}. The best filter of each noise: " + (
        f"{'; '.join(best)}."
    )


def depth_limit(results: dict[str, Any]) -> Written:
    """Return title, paragraph and table of `depth_limit.json`."""
    heads = ["training images", "depth", "parameters", "steps", "training loss"]
    heads += ["validation", "best epoch", "test", "gap"]
    cells = []
    for finding in results["findings"]:
        for index, depth in enumerate(finding["depths"]):
            runs = [
                row
                for row in results["rows"]
                if (row["train_images"], row["depth"])
                == (finding["train_images"], depth)
            ]
            means = {part: values[index] for part, values in finding["means"].items()}
            cells.append(
                [
                    *(f"{finding['train_images']:,}", str(depth)),
                    *(f"{runs[0]['parameters']:,}", f"{runs[0]['steps']:,}"),
                    *(f"{means['train']:.5f}", f"{means['validation']:.5f}"),
                    f"{mean(row['best_epoch'] for row in runs):.0f} of "
                    f"{runs[0]['epochs']}",
                    *(f"{means['test']:.5f}", f"{finding['gap'][index]:+.5f}"),
                ]
            )
    text = (
        f"Depth from {min(r['depth'] for r in results['rows'])} to "
        f"{max(r['depth'] for r in results['rows'])} at a latent of "
        f"{results['latent']}x{results['latent']} (paper, section 5.4). The training "
        "loss is measured after training, on the training images under noise that no "
        f"step was made on; the gap is the validation loss less it. {setting(results)}"
    )
    paragraph = " ".join(depth_sentence(one) for one in results["findings"])
    return "How deep before it overfits", [text, paragraph], [Table(heads, cells)]


def depth_sentence(finding: Mapping[str, Any]) -> str:
    """Return where depth stops helping on so many images, and how large the gap is."""
    depths, means, gap = finding["depths"], finding["means"], finding["gap"]
    best, enough = depths.index(finding["best"]), depths.index(finding["enough"])
    seeds = finding["seeds"]
    chance = f"the spread over {seeds} seeds" if seeds > 1 else "0 (one seed)"
    text = (
        f"On {finding['train_images']:,} images the validation loss is lowest at depth "
        f"{finding['best']} ({means['validation'][best]:.5f}); beyond depth "
        f"{finding['enough']} ({means['validation'][enough]:.5f}) no deeper model is "
        f"better by more than {chance}. "
    )
    text += (
        f"Validation less training loss is {gap[0]:+.5f} at depth {depths[0]} and "
        f"{gap[-1]:+.5f} at depth {depths[-1]}"
    )
    if finding["opens"] is None:
        return f"{text}, never over 10 % of the training loss."
    return f"{text}, over 10 % of the training loss from depth {finding['opens']} on."


WRITERS = {
    "verdicts": turned,
    "matched": matched,
    "classification": classification,
    "robustness": robustness,
    "depth_limit": depth_limit,
}


def reading_table(results: dict[str, Any]) -> rich.table.Table:
    """Return what classifiers read of each kind of test images, for a terminal."""
    rows = accuracy_rows(results)
    data = results["dataset"]
    title = f"Test images of {data['name']} ({data['test']:,}), "
    title += noise_label(results["noise"])
    caption = "recovered: (denoised - noisy) / (clean - noisy)"
    return text_table(title, rows.heads, rows.rows, caption)


def gains_table(results: dict[str, Any]) -> rich.table.Table:
    """Return what each denoiser gains on each noise, for a terminal."""
    (rows,) = robustness(results)[2]
    images = results["dataset"]["test"]
    title = f"Gain in PSNR, dB, mean over strengths ({images:,} images a cell)"
    return text_table(title, rows.heads, rows.rows + rows.beneath)


def depth_table(results: dict[str, Any]) -> rich.table.Table:
    """Return the losses by number of images and depth, for a terminal."""
    (rows,) = depth_limit(results)[2]
    caption = " ".join(depth_sentence(one) for one in results["findings"])
    title = "Depth by number of training images"
    return text_table(title, rows.heads, rows.rows, caption)
