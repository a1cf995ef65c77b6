"""`calibrate`, `denoise --uncertainty` and `uncertainty`, from end to end."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import keras_dae as kd
from keras_dae.commands.common import say_seen
from keras_dae.commands.uncertainty import _check_training, _data_of
from keras_dae.denoising.trained import Trained
from keras_dae.denoising.widths import width_paths
from keras_dae.errors import UsageError
from keras_dae.images.noise_words import as_noise, describe_noise
from keras_dae.study.report.experiments import EXPERIMENTS, section
from keras_dae.study.uncertainty.section import coverage_tables
from keras_dae.system.storage import read_json, write_json
from keras_dae.training.runs import find_runs
from tests.commands import run, sentence

QUICK = ["--data", "mnist5k", "--train-images", 200, "--validation-images", 300]


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """A calibrated copy of a pretrained model."""
    path = tmp_path_factory.mktemp("calibrated") / "mine.keras"
    done = run("calibrate", "DAE_1_5", *QUICK, "-o", path, "--report", "--json")
    assert done.exit_code == 0, done.output
    return path, json.loads(done.stdout)


@pytest.fixture(scope="module")
def noisy(digits):
    """A noisy digit of uint8."""
    clean = np.asarray(digits.test[3, ..., 0])
    drawn = np.random.default_rng(0).normal(0, 127.5, clean.shape)
    return np.clip(clean + drawn, 0, 255).astype(np.uint8)


def test_the_report_says_what_is_covered_and_where_the_promise_ends(calibrated):
    _, said = calibrated
    assert said["images"] == {"train": 200, "validation": 300}
    assert said["certified"] >= said["level"] == 0.9
    own, weaker, stronger = said["report"]
    assert own["images"] == 1000
    # 150 images give the factors: their own errors are within 2 % of all images'.
    assert own["coverage"] == pytest.approx(0.9, abs=0.02)
    assert 0.85 <= own["strokes"] <= 0.95
    assert own["unlike"] < 0.1 < 0.5 < min(weaker["unlike"], stronger["unlike"])
    assert (weaker["noise"], stronger["noise"]) == (
        "gaussian, sigma 0.3, clipped",
        "gaussian, sigma 0.7, clipped",
    )


def test_denoise_writes_widths_beside_the_answer(calibrated, noisy, tmp_path):
    Image.fromarray(noisy).save(tmp_path / "a.png")
    words = ["denoise", tmp_path / "a.png", "--model", calibrated[0], "-o", tmp_path]
    done = run(*words, "--uncertainty", "--json")
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)["images"]
    path = tmp_path / "a.denoised.png.width.png"
    assert row["widths"] == [str(path)]
    assert "Warning" not in done.stderr
    width = np.asarray(Image.open(path)) / 65535
    answer, lower, upper = kd.Denoiser.from_preset(calibrated[0]).denoise(
        noisy, return_interval=True
    )
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.denoised.png")), answer)
    assert width == pytest.approx((upper - lower) / 255, abs=2e-5)
    assert row["mean_width"] == pytest.approx(width.mean(), abs=2e-5)
    again = run(*words, "--uncertainty", "--skip-existing")
    assert again.exit_code == 0
    (tmp_path / "a.denoised.png").unlink()
    refused = run(*words, "--uncertainty")
    assert "a.denoised.png.width.png exists; --overwrite" in sentence(refused, 1)
    assert not (tmp_path / "a.denoised.png").exists()
    assert run(*words, "--uncertainty", "--overwrite").exit_code == 0


def test_outputs_of_one_name_have_widths_of_their_own():
    """a.tif and a.png were both given a.denoised.width.png."""
    targets = [Path("out/a.denoised.png"), Path("out/a.denoised.tif")]
    paths = [path for target in targets for path in width_paths(target, 2)]
    assert len(set(paths)) == 4
    assert set(paths).isdisjoint(targets)


def test_unlike_images_are_warned_of(calibrated, tmp_path):
    calm = np.full((40, 28, 3), 200, np.uint8)
    Image.fromarray(calm).save(tmp_path / "a.png")
    words = ["denoise", tmp_path / "a.png", "--model", calibrated[0], "-o", tmp_path]
    done = run(*words, "--uncertainty")
    assert done.exit_code == 0
    assert "Warning: " in done.stderr
    assert np.asarray(Image.open(tmp_path / "a.denoised.png")).shape == calm.shape
    assert (tmp_path / "a.denoised.png.width.png").exists()
    denoiser = kd.Denoiser.from_preset(calibrated[0])
    with pytest.warns(
        UserWarning, match=r"40x28 pixels \(calibration 28x28\).*not reliab"
    ):
        answer, lower, upper = denoiser.denoise(calm[..., 0], return_interval=True)
    assert (lower <= answer + 0.5).all()
    assert (answer - 0.5 <= upper).all()


def test_the_denoiser_calibrates_saves_and_forgets(digits, tmp_path, noisy):
    denoiser = kd.Denoiser.from_preset("DAE_1_5")
    with pytest.raises(UsageError, match="DAE_1_5 is not calibrated"):
        denoiser.denoise(noisy, return_interval=True)
    images, held = digits.train[:100], digits.validation[:200]
    facts = denoiser.calibrate(images, held)
    assert facts["images"] == {"train": 100, "validation": 200}
    ends = denoiser.denoise(noisy, return_interval=True)
    denoiser.save(tmp_path / "mine.keras")
    again = kd.Denoiser.from_preset(tmp_path / "mine.keras")
    for one, other in zip(
        again.denoise(noisy, return_interval=True), ends, strict=True
    ):
        assert np.array_equal(one, other)
    assert np.array_equal(ends[0], denoiser.denoise(noisy))
    with pytest.raises(UsageError, match="an array and a strength of 1"):
        denoiser.denoise(noisy, strength=0.5, return_interval=True)
    denoiser.fit(images, epochs=1, verbose=0)
    with pytest.raises(UsageError, match="is not calibrated"):
        denoiser.denoise(noisy, return_interval=True)


def test_a_run_keeps_its_calibration(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (400, 8, 8), dtype=np.uint8)
    images[:, 0, :2] = 0, 255
    np.savez(tmp_path / "mine.npz", x_train=images, x_test=images[:30])
    data = ["--data", f"npz:{tmp_path}/mine.npz", "--out", tmp_path / "runs"]
    shape = ["--depth", 1, "--latent", 4, "--epochs", 1, "--json"]
    done = run("train", *data, *shape)
    assert done.exit_code == 0, done.output
    folder = json.loads(done.stdout)["run"]
    done = run("calibrate", folder, "--level", 0.6)
    assert done.exit_code == 0, done.output
    assert "60% of an image's pixels" in done.stdout
    found = kd.Denoiser.from_preset(folder)
    assert found.card["uncertainty"]["facts"]["images"]["validation"] == 80
    grey = images[0] // 2 + 64
    drawn = np.random.default_rng(0).normal(0, 127.5, grey.shape)
    grey = np.clip(grey + drawn, 0, 255).astype(np.uint8)
    _, lower, upper = found.denoise(grey, return_interval=True)
    assert (upper > lower).any()
    # Other weights, as after --resume: what was calibrated is not theirs.
    found.model.set_weights([0.5 * one for one in found.model.get_weights()])
    with pytest.raises(kd.KerasDAEError, match="with other weights"):
        found.denoise(grey, return_interval=True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["calibrate", "DAE_1_5", "--data", "mnist5k"],
            "Give the path of the calibrated model",
        ),
        (["calibrate", "DAE_1_5", "-o", "a.h5"], "The output must be a .keras file"),
        (["calibrate", "nothing", "-o", "a.keras"], "There is no model nothing"),
        (["calibrate", "DAE_1_5", "-o", "{there}"], "exists; --overwrite"),
        (["denoise", "a.png", "-o", "x", "--uncertainty"], "needs a calibrated model"),
        (
            ["denoise", "a.png", "-o", "-", "--uncertainty", "--model", "DAE_1_5"],
            "writes an extra file",
        ),
        (
            [
                "denoise",
                "a.png",
                "-o",
                "x",
                "--best",
                "--uncertainty",
                "--model",
                "photo",
            ],
            "with --strength, --sigma and --best",
        ),
        (["uncertainty", "nothing"], "There is no model nothing"),
        (["uncertainty", "photo"], "photo was not trained with clipped Gaussian noise"),
    ],
)
def test_wrong_use_is_one_sentence(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((28, 28), np.uint8)).save("a.png")
    (tmp_path / "there.keras").touch()
    words = [word.format(there=tmp_path / "there.keras") for word in words]
    assert said in sentence(run(*words), 2)


def test_a_model_that_is_not_calibrated_is_named(tmp_path):
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(tmp_path / "a.png")
    words = ["denoise", tmp_path / "a.png", "-o", tmp_path, "--model", "DAE_1_5"]
    assert "DAE_1_5 is not calibrated" in sentence(run(*words, "--uncertainty"), 2)


def test_data_of_another_shape(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", x_train=images, x_test=images[:3])
    data = ["--data", f"npz:{tmp_path}/mine.npz", "-o", tmp_path / "a.keras"]
    said = sentence(run("calibrate", "DAE_1_5", *data), 1)
    assert "DAE_1_5 denoises images of shape (28, 28, 1)" in said


def test_the_study_is_published_and_kept(tmp_path):
    words = ["uncertainty", "DAE_1_13", "--data", "mnist5k", "--out", tmp_path]
    done = run(*words, "--validation-images", 300, "--json")
    assert done.exit_code == 0, done.output
    results = json.loads(done.stdout)
    (row,) = results["rows"]
    assert row["test"]["coverage"] == pytest.approx(0.9, abs=0.02)
    assert len(row["test"]["deciles"]) == 10
    assert row["free"]["coverage"] == pytest.approx(0.9, abs=0.02)
    assert read_json(tmp_path / EXPERIMENTS["uncertainty"].file)["rows"] == [row]
    names = ["uncertainty-coverage.png", "uncertainty-images.png"]
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == names
    written = section("uncertainty", results, dict.fromkeys(names, b"png"))
    assert list(written.figures) == names
    for table, shown in zip(written.tables, coverage_tables(results), strict=True):
        assert {len(line) for line in table.rows} == {len(table.heads)}
        assert shown.row_count == len(table.rows)
    again = run(*words, "--validation-images", 300, "--json")
    assert json.loads(again.stdout)["rows"] == [row]  # core_seconds too: it was kept


def test_models_of_other_data_are_refused():
    def trained(data):
        return [Trained("mine", Path("mine.keras"), {"data": data})]

    _check_training(trained("mnist"), SimpleNamespace(name="mnist5k"))
    with pytest.raises(UsageError, match="mine was not trained on mnist"):
        _check_training(trained("fashion-mnist"), SimpleNamespace(name="mnist"))


@pytest.mark.parametrize(
    ("noise", "given", "expected"),
    [
        ({"kind": "gaussian", "sigma": 0.5, "clip": False}, {"sigma": 0.3}, 0.3),
        ({"kind": "salt-pepper", "amount": 0.2, "clip": True}, {"clip": False}, 0.2),
    ],
)
def test_an_option_changes_the_noise_of_the_training(noise, given, expected):
    card = {"data": "mnist5k", "noise": noise}
    _, made, _ = _data_of(Path("model.keras"), card, given, None)
    assert made.kind == noise["kind"]
    assert made.clip is given.get("clip", noise["clip"])
    assert dataclasses.astuple(made)[0] == expected


@pytest.mark.parametrize(
    "noise",
    [
        {"kind": "salt-pepper", "amount": 0.2, "clip": True},
        describe_noise(as_noise("blur:1+gaussian:0.3")),
    ],
)
def test_sigma_is_refused_for_another_noise(noise):
    card = {"data": "mnist5k", "noise": noise}
    with pytest.raises(UsageError, match="sigma applies only to gaussian noise"):
        _data_of(Path("model.keras"), card, {"sigma": 0.3}, None)


@pytest.mark.parametrize("given", [{"data_seed": 1}, {"data_seed": 1, "data": "mnist"}])
@pytest.mark.parametrize("of_a_run", [True, False])
def test_another_split_is_refused_since_it_holds_training_images(
    given, of_a_run, tmp_path
):
    card = {"data": "mnist"}
    if of_a_run:
        golden = Path(__file__).parent / "golden" / "study" / "runs"
        record = read_json(find_runs(golden)[0].config_path)
        record["dataset"]["name"] = "mnist"
        write_json(tmp_path / "config.json", record)
    with pytest.raises(UsageError, match="with data seed 0"):
        _data_of(tmp_path / "model.keras", card, given, None)


def test_models_are_named_that_saw_the_images(capsys):
    say_seen(["DAE_1_5", "photo"], "mnist5k")
    assert "DAE_1_5 may have been trained on them" in capsys.readouterr().err
    say_seen(["DAE_1_5"], "mnist")
    say_seen(["photo"], "mnist5k")
    assert capsys.readouterr().err == ""
