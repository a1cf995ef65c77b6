"""The report of a study, as Markdown and as one self-contained HTML page.

`summary` computes all texts once and both templates only lay them out, so that the two
reports agree.
"""

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import prod
from statistics import mean, stdev
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from keras_dae.evaluation.contrasts import (
    LEVEL,
    MOST_PERMUTED_SEEDS,
    PERMUTED_SEEDS,
)
from keras_dae.evaluation.metrics import added_metrics, psnr_of
from keras_dae.images.noise_words import noise_label
from keras_dae.study.nine.claims import count_verdicts
from keras_dae.study.report.comparison_words import (
    NONE,
    dead_words,
    interval_words,
    live_words,
    p_words,
    seed_words,
    verdict_words,
)

Figures = Mapping[str, tuple[str, bytes]]  # file name -> (caption, WebP bytes)
Rows = list[dict[str, Any]]
# Part of the report -> figures below its tables, without extension.
BESIDE = {
    "architectures": ("figure1-scheme",),
    "results": ("figure5-losses", "figure6-test-loss"),
    "comparisons": ("claims",),
    "board": ("board", "board-images"),
}
CONFOUNDS = {
    "parameters": "parameters",
    "macs": "multiply-adds",
    "receptive_field": "receptive field",
}


@dataclass(frozen=True)
class Table:
    """A table as text.

    Attributes:
        heads: names of the columns.
        rows: the cells.
        words: indices of columns with text; others hold numbers, aligned to the right.
        beneath: rows of another kind, shown below the others.
    """

    heads: list[str]
    rows: list[list[str]]
    words: tuple[int, ...] = (0,)
    beneath: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True)
class Section:
    """A section of the report: sentences, tables and figures under a title."""

    title: str
    texts: list[str]
    tables: list[Table]
    figures: Figures


# Title, sentences and tables of a section.
Written = tuple[str, list[str], list[Table]]


def report_markdown(
    results: dict[str, Any],
    figures: Figures,
    sections: Sequence[Section] = (),
) -> str:
    """Return the report as GitHub Markdown, with links to files in `figures`.

    Args:
        results: content of `results.json`.
        figures: file name -> (caption, WebP bytes), in display order.
        sections: sections after the tables of the study.
    """

    def link(name: str, _: bytes) -> str:
        return quote(f"figures/{name}")

    return _render("report.md", results, figures, sections, link)


def report_html(
    results: dict[str, Any], figures: Figures, sections: Sequence[Section] = ()
) -> str:
    """Return the report as one HTML page that contains its figures.

    For arguments see `report_markdown`.
    """

    def embed(_: str, webp: bytes) -> str:
        return "data:image/webp;base64," + base64.b64encode(webp).decode("ascii")

    return _render("report.html", results, figures, sections, embed)


def _render(
    name: str,
    results: dict[str, Any],
    figures: Figures,
    sections: Sequence[Section],
    address: Callable[[str, bytes], str],
) -> str:
    def linked(shown: Figures) -> list[tuple[str, str]]:
        return [(text, address(name, webp)) for name, (text, webp) in shown.items()]

    told = summary(results)
    placed: dict[str, Figures] = {place: {} for place in BESIDE}
    rest = dict(figures)
    for place, stems in BESIDE.items():
        if told[place]:
            stays = {key for key in rest if key.removesuffix(".png") in stems}
            placed[place] = {key: rest.pop(key) for key in figures if key in stays}
    titles = ["What was run", "Architectures", "Test results"]
    titles += ["The comparisons"] * bool(told["comparisons"])
    titles += ["The board"] * bool(told["board"])
    titles += [section.title for section in sections] + ["Figures"] * bool(rest)
    page = (
        _templates()
        .get_template(name)
        .render(
            **told,
            contents=titles,
            figures=linked(rest),
            beside={place: linked(shown) for place, shown in placed.items()},
            sections=[(section, linked(section.figures)) for section in sections],
        )
    )
    return page.strip() + "\n"


