"""The board: measured once, kept at once, grouped by seed, sorted by error."""

import time
from dataclasses import replace

import numpy as np
import pytest

from keras_dae.errors import KerasDAEError
from keras_dae.evaluation.filters import FILTERS, Filter
from keras_dae.evaluation.metrics import mse
from keras_dae.evaluation.scoring import TestBench
from keras_dae.images.frozen import VALIDATION, frozen_arrays
from keras_dae.images.noise import Gaussian
from keras_dae.study.board import measure as board_module
from keras_dae.study.board.measure import board_rows, interval, measure_all
from keras_dae.study.common import candidates as candidates_module
from keras_dae.study.common.candidates import Candidate, filters, floors
from keras_dae.study.common.store import Store

SHOWN = np.array([0, 2])
FACTS = {"parameters": 3, "bytes": 12, "macs": None}


@pytest.fixture
def bench(tiny):
    return TestBench(tiny, Gaussian())


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "measured")


@pytest.fixture
def made():
    """Names of the entries that were made, in order."""
    return []


@pytest.fixture
def entry(made):
    def make(name, factor=1.0, **changed):
        def work():
            made.append(name)
            return lambda noisy: noisy * np.float32(factor), FACTS

        used = {"factor": factor}
        return replace(Candidate(name, "filter", used, work), **changed)

    return make


def test_a_second_call_measures_nothing(store, bench, entry, made):
    all_ = [entry("one"), entry("half", 0.5)]
    first = measure_all(bench, all_, store, SHOWN)
    assert made == ["one", "half"]
    again = measure_all(bench, all_, store, SHOWN)
    assert made == ["one", "half"]
    assert board_rows(again) == board_rows(first)
    for (_, one), (_, other) in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.arrays["answers"], other.arrays["answers"])
    assert sorted(path.suffix for path in store.folder.iterdir()) == [".npz", ".npz"]


def test_what_is_measured(store, bench, entry):
    ((one, known),) = measure_all(bench, [entry("half", 0.5)], store, SHOWN)
    noisy, clean = bench.pairs
    np.testing.assert_array_equal(
        known.arrays["errors"], mse(clean, noisy * np.float32(0.5))
    )
    expected = np.round(255 * noisy[SHOWN] / 2).astype(np.uint8)
    np.testing.assert_array_equal(known.arrays["answers"], expected)
    assert known.figures["images"] == 7
    assert known.figures["ms_per_image"] > 0
    (row,) = board_rows([(one, known)])
    assert row["test"]["mse"] == pytest.approx(known.arrays["errors"].mean(), rel=1e-12)
    assert (row["parameters"], row["bytes"], row["macs"]) == (3, 12, None)
    assert row["mse_low"] < row["test"]["mse"] < row["mse_high"]


@pytest.mark.parametrize(
    "change",
    [
        lambda bench, entry: (bench, entry("one", 0.5)),
        lambda bench, entry: (bench, entry("one", images=3)),
        lambda bench, entry: (bench, entry("one", fingerprint={"versions": "2"})),
        lambda bench, entry: (bench, entry("one", fingerprint=None)),
        lambda bench, entry: (replace(bench, seed=1), entry("one")),
        lambda bench, entry: (replace(bench, noise=Gaussian(0.1)), entry("one")),
        lambda bench, entry: (
            replace(bench, splits=replace(bench.splits, sha256="other")),
            entry("one"),
        ),
    ],
)
def test_whatever_it_depends_on_is_measured_anew(store, bench, entry, made, change):
    measure_all(bench, [entry("one")], store, SHOWN)
    changed, other = change(bench, entry)
    measure_all(changed, [other], store, SHOWN)
    assert made == ["one", "one"]


def test_an_interrupt_loses_nothing_that_was_measured(store, bench, entry, made):
    def stop():
        raise KeyboardInterrupt

    all_ = [entry("one"), entry("two", 0.5, load=stop), entry("three", 0.25)]
    with pytest.raises(KeyboardInterrupt):
        measure_all(bench, all_, store, SHOWN)
    all_[1] = entry("two", 0.5)
    measure_all(bench, all_, store, SHOWN)
    assert made == ["one", "two", "three"]


def test_damage_and_fresh_measure_again(store, bench, entry, made):
    measure_all(bench, [entry("one")], store, SHOWN)
    (path,) = store.folder.iterdir()
    path.write_bytes(path.read_bytes()[:100])
    measure_all(bench, [entry("one")], store, SHOWN)
    measure_all(bench, [entry("one")], store, SHOWN, fresh=True)
    assert made == ["one"] * 3
    measure_all(bench, [entry("one")], store, SHOWN)
    assert made == ["one"] * 3


def test_seeds_are_one_row(store, bench, entry):
    rows = board_rows(
        measure_all(
            bench,
            [
                entry("noisy"),
                entry("DAE", 0.5, group="g", facts={"seed": 0, "latent": 13}),
                entry("DAE", 0.7, group="g", facts={"seed": 1, "latent": 13}),
            ],
            store,
            SHOWN,
        )
    )
    assert [row["name"] for row in rows] == ["DAE", "noisy"]
    noisy, clean = bench.pairs
    errors = [mse(clean, noisy * np.float32(f)).mean() for f in (0.5, 0.7)]
    assert rows[0]["seeds"] == [0, 1]
    assert rows[0]["latent"] == 13
    assert rows[0]["test"]["mse"] == pytest.approx(np.mean(errors), rel=1e-9)
    assert rows[0]["test"]["psnr"] == pytest.approx(-10 * np.log10(np.mean(errors)))
    assert rows[0]["test_std"]["mse"] == pytest.approx(np.std(errors, ddof=1), rel=1e-6)
    assert rows[1]["test_std"] is None


