"""What goes beyond the nine: the committed results, as sections and as figures."""

import numpy as np
import pytest

from keras_dae.study.classification import figures as reading
from keras_dae.study.classification.measure import JUDGE, _recovered
from keras_dae.study.classification.section import accuracy_rows, reading_table
from keras_dae.study.depth_limit import figures as depth_figures
from keras_dae.study.depth_limit.section import verdict_rows
from keras_dae.study.depth_limit.verdicts import findings
from keras_dae.study.report.experiments import EXPERIMENTS, section
from keras_dae.study.robustness import figures as limits
from keras_dae.study.robustness.section import filter_sentence, gains_table
from keras_dae.system.storage import read_json


@pytest.fixture(scope="module")
def found(request):
    """Section -> what its file holds, where the text follows from that alone."""
    paper = request.config.rootpath / "artifacts" / "paper"
    stems = ("classification", "robustness", "depth_limit")
    return {stem: read_json(paper / EXPERIMENTS[stem].file) for stem in stems}


@pytest.fixture(scope="module")
def report(request):
    return (request.config.rootpath / "artifacts/paper/report.md").read_text()


def test_the_committed_report_says_what_the_results_say(found, report):
    sections = [
        section(name, one, {"robustness-gain.png": b"png"})
        for name, one in found.items()
    ]
    assert [one.title for one in sections] == [
        *("Accuracy of classifiers", "Other noises, other strengths"),
        "How deep before it overfits",
    ]
    for one in sections:
        assert f"## {one.title}" in report
        for text in filter(None, one.texts):
            assert text.strip() in report
        for table in one.tables:
            for row in (table.heads, *table.rows, *table.beneath):
                assert f"| {' | '.join(row)} |" in report, row
    assert [list(one.figures) for one in sections] == [
        *([], ["robustness-gain.png"], []),
    ]


class Predictions:
    """Classes of 200 images: the first 100 have these accuracies, the others none."""

    def __init__(self, accuracies):
        self.accuracies = accuracies

    def classes(self, part, count):
        return np.zeros(count)

    def read(self, tested, source):
        right = round(100 * self.accuracies[tested.name][0])
        return {JUDGE: np.arange(200) >= right}


def classified(**accuracies):
    """Return the results of a classifier trained on clean images."""
    row = {"classifier": JUDGE, "trained_on": "clean", "images": 100}
    rows = [
        {**row, "tested_on": name, "kind": name, "accuracy": accuracy}
        for name, values in accuracies.items()
        for accuracy in values
    ]
    _recovered(Predictions(accuracies), rows)
    return {"classifiers": {JUDGE: "network"}, "rows": rows}


def test_accuracy_recovered_by_hand():
    """0.9 clean and 0.5 noisy: 0.8 after the model recovers three quarters."""
    table = accuracy_rows(classified(clean=[0.9], noisy=[0.5], model=[0.75, 0.85]))
    assert table.heads == [
        *("test images", "network, accuracy", "recovered", "trained on denoised"),
    ]
    assert table.rows == [
        ["clean", "90.00 %", "100.00 %", "-"],
        ["noisy", "50.00 %", "0.00 %", "-"],
        ["model", "80.00 % ± 5.00", "75.00 %", "-"],
    ]


def test_nothing_is_recovered_where_noise_takes_nothing():
    table = accuracy_rows(classified(clean=[0.9], noisy=[0.9]))
    assert [cells[2] for cells in table.rows] == ["-", "-"]


def test_verdicts_on_depth_in_words():
    finding = {
        **{"train_images": 1000, "net": "plain", "seeds": 3, "best": 5, "enough": 3},
        **{"opens": None, "overfits": 9, "harder": None},
    }
    (row,) = verdict_rows({"findings": [finding]}).rows
    assert row == ["1,000", "plain", "3", "5", "3", "at no depth", "9", "at no depth"]
    (row,) = verdict_rows({"findings": [{**finding, "seeds": 2}]}).rows
    assert row[-2:] == ["not decided", "not decided"]


def test_no_filters_no_sentence(found):
    gains = [row for row in found["robustness"]["gains"] if row["kind"] != "filter"]
    assert filter_sentence({**found["robustness"], "gains": gains}) == ""


def test_tables_for_a_terminal_hold_the_rows_of_the_report(found):
    for table, stem in (
        (reading_table, "classification"),
        (gains_table, "robustness"),
    ):
        (rows,) = EXPERIMENTS[stem].write(found[stem])[2]
        shown = table(found[stem])
        assert [column.header for column in shown.columns] == list(rows.heads)
        assert shown.row_count == len(rows.rows) + len(rows.beneath)


