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
    comparable,
    lengths,
    warmup_steps,
)
from keras_dae.study.depth_limit.run import depth_configs
from keras_dae.study.depth_limit.section import verdict_rows
from keras_dae.study.depth_limit.verdicts import findings, trainability
from keras_dae.system.storage import write_json
from keras_dae.training.config import make_config
from keras_dae.training.runs import HISTORY_KEYS, RunFolder, run_name


def row(depth, train, validation, seed=0, size=1000, net="plain", blocks=1):
    """Return what the verdicts read of a run; the last epoch's loss is `train`."""
    losses = {"train": train, "fitted": train, "validation": validation}
    place = {"depth": depth, "seed": seed, "train_images": size}
    return {**place, **losses, "test": validation, "net": net, "blocks": blocks}


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
    few = make_config(
        {"depth": 3, "train_images": 50, "epochs": 8, "warmup_steps": 300}
    )
    whole = finished_run(tmp_path, depth=1, epochs=2, seed=4, warmup_steps=100)
    assert whole.config().learning_rate != few.learning_rate  # that of depth 1
    assert comparable(whole, [few])
    two = {"depth": 2, "train_images": 50, "warmup_steps": 200}
    assert comparable(finished_run(tmp_path, **two, epochs=8), [few])
    longer = finished_run(tmp_path, **two, epochs=9)
    assert not comparable(longer, [few])
    assert not comparable(finished_run(tmp_path, depth=7, filters=3), [few])
    residual = {"model": "residual", "warmup_steps": 900}
    assert comparable(finished_run(tmp_path, depth=9, **residual), [few])
    assert not comparable(finished_run(tmp_path, depth=9, model="best"), [few])
    for other in ({"learning_rate": 0.01}, {"warmup_steps": 5}):
        changed = finished_run(tmp_path, depth=9, **{**residual, **other})
        assert not comparable(changed, [few])
    whole.model_path.unlink()
    assert not comparable(whole, [few])


@pytest.mark.parametrize(
    ("images", "repeat", "epoch", "patience"),
    [(1000, 16, 250, 4), (5000, 3, 235, 4), (48_000, 1, 750, 2)],
)
def test_runs_have_about_equal_steps_between_validations(
    images, repeat, epoch, patience
):
    found = lengths(images, 64, 9000, 1000)
    assert found == {
        **{"repeat": repeat, "patience": patience},
        "epochs": round(9000 / epoch),
    }
    config = make_config({"repeat": repeat, "batch_size": 64})
    assert config.epoch_steps(images) == epoch
    assert lengths(10**6, 1, 10)["epochs"] == 1


def test_the_warm_up_grows_with_depth_from_the_recipes():
    recipe = make_config().warmup_steps
    assert [warmup_steps(d) for d in (1, 5, 10)] == [recipe // 5, recipe, 2 * recipe]


def test_residual_nets_are_run_beside_plain_ones_where_they_differ():
    def make(**fields):
        return make_config({"latent": 5, "filters": 4}, fields)

    found = depth_configs(
        make, [1000, 4000], [3, 9], 2, image_shape=(28, 28, 1), whole=4000
    )
    kinds = [(c.seed, c.train_images, c.depth, c.model) for c in found]
    assert kinds == [
        (seed, size, depth, model)
        for seed in (0, 1)
        for size in (1000, None)
        for depth, model in ((3, "dae"), (9, "dae"), (9, "residual"))
    ]
    assert {(c.schedule, c.validation_images) for c in found} == {("plateau", None)}
    for one in found:
        assert one.warmup_steps == warmup_steps(one.depth)
        own = lengths(one.train_images or 4000, 64)
        assert {key: getattr(one, key) for key in own} == own


@pytest.mark.parametrize("depth", [3, 5, 9, 17])
def test_each_depth_has_a_schedule(depth):
    assert plan(depth, 5).depth == depth


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
    assert verdict_rows({"findings": [found]}).rows[0][-2:] == ["not decided"] * 2


SEEDS = tuple(enumerate((-0.02, 0, 0.02)))


def rows_of(net, losses):
    """Return three seeds of each depth, 0.02 apart; depth 3 has no room for a block."""
    return [
        row(depth, loss + noise, 3 + noise, seed, net=net, blocks=int(depth > 3))
        for depth, loss in losses.items()
        for seed, noise in SEEDS
    ]


@pytest.mark.parametrize(
    ("plain", "residual", "verdict"),
    [
        ({3: 1.0, 9: 0.9, 17: 1.5}, {9: 0.9, 17: 0.8}, "repaired"),
        ({3: 1.0, 9: 0.9, 17: 1.5}, {9: 0.9, 17: 1.4}, "not repaired"),
        ({3: 1.0, 9: 0.9, 17: 0.8}, {9: 0.9, 17: 0.8}, "not needed"),
        ({3: 1.0, 9: 0.9, 17: 0.92}, {9: 0.9, 17: 0.8}, "not needed"),  # by chance
        ({3: 1.0, 9: 1.5, 17: 1.4}, {9: 1.0, 17: 1.4}, "not repaired"),
        ({3: 1.0, 9: 1.5}, {}, "not decided"),
    ],
)
def test_trainability_is_told_from_the_training_loss(plain, residual, verdict):
    rows = rows_of("plain", plain) + rows_of("residual", residual)
    (told,) = trainability(rows, findings(rows))
    assert (told["train_images"], told["verdict"]) == (1000, verdict)
    few = [one for one in rows if one["seed"] < 2]
    assert trainability(few, findings(few))[0]["verdict"] == "not decided"


def test_residual_nets_begin_with_plain_ones_that_have_no_block():
    rows = rows_of("plain", {3: 1.0, 9: 2.0}) + rows_of("residual", {9: 0.5})
    plain, residual = findings(rows)
    assert (plain["net"], plain["depths"], plain["harder"]) == ("plain", [3, 9], 9)
    assert (residual["net"], residual["harder"]) == ("residual", None)
    assert residual["depths"] == [3, 9]
    assert residual["means"]["fitted"] == pytest.approx([1.0, 0.5])
