"""The board for people: the same figures in table, Markdown, CSV and report."""

import copy

import numpy as np
import pytest

from keras_dae.study.board.figures import (
    MARKS,
    WORDS,
    board_figure,
    board_markdown,
    board_table,
    csv_rows,
    notes,
    terminal_table,
    thumbnails,
)
from keras_dae.study.nine.figures import png_bytes
from keras_dae.study.report.report import report_html, report_markdown
from tests.study.report.test_report import FIGURES, results  # noqa: F401


def row(name, kind, error, **changed):
    test = {"mse": error, "psnr": 20.0, "psnr_mean_image": 20.5, "ssim": 0.875}
    return {
        "name": name, "kind": kind, "latent": None, "seeds": [], "images": 10000,
        "test": test, "test_std": None, "mse_low": error - 1e-4,
        "mse_high": error + 1e-4, "parameters": 1234, "bytes": 56789, "macs": None,
        "ms_per_image": 0.0625, "settings": None, "files": [],
        "measured_on": "a processor, 2 cores, 1 thread", **changed,
    }  # fmt: skip


@pytest.fixture
def board():
    return {
        "dataset": {"name": "mnist", "test": 10000},
        "noise": {"kind": "gaussian", "sigma": 0.5, "clip": True, "test_sha256": "cd"},
        "hardware": "a processor, 2 cores",
        "kinds": ["floor", "filter", "dae"],
        "rows": [
            row("DAE_5_13", "dae", 0.00875, latent=13, seeds=[0, 1],
                test_std={"mse": 0.00004}, macs=15304640),
            row("BM3D, tuned", "filter", 0.04, images=500,
                settings={"sigma_psd": 0.2}, tuned_on={"images": 40}),
            row("all | black", "floor", 0.114),
        ],
    }  # fmt: skip


def test_the_table(board):
    table = board_table(board)
    first = dict(zip(table.heads, table.rows[0], strict=True))
    assert first["test MSE"] == "0.00875"
    assert first["95 % interval"] == "0.00865 to 0.00885"
    assert first["\N{PLUS-MINUS SIGN} over seeds"] == "0.00004"
    assert (first["parameters"], first["bytes"]) == ("1,234", "56,789")
    assert first["multiply-adds"] == "15,304,640"
    assert first["ms per image"] == "0.062"
    assert table.rows[1][0] == "BM3D, tuned (first 500 images)"
    assert table.rows[1][table.heads.index("multiply-adds")] == "-"


def test_notes_name_what_was_chosen(board):
    assert "BM3D, tuned: sigma_psd 0.2" in notes(board)
    assert "a processor, 2 cores" in notes(board)
    assert "followed by the mean over images" in notes(board)
    # The terminal shows one convention of PSNR, and its caption names that alone.
    caption = terminal_table(board).caption
    assert "PSNR is that of the mean MSE. " in caption
    assert "PSNR, mean of images" not in [
        c.header for c in terminal_table(board).columns
    ]


def test_markdown_holds_the_table(board):
    lines = board_markdown(board).splitlines()
    assert any(line.startswith("| DAE_5_13 | dae | 0.00875 |") for line in lines)
    assert any(line.startswith(r"| all \| black | floor |") for line in lines)
    assert len({line.count(" | ") for line in lines if line.startswith("| ")}) == 1


def test_csv_is_unrounded_and_flat(board):
    rows = list(csv_rows(board))
    assert rows[0]["mse"] == 0.00875
    assert rows[0]["mse_std"] == 0.00004
    assert rows[0]["seeds"] == 2
    assert rows[2]["mse_std"] is None
    assert len({tuple(one) for one in rows}) == 1


def test_terminal_table_has_every_row(board):
    assert terminal_table(board).row_count == 3


def test_every_kind_has_its_own_mark():
    assert set(MARKS) == set(WORDS)
    assert len({marker for _, marker in MARKS.values()}) == len(MARKS)
    assert len({colour for colour, _ in MARKS.values()}) == len(MARKS)


def test_the_figure_places_points_at_their_errors(board):
    before = copy.deepcopy(board)
    figure = board_figure(board)
    (axes,) = figure.axes
    points = [
        (line.get_marker(), float(line.get_xdata()[0]), float(line.get_ydata()[0]))
        for line in axes.lines
        if line.get_marker() in {marker for _, marker in MARKS.values()}
    ]
    assert points == [("o", 0.00875, 0), ("^", 0.04, 1), ("s", 0.114, 2)]
    assert axes.get_yticklabels()[0].get_text() == "DAE_5_13"
    assert axes.get_xscale() == "log"
    assert png_bytes(figure).startswith(b"\x89PNG")
    assert board == before


def test_thumbnails_show_each_answer_to_each_image():
    images = np.random.default_rng(0).random((2, 8, 8, 1), dtype=np.float32)
    figure = thumbnails(images, images / 2, [("one", "dae", images.copy())] * 3)
    assert len(figure.axes) == 2 * 5
    assert "MSE of these 2: 0.0000" in figure.texts[2].get_text()


def test_the_report_has_a_place_for_it(board, results):  # noqa: F811
    shown = {**results, "board": (notes(board), board_table(board))}
    for text in (report_markdown(shown, FIGURES), report_html(shown, FIGURES)):
        assert "The board" in text
        assert "BM3D, tuned (first 500 images)" in text
    for text in (report_markdown(results, FIGURES), report_html(results, FIGURES)):
        assert "The board" not in text


def test_notes_say_where_and_on_which_draws_was_measured(board):
    text = notes(board)
    assert "on the same noisy images. " in text
    assert "Times were measured on a processor, 2 cores, 1 thread, in batches" in text
    board["test_draws"] = 5
    first, _, other = board["rows"]
    first["test_draws"] = other["test_draws"] = [0.1] * 5
    other["measured_on"] = "another, 1 thread"
    text = notes(board)
    assert "images, of 5 draws of the noise (BM3D, tuned: of the first draw). " in text
    assert "on a processor, 2 cores, 1 thread; another, 1 thread, in" in text
