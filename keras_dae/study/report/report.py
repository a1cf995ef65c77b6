"""The report of a study, as Markdown and as one self-contained HTML page.

`summary` computes every figure once, as text; both templates only lay it out, so the
two reports cannot disagree.
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

from keras_dae.evaluation.contrasts import LEVEL
from keras_dae.evaluation.metrics import added_metrics, psnr_of
from keras_dae.images.noise_words import noise_label
from keras_dae.study.nine.claims import count_verdicts
from keras_dae.study.report.comparison_words import (
    NONE,
    dead_words,
    interval_words,
    live_words,
    p_words,
    verdict_words,
)

Figures = Mapping[str, tuple[str, bytes]]  # file name -> (caption, PNG bytes)
Rows = list[dict[str, Any]]
CONFOUNDS = {
    "parameters": "parameters",
    "macs": "multiply-adds",
    "receptive_field": "receptive field",
}


@dataclass(frozen=True)
class Table:
    """A table as text.

    Attributes:
        heads: the columns' names.
        rows: the cells.
        words: places of the columns that hold words; the others hold figures, which
            are set to the right.
        beneath: rows of another kind, set apart under the others.
    """

    heads: list[str]
    rows: list[list[str]]
    words: tuple[int, ...] = (0,)
    beneath: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True)
class Section:
    """A further part of the report: sentences, tables and figures under a title."""

    title: str
    texts: list[str]
    tables: list[Table]
    figures: Figures


# Title, sentences and tables of a section.
Written = tuple[str, list[str], list[Table]]


def report_markdown(
    results: dict[str, Any],
    figures: Figures,
    folder: str = "figures",
    sections: Sequence[Section] = (),
) -> str:
    """Return the report as GitHub Markdown, which links the figures.

    Args:
        results: what `results.json` holds.
        figures: file name -> (caption, PNG bytes), in the order to show them.
        folder: where the files lie, as seen from the report; '' beside it.
        sections: what follows the tables of the study.
    """
    prefix = f"{folder}/" if folder else ""

    def link(name: str, _: bytes) -> str:
        return quote(prefix + name)

    return _render("report.md", results, figures, sections, link)


def report_html(
    results: dict[str, Any], figures: Figures, sections: Sequence[Section] = ()
) -> str:
    """Return the report as one HTML page that holds its figures and loads nothing.

    The arguments are those of `report_markdown`.
    """

    def embed(_: str, png: bytes) -> str:
        return "data:image/png;base64," + base64.b64encode(png).decode("ascii")

    return _render("report.html", results, figures, sections, embed)


def _render(
    name: str,
    results: dict[str, Any],
    figures: Figures,
    sections: Sequence[Section],
    address: Callable[[str, bytes], str],
) -> str:
    def linked(shown: Figures) -> list[tuple[str, str]]:
        return [(text, address(name, png)) for name, (text, png) in shown.items()]

    page = (
        _templates()
        .get_template(name)
        .render(
            **summary(results),
            figures=linked(figures),
            sections=[(section, linked(section.figures)) for section in sections],
        )
    )
    return page.strip() + "\n"


@cache
def _templates() -> Environment:
    """Return the templates; what they show in HTML is escaped."""
    environment = Environment(
        loader=PackageLoader("keras_dae.study.report"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(md=_markdown, code=_code)
    return environment


def markdown_table(table: Table) -> str:
    """Return `table` as a GitHub Markdown table."""
    rules = ["---" if i in table.words else "---:" for i in range(len(table.heads))]
    cells = [list(map(_markdown, row)) for row in table.rows + table.beneath]
    lines = [list(map(_markdown, table.heads)), rules, *cells]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _markdown(text: str) -> str:
    """Return `text` so that Markdown, also within a table, shows it as it is."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*|\[\]])", r"\\\1", " ".join(text.split()))
    # Within a word an underscore is no mark-up: DAE_5_13 stays readable.
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)