def _slug(title: str) -> str:
    """Return the anchor of a heading, as GitHub generates it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@cache
def _templates() -> Environment:
    """Return the templates; values are escaped in HTML."""
    environment = Environment(
        loader=PackageLoader("keras_dae.study.report"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(md=_markdown, code=_code, slug=_slug)
    return environment


def markdown_table(table: Table) -> str:
    """Return `table` as a GitHub Markdown table."""
    rules = ["---" if i in table.words else "---:" for i in range(len(table.heads))]
    cells = [list(map(_markdown, row)) for row in table.rows + table.beneath]
    lines = [list(map(_markdown, table.heads)), rules, *cells]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _markdown(text: str) -> str:
    """Return `text` escaped for Markdown, also within a table."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*|\[\]])", r"\\\1", " ".join(text.split()))
    # Underscores within a word need no escape: DAE_5_13 stays readable.
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)


def _code(text: str) -> str:
    """Return `text` as a Markdown code span, also if it holds backticks."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence, text = "`" * (longest + 1), " ".join(text.split())
    return f"{fence} {text} {fence}" if longest else f"{fence}{text}{fence}"


def summary(results: dict[str, Any]) -> dict[str, Any]:
    """Return all sentences and tables of the report as text.

    Args:
        results: content of `results.json`: dataset, noise, hardware, models, floors,
            architectures, claims, command; and `board`, (notes, table), if there is
            one.
    """
    runs = by_model(results["models"])
    first = results["architectures"][0]
    pixels = round(prod(first["latent_shape"]) / first["latent_ratio"])
    claims = results.get("claims", [])
    return {
        "title": "Denoising autoencoders: depth and latent size",
        "facts": list(_facts(results)),
        "answers": list(_answers(claims)),
        "best": _best(runs, results["floors"]),
        "architectures": _architectures(results["architectures"]),
        "results": _results(runs, results["floors"]),
        "comparisons": list(_comparisons(claims)),
        "board": results.get("board"),
        "notes": _notes(pixels),
    }


def _notes(pixels: int) -> dict[str, str]:
    """Return the notes of each table, by the name of the table."""
    architectures = (
        "Table 1 of the paper, with further properties. The decoder mirrors the "
        "encoder. Compression rate: latent values per pixel value. Receptive field: "
        "side of the receptive field of a latent value, in pixels."
    )
    tests = (
        f"MSE is the mean over the {pixels:,} pixel values of an image, and over the "
        "test images. The paper's loss (section 3.1) is the sum over pixels, "
        f"{pixels:,} times as much; it is shown next to the mean. PSNR is that of the "
        "mean MSE; SSIM has a Gaussian window of sigma 1.5 and a data range of 1. The "
        "value after \N{PLUS-MINUS SIGN} is the standard deviation over seeds, if "
        "there are several. The last rows are baselines: trivial outputs, classical "
        "filters and affine maps. Clipping raises the mean of dark pixels and lowers "
        "that of bright ones, and an averaging filter keeps this bias; 'inverse' and "
        "'curve' correct it, see the board."
    )
    comparisons = (
        "The difference is the test MSE of the model that the claim expects higher, "
        "minus that of the other. Interval and p are those of the more cautious of two "
        "Welch tests: one over seeds alone, one over seeds and paired test images. "
        f"With {PERMUTED_SEEDS} to {MOST_PERMUTED_SEEDS} seeds per model, an exact "
        "permutation test of two models must agree. p is corrected over all "
        f"comparisons by Holm's method; HOLDS and FAILS need p < {LEVEL} and 3 seeds. "
        "The interval is not corrected. "
        "The ratios are those of the first model to the second. The two models also "
        "differ in these properties, so a verdict does not show the effect of depth or "
        "latent size alone."
    )
    comparisons += (
        " Section 5.1 also says that the deepest model is the best at every latent "
        "size. The comparisons under (**) with the deepest model test this."
    )
    return {
        "architectures": architectures,
        "results": tests,
        "comparisons": comparisons,
    }


def by_model(models: Rows) -> dict[str, Rows]:
    """Return model name -> its rows, one per seed, in order of first appearance."""
    runs: dict[str, Rows] = {}
    for row in models:
        runs.setdefault(row["name"], []).append(row)
    return runs


def _facts(results: dict[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Yield facts about the study, as (name, value, whether it is code)."""
    data, noise, models = results["dataset"], results["noise"], results["models"]
    counts = ", ".join(f"{data[k]:,} {k}" for k in ("train", "validation", "test"))
    yield "Data", f"{data['name']}, {counts} images", False
    yield "Data sha256", data["sha256"], True
    yield "Noise", noise_label(noise), False
    yield "Noisy test images sha256", noise["test_sha256"], True
    draws = results.get("test_draws", 1)
    mean_of = "; test scores are means over them" if draws > 1 else ""
    yield "Draws of the test noise", f"{draws}{mean_of}", False
    epochs = {row["epochs"] for row in models}
    yield "Models", f"{len(by_model(models))}, in {len(models)} runs", False
    yield "Seeds", seed_words(models), False
    if dead := dead_words(models):
        yield "Dead latent maps", dead, False
    yield "Epochs", ", ".join(map(str, sorted(epochs))), False
    hours = sum(row["seconds"] for row in models) / 3600
    yield "Training time", f"{hours:.2f} hours, all runs together", False
    runs = results.get("trained_with", [])
    if trained_on := dict.fromkeys(one["hardware"] for one in runs):
        yield "Trained on", "; ".join(trained_on), False
    named = {"Measured on": "hardware", "Backend": "backend", "Command": "command"}
    for name, key in named.items():
        if results.get(key):
            yield name, results[key], key == "command"


