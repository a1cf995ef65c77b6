import pytest

from keras_dae.evaluation.depth_limit import (
    DEPTHS,
    LATENT,
    default_epochs,
    findings,
)
from keras_dae.models.architectures import plan


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


def test_epochs_make_equal_steps():
    assert default_epochs(1000, 64) * 16 == 4000
    assert default_epochs(48_000, 64) == 5  # 5 * 750 steps
    assert default_epochs(10**6, 1, steps=10) == 1


@pytest.mark.parametrize("depth", DEPTHS)
def test_each_depth_has_a_schedule(depth):
    assert plan(depth, LATENT).depth == depth
