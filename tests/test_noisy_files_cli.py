"""Training from a folder of noisy files alone: what is said, recorded and refused."""

import json

import imageio.v3 as imageio
import numpy as np
import pytest

from keras_dae.denoiser import Denoiser
from keras_dae.errors import UsageError
from keras_dae.images.datasets import load
from keras_dae.images.patches import Cut
from keras_dae.training.config import make_config
from keras_dae.training.feeding import training_data, validation_data
from keras_dae.training.noisy_files import estimated_sigma, with_sigma
from keras_dae.training.runs import RunFolder
from tests.commands import run, sentence

SIGMA = 0.1
BLIND = ["--noisy-files", "--targets", "blind-spot", "--size", "16", "--threads", "1"]
QUICK = ["--depth", "1", "--latent", "8", "--batch-size", "16"]


def photograph(number, height=64, width=64):
    """Return soft grey waves away from black and white, float64 in [0, 1]."""
    y, x = np.mgrid[:height, :width] / 8
    return 0.5 + 0.25 * np.sin(x * np.cos(number) + y * np.sin(number))


def written(folder, images):
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        values = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
        imageio.imwrite(folder / f"{number}.png", values)
    return folder


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """A folder of nine waves with noise of sigma 0.1."""
    rng = np.random.default_rng(0)
    images = [photograph(n) + SIGMA * rng.standard_normal((64, 64)) for n in range(9)]
    return written(tmp_path_factory.mktemp("data") / "noisy", images)