def _code(text: str) -> str:
    """Return `text` as a Markdown code span, whatever backticks it holds."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence, text = "`" * (longest + 1), " ".join(text.split())
    return f"{fence} {text} {fence}" if longest else f"{fence}{text}{fence}"


def summary(results: dict[str, Any]) -> dict[str, Any]:
    """Return every sentence and table of the report as text.

    Args:
        results: what `results.json` holds: dataset, noise, hardware, models, floors,
            architectures, claims, command; and `board`, (notes, table), where there
            is one to show.
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
    """Return what each table needs to be read, by the name of the table."""
    architectures = (
        "Table 1 of the paper, with what it leaves open. The decoder mirrors the "
        "encoder. Compression rate: latent values by pixel values. Receptive field: "
        "side of the square that a latent value sees, in pixels."
    )
    tests = (
        f"MSE is the mean over the {pixels:,} pixel values of an image, and over the "
        "test images. The paper's loss (section 3.1) is the sum over pixels, "
        f"{pixels:,} times as much; it stands beside the mean. PSNR is that of the "
        "mean MSE; SSIM has a Gaussian window of sigma 1.5 and a data range of 1. "
        "After \N{PLUS-MINUS SIGN} stands the standard deviation over seeds, "
        "where there are several. The last rows are floors: answers without learning, "
        "and classical filters."
    )
    comparisons = (
        "The difference is the test MSE of the model that the claim expects higher, "
        "less that of the other. Welch's test over seeds, the test images paired, "
        "gives the interval and p; with 8 seeds or more an exact permutation test of "
        "two models must agree. p is corrected over all comparisons by Holm's method; "
        f"HOLDS and FAILS need p < {LEVEL} and 3 seeds. The interval is not corrected. "
        "The ratios, first model by second, are what the pair confounds: a verdict "
        "cannot tell their effect from that of depth or latent size."
    )
    comparisons += (
        " That the deepest model is the best at every latent size (section 5.1) is "
        "what the comparisons with the deepest say under (**); they are made once."
    )
    return {
        "architectures": architectures,
        "results": tests,
        "comparisons": comparisons,
    }


def by_model(models: Rows) -> dict[str, Rows]:
    """Return model name -> its rows, one a seed, in the order of first appearance."""
    runs: dict[str, Rows] = {}
    for row in models:
        runs.setdefault(row["name"], []).append(row)
    return runs


def _facts(results: dict[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Yield what was run, as (name, value, whether to set it as code)."""
    data, noise, models = results["dataset"], results["noise"], results["models"]
    counts = ", ".join(f"{data[k]:,} {k}" for k in ("train", "validation", "test"))
    yield "Data", f"{data['name']}, {counts} images", False
    yield "Data sha256", data["sha256"], True
    yield "Noise", noise_label(noise), False
    yield "Noisy test images sha256", noise["test_sha256"], True
    seeds, epochs = ({row[key] for row in models} for key in ("seed", "epochs"))
    yield "Models", f"{len(by_model(models))}, in {len(models)} runs", False
    yield "Seeds", ", ".join(map(str, sorted(seeds))), False
    if dead := dead_words(models):
        yield "Dead latent maps", dead, False
    yield "Epochs", ", ".join(map(str, sorted(epochs))), False
    hours = sum(row["seconds"] for row in models) / 3600
    yield "Training time", f"{hours:.2f} hours, all runs together", False
    for key, code in (("hardware", False), ("backend", False), ("command", True)):
        if results.get(key):
            yield key.capitalize(), results[key], code


BESIDE_HOLDS = (
    ("FAILS", "fails"),
    ("UNCLEAR", "is unclear"),
    ("NOT DECIDED", "is not decided, for want of seeds,"),
)


def _answers(claims: Rows) -> Iterator[dict[str, str]]:
    """Yield for each claim its verdict and a sentence that counts the comparisons."""
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
    """Return sentences on the best model and on what all models must beat."""
    errors = {name: mean(_test(rows, "mse")) for name, rows in runs.items()}
    name = min(errors, key=errors.__getitem__)
    text = f"The lowest test MSE is {errors[name]:.5f}, of {name}."
    if not floors:
        return text
    floor = min(floors, key=lambda row: float(row["test"]["mse"]))
    height = floor["test"]["mse"]
    text += f" The best floor, {floor['name']}, stands at {height:.5f}: "
    above = [model for model, error in errors.items() if error >= height]
    return text + (f"not below it: {', '.join(above)}." if above else "all are below.")


def _test(rows: Rows, key: str) -> list[float]:
    return [row["test"][key] for row in rows]


def with_spread(values: list[float], digits: int) -> str:
    """Return mean and, of several values, their standard deviation (n - 1)."""
    text = f"{mean(values):.{digits}f}"
    if len(values) < 2:
        return text
    return f"{text} \N{PLUS-MINUS SIGN} {stdev(values):.{digits}f}"


def _architectures(rows: Rows) -> Table:
    """Return table 1 of the paper, with what the choice of layers confounds."""
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
    """Return the test figures of each model, and the floors beneath them."""
    heads = ["model", "runs", "test MSE", "sum over pixels", "PSNR, dB", "SSIM"]
    heads += [metric.label for metric in added_metrics().values()]
    heads += ["live maps", "seconds a run"]
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