BESIDE_HOLDS = (
    ("FAILS", "fails"),
    ("UNCLEAR", "is unclear"),
    ("NOT DECIDED", "is not decided, because there are too few seeds,"),
)


def _answers(claims: Rows) -> Iterator[dict[str, str]]:
    """Yield for each claim its verdict and a sentence with counts of comparisons."""
    for claim, counts in count_verdicts(claims):
        total = sum(counts.values())
        if counts["HOLDS"] == total:
            verdict, short = "HOLDS", "holds"
        elif counts["FAILS"]:
            whole = counts["FAILS"] == total
            verdict, short = "FAILS", "fails" if whole else "does not hold throughout"
        else:
            short = "holds where it is decided" if counts["HOLDS"] else "is undecided"
            none = counts["NOT DECIDED"] == total
            verdict = "NOT DECIDED" if none else "UNCLEAR"
        parts = [f"holds in {counts['HOLDS']} of {total} comparisons"]
        for name, word in BESIDE_HOLDS:
            pairs = [
                f"{row['worse']} against {row['better']}"
                for row in claims
                if (row["claim"], row["verdict"]) == (claim, name)
            ]
            if pairs:
                parts.append(f"{word} in {len(pairs)} ({', '.join(pairs)})")
        sentence = (
            f"It {', '.join(parts[:-1])}{' and ' if parts[1:] else ''}{parts[-1]}."
        )
        yield {"claim": claim, "verdict": verdict, "short": short, "sentence": sentence}


def _best(runs: dict[str, Rows], floors: Rows) -> str:
    """Return sentences on the best model and on the best baselines."""
    errors = {name: mean(_test(rows, "mse")) for name, rows in runs.items()}
    name = min(errors, key=errors.__getitem__)
    text = f"The lowest test MSE is {errors[name]:.5f}, of {name}."
    filters, affine = best_filter(floors), best_affine(floors)
    if filters is not None:
        fair = any("correction" in row for row in floors)
        text += f" The best filter ({filters['name']})"
        text += "" if fair else ", not corrected for clipping,"
        text += f" has {_beside(errors, filters)}"
    if affine is not None:
        text += f" The best affine map ({affine['name']}) has "
        text += _beside(errors, affine)
    return text


def _beside(errors: Mapping[str, float], floor: Mapping[str, Any]) -> str:
    """Return the error of a baseline, and which models are not below it."""
    height = float(floor["test"]["mse"])
    above = [model for model, error in errors.items() if error >= height]
    words = f"not better: {', '.join(above)}" if above else "all models are better"
    return f"{height:.5f}; {words}."


