"""Figures in the pages are those of the committed files of results.

Each test computes sentences or rows of a table from a file, and looks for them in the
page. If the file is made anew, the test says which text of the page is out of date.
`tests/test_readme.py` does so for the nine models and the claims.
"""

from pathlib import Path
from statistics import mean, stdev

import pytest

from keras_dae.denoising.similar_patches import STACKS
from keras_dae.study.nine.claims import (
    GROWS_TOWARDS_5X5,
    GROWS_WHEN_SHALLOWER,
    SHALLOWER,
    SMALLER_LATENT,
)
from keras_dae.system.storage import read_json
from tests.test_results import compared

ROOT = Path(__file__).parents[1]
PAPER = ROOT / "artifacts" / "paper"
STUDY = "docs/study.md"
# How docs/study.md calls rows of board.json.
BOARD = {
    "unet": "U-Net, no bottleneck",
    "BEST_7_13": "BEST_7_13, the best autoencoder that we found",
    "BEST_7_8": "BEST_7_8",
    "BEST_7_5": "BEST_7_5",
    "affine, full rank": "best affine map, full rank",
    "Gaussian, tuned, curve": "Gaussian filter, tuned, with a curve",
    "affine, rank 100": "best affine map of rank 100, as many numbers as a 5x5 latent",
    "BM3D, tuned, curve": "BM3D, tuned, with a curve (first 500 images)",
    "Gaussian, tuned, inverse": "Gaussian filter, tuned, with the inverse mean",
    "median, tuned": "median, tuned, not corrected",
    "BM3D, tuned": "BM3D, tuned, not corrected (first 500 images)",
}
BASELINES = (
    *("noisy input", "all black", "mean image", "median 3x3"),
    *("affine, rank 100", "affine, full rank"),
)


def missing(page, texts):
    """Return the texts that a page does not hold, whatever its line breaks."""
    words = " ".join((ROOT / page).read_text().split())
    return [text for text in texts if text not in words]


@pytest.fixture(scope="module")
def board():
    return {row["name"]: row for row in read_json(PAPER / "board.json")["rows"]}


def test_the_board(board):
    lines = []
    for name, said in BOARD.items():
        test, count = board[name]["test"], board[name]["parameters"]
        figures = f"{test['mse']:.5f} | {test['psnr']:.2f} | {test['ssim']:.3f}"
        lines.append(f"| {said} | {count:,} | {figures} |")
    for said, corrected in (
        ("with it, eight filters are", ", curve"),
        ("correction", ""),
    ):
        names = [name for name in board if name.endswith(f", tuned{corrected}")]
        assert len(names) == 8
        errors = sorted(board[name]["test"]["mse"] for name in names)
        lines.append(f"{said} between {errors[0]:.4f} and {errors[-1]:.4f}")
    assert missing(STUDY, lines) == []


def test_the_lowest_error():
    found = read_json(PAPER / "ceiling.json")
    means = {tuple(row["models"]): row["mse"] for row in found["means"]}
    limits = {tuple(row["models"]): row["mse"] for row in found["limits"]}
    assert [row["model"] for row in found["networks"]] == 2 * ["unet"] + 3 * [
        "BEST_7_13"
    ]
    lines = [
        f"both U-Nets has a test MSE of {means['unet',]:.5f}",
        f"and the three BEST_7_13 networks {means['unet', 'BEST_7_13']:.5f}",
        f"infinitely many of them would have about {limits['unet',]:.4f}",
    ]
    assert missing(STUDY, lines) == []


def test_baselines(board):
    lines = [f"| {name} | {board[name]['test']['mse']:.4f} |" for name in BASELINES]
    assert missing(STUDY, lines) == []
    noisy = board["noisy input"]["test"]["mse"]
    assert missing("README.md", [f"an MSE of {noisy:.4f}."]) == []


FAMILIES = (".", "equal-parameters", "equal-macs")
CLAIMS = (SMALLER_LATENT, SHALLOWER, GROWS_WHEN_SHALLOWER, GROWS_TOWARDS_5X5)


