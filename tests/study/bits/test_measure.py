"""Bits of models: steps by hand, points from bytes, turns, formats, the command."""

import json
import sys

import keras
import numpy as np
import pytest

from keras_dae.denoising.trained import load
from keras_dae.errors import KerasDAEError
from keras_dae.evaluation.bits import fit_coder
from keras_dae.evaluation.metrics import mse
from keras_dae.images.noise import Gaussian
from keras_dae.models.architectures import plan
from keras_dae.models.builders import build, encoder
from keras_dae.models.files import save
from keras_dae.study.bits import measure
from keras_dae.study.bits.codecs import CODECS, codec_rows, read, to_bytes
from keras_dae.study.bits.codecs import save as save_image
from keras_dae.study.bits.measure import (
    LatentBench,
    draw,
    measure_model,
    step_of_bits,
    step_of_error,
)
from keras_dae.study.bits.section import write
from keras_dae.study.bits.turns import error_at, leaders, turn, turns
from keras_dae.system.storage import read_json
from tests.commands import run, sentence

pytest.importorskip("constriction")


def trial(step, bits, error):
    return {"step": step, "bits": bits, "mse": error}


def test_steps_by_hand():
    trials = [trial(1, 8.0, 0.1), trial(4, 4.0, 0.2), trial(16, 2.0, 0.4)]
    assert step_of_bits(trials, 6) == pytest.approx(2)  # half way in log step
    assert step_of_bits(trials, 2) == pytest.approx(16)
    assert step_of_error(trials, 0.3) == pytest.approx(8)
    assert step_of_bits(trials, 9) is None
    assert step_of_error(trials, 0.05) is None


def test_errors_between_points_by_hand():
    curve = [trial(1, 100, 0.01), trial(2, 400, 0.0025)]
    found = error_at(curve, np.array([50, 100, 200, 400, 9999]))
    np.testing.assert_allclose(found, [np.nan, 0.01, 0.005, 0.0025, 0.0025])


def test_a_claim_turns_where_two_curves_cross():
    # Errors 1 / bits and 0.01: the first is the lower one from 100 bits on.
    falling = [trial(1, 10, 0.1), trial(1, 1000, 0.001)]
    flat = [trial(1, 20, 0.01), trial(1, 500, 0.01)]
    found = turn(flat, falling)
    assert (found["low"], found["high"]) == (20, 1000)
    assert found["below"] == pytest.approx(100, rel=0.01)
    assert found["turned"] == [[pytest.approx(20, rel=0.01), found["below"]]]
    other = turn(falling, flat)["turned"]
    assert other == [[pytest.approx(x, rel=0.01) for x in (100, 1000)]]
    low = [trial(1, 10, 0.2), trial(1, 1000, 0.15)]
    assert turn(low, falling)["below"] is None
    assert turn(low, falling)["turned"] == []


def test_turns_are_the_paper_s_comparisons():
    falling = [trial(1, 10, 0.1), trial(1, 1000, 0.001)]
    flat = [trial(1, 20, 0.01), trial(1, 500, 0.01)]
    models = [
        {"name": "DAE_5_5", "mse": 0.01, "points": flat},
        {"name": "DAE_5_13", "mse": 0.001, "points": falling},
        {"name": "mine", "mse": 0.001, "points": falling},
    ]
    (row,) = turns(models)
    assert (row["worse"], row["better"]) == ("DAE_5_5", "DAE_5_13")
    assert row["holds_exactly"]
    assert row["below"] == pytest.approx(100, rel=0.01)
    assert leaders(models[:2], [5, 30, 400]) == [None, "DAE_5_5", "DAE_5_13"]


@pytest.fixture(scope="module")
def samples(digits):
    return draw(digits.limited(600, validation=120, test=80), Gaussian(0.5), 0)


@pytest.fixture(scope="module")
def model():
    return load("DAE_1_5")


def test_a_point_is_what_the_bytes_decode_to(model, samples):
    bench = LatentBench(model, samples)
    step = bench.spread / 2
    found = bench.point(step)
    latents = np.asarray(encoder(model).predict(samples.test[0], verbose=0))
    coder = fit_coder(bench.train, step)
    assert 0 <= found["bits"] - coder.expected_bits(latents) < 64 / 80 + 0.1
    rounded = np.clip(
        np.rint(latents.reshape(80, -1).T.astype(float) / step),
        coder.low[:, None],
        (coder.low + [t.shape[1] - 1 for t in coder.tables])[:, None],
    )
    values = (rounded.T * step).astype("float32").reshape(latents.shape)
    expected = mse(samples.test[1], bench.decode(values)).mean()
    assert found["mse"] == pytest.approx(expected, rel=1e-6)
    assert abs(found["mse"] - bench.error("test")) < 0.01