def best_filter(floors: Rows) -> dict[str, Any] | None:
    """Return the filter with the lowest test error in `floors`, None if there is none.

    Results older than the corrections for clipping include only medians.
    """
    filters = [
        row
        for row in floors
        if row.get("kind") == "filter" or row["name"].startswith("median")
    ]
    return min(filters, key=lambda row: float(row["test"]["mse"]), default=None)


def best_affine(floors: Rows) -> dict[str, Any] | None:
    """Return the affine map with the lowest test error in `floors`, or None."""
    maps = [row for row in floors if row.get("kind") == "affine"]
    return min(maps, key=lambda row: float(row["test"]["mse"]), default=None)


def _test(rows: Rows, key: str) -> list[float]:
    return [row["test"][key] for row in rows]


def with_spread(values: list[float], digits: int) -> str:
    """Return the mean and, for several values, the standard deviation (n - 1)."""
    text = f"{mean(values):.{digits}f}"
    if len(values) < 2:
        return text
    return f"{text} \N{PLUS-MINUS SIGN} {stdev(values):.{digits}f}"


def _architectures(rows: Rows) -> Table:
    """Return table 1 of the paper, with other properties of the architectures."""
    heads = ["model", "encoder's convolutions", "latent (h, w, channels)"]
    heads += ["compression rate", *CONFOUNDS.values()]
    cells = [
        [
            *(row["name"], row["layers"], ", ".join(map(str, row["latent_shape"]))),
            f"{100 * row['latent_ratio']:.2f} %",
            *(f"{row[key]:,}" for key in CONFOUNDS),
        ]
        for row in rows
    ]
    return Table(heads, cells, words=(0, 1, 2))


def _results(runs: dict[str, Rows], floors: Rows) -> Table:
    """Return the test scores of each model, with the baselines below."""
    heads = ["model", "runs", "test MSE", "sum over pixels", "PSNR, dB", "SSIM"]
    heads += [metric.label for metric in added_metrics().values()]
    heads += ["live maps", "seconds per run"]
    cells = [
        _scores(name, rows, str(len(rows)), f"{mean(r['seconds'] for r in rows):,.0f}")
        for name, rows in runs.items()
    ]
    beneath = [_scores(row["name"], [row], NONE, NONE) for row in floors]
    return Table(heads, cells, beneath=beneath)


def _scores(name: str, rows: Rows, count: str, seconds: str) -> list[str]:
    errors, sums = _test(rows, "mse"), _test(rows, "mse_sum")
    psnr = f"{psnr_of(mean(errors)):.2f}" if any(errors) else NONE
    found = [row["test"].get("ssim") for row in rows]
    likeness = NONE if None in found else f"{mean(found):.3f}"
    figures = [with_spread(errors, 5), with_spread(sums, 3), psnr, likeness]
    figures += [
        metric.text((row["test"].get(key) for row in rows), NONE)
        for key, metric in added_metrics().items()
    ]
    return [name, count, *figures, live_words(rows) or NONE, seconds]


def _comparisons(claims: Rows) -> Iterator[tuple[str, Table]]:
    """Yield each claim with the table of its comparisons."""
    heads = ["expected higher", "expected lower", "verdict", "difference"]
    heads += ["95 % interval", "std over seeds", "p (Holm)"]
    for claim in dict.fromkeys(row["claim"] for row in claims):
        of_models = all(row["confounds"] for row in claims if row["claim"] == claim)
        keys = CONFOUNDS if of_models else {}
        cells = [
            [
                *(row["worse"], row["better"], verdict_words(row)),
                f"{row['difference']:+.5f}",
                interval_words(row),
                NONE if row["spread"] is None else f"{row['spread']:.5f}",
                p_words(row["p_holm"]),
                *(_ratio(*row["confounds"][key]) for key in keys),
            ]
            for row in claims
            if row["claim"] == claim
        ]
        ratios = [f"{name}, ratio" for name in keys.values()]
        yield claim, Table([*heads, *ratios], cells, words=(0, 1, 2))


def _ratio(worse: int, better: int) -> str:
    return f"{worse / better:#.3g}".rstrip(".")