def test_claims_of_the_three_families():
    """At depths 3 and 5, which all families have."""
    claims = [read_json(PAPER / name / "claims.json")["claims"] for name in FAMILIES]

    def counts(rows, claim):
        found = [
            row["verdict"]
            for row in rows
            if row["claim"] == claim and "_1_" not in row["worse"] + row["better"]
        ]
        words = [f"{found.count('HOLDS')} of {len(found)}"]
        words += [
            f"{n} {('fails' if n == 1 else 'fail') if name == 'FAILS' else 'unclear'}"
            for name in ("FAILS", "UNCLEAR")
            if (n := found.count(name))
        ]
        return ", ".join(words)

    lines = [
        " | ".join(
            [claim.replace("*", r"\*"), *(counts(rows, claim) for rows in claims)]
        )
        for claim in CLAIMS
    ]
    assert missing(STUDY, lines) == []


def test_the_depth_limit():
    results = read_json(PAPER / "depth_limit.json")

    def cells(one):
        found = [one["net"], *(f"{loss:.4f}" for loss in one["means"]["validation"])]
        marks = one["overfits"], one["harder"]
        return found + ["no depth" if mark is None else str(mark) for mark in marks]

    lines = [
        f"| {one['train_images']:,} | {' | '.join(cells(one))} |"
        for one in results["findings"]
    ]
    rows = results["rows"]
    hours = sum(row["seconds"] for row in rows) / 3600
    lines.append(f"The {len(rows)} runs took {hours:.1f} core-hours.")
    cut = sum(row["most_steps"] for row in rows)
    lines.append(f"{cut} of them reached the limit of 9,000 steps")
    assert missing(STUDY, lines) == []


def test_the_size_of_the_families():
    runs = [read_json(PAPER / name / "results.json")["models"] for name in FAMILIES[1:]]
    hours = sum(row["seconds"] for rows in runs for row in rows) / 3600
    both = [len(rows) for rows in runs]
    for name, size, most, least in (
        ("equal-parameters", "macs", 13, 5),
        ("equal-macs", "parameters", 5, 13),
    ):
        rows = read_json(PAPER / name / "results.json")["architectures"]
        sizes = {(row["depth"], row["latent"]): row[size] for row in rows}
        for depth in (3, 5):
            assert round(sizes[depth, most] / sizes[depth, least]) == 6
    said = [
        "latent need six times the multiply-adds of those with a 5x5 latent",
        "with a 5x5 latent have six times the parameters of those with a 13x13 latent",
    ]
    assert missing(STUDY, said) == []
    said = [f"in these {sum(both)} runs. They took {hours:.1f} hours of training"]
    assert missing(STUDY, said) == []
    said = [f"{both[0]} with equal parameters and {both[1]} with equal multiply-adds"]
    assert missing("docs/families.md", said) == []
    devices = [
        read_json(path)["device"]
        for name in FAMILIES[1:]
        for path in (PAPER / name / "runs").glob("*/environment.json")
    ]
    assert len(devices) == sum(both)
    cuda = sum("cuda" in device for device in devices)
    assert missing(STUDY, [f"{cuda} of them ran on one NVIDIA H200"]) == []
    assert missing("docs/families.md", [f"{cuda} were trained on one NVIDIA"]) == []


def test_close_pairs_of_the_families():
    """Compared models whose mean validation losses differ by less than 3 %."""
    said = []
    for name, equal in (("equal-parameters", "parameters"), ("equal-macs", "macs")):
        rows = read_json(PAPER / name / "results.json")["models"]
        ratios = compared(rows)
        close = {pair: ratio for pair, ratio in ratios.items() if ratio < 1.03}
        if equal == "parameters":
            (pair,) = close
            assert set(pair) == {(3, 5), (5, 5)}
            share = f"{100 * close[pair] - 100:.1f} %"
            said.append(f"equal parameters: {len(close)} of {len(ratios)} comparisons ")
            said.append(f"(EQP_3_5 and EQP_5_5, {share})")
        else:
            models = {(row["depth"], row["latent"]) for row in rows}
            assert {key for pair in close for key in pair} == models
            said.append(f"multiply-adds: {len(close)} of {len(ratios)} comparisons, in")
    assert missing("docs/families.md", [one.strip() for one in said]) == []