def test_interval():
    assert interval(np.full(50, 0.25)) == (0.25, 0.25)
    errors = np.random.default_rng(0).exponential(size=4000)
    low, high = interval(errors)
    # The normal approximation of a mean of 4,000: 1.96 standard errors a side.
    half = 1.96 * errors.std() / np.sqrt(4000)
    assert low == pytest.approx(errors.mean() - half, rel=0, abs=0.1 * half)
    assert high == pytest.approx(errors.mean() + half, rel=0, abs=0.1 * half)


def test_a_limited_entry_scores_the_first_images(store, bench, entry):
    ((_, known),) = measure_all(bench, [entry("slow", images=3)], store, SHOWN)
    noisy, clean = bench.pairs
    np.testing.assert_array_equal(known.arrays["errors"], mse(clean[:3], noisy[:3]))


def test_every_floor(store, bench):
    rows = board_rows(measure_all(bench, floors(bench), store, SHOWN))
    by_name = {row["name"]: row for row in rows}
    # Of 8x8 images the ranks from 100 are the full one.
    assert set(by_name) == {
        *("noisy input", "all black", "mean image", "affine, full rank"),
    }
    assert by_name["mean image"]["parameters"] == 64
    assert by_name["affine, full rank"]["parameters"] == 64 * 64 + 64
    assert by_name["affine, full rank"]["macs"] == 64 * 64


def test_filters_are_tuned_on_validation_alone(store, bench, monkeypatch):
    seen = []

    def remembered(noisy, add):
        seen.append(noisy.copy())
        return noisy + add

    row = Filter(remembered, {"add": (0.0, -0.05)}, tune_images=4)
    monkeypatch.setattr(candidates_module, "FILTERS", {**FILTERS, "mine": row})
    mine = [one for one in filters(bench, store) if one.name == "mine, tuned"]
    ((_, known),) = measure_all(bench, mine, store, SHOWN)
    splits = bench.splits
    noisy, clean = frozen_arrays(
        splits.validation, bench.noise, seed=0, split=VALIDATION, low=0, high=255
    )
    for given in seen[:2]:
        np.testing.assert_array_equal(given, noisy[:4])
    errors = {
        add: mse(clean[:4], np.clip(noisy[:4] + np.float32(add), 0, 1)).mean()
        for add in (0.0, -0.05)
    }
    best = min(errors, key=errors.get)
    assert known.figures["settings"] == {"add": best}
    assert known.figures["tuned_on"]["images"] == 4
    assert known.figures["tuned_on"]["mse"] == pytest.approx(errors[best], rel=1e-6)


def test_a_filter_without_its_package_is_left_out_with_a_line(
    store, bench, monkeypatch
):
    absent = replace(FILTERS["BM3D"], packages=("no-such-package",))
    monkeypatch.setattr(candidates_module, "FILTERS", {**FILTERS, "BM3D": absent})
    lines = []
    assert "BM3D, tuned" not in [
        one.name for one in filters(bench, store, lines.append)
    ]
    assert lines == ["BM3D is skipped: it needs the package no-such-package."]


def test_a_wrong_answer_is_not_kept(store, bench, entry):
    bad = entry("bad", load=lambda: (lambda noisy: noisy[..., 0], FACTS))
    with pytest.raises(KerasDAEError, match="shape"):
        measure_all(bench, [bad], store, SHOWN)
    assert not store.folder.exists()


def test_a_row_of_seeds_holds_the_mean_of_each_draw(store, bench, entry):
    bench = replace(bench, draws=2)
    seeds = [
        entry("DAE", factor, group="g", facts={"seed": seed})
        for seed, factor in enumerate((0.5, 0.7))
    ]
    slow = entry("slow", 0.5, images=3)
    measured = measure_all(bench, [*seeds, slow], store, SHOWN)
    rows = {row["name"]: row for row in board_rows(measured)}
    expected = []
    for draw in range(2):
        noisy, clean = replace(bench, seed=draw).pairs
        errors = [mse(clean, noisy * np.float32(f)).mean() for f in (0.5, 0.7)]
        expected.append(np.mean(errors))
    assert rows["DAE"]["test_draws"] == pytest.approx(expected)
    assert rows["DAE"]["test"]["mse"] == pytest.approx(np.mean(expected))
    assert "test_draws" not in rows["slow"]


def test_pairs_that_do_not_fit_in_memory_are_measured_in_blocks(
    tmp_path, store, bench, entry, monkeypatch
):
    def all_at_once(bench):
        raise AssertionError("all pairs are held")

    ((_, held),) = measure_all(bench, [entry("half", 0.5)], store, SHOWN)
    monkeypatch.setattr("keras_dae.images.frozen.HELD_BYTES", 1)
    monkeypatch.setattr(TestBench, "pairs", property(all_at_once))
    other = Store(tmp_path / "other")
    network = entry("half", 0.5, kind="dae")  # which is asked once before it is timed
    ((_, found),) = measure_all(bench, [network], other, SHOWN)
    for name in ("errors", "answers"):
        np.testing.assert_array_equal(found.arrays[name], held.arrays[name])


def test_work_of_another_process_is_timed_by_the_clock(monkeypatch):
    monkeypatch.setattr(board_module.backend, "device", lambda: "cpu")

    def waits(noisy):
        time.sleep(0.05)
        return noisy

    timed = [board_module._Timed(waits, wall=wall) for wall in (True, False)]
    for one in timed:
        one(np.zeros(1))
    assert timed[0].seconds > 0.04 > timed[1].seconds