def test_accuracies_are_drawn_where_they_lie(found):
    results = found["classification"]
    (axes,) = reading.accuracies(results).axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    points = {
        (round(1 - float(x), 6), names[int(y)])  # the axis is of what is misread
        for line in axes.lines
        if line.get_linestyle() == "None"
        for x, y in line.get_xydata()
    }
    expected = {
        (round(value, 6), name)
        for kind in results["classifiers"]
        for trained_on in ("clean", "denoised")
        for name, value in reading.by_name(results["rows"], kind, trained_on).items()
        if name in names
    }
    assert points == expected
    assert not {"clean", "noisy"} & set(names)


def test_curves_have_a_line_for_each_denoiser(found):
    results = found["classification"]
    figure = reading.curves(results)
    assert [axes.get_title() for axes in figure.axes] == list(
        results["classifiers"].values()
    )
    for axes, kind in zip(figure.axes, results["classifiers"], strict=True):
        lines = [row for row in results["curves"] if row["classifier"] == kind]
        drawn = [list(line.get_ydata()) for line in axes.lines[: len(lines)]]
        assert drawn == [row["accuracy"] for row in lines]
        assert list(axes.lines[len(lines)].get_xdata()) == [0.5, 0.5]  # trained with


def test_confusions_are_the_counts(found):
    results = found["classification"]
    models = [row for row in results["confusions"] if row["kind"] == "model"]
    panels = [axes for axes in reading.confusions(results).axes if axes.get_visible()]
    assert len(panels) == len(models)
    for axes, row in zip(panels, models, strict=True):
        assert axes.get_title().startswith(f"{row['name']}: {row['misread']:,} misread")
        assert (axes.images[0].get_array() == np.array(row["counts"])).all()
        written = sorted(int(text.get_text()) for text in axes.texts)
        assert written == sorted(n for line in row["counts"] for n in line if n)


def test_gains_are_written_and_the_best_framed(found):
    results = found["robustness"]
    (axes,) = limits.gain_table(results).axes
    rows = sorted(results["gains"], key=lambda row: row["kind"] != "filter")
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        row["name"] for row in rows
    ]
    written = sum(len(row["gain"]) for row in rows)
    assert len(axes.texts) == written
    kinds = list(results["grid"])
    framed = [(patch.get_x() + 0.5, patch.get_y() + 0.5) for patch in axes.patches]
    assert framed == [(kinds.index(row["best"]), i) for i, row in enumerate(rows)]


@pytest.mark.parametrize("metric", limits.METRICS)
def test_each_noise_has_a_panel_of_strengths(found, metric):
    results = found["robustness"]
    figure = limits.strengths(results, metric)
    panels = {axes.get_title(): axes for axes in figure.axes if axes.get_title()}
    assert list(panels) == list(results["grid"])
    noisy = [
        row["test"][metric]
        for row in results["rows"]
        if (row["name"], row["noise"]) == ("noisy input", "gaussian")
    ]
    drawn = [list(line.get_ydata()) for line in panels["gaussian"].lines]
    assert noisy in drawn


def test_the_limit_of_depth_is_marked(found):
    results = found["depth_limit"]
    panels = {
        axes.get_title(): axes for axes in depth_figures.depth_limit(results).axes
    }
    assert len(panels) == len(results["findings"])
    for one in results["findings"]:
        axes = panels[f"{one['train_images']:,} training images, {one['net']}"]
        lines = [list(line.get_ydata()) for line in axes.lines]
        parts = ("fitted", "validation", "test")
        assert lines[:3] == [one["means"][part] for part in parts]
        uprights = [line.get_xdata()[0] for line in axes.lines[3:]]
        expected = [
            one[mark] for mark in ("enough", "overfits") if one[mark] is not None
        ]
        # Two marks at one depth stand beside each other, so that both are seen.
        assert uprights == pytest.approx(expected, abs=0.13)
        assert len(set(uprights)) == len(expected)


def test_plain_and_residual_nets_have_panels_of_their_own():
    def row(net, depth, loss, blocks):
        losses = dict.fromkeys(("train", "fitted", "validation", "test"), loss)
        place = {"net": net, "depth": depth, "blocks": blocks, "train_images": 1000}
        return {**place, **losses, "seed": 0}

    rows = [row("plain", 3, 0.04, 0), row("plain", 9, 0.05, 3)]
    rows.append(row("residual", 9, 0.03, 3))
    figure = depth_figures.depth_limit({"rows": rows, "findings": findings(rows)})
    drawn = {axes.get_title(): list(axes.lines[0].get_ydata()) for axes in figure.axes}
    assert drawn == {
        "1,000 training images, plain": [0.04, 0.05],
        "1,000 training images, residual": [0.04, 0.03],
    }
