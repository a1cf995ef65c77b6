"""Measure every denoiser on the same test images, with figures and `board.json`."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.evaluation.scoring import TEST_DRAWS, TestBench
from keras_dae.images.datasets import load as load_data
from keras_dae.study.board.figures import board_figure, thumbnails
from keras_dae.study.board.measure import board as make_board
from keras_dae.study.board.measure import measure_all
from keras_dae.study.common.candidates import filters, floors
from keras_dae.study.common.store import Store
from keras_dae.study.common.trained import runs, users
from keras_dae.study.nine.run import shown_images, write_figures
from keras_dae.study.report.publish import command, write_report
from keras_dae.system.inside import named
from keras_dae.system.storage import write_json
from keras_dae.training.config import RunConfig, make_config, table_order
from keras_dae.training.runs import RunFolder


def compare(
    folders: Iterable[RunFolder],
    denoisers: Iterable[str],
    out: Path,
    config: RunConfig | None = None,
    *,
    data_dir: Path | None = None,
    fresh: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Measure baselines, filters, runs and a user's denoisers.

    Writes `board.json` and its two figures to `out`, and updates the report if the
    folder holds a study of the same test images. Each measurement is stored
    immediately, and is made only once.

    Args:
        folders: runs; those with other data or noise are skipped.
        denoisers: `.keras` and `.onnx` files, and callables as MODULE:FUNCTION.
        out: folder of the study.
        config: data set and noise; None uses those of the first run.
        data_dir: folder with the files of the data sets.
        fresh: ignore stored results.
        say: called with a line about each skipped run.

    Raises:
        KerasDAEError: a denoiser cannot be read or fails.
    """
    named(out)
    folders = sorted(folders, key=lambda one: table_order(one.config()))
    bench, folders = _bench(folders, config, data_dir, say)
    shown = shown_images(bench.splits)
    with Store.opened(out) as store:
        compared = [
            *users(denoisers, bench.splits),
            *(runs(folders, bench.splits) if folders else ()),
            *floors(bench, say),
            *filters(bench, store, say),
        ]
        measured = measure_all(bench, compared, store, shown, fresh=fresh)
    board = make_board(bench, measured, say)
    board["command"] = command()
    write_json(out / "board.json", board)
    noisy, clean = bench.take(shown)
    answers = {(one.kind, one.name): kept.arrays["answers"] for one, kept in measured}
    lines = [
        (row["name"], row["kind"], answers[row["kind"], row["name"]] / np.float32(255))
        for row in board["rows"]
    ]
    drawn = {
        "board": board_figure(board),
        "board-images": thumbnails(clean, noisy, lines),
    }
    write_figures(drawn, out / "figures")
    if not write_report(out):
        say(f"{out} holds no study of these test images, so the report is not updated.")
    return board


def _bench(
    folders: list[RunFolder],
    config: RunConfig | None,
    data_dir: Path | None,
    say: Callable[[str], None],
) -> tuple[TestBench, list[RunFolder]]:
    """Return the test images to compare on, and the runs that were trained for them."""
    if config is None and folders:
        config = folders[0].changed({})
    config = config or make_config()
    splits = load_data(config.data, data_dir, config.data_seed, cut=config.make_cut())
    for note in splits.notes:
        say(note)
    noise, seed = config.make_noise(), config.data_seed
    bench = TestBench(splits, noise, seed, TEST_DRAWS)
    wanted = (splits.name, config.make_cut(), bench.noise, bench.seed)
    kept = []
    for folder in folders:
        own = folder.config()
        made_for = (folder.data, own.make_cut(), own.make_noise(), own.data_seed)
        if made_for != wanted:
            say(f"{folder.path} was trained for other data or noise; skipped.")
        elif not folder.model_path.exists():
            say(f"{folder.path} has no finished epoch yet; skipped.")
        else:
            kept.append(folder)
    return bench, kept
