import numpy as np
import pytest

from keras_dae.study.uncertainty import figures
from keras_dae.study.uncertainty.measure import free_spread
from keras_dae.study.uncertainty.section import parts_table, report_table, write


def figures_of(coverage, noise="gaussian, sigma 0.5, clipped", strokes=0.875):
    return {
        "noise": noise,
        "images": 100,
        "coverage": coverage,
        "strokes": strokes,
        "unsure": 0.91,
        "width": 0.125,
        "rank": 0.5,
        "rank_unsure": None,
        "unlike": 0.04,
        "by_width": [
            {"from": 0.0, "to": 0.5, "share": 0.75, "coverage": 0.91},
            {"from": 0.5, "to": 1.0, "share": 0.0, "coverage": None},
        ],
        "deciles": [
            {"spread": 0.1 * n, "coverage": 0.885 + n / 1000, "width": 0.1}
            for n in range(10)
        ],
    }


@pytest.fixture
def results():
    shifted = [
        figures_of(0.81, "gaussian, sigma 0.3, clipped", None),
        figures_of(0.82, "gaussian, sigma 0.7, clipped"),
    ]
    row = {"name": "DAE_5_8", "test": figures_of(0.9), "free": figures_of(0.905)}
    return {
        "dataset": {"name": "digits", "test": 100},
        "noise": {"kind": "gaussian", "sigma": 0.5, "clip": True},
        "level": 0.9,
        "confidence": 0.95,
        "core_minutes": 1.5,
        "rows": [{**row, "shifted": shifted}],
    }


def test_the_section_says_where_the_promise_ends(results):
    title, texts, (first, second, third) = write(results)
    assert title == "Uncertainty of the output pixels"
    assert (
        "With probability 95% over their draw, the intervals cover at least 90%"
        in texts[0]
    )
    assert "digits, 100 test images, gaussian, sigma 0.5, clipped" in texts[1]
    assert first.rows == [
        [
            *("DAE_5_8", "90.0 %", "88.5 %", "89.4 %", "87.5 %", "91.0 %"),
            *("0.1250", "0.1250", "0.500", "0.500", "-", "-"),
        ]
    ]
    assert [row[1:4] for row in second.rows] == [
        ["gaussian, sigma 0.5, clipped", "90.0 %", "87.5 %"],
        ["gaussian, sigma 0.3, clipped (no guarantee)", "81.0 %", "-"],
        ["gaussian, sigma 0.7, clipped (no guarantee)", "82.0 %", "87.5 %"],
    ]
    assert third.rows == [["DAE_5_8", "75.0 %", "91.0 %", "0.0 %", "-"]]


def test_the_table_of_one_model(results):
    (row,) = results["rows"]
    table = report_table("DAE_5_8", [row["test"], *row["shifted"]])
    assert table.row_count == 3
    assert parts_table("DAE_5_8", row["test"]).row_count == 2 + 10


def test_the_figure_has_a_line_a_model_and_a_column_a_group(results):
    left, right = figures.coverage(results).axes
    assert [line.get_label() for line in left.lines[:1]] == ["DAE_5_8"]
    assert list(left.lines[0].get_ydata()) == pytest.approx(np.arange(88.5, 89.5, 0.1))
    words = [label.get_text() for label in right.get_xticklabels()]
    assert words[:3] == ["all", "strokes", "unsure"]
    assert words[3:] == [
        *("sigma\n0.3\nall", "sigma\n0.3\nstrokes"),
        *("sigma\n0.7\nall", "sigma\n0.7\nstrokes"),
    ]


def test_the_free_spread_by_hand():
    assert free_spread(np.array([0.0, 0.5, 0.8])) == pytest.approx(
        [1e-12, 0.08**0.5, 0.0512**0.5]
    )
