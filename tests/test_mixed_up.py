"""Files of one name stay apart, and no option is dropped for another one."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from keras_dae.commands import training as timing
from keras_dae.commands.uncertainty import _data_of
from keras_dae.evaluation.scoring import finished_epochs
from keras_dae.system.path_names import stems
from keras_dae.training import fitting
from keras_dae.training.config import make_config
from keras_dae.training.photo_recipe import photo_recipe
from keras_dae.training.recorder import Recorder
from keras_dae.training.runs import RunFolder
from tests.commands import random_data, run, sentence

QUICK = ["--epochs", 1, "--batch-size", 16, "--threads", 1]
SMALL = ["--depth", 1, "--latent", 5]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data set of 200 random images of 12x12, as the value of an option."""
    return random_data(tmp_path_factory.mktemp("data"), train=160, test=40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, data):
    """A run on another split of the data than the default."""
    out = tmp_path_factory.mktemp("runs")
    done = run("train", *SMALL, *QUICK, "--data", data, "--data-seed", 7, "--out", out)
    assert done.exit_code == 0, done.output
    (path,) = out.iterdir()
    return path


@pytest.fixture
def two(folder, tmp_path):
    """Two folders with a file model.keras each, of different weights."""
    other = tmp_path / "other"
    for seed, name in ((1, "a"), (2, "b")):
        out = tmp_path / "runs" / str(seed)
        record = json.loads((folder / "config.json").read_text())["config"]
        data = ["--data", record["data"], "--out", out, "--seed", seed]
        assert run("train", *SMALL, *QUICK, *data).exit_code == 0
        (made,) = out.iterdir()
        (other / name).mkdir(parents=True)
        shutil.copy(made / "model.keras", other / name / "model.keras")
    return [other / "a/model.keras", other / "b/model.keras"]


def test_names_are_whole_paths_where_the_last_part_is_shared(tmp_path):
    assert stems(["a/model.keras", "b/model.keras", "c/dae.keras", "DAE_5_8"]) == [
        *("a/model", "b/model", "dae", "DAE_5_8"),
    ]


def test_two_files_of_one_name_are_two_rows_and_two_arrays(two, data, tmp_path):
    pages = tmp_path / "errors.npz"
    scored = run("evaluate", *two, "--data", data, "--per-image", pages, "--json")
    (result,) = json.loads(scored.stdout)["results"]
    names = [row["name"] for row in result["models"]]
    assert len(set(names)) == 2
    with np.load(pages) as errors:
        assert sorted(errors) == sorted(names)
        for row in result["models"]:
            assert errors[row["name"]].mean() == pytest.approx(row["test"]["mse"], 1e-4)


def test_two_files_of_one_name_have_no_common_calibration(two, tmp_path):
    said = sentence(run("uncertainty", *two, "--out", tmp_path / "o"), 2)
    assert "names must differ" in said


def test_bits_of_runs_refuse_other_data_or_noise(folder, tmp_path):
    pytest.importorskip("constriction")
    words = ["bits", "DAE_1_5", folder, "--out", tmp_path / "o"]
    said = sentence(run(*words, "--noise", "gaussian:0.3"), 2)
    assert "data and noise of" in said and "gaussian:0.3" in said


def test_a_calibration_uses_the_split_of_the_run_whatever_is_given(folder, tmp_path):
    own = json.loads((folder / "config.json").read_text())
    card = {"data": own["dataset"]["name"], "noise": own["noise"]}
    options = dict.fromkeys(("data", "noise", "sigma", "clip"))
    for model in (folder, folder / "model.keras"):
        for given in ({}, {"noise": "gaussian:0.3"}):
            _, noise, seed = _data_of(model, card, {**options, **given}, None)
            assert seed == 7
            assert noise.sigma == (0.3 if given else 0.5)
    saved = tmp_path / "kept.keras"
    shutil.copy(folder / "model.keras", saved)
    *_, seed = _data_of(saved, {**card, "data_seed": 7}, options, None)
    assert seed == 7


def test_the_card_of_a_run_says_its_split(folder):
    from keras_dae.denoising.trained import find_model

    assert find_model(folder).card["data_seed"] == 7
    assert "data_seed" not in find_model("DAE_1_5").card


