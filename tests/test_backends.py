"""torch, jax and tensorflow: each trains, and each answers alike for one file."""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from keras_dae.system.backend import BACKENDS

# What one process is asked to do with a backend: train a small model and answer.
SCRIPT = """
import json, sys
import numpy as np
import keras_dae
from keras_dae.system import backend
from pathlib import Path

out, others = Path(sys.argv[1]), [Path(path) for path in sys.argv[2:]]
backend.select("cpu", 1)
images = np.load(out.parent / "images.npy")
answers = {}
if not others:
    from keras_dae.images.datasets import Arrays, split
    splits = split("images", Arrays(images[:80], None, images[80:], None), "0" * 64, 0)
    config = keras_dae.make_config({
        "depth": 3, "latent": 8, "filters": 4, "epochs": 2, "batch_size": 16,
        "warmup_steps": 2,
    })
    folder = keras_dae.fit(config, splits, out)
    others = [folder.model_path]
    print(json.dumps(folder.history()["loss"]))
else:
    noisy = images[80:].astype("float32")[..., np.newaxis] / 255
    for number, path in enumerate(others):
        model = keras_dae.load_model(path)
        answer = np.asarray(model.predict(noisy, verbose=0))
        np.save(out / f"answer-{number}.npy", answer)
        model.compile(optimizer="adam", loss="mse")
        losses = model.fit(noisy, noisy, epochs=2, verbose=0).history["loss"]
        assert losses[1] < losses[0] < 1, losses
"""


def run(backend: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train on each installed backend; return losses and answers to one another."""
    root = tmp_path_factory.mktemp("backends")
    rng = np.random.default_rng(0)
    digits = rng.integers(0, 2, (100, 7, 7), dtype=np.uint8) * 255
    np.save(root / "images.npy", digits.repeat(4, axis=1).repeat(4, axis=2))
    installed = [
        name for name, package in BACKENDS.items() if importlib.util.find_spec(package)
    ]
    losses, models = {}, []
    for name in installed:
        (root / name).mkdir()
        losses[name] = json.loads(run(name, str(root / name)).splitlines()[-1])
        models += [str(path) for path in (root / name).glob("*/model.keras")]
    answers = {}
    for name in installed:
        run(name, str(root / name), *models)
        answers[name] = [
            np.load(root / name / f"answer-{number}.npy")
            for number in range(len(models))
        ]
    return losses, answers


def test_all_three_are_covered_where_the_project_is_developed(trained):
    losses, _ = trained
    if os.environ.get("CI"):
        assert set(losses) == set(BACKENDS)
    assert "torch" in losses


def test_each_starts_from_the_same_weights_and_sees_the_same_noise(trained):
    losses, _ = trained
    for name, values in losses.items():
        assert values == pytest.approx(losses["torch"], rel=1e-3), name
        assert values[1] < values[0]


def test_a_model_of_one_answers_alike_on_the_others(trained):
    _, answers = trained
    for name, of_models in answers.items():
        for one, reference in zip(of_models, answers["torch"], strict=True):
            assert np.abs(one - reference).max() < 1e-5, name
        assert np.ptp(of_models[0]) > 1e-3  # an answer that says something


def said_on_torch(script):
    """Return what a program prints that chooses torch."""
    found = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "KERAS_BACKEND": "torch"},
        capture_output=True,
        text=True,
        check=True,
    )
    return found.stdout


def test_keras_is_imported_without_what_it_can_do_without():
    """jax and matplotlib take as long as keras itself; they can be imported after."""
    script = (
        "import sys\n"
        "from keras_dae.system import backend\n"
        "backend.select('cpu', 1)\n"
        "assert 'keras' in sys.modules\n"
        "print([name for name in backend._UNUSED_BY_KERAS if name in sys.modules])\n"
        "import matplotlib.pyplot, keras_dae\n"
        "print(keras_dae.plan(1, 13).name, matplotlib.get_backend() is not None)\n"
    )
    assert said_on_torch(script).splitlines() == ["[]", "DAE_1_13 True"]


@pytest.mark.parametrize("collects", [True, False])
def test_the_garbage_collector_passes_keras_by_and_is_left_as_it_was(collects):
    """What a program has made since is collected, at the cost of that alone."""
    script = (
        "import gc\n"
        f"{'gc.enable' if collects else 'gc.disable'}()\n"
        "from keras_dae.system import backend\n"
        "backend.select('cpu', 1)\n"
        "frozen = gc.get_freeze_count()\n"
        "own = [[] for _ in range(1000)]\n"
        "backend.select('cpu', 1)\n"
        "assert gc.get_freeze_count() <= frozen\n"
        "print(gc.isenabled(), len(gc.get_objects()) < frozen / 10)\n"
    )
    assert said_on_torch(script).split() == [str(collects), "True"]