def test_the_coder_sees_training_and_the_step_validation_alone(
    model, samples, monkeypatch
):
    fitted, asked = [], []

    def fit(latents, step, **contexts):
        fitted.append(len(latents))
        return fit_coder(latents, step, **contexts)

    monkeypatch.setattr(measure, "fit_coder", fit)
    bench = LatentBench(model, samples)
    error = bench.error
    monkeypatch.setattr(
        bench,
        "error",
        lambda part, *given: (asked.append(part), error(part, *given))[1],
    )
    found = measure_model(bench)
    assert set(fitted) == {600}
    steps = len(measure.STEPS)
    assert set(asked[: steps + 1]) == {"validation"}
    assert [row["bits"] for row in found["points"]]
    # Other test images choose the same steps.
    noisy, clean = samples.test
    swapped = measure.Samples(samples.train, samples.validation, (1 - noisy, 1 - clean))
    other = measure_model(LatentBench(model, swapped))
    assert [p["step"] for p in other["points"]] == [p["step"] for p in found["points"]]
    assert other["more"]["step"] == found["more"]["step"]
    assert other["mse"] != found["mse"]


def test_formats_by_hand():
    clean = np.zeros((2, 28, 28, 1), np.float32)
    clean[:, :, 14:] = 1
    (row,) = codec_rows("PNG", clean, 1 - clean)
    assert row["mse"] == 1
    assert row["bits"] == 8 * len(
        save_image(to_bytes(1 - clean)[0], CODECS["PNG"], {"optimize": True})
    )
    assert 0 < row["beyond_blank"] < row["bits"]
    for name in CODECS:
        rows = codec_rows(name, clean, clean)
        assert rows[-1]["mse"] < 1e-3
        assert rows[0]["bits"] <= rows[-1]["bits"]
    colours = np.random.default_rng(0).random((16, 16, 3), "float32")
    file = save_image(to_bytes(colours), CODECS["PNG"], {})
    np.testing.assert_allclose(read(file, 3), colours, atol=0.5 / 255 + 1e-6)


WORDS = ["--data", "mnist5k", "--images", 60, "--threads", 1]


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "FIT_IMAGES", 500)
    monkeypatch.setattr(measure, "VALIDATION_IMAGES", 100)
    words = ["bits", "DAE_1_8", "DAE_1_5", *WORDS, "--out", tmp_path]
    done = run(*words)
    assert done.exit_code == 0, done.output
    assert "DAE_1_8" in done.stdout
    results = read_json(tmp_path / "bits" / "bits.json")
    assert [row["values"] for row in results["rows"]] == [256, 100]
    assert [t["worse"] for t in results["turns"]] == ["DAE_1_5"]
    assert {row["source"] for row in results["formats"]} == {
        *("clean", "noisy", f"after {results['after']}")
    }
    assert {p.stem for p in (tmp_path / "figures").iterdir()} == {"bits", "bits-claims"}
    texts, tables = write(results)[1:]
    assert "(*)" in " ".join(texts)
    assert [len(table.rows) for table in tables] == [2, 48, 1]

    def again(*_):
        raise AssertionError("measured twice")

    monkeypatch.setattr("keras_dae.study.bits.run.measure_model", again)
    assert json.loads(run(*words, "--json").stdout)["rows"] == results["rows"]


@pytest.mark.parametrize(
    ("runs", "code", "says"),
    [
        (["DAE_9_9"], 2, "There is no model DAE_9_9"),
        (["photo-gray"], 1, "has no layer named 'latent'"),
        (["{here}"], 2, "no run"),
        (["DAE_1_5", "--images", "0"], 2, "--images"),
    ],
)
def test_a_mistake_is_one_sentence(runs, code, says, tmp_path):
    words = [word.format(here=tmp_path) for word in runs]
    out = tmp_path / "out"
    assert says in sentence(run("bits", *WORDS[:2], *words, "--out", out), code)


def test_a_missing_package_is_said_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "constriction", None)
    done = run("bits", "DAE_1_5", *WORDS, "--out", tmp_path)
    assert "pip install 'keras-dae[bits]'" in sentence(done, 1)
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_other_images_is_refused(tmp_path):
    small = build(plan(1, 4, (8, 8, 1)))
    save(small, tmp_path / "small.keras")
    done = run("bits", tmp_path / "small.keras", *WORDS, "--out", tmp_path)
    assert "denoises images of shape (8, 8, 1)" in sentence(done, 1)


def test_a_latent_is_needed(samples):
    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Conv2D(1, 1)])
    with pytest.raises(KerasDAEError, match="no layer named 'latent'"):
        LatentBench(model, samples)