def test_dead_maps_of_the_first_study():
    rows = read_json(PAPER / "live_maps.json")["models"]
    dead = [row for row in rows if 0 in row["live_maps"]]
    said = f"In {len(dead)} of the {len(rows)} runs of the first study"
    assert missing("docs/families.md", [said]) == []
    assert all(row["depth"] > 1 for row in dead)


def test_the_runs_of_the_study():
    results = read_json(PAPER / "results.json")
    rows = results["models"]
    hours = sum(row["seconds"] for row in rows) / 3600
    said = [
        f"The {len(rows)} runs took {hours:.1f} hours in total, each on one thread",
        f"No latent map is dead in these {len(rows)} runs",
        "All errors are means over five draws of the test noise",
    ]
    assert results["test_draws"] == 5
    assert min(min(row["live_maps"]) for row in rows) > 0
    assert missing(STUDY, said) == []


def test_the_family_of_the_presets():
    """The rule: the lowest mean validation MSE over six models and seeds 0 to 4."""
    means = []
    for name in FAMILIES:
        rows = read_json(PAPER / name / "results.json")["models"]
        losses = [r["val_loss"] for r in rows if r["depth"] > 1 and r["seed"] < 5]
        assert len(losses) == 30
        means.append(mean(losses))
    said = (
        f"is {means[0]:.5f} for the first study (its models of depth 3 and 5, "
        "trained again as described below), "
        f"{means[1]:.5f} at equal parameters and {means[2]:.5f} at equal multiply-adds"
    )
    assert missing("docs/families.md", [said]) == []
    assert means[0] == min(means)


def test_verdicts_on_other_draws():
    results = read_json(PAPER / "verdicts.json")
    own, *others = [
        {(row["worse"], row["better"]): row["verdict"] for row in rows}
        for rows in results["verdicts"].values()
    ]
    turned = [
        (pair, verdict)
        for found in others
        for pair, verdict in found.items()
        if verdict != own[pair]
    ]
    pair = "DAE_1_8 - DAE_1_13", "DAE_3_8 - DAE_3_13"
    assert turned == [(pair, "UNCLEAR")]
    assert results["best_epoch_is_last"] == results["runs"] == 63
    rows = read_json(ROOT / "artifacts" / "fast" / "claims.json")["claims"]
    unclear = {row["claim"] for row in rows if row["verdict"] != "HOLDS"}
    assert unclear == {GROWS_WHEN_SHALLOWER}
    said = ["On one of the two draws, one verdict changes: that the loss grows more at"]
    assert missing(STUDY, said) == []


def test_robustness():
    rows = read_json(PAPER / "robustness.json")["gains"]
    names = {
        **{"unet": "U-Net", "DAE_5_8": "DAE_5_8"},
        "Gaussian, tuned, curve": "Gaussian with curve",
        "total variation, tuned, curve": "total variation with curve",
    }

    def best(kind, noise):
        found = [row for row in rows if row["kind"] == kind and noise in row["gain"]]
        row = max(found, key=lambda row: row["gain"][noise])
        return f"{row['gain'][noise]:.1f} dB, {names[row['name']]}"

    gains = {row["name"]: row["gain"] for row in rows}
    lines = []
    for noise, gain in gains["DAE_5_13"].items():
        others = f"{best('model', noise)} | {best('filter', noise)}"
        lines.append(f"| {noise} | {gain:.1f} dB | {others} |")

    blind, own = (
        f"{gains[name]['gaussian']:.1f} dB"
        for name in ("DAE_5_5 (gaussian:0.1..0.9)", "DAE_5_5")
    )
    lines.append(f"0.1 to 0.9 gains {blind} on Gaussian noise.")
    lines.append(f"Trained on 0.5 alone, it gains {own}.")
    weak = {
        row["name"]: (row["kind"], row["test"]["psnr"])
        for row in read_json(PAPER / "robustness.json")["rows"]
        if (row["noise"], row["strength"]) == ("gaussian", 0.1)
    }
    filtered = max(psnr for kind, psnr in weak.values() if kind == "filter")
    gap = filtered - weak["DAE_5_13"][1]
    lines.append(
        f"at gaussian 0.1, the best filter is {gap:.0f} dB better than DAE_5_13"
    )
    assert missing(STUDY, lines) == []


