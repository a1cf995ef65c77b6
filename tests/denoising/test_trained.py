"""Pretrained models: their cards say what the files do; models by name and path."""

import numpy as np
import pytest

import keras_dae as kd
from benchmarks.pack_pretrained import FAMILIAR
from keras_dae.denoising.trained import find_model, pretrained_cards
from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.evaluation.metrics import psnr_of, ssim
from keras_dae.evaluation.scoring import TestBench
from keras_dae.images.estimates import measure_ranges
from keras_dae.images.noise_words import parse_noise
from keras_dae.system.own import PRESETS
from keras_dae.system.storage import write_json
from keras_dae.training.fast.steps import answer
from tests.commands import run

NAMES = [f"DAE_{depth}_{latent}" for depth in (1, 3, 5) for latent in (13, 5, 8)]
PHOTO = ["photo", "photo-gray"]  # tests/models/test_photo.py holds theirs


def digit_cards():
    return {name: pretrained_cards()[name] for name in NAMES}


@pytest.fixture(scope="module")
def bench(digits):
    """The noisy digits that the cards' figures on mnist5k are of."""
    noises = [card["noise"] for card in digit_cards().values()]
    assert all(noise == noises[0] for noise in noises)
    options = {key: value for key, value in noises[0].items() if key != "kind"}
    return TestBench(digits, parse_noise(noises[0]["kind"], **options), 0)


def test_all_are_there_and_the_nine_are_small():
    files = {path.stem: path.stat().st_size for path in PRESETS.glob("*.keras")}
    assert sorted(files) == sorted(pretrained_cards()) == sorted([*NAMES, *PHOTO])
    assert sum(files[name] for name in NAMES) < 3_000_000


@pytest.mark.parametrize("name", NAMES)
def test_a_cards_figures_are_those_of_its_file(name, bench):
    card = pretrained_cards()[name]
    model = kd.load(name)
    assert model.count_params() == card["parameters"]
    assert list(model.input_shape[1:]) == card["image_shape"]
    noisy, clean = bench.pairs
    lean = answer(model)
    answers = lean(noisy) if lean else model.predict(noisy, verbose=0)
    figures = card["figures"][FAMILIAR]
    assert figures["images"] == len(noisy)
    errors = np.square(answers - clean, dtype=float).mean(axis=(1, 2, 3))
    assert figures["mse"] == pytest.approx(errors.mean(), abs=1e-5)
    assert figures["psnr"] == pytest.approx(-10 * np.log10(figures["mse"]), abs=1e-5)
    assert figures["ssim"] == pytest.approx(ssim(clean, answers).mean(), abs=1e-5)
    before = np.square(noisy - clean, dtype=float).mean()
    assert figures["noisy_mse"] == pytest.approx(before, abs=1e-5)


def test_cards_say_what_noisy_training_images_look_like(bench):
    """Taken from other noisy images than the cards' own."""
    seen = measure_ranges(bench.pairs[0][500:])
    for card in digit_cards().values():
        assert card["input"].keys() == seen.keys()
        for key, (low, high) in card["input"].items():
            assert seen[key] == pytest.approx([low, high], abs=0.03)


def test_cards_say_where_a_model_ends_and_whose_the_data_are():
    for card in digit_cards().values():
        assert "photographs" in card["limits"]
        assert "CC BY-SA" in card["licence"]
        assert {"data", "noise", "epochs", "seed", "images"} <= card.keys()


def test_the_table_shows_each_card(monkeypatch):
    monkeypatch.setenv("COLUMNS", "220")
    shown = run("models", "--pretrained")
    assert shown.exit_code == 0
    for name, card in pretrained_cards().items():
        (line,) = [line for line in shown.stdout.splitlines() if f"{name} " in line]
        measured_on, figures = next(iter(card["figures"].items()))
        assert measured_on in line
        assert f"{card['parameters']:,}" in line
        assert f"{figures['mse']:.5f}" in line
        assert f"{psnr_of(figures['mse']):.2f}" in line  # one convention for all
        assert card["licence"] in " ".join(shown.stdout.split())


def test_load_takes_names_and_files(tmp_path):
    assert kd.load("DAE_3_5").output_shape == (None, 28, 28, 1)
    copy = tmp_path / "mine.keras"
    copy.write_bytes((PRESETS / "DAE_1_13.keras").read_bytes())
    image = np.random.default_rng(0).random((1, 28, 28, 1), dtype=np.float32)
    given, expected = (
        np.asarray(kd.load(named).predict_on_batch(image))
        for named in (copy, "DAE_1_13")
    )
    assert (given == expected).all()


@pytest.mark.parametrize("named", ["DAE_9_9", "gone.keras", "gone"])
def test_a_model_that_is_not_there(named):
    with pytest.raises(UsageError, match="There is no model") as caught:
        kd.load(named)
    assert "DAE_5_13" in str(caught.value)


def test_a_damaged_model(tmp_path):
    path = tmp_path / "a.keras"
    path.write_bytes((PRESETS / "DAE_1_13.keras").read_bytes()[:-200])
    with pytest.raises(KerasDAEError, match=r"a\.keras"):
        kd.load(path)


def test_another_json_file_is_not_taken_for_a_card(tmp_path):
    path = tmp_path / "a.keras"
    path.write_bytes((PRESETS / "DAE_1_13.keras").read_bytes())
    write_json(tmp_path / "a.json", {"data": "cells"})
    assert find_model(path).card == {}


def test_a_run_folder_is_a_model_with_its_data_and_noise(tmp_path, tiny):
    config = kd.make_config(
        {"data": tiny.name, "depth": 1, "latent": 4, "epochs": 1, "batch_size": 8}
    )
    kd.fit(config, tiny, tmp_path / "run")
    found = find_model(tmp_path / "run")
    assert found.card["data"] == "tiny"
    assert found.card["noise"]["kind"] == "gaussian"
    assert kd.load(tmp_path / "run").input_shape == (None, 8, 8, 1)
    assert find_model(found.path).card == found.card