class Stop(Recorder):
    """Interrupts the third epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt
        super().on_epoch_begin(epoch, logs)


def test_an_interrupted_longer_round_counts_the_epochs_before(
    tiny, tmp_path, monkeypatch
):
    small = {"depth": 1, "latent": 4, "batch_size": 16, "warmup_steps": 2}
    fitting.fit(make_config(small, {"epochs": 1}), tiny, tmp_path)
    monkeypatch.setattr(fitting, "Recorder", Stop)
    with pytest.raises(KeyboardInterrupt):
        fitting.fit(make_config(small, {"epochs": 4}), tiny, tmp_path, resume=True)
    (path,) = tmp_path.iterdir()
    history = finished_epochs(RunFolder(path))
    assert history["loss"] == RunFolder(path).history()["loss"]
    assert len(history["loss"]) == 2


def test_an_option_that_the_noise_of_a_file_excludes_is_refused(data, tmp_path):
    camera = tmp_path / "camera.toml"
    camera.write_text('noise = "camera:0..0.2"\nclip = false\n')
    unet = tmp_path / "unet.toml"
    unet.write_text('model = "unet"\n')
    words = ["train", "--data", data, "--out", tmp_path / "o", "--config"]
    assert "sigma=0.1" in sentence(run(*words, camera, "--sigma", 0.1), 2)
    assert "depth=3" in sentence(run(*words, unet, "--depth", 3), 2)


def test_epochs_that_are_given_replace_the_steps_of_a_file():
    layers = {"steps": 900, "batch_size": 8}, {"epochs": 3}
    assert (make_config(*layers).steps, make_config(*layers).epochs) == (None, 3)
    assert make_config({"epochs": 3}, {"steps": 900}).steps == 900
    assert make_config({"epochs": 3, "steps": 900}).steps == 900


def test_a_run_that_is_resumed_has_a_configuration_of_its_own(folder, tmp_path):
    for option in (["--out", tmp_path], ["--config", "configs/fast.toml"]):
        said = sentence(run("train", "--resume", folder, *option), 2)
        assert "do not apply to --resume RUN" in said


def test_a_run_in_steps_has_another_folder_than_one_in_epochs(
    data, tmp_path, monkeypatch
):
    words = ["train", *SMALL, "--data", data, "--batch-size", 16, "--threads", 1]
    words += ["--out", tmp_path]
    assert run(*words, "--epochs", 1).exit_code == 0
    assert run(*words, "--steps", 3).exit_code == 0
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr(timing, "in_time", None)  # refused before anything is timed
    assert "already holds a run" in sentence(run(*words, "--steps", 3), 2)


def test_patience_sets_the_schedule_of_photo_too():
    given = {"model": "photo", "data": "folder:x", "patience": 3}
    assert make_config(given).schedule == "plateau"
    assert photo_recipe({})["schedule"] == "cosine"


def test_a_depth_limit_takes_numbers_of_epochs(tmp_path):
    done = run("depth-limit", "--epochs", "all", "--out", tmp_path)
    assert "expected numbers" in sentence(done, 2)


def test_an_exact_output_has_an_infinite_psnr(tmp_path):
    flat = tmp_path / "flat.png"
    Image.fromarray(np.full((32, 32), 90, np.uint8)).save(flat)
    done = run("denoise", flat, "-o", tmp_path / "o.png", "--clean", flat)
    assert done.exit_code == 0, done.output
    assert "inf" in done.output


def test_one_unsuitable_file_does_not_end_a_batch(tmp_path, digits):
    """With --model auto, an overlap can suit one file's model and not another's."""
    photo = np.random.default_rng(0).integers(0, 256, (150, 150, 3), dtype=np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    page = np.concatenate(np.asarray(digits.test[:4, ..., 0]))
    noisy = page / 255 + np.random.default_rng(0).normal(0, 0.5, page.shape)
    Image.fromarray((255 * noisy.clip(0, 1)).astype(np.uint8)).save(tmp_path / "z.png")
    words = ["denoise", tmp_path / "photo.png", tmp_path / "z.png", "--json"]
    done = run(*words, "-o", tmp_path / "o", "--overlap", 100)
    rows = json.loads(done.stdout)["images"]
    assert done.exit_code == 1
    assert [row["state"] for row in rows] == ["done", "failed"]
    assert "overlap" in rows[1]["reason"]


def test_figures_are_of_autoencoders(data, tmp_path):
    words = ["--model", "unet", "--filters", 2, *QUICK, "--data", data]
    assert run("train", *words, "--out", tmp_path / "runs").exit_code == 0
    done = run("plot", tmp_path / "runs", "--out", tmp_path / "figures")
    assert "runs of --model dae" in sentence(done, 2)


def test_a_fine_tuned_run_resumes_without_the_model_it_started_from(
    folder, data, tmp_path
):
    source = tmp_path / "source.keras"
    shutil.copy(folder / "model.keras", source)
    words = ["train", "--start", source, *QUICK, "--data", data, "--out"]
    assert run(*words, tmp_path / "runs").exit_code == 0
    (made,) = (tmp_path / "runs").iterdir()
    assert len(json.loads((made / "config.json").read_text())["start_sha256"]) == 64
    source.unlink()
    done = run("train", "--resume", made, "--epochs", 2)
    assert done.exit_code == 0, done.output
    assert len(RunFolder(made).history()["loss"]) == 2
