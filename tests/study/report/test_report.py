import base64
import copy
import re
from html.parser import HTMLParser

import pytest

from keras_dae.study.report.report import report_html, report_markdown, summary

FIGURES = {
    "one.png": ("Figure 1. A | B", b"WEBP one"),
    "two two.png": ("Figure 2. <b>", b"WEBP two"),
}


def scored(error):
    return {"mse": error, "mse_sum": 784 * error, "psnr": None}


def model(name, error, seed=0):
    _, depth, latent = name.split("_")
    row = {"name": name, "depth": int(depth), "latent": int(latent), "seed": seed}
    return {**row, "parameters": 133, "epochs": 15, "seconds": 90.0 + 20 * seed} | {
        "test": scored(error)
    }


def architecture(name, side, ratio):
    row = {"name": name, "layers": "4x4/2", "latent_shape": [side, side, 4]}
    row |= {"latent_ratio": ratio, "parameters": 1133, "macs": 21632}
    return {**row, "depth": 1, "latent": side, "receptive_field": 4}


def claim(worse, better, verdict, text="(*) a smaller latent gives a higher loss"):
    row = {"claim": text, "worse": worse, "better": better, "verdict": verdict}
    row |= {"difference": 0.00125, "low": -0.0005, "high": 0.003, "seeds": [2, 2]}
    row |= {"spread": 0.00021, "p": 0.0001, "p_holm": 0.0004}
    confounds = {"parameters": [397, 133], "macs": [1, 2], "receptive_field": [4, 4]}
    return {**row, "confounds": confounds}


@pytest.fixture
def results():
    return {
        "schema": 1,
        "dataset": {
            "name": "mnist", "sha256": "ab" * 32,
            "train": 48000, "validation": 12000, "test": 10000,
        },
        "noise": {"kind": "gaussian", "sigma": 0.5, "clip": True, "test_sha256": "cd"},
        "hardware": "a processor, 2 cores",
        "backend": "torch",
        "models": [
            model("DAE_1_13", 0.014), model("DAE_1_13", 0.016, seed=1),
            model("DAE_1_8", 0.05), model("DAE_1_8", 0.05, seed=1),
        ],
        "floors": [
            {"name": "median 3x3", "test": scored(0.04)},
            {"name": "all black", "test": scored(0.1)},
        ],
        "architectures": [
            architecture("DAE_1_13", 13, 676 / 784),
            architecture("DAE_1_8", 8, 256 / 784),
        ],
        "claims": [claim("DAE_1_8", "DAE_1_13", "HOLDS")],
        "command": "keras-dae reproduce",
    }  # fmt: skip


def both(results, figures=FIGURES):
    return report_markdown(results, figures), report_html(results, figures)


