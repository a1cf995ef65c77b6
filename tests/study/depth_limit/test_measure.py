import dataclasses
import zipfile

import numpy as np
import pytest

from keras_dae.evaluation.metrics import mse
from keras_dae.images.frozen import MEASURED, frozen_arrays
from keras_dae.images.noise import Gaussian
from keras_dae.images.noise_words import describe_noise
from keras_dae.models.architectures import plan
from keras_dae.study.depth_limit import measure as depth_limit
from keras_dae.study.depth_limit.measure import (
    DEPTHS,
    LATENT,
    comparable,
    default_epochs,
    findings,
)
from keras_dae.study.depth_limit.section import depth_sentence
from keras_dae.system.storage import write_json
from keras_dae.training.config import make_config
from keras_dae.training.runs import HISTORY_KEYS, RunFolder, run_name


def row(depth, train, validation, seed=0, size=1000):
    row = {"depth": depth, "train": train, "validation": validation, "seed": seed}
    return row | {
        "train_images": size,
        "best_validation": validation,
        "test": validation,
    }


def test_findings_by_hand():
    losses = {1: (5.0, 5.1), 2: (3.0, 3.2), 3: (2.0, 3.0), 4: (1.0, 3.1)}
    rows = [row(d, *pair) for d, pair in losses.items()]
    (found,) = findings(rows)
    assert (found["best"], found["enough"], found["seeds"]) == (3, 3, 1)
    assert found["gap"] == pytest.approx([0.1, 0.2, 1.0, 2.1])
    assert found["opens"] == 3  # 0.1 of 5 is 2 %, 0.2 of 3 is 7 %, 1 of 2 is 50 %
    assert found["spread"] == [None] * 4
    # With a deviation of 0.2 / sqrt(2) at each depth, that of a difference is 0.2:
    # depth 3 is no longer better than depth 2.
    again = [row(d, t, v + 0.2, seed=1) for d, (t, v) in losses.items()]
    (found,) = findings(rows + again)
    assert (found["best"], found["enough"], found["seeds"]) == (3, 2, 2)
    assert found["spread"] == pytest.approx([0.2 / 2**0.5] * 4)


def test_findings_are_by_size_and_may_find_no_gap():
    rows = [row(1, 1.0, 1.01), row(1, 1.0, 2.0, size=50)]
    assert [(f["train_images"], f["opens"]) for f in findings(rows)] == [
        *((50, 1), (1000, None)),
    ]


def finished_run(path, **fields):
    """Return a folder that `comparable` takes for a finished run."""
    config = make_config(fields)
    folder = RunFolder(path / run_name(config, "mnist5k"))
    counts = {"train": 3200, "validation": 800, "test": 1000}
    record = {
        "config": config.model_dump(),
        "dataset": {"name": "mnist5k", "sha256": "", **counts},
        "noise": describe_noise(config.make_noise()),
        "model": "DAE",
        "parameters": 1,
    }
    write_json(folder.config_path, record)
    folder.write_history({key: [1.0] * config.epochs for key in HISTORY_KEYS})
    with zipfile.ZipFile(folder.model_path, "w") as archive:
        archive.writestr("config.json", "{}")
    return folder


def test_runs_are_comparable_that_differ_by_what_is_studied(tmp_path):
    few = make_config({"depth": 3, "train_images": 50, "epochs": 8})
    whole = finished_run(tmp_path, depth=1, epochs=2, seed=4)
    assert comparable(whole, [few])
    assert comparable(finished_run(tmp_path, depth=2, train_images=50, epochs=8), [few])
    longer = finished_run(tmp_path, depth=2, train_images=50, epochs=9)
    assert not comparable(longer, [few])
    assert not comparable(finished_run(tmp_path, depth=7, filters=3), [few])
    whole.model_path.unlink()
    assert not comparable(whole, [few])


def test_epochs_make_equal_steps():
    assert default_epochs(1000, 64) * 16 == 4000
    assert default_epochs(48_000, 64) == 5  # 5 * 750 steps
    assert default_epochs(10**6, 1, steps=10) == 1


@pytest.mark.parametrize("depth", DEPTHS)
def test_each_depth_has_a_schedule(depth):
    assert plan(depth, LATENT).depth == depth


def test_the_training_loss_is_taken_block_by_block(tiny):
    many = np.repeat(tiny.train, 60, axis=0)
    splits = dataclasses.replace(tiny, train=many)
    sizes = []

    def half(noisy):
        sizes.append(len(noisy))
        return noisy / 2

    limits = {"low": tiny.low, "high": tiny.high}
    noisy, clean = frozen_arrays(many, Gaussian(0.5), seed=0, split=MEASURED, **limits)
    found = depth_limit._on_training(make_config(), splits, half)
    assert found == pytest.approx(mse(clean, noisy / 2).mean(), rel=1e-12)
    assert max(sizes) == 256 < len(many)


@pytest.mark.parametrize(
    ("deeper", "verdict"),
    [
        ((0.8, 1.5), 3),  # training falls, validation rises: it overfits
        ((1.2, 1.5), None),  # both rise: it is harder to train
        ((0.8, 1.1), None),  # both fall: it is the better one
        ((0.99, 1.5), None),  # training falls by chance alone
    ],
)
def test_overfitting_is_told_from_poor_training(deeper, verdict):
    rows = [
        row(depth, train + noise, validation + noise, seed)
        for depth, (train, validation) in {1: (2, 2), 2: (1, 1.2), 3: deeper}.items()
        for seed, noise in enumerate((-0.02, 0, 0.02))
    ]
    (found,) = findings(rows)
    assert found["overfits"] == verdict
    (found,) = findings([one for one in rows if one["seed"] < 2])
    assert found["overfits"] is None  # two seeds decide nothing
    assert "not decided" in depth_sentence(found)