def test_uncertainty():
    rows = read_json(PAPER / "uncertainty" / "uncertainty.json")["rows"]
    ratios = {row["name"]: row["test"]["width"] / row["free"]["width"] for row in rows}
    *most, last = [name for name, ratio in ratios.items() if ratio >= 1]
    below = [100 * row["test"]["images_below"] for row in rows]
    strokes = [100 * row["test"]["strokes"] for row in rows]
    lines = [
        f"are narrower, by at most {100 - 100 * min(ratios.values()):.0f} %",
        f"Those of {', '.join(most)} and {last} are wider, by at most "
        f"{100 * max(ratios.values()) - 100:.1f} %",
        f"{min(below):.0f} to {max(below):.0f} % of the test images have less than",
        f"{min(strokes):.0f} to {max(strokes):.0f} % on the test images",
    ]
    for sigma, part, of in (
        ("0.7", "strokes", "of strokes"),
        ("0.3", "unsure", "of uncertain"),
    ):
        shifted = [
            s for r in rows for s in r["shifted"] if f"sigma {sigma}," in s["noise"]
        ]
        assert len(shifted) == len(rows) == 9
        for key, words in (("coverage", "of all pixels"), (part, of)):
            values = [100 * row[key] for row in shifted]
            lines.append(f"{min(values):.0f} to {max(values):.0f} % {words}".strip())
    assert missing("docs/uncertainty.md", lines) == []


def test_classifiers():
    results = read_json(PAPER / "classification.json")
    found = {}
    for row in results["rows"]:
        key = row["classifier"], row["trained_on"], row["tested_on"]
        found.setdefault(key, []).append(row)

    def share(rows):
        """Return the mean, with its standard error over seeds if there are several."""
        values = [100 * row["accuracy"] for row in rows]
        error = stdev(values) / len(values) ** 0.5 if len(values) > 1 else None
        return f"{mean(values):.1f}" + ("" if error is None else f" ± {error:.2f}")

    lines = [
        f"| {said} | "
        + " | ".join(
            f"{share(found[kind, 'clean', one])} %"
            for one in ("clean", "noisy", "DAE_5_13")
        )
        for kind, said in (
            ("cnn", "convolutional network"),
            ("logistic", "multiclass logistic regression"),
        )
    ]
    reference = found["cnn", "reference", "noisy"]
    assert len(reference) == len(found["cnn", "clean", "DAE_5_13"]) == 3
    assert results["reference"]["steps"] == 15_000
    ours = found["cnn", "clean", "DAE_5_13"]
    recovered = mean(row["recovered"] for row in ours)
    of_reference = mean(row["recovered_of_reference"] for row in ours)
    lines += [
        f"restores {100 * recovered:.0f} % of the accuracy that the noise cost",
        f"classifies {share(reference)} % of the noisy digits correctly",
        f"{100 * of_reference:.0f} % of what the reference restores",
    ]
    assert missing(STUDY, lines) == []


def test_the_first_epoch():
    runs = [read_json(path) for path in (PAPER / "runs").glob("*/history.json")]
    assert len(runs) == len(read_json(PAPER / "results.json")["models"])
    assert max(run["val_loss"][0] for run in runs) <= 0.020
    assert missing(STUDY, ["no model is above 0.020 on the validation images"]) == []


def test_bits():
    rows = read_json(PAPER / "bits" / "bits.json")["rows"]
    lines = [
        f"| {row['name']} | {row['values']} | {row['mse']:.5f} |"
        for row in rows
        if row["kind"] == "model"
    ]
    assert len(lines) == 10
    turns = read_json(PAPER / "bits" / "bits.json")["turns"]
    below = {(row["worse"], row["better"]): row["below"] for row in turns}
    pairs = (8, 13), (5, 13), (5, 8)
    deep, shallow = (
        [f"{below[f'DAE_{depth}_{a}', f'DAE_{depth}_{b}']:.0f}" for a, b in pairs]
        for depth in (5, 3)
    )
    lines += [
        f"better than DAE_5_13 below {deep[0]} bits",
        f"DAE_5_13 below {deep[1]} bits, and better than DAE_5_8 below {deep[2]} bits",
        "the same comparisons reverse below "
        f"{shallow[0]}, {shallow[1]} and {shallow[2]} bits",
    ]
    assert missing("docs/bits.md", lines) == []