class Page(HTMLParser):
    """The tags of a page, its cells by row and its visible text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.rows, self.in_cell = [], "", [], False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag):
        self.in_cell &= tag not in ("td", "th")

    def handle_data(self, data):
        self.text += data
        if self.in_cell:
            self.rows[-1][-1] += data


def markdown_rows(text):
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines
    ]


def test_both_reports_hold_the_hand_worked_figures(results):
    # 0.014 and 0.016: mean 0.015, deviation 0.002 / sqrt(2) = 0.0014142; the sums are
    # 784 times that; 10 log10(1 / 0.015) = 18.239; seconds (90 + 110) / 2
    row = ["DAE_1_13", "2", "0.01500 ± 0.00141", "11.760 ± 1.109", "18.24", "-"]
    row += ["-", "100"]
    floor = ["median 3x3", "-", "0.04000", "31.360", "13.98", "-", "-", "-"]
    markdown, html = both(results)
    for rows in (markdown_rows(markdown), Page(html).rows):
        assert row in rows
        assert floor in rows


def test_both_reports_give_each_comparison_in_full(results):
    row = [
        "DAE_1_8", "DAE_1_13", "HOLDS", "+0.00125", "-0.00050 to +0.00300", "0.00021",
        "4.0e-04", "2.98", "0.500", "1.00",
    ]  # fmt: skip
    markdown, html = both(results)
    assert row in Page(html).rows
    assert row in markdown_rows(markdown)


def test_both_reports_have_table_1(results):
    row = ["DAE_1_8", "4x4/2", "8, 8, 4", "32.65 %", "1,133", "21,632", "4"]
    markdown, html = both(results)
    assert row in markdown_rows(markdown)
    assert row in Page(html).rows


def test_both_reports_say_what_was_run_and_what_mse_is(results):
    expected = (
        "mnist, 48,000 train, 12,000 validation, 10,000 test images", "ab" * 32,
        "gaussian, sigma 0.5, clipped", "a processor, 2 cores", "torch",
        "keras-dae reproduce", "2, in 4 runs", "0, 1",
        "the mean over the 784 pixel values", "784 times as much",
    )  # fmt: skip
    markdown, html = both(results)
    for text in expected:
        assert text in markdown
        assert text in Page(html).text


def test_one_seed_shows_no_spread(results):
    results["models"] = [model("DAE_1_13", 0.014), model("DAE_1_8", 0.05)]
    none = dict.fromkeys(("spread", "low", "high", "p", "p_holm"))
    results["claims"][0] |= {**none, "seeds": [1, 1], "verdict": "NOT DECIDED"}
    for text in both(results, {}):
        assert "± 0" not in text
        assert "nan" not in text
        assert "not decided: 1 seed" in text
    row = ["DAE_1_13", "1", "0.01400", "10.976", "18.54", "-", "-", "90"]
    assert row in markdown_rows(report_markdown(results, {}))
    cells = summary(results)["comparisons"][0][1].rows[0]
    assert cells[2:7] == ["not decided: 1 seed", "+0.00125", "-", "-", "-"]


@pytest.mark.parametrize(
    ("verdicts", "short", "sentence"),
    [
        ("HH", "holds", "It holds in 2 of 2 comparisons."),
        (
            "HFU",
            "does not hold throughout",
            "It holds in 1 of 3 comparisons, fails in 1 (w1 against b1) and is unclear "
            "in 1 (w2 against b2).",
        ),
        (
            "HU",
            "holds where it is decided",
            "It holds in 1 of 2 comparisons and is unclear in 1 (w1 against b1).",
        ),
        (
            "F",
            "fails",
            "It holds in 0 of 1 comparisons and fails in 1 (w0 against b0).",
        ),
        (
            "N",
            "is undecided",
            "It holds in 0 of 1 comparisons and is not decided, because there are too "
            "few seeds, in 1 (w0 against b0).",
        ),
        (
            "U",
            "is undecided",
            "It holds in 0 of 1 comparisons and is unclear in 1 (w0 against b0).",
        ),
    ],
)
def test_the_answer_follows_from_the_rows(results, verdicts, short, sentence):
    words = {"H": "HOLDS", "F": "FAILS", "U": "UNCLEAR", "N": "NOT DECIDED"}
    results["claims"] = [
        claim(f"w{index}", f"b{index}", words[letter])
        for index, letter in enumerate(verdicts)
    ]
    (answer,) = summary(results)["answers"]
    assert (answer["short"], answer["sentence"]) == (short, sentence)
    markdown, html = both(results)
    assert f"{short}. {sentence}" in markdown
    assert sentence in Page(html).text


def test_models_that_do_not_beat_the_best_floor_are_named(results):
    best = "The lowest test MSE is 0.01500, of DAE_1_13. The best filter (median "
    best += "3x3), not corrected for clipping, has 0.04000; not better: DAE_1_8."
    assert all(best in text for text in both(results))


def test_names_come_out_escaped(results):
    name = "<script>alert('x')</script> a|b *c*"
    results["dataset"]["name"] = name
    results["models"][0]["name"] = results["architectures"][0]["name"] = name
    results["command"] = "run `quoted` <script>"
    markdown, html = both(results)
    page = Page(html)
    assert not [tag for tag, _ in page.tags if tag == "script"]
    assert name in page.text
    assert any(row[0] == name for row in page.rows if row)
    escaped = "&lt;script&gt;alert('x')&lt;/script&gt; a\\|b \\*c\\*"
    assert any(row[0] == escaped for row in markdown_rows(markdown))
    assert "`` run `quoted` <script> ``" in markdown
    assert "<script>" not in markdown.replace("`` run `quoted` <script> ``", "")


def test_html_embeds_every_figure_and_loads_nothing(results):
    html = report_html(results, FIGURES)
    page = Page(html)
    shown = [attrs for tag, attrs in page.tags if tag == "img"]
    assert [attrs["alt"] for attrs in shown] == [text for text, _ in FIGURES.values()]
    for attrs, (_, webp) in zip(shown, FIGURES.values(), strict=True):
        head, _, data = attrs["src"].partition(",")
        assert head == "data:image/webp;base64"
        assert base64.b64decode(data) == webp
    assert not re.search(r"https?:|url\(|@import|<link|<script", html)


def test_markdown_links_every_figure(results):
    markdown = report_markdown(results, FIGURES)
    assert "![Figure 1. A \\| B](figures/one.png)" in markdown
    assert "(figures/two%20two.png)" in markdown


def test_markdown_tables_have_cells_for_every_head(results):
    markdown = report_markdown(results, FIGURES)
    tables = [
        part.splitlines() for part in markdown.split("\n\n") if part.startswith("| ")
    ]
    assert len(tables) == 3
    for table in tables:
        assert len({len(re.split(r"(?<!\\)\|", line)) for line in table}) == 1
        assert set(table[1]) <= set("|-: ")
    assert "\n\n\n" not in markdown


def test_results_without_claims_or_backend_are_reported(results):
    del results["claims"], results["backend"]
    for text in both(results, {}):
        assert "no claim is decided" in text
        assert "comparisons" not in text


def test_results_are_not_changed(results):
    before = copy.deepcopy(results)
    both(results)
    assert results == before


def test_live_maps_are_counted_and_runs_with_dead_ones_named(results):
    for row in results["models"]:
        row["live_maps"] = [1.0, 0.25]
    assert "- Dead latent maps: none\n" in report_markdown(results, {})
    results["models"][3]["live_maps"] = [0.0, 0.25]
    markdown, html = both(results)
    assert "- Dead latent maps: DAE_1_8 seed 1 (1 of 2)\n" in markdown
    assert "DAE_1_8 seed 1 (1 of 2)" in Page(html).text
    for rows in (markdown_rows(markdown), Page(html).rows):
        cells = {row[0]: row[6] for row in rows if len(row) == 8 and "±" in row[2]}
        assert cells == {"DAE_1_13": "4 of 4", "DAE_1_8": "3 of 4"}


def test_models_stand_beside_the_best_corrected_filter_and_the_best_affine_map(results):
    results["floors"] += [
        {"name": "Gaussian, tuned, curve", "kind": "filter", "correction": "curve",
         "test": scored(0.02)},
        {"name": "affine, rank 100", "kind": "affine", "test": scored(0.0149)},
        {"name": "affine, full rank", "kind": "affine", "test": scored(0.0145)},
    ]  # fmt: skip
    best = (
        "The lowest test MSE is 0.01500, of DAE_1_13. The best filter (Gaussian, "
        "tuned, curve) has 0.02000; not better: DAE_1_8. The best affine map (affine, "
        "full rank) has 0.01450; not better: DAE_1_13, DAE_1_8."
    )
    for text in (report_markdown(results, {}), Page(report_html(results, {})).text):
        assert best in text


def test_contents_lead_to_headings_and_figures_stand_beside_their_tables(results):
    named = {
        f"{stem}.png": (f"A caption of {stem}", b"png")
        for stem in ("figure6-test-loss", "claims", "figure7-all-models")
    }
    markdown, html = both(results, named)
    order = [
        *("## Test results", "figures/figure6-test-loss.png", "## The comparisons"),
        *("figures/claims.png", "## Figures", "figures/figure7-all-models.png"),
    ]
    places = [markdown.index(part) for part in order]
    assert places == sorted(places)
    page = Page(html)
    targets = [dict(at)["href"][1:] for tag, at in page.tags if tag == "a"]
    assert targets == [at["id"] for tag, at in page.tags if tag == "h2"]
    assert [f"(#{one})" for one in targets] == re.findall(r"\(#[\w-]+\)", markdown)
    assert [page.text.index(f"A caption of {key[:-4]}") for key in named] == sorted(
        page.text.index(f"A caption of {key[:-4]}") for key in named
    )