@pytest.fixture(scope="module")
def trained(noisy, tmp_path_factory):
    """What training printed, and its run folder."""
    out = tmp_path_factory.mktemp("runs")
    data = ["--data", f"folder:{noisy}", "--patches", "64", "--epochs", "6"]
    result = run("train", *data, *BLIND, *QUICK, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    return result, RunFolder(out / "folder-noisy-16-blind-spot-DAE_1_8-seed0"), data


def test_sigma_is_estimated_said_and_recorded(trained):
    result, folder, _ = trained
    (line,) = [line for line in result.stderr.splitlines() if "sigma" in line]
    assert line.endswith(", estimated from the files; no noise is added")
    sigma = float(line.split("sigma ")[1].split()[0])
    assert sigma == pytest.approx(SIGMA, rel=0.05)
    assert "must be clean" not in result.stderr
    record = folder.record()
    assert record["noise"] == {"kind": "gaussian", "sigma": sigma, "clip": True}
    targets = record["targets"]
    assert (targets["kind"], targets["correction"]) == ("blind-spot", "h(y)")
    assert targets["estimated_sigma"] == sigma
    card = Denoiser.from_preset(folder.path).card
    assert card["targets"] == targets
    # What `denoise` expects has the files' noise once; added once more, it would be
    # 1.4 times as much.
    assert np.mean(card["input"]["sigma"]) == pytest.approx(SIGMA, rel=0.15)


def test_the_model_removes_noise_it_never_saw_an_image_without(trained):
    answer = Denoiser.from_preset(trained[1].path)
    rng = np.random.default_rng(5)
    clean = np.stack([photograph(n + 0.5) for n in range(8)])
    found = answer.denoise(
        np.clip(clean + SIGMA * rng.standard_normal(clean.shape), 0, 1)
    )
    assert np.mean((found - clean) ** 2) < 0.5 * SIGMA**2


def test_a_run_is_resumed_with_the_sigma_it_has(trained):
    _, folder, data = trained
    words = ["train", *data, *BLIND, *QUICK, "--out", folder.path.parent, "--json"]
    again = run(*words, "--resume")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["epochs"] == 6
    said = sentence(run(*words, "--sigma", "0.3", "--resume"), 2)
    assert "sigma is" in said


def test_nothing_is_added_to_the_files(noisy):
    data = f"folder:{noisy}"
    given = {"data": data, "size": 16, "targets": "blind-spot", "sigma": SIGMA}
    config = make_config(given, {"noisy_files": True})
    splits = load(data, cut=Cut(16))
    for masked, _, weights in (
        training_data(config, splits)[0],
        validation_data(config, splits, 128),
    ):
        shown = masked[weights == 0]
        np.testing.assert_allclose(255 * shown, np.rint(255 * shown), atol=1e-4)
    added, _, weights = training_data(make_config(given), splits)[0]
    shown = added[weights == 0]
    assert np.abs(255 * shown - np.rint(255 * shown)).max() > 0.4


def test_a_told_sigma_wins_and_the_estimate_is_said_beside(noisy, tmp_path):
    words = ["train", "--data", f"folder:{noisy}", *BLIND, *QUICK, "--epochs", "1"]
    done = run(*words, "--sigma", "0.2", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    (line,) = [line for line in done.stderr.splitlines() if "sigma" in line]
    assert "sigma 0.2 (0 to 1), as given; an estimate gives " in line
    assert 0.09 < float(line.split("estimate gives ")[1].split(";")[0]) < 0.11
    (folder,) = tmp_path.iterdir()
    assert RunFolder(folder).record()["noise"]["sigma"] == 0.2


def test_the_library_estimates_sigma_where_none_is_told(noisy):
    data = f"folder:{noisy}"
    given = {"data": data, "size": 16, "targets": "blind-spot", "noisy_files": True}
    splits = load(data, cut=Cut(16))
    estimated = with_sigma(make_config(given), splits)
    assert estimated.sigma == estimated_sigma(splits) == pytest.approx(SIGMA, rel=0.05)
    assert with_sigma(estimated, splits) == estimated
    # The default's own value counts where it is told.
    for told in ({"sigma": 0.5}, {"noise": "gaussian:0.5"}):
        config = make_config(given, told)
        assert with_sigma(config, splits) == config


def test_sweep_takes_noisy_files(noisy, tmp_path):
    words = ["--data", f"folder:{noisy}", *BLIND, "--depths", "1", "--latents", "8"]
    done = run(
        *("sweep", *words, "--seeds", "1", "--epochs", "1", "--jobs", "1"),
        *("--out", tmp_path, "--json"),
    )
    assert done.exit_code == 0, done.output
    (folder,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert RunFolder(folder).record()["noise"]["sigma"] == pytest.approx(
        SIGMA, rel=0.05
    )


def test_it_is_measured_on_clean_images_alone(trained, tmp_path):
    _, folder, _ = trained
    for command in ("evaluate", "calibrate"):
        said = sentence(run(command, folder.path), 1)
        assert "was trained on noisy files, so there are no clean images" in said
    clean = written(tmp_path / "clean", [photograph(n) for n in range(9)])
    words = ["--data", f"folder:{clean}", "--size", "16", "--sigma", SIGMA, "--json"]
    done = run("evaluate", folder.model_path, *words)
    assert done.exit_code == 0, done.output
    (scored,) = json.loads(done.stdout)["results"]
    assert scored["models"][0]["test"]["mse"] < 0.5 * SIGMA**2


def test_images_that_show_no_noise_or_much_black_need_a_sigma(tmp_path):
    rng = np.random.default_rng(1)
    flat = written(
        tmp_path / "flat", [np.full((32, 32), 0.1 * n) for n in range(1, 10)]
    )
    night = [SIGMA * rng.standard_normal((32, 32)) for _ in range(9)]
    black = written(tmp_path / "black", night)
    for folder in (flat, black):
        assert estimated_sigma(load(f"folder:{folder}", cut=Cut(16))) is None
        words = ["train", "--data", f"folder:{folder}", *BLIND, "--out", tmp_path]
        said = sentence(run(*words), 2)
        assert "cannot be estimated" in said
        assert "Give --sigma" in said


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"targets": "noisy"}, "without a clean image and a second noisy copy"),
        ({"targets": "clean"}, "without a clean image and a second noisy copy"),
        ({"targets": "split"}, "their sigma is not known exactly"),
        ({"data": "mnist5k"}, "applies only to data=folder:PATH"),
        ({"clip": False}, "cannot be combined with clip=false"),
        ({"augment": True}, "nor with augment"),
        ({"loss": "log-mse"}, "loss must be mse"),
        ({"noise": "poisson:30"}, "needs gaussian noise with a single sigma"),
    ],
)
def test_what_noisy_files_do_not_have_is_refused_in_one_sentence(given, named):
    usual = {"data": "folder:x", "targets": "blind-spot", "noisy_files": True}
    assert make_config(usual).noisy_files
    assert make_config(usual, {"model": "photo"}).noise == "gaussian"
    with pytest.raises(UsageError) as caught:
        make_config(usual, given)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)