def test_the_wheel():
    record = read_json(ROOT / "artifacts" / "wheel.json")
    peak = record["photograph"]["peak_bytes"] / 1e6
    high, wide = record["photograph"]["size"]
    assert (
        missing(
            "docs/install.md", [f"{high}x{wide} pixels, in {peak:.0f} MB of memory"]
        )
        == []
    )
    seconds = record["photograph"]["seconds"]
    line = f"takes {seconds:.0f} s on one thread, start-up included, and {peak:.0f} MB"
    assert missing("docs/denoise.md", [line]) == []
    digits = record["digits"]
    said = f"reduced the MSE by a factor of {digits['times_better']:.0f}"
    assert digits["images"] == 10
    assert missing("docs/install.md", ["On ten digits", said]) == []


def test_parity():
    rows = read_json(ROOT / "artifacts" / "parity.json")["rows"]
    worst = max(row["max_difference"] or 0 for row in rows if row["state"] == "same")
    assert worst <= 2.5e-6
    assert missing("docs/export.md", ["are within 2.5e-6 of those of torch"]) == []


def test_a_changed_figure_is_seen(board):
    noisy = board["noisy input"]["test"]["mse"] + 1e-4
    assert missing("README.md", [f"an MSE of {noisy:.4f}."]) != []


def error_of_ratio(one, other):
    """The standard error of the ratio of two means near each other, over seeds."""
    shares = [
        row["spread"] ** 2 / len(row["seeds"]) / row["mse"] ** 2 for row in (one, other)
    ]
    return sum(shares) ** 0.5


def test_training_without_clean_images():
    found = read_json(PAPER / "without-clean" / "without_clean.json")
    rows = {(row["model"], row["targets"]): row for row in found["groups"]}
    assert len(rows) == 10
    lines, errors = [], []
    for name in sorted({model for model, _ in rows}):
        cells = [f"{rows[name, 'clean']['mse']:.5f}"]
        for targets in ("noisy", "split", "blind-spot"):
            if (name, targets) not in rows:
                cells.append("")
                continue
            row, count = rows[name, targets], len(rows[name, targets]["seeds"])
            seeds = f"{count} seed{'s' if count > 1 else ''}"
            above = f"+{100 * row['excess']:.1f} %, {seeds}"
            cells.append(f"{row['mse']:.5f} ({above})")
        lines.append(" ".join(f"| {' | '.join([name, *cells])} |".split()))
        noisy, clean = (rows[name, targets] for targets in ("noisy", "clean"))
        lines.append(f"{100 * (noisy['mse'] / clean['mse'] - 1):.1f} % ({name})")
        errors.append(f"{100 * error_of_ratio(noisy, clean):.1f}")
    order = [errors[place] for place in (1, 2, 0)]  # as in the page
    lines.append("standard errors of {}, {} and {} %".format(*order))
    assert missing("docs/without-clean-images.md", lines) == []


def test_denoising_by_the_image_itself():
    found = read_json(ROOT / "artifacts" / "photo" / "self.json")
    means, beside = found["means"], found["beside BM3D"]
    assert (len(found["rows"]), beside["images"]) == (24, 24)
    lines = [
        f"its mean PSNR is {means['self']:.2f} dB",
        f"means reaches {means['non-local means']:.2f} dB and BM3D "
        f"{beside['BM3D']:.2f} dB",
        f"takes {means['seconds']:.0f} s on one thread",
    ]
    assert missing("docs/without-clean-images.md", lines) == []
    line = f"about {means['seconds']:.0f} s of one CPU core"
    assert missing("docs/denoise.md", [line]) == []


def test_the_stacks_are_those_with_the_best_psnr_on_validation_crops():
    found = read_json(ROOT / "artifacts" / "photo" / "self.json")
    for mode, channels in (("colour", 3), ("grey", 1)):
        rows = [row for row in found["tuned"] if row["mode"] == mode]
        best = max(rows, key=lambda row: row["psnr"])
        assert len(rows) == 9
        assert best["stacks"] == [list(stack) for stack in STACKS[channels]]
