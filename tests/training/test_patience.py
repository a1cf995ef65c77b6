"""Training until validation stops improving: when it ends, at what rate, what is kept.

The validation losses are made up, so that the right epoch is known beforehand.
"""

import json
from typing import ClassVar

import numpy as np
import pytest

from keras_dae.errors import UsageError
from keras_dae.images.datasets import Arrays, split
from keras_dae.models.files import load
from keras_dae.study.common.trained import runs
from keras_dae.system import backend
from keras_dae.training import fitting
from keras_dae.training.config import make_config, option_arguments
from keras_dae.training.fitting import fit
from keras_dae.training.jobs import Job, epochs_done
from keras_dae.training.optimizers import make_optimizer
from keras_dae.training.patience import FALL, has_ended, plateaus, rate_share
from keras_dae.training.recorder import Recorder
from keras_dae.training.runs import RunFolder, find_runs

SMALL = {
    **{"depth": 1, "latent": 5, "epochs": 12, "batch_size": 16},
    **{"warmup_steps": 2, "patience": 2},
}
# Plateaus of 2 epochs end with epochs 4, 7 and 9; the lowest loss is that of epoch 5.
LOSSES = [5.0, 4.0, 4.0, 4.5, 1.0, 2.0, 2.0, 3.0, 1.0, 0.5, 0.4, 0.3]
SHARES = [1, 1, 1, 1, FALL, FALL, FALL, FALL**2, FALL**2]


@pytest.fixture
def splits():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (100, 28, 28), dtype=np.uint8)
    return split("random", Arrays(images[:90], None, images[90:], None), "0" * 64, 0)


class Told(Recorder):
    """A recorder that is told these losses, and keeps the weights of each epoch."""

    weights: ClassVar[dict[int, list[np.ndarray]]] = {}
    stop = 0

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, {**logs, "val_loss": LOSSES[epoch]})
        self.weights[epoch + 1] = self.model.get_weights()
        if epoch + 1 == self.stop:
            raise KeyboardInterrupt


@pytest.fixture
def told(monkeypatch):
    monkeypatch.setattr(fitting, "Recorder", Told)
    monkeypatch.setattr(Told, "weights", {})
    return Told


def equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def losses(folder: RunFolder):
    history = folder.history()
    return {key: history[key] for key in ("loss", "val_loss", "learning_rate")}


@pytest.mark.parametrize(
    ("given", "patience", "found"),
    [
        ([], 2, 0),
        ([3, 2, 1], 1, 0),
        ([1, 1], 1, 1),  # as good is no better
        ([1, 2, 2], 2, 1),
        ([1, 2, 0.5, 2, 2], 2, 1),
        ([1, 2, 2, 2, 2, 2], 2, 2),  # five in a row are two plateaus
        (LOSSES[:9], 2, 3),
    ],
)
def test_plateaus_by_hand(given, patience, found):
    assert plateaus(given, 99, patience) == found
    assert rate_share(given, 99, patience) == pytest.approx(0.2**found)
    assert has_ended(given, 99, patience) is (found == 3)


def test_the_rate_falls_at_the_latest_after_half_and_three_quarters_of_the_epochs():
    improving = [1 / epoch for epoch in range(1, 9)]
    counts = [plateaus(improving[:done], 8, 3) for done in range(9)]
    assert counts == [0, 0, 0, 0, 1, 1, 2, 2, 2]
    # One plateau at the second epoch; the fall at half of the epochs is this one.
    early = [1.0, 1.0, 0.9, 0.8, 0.7, 0.6]
    assert [plateaus(early[:done], 8, 1) for done in range(7)] == [0, 0, 1, 1, 1, 1, 2]
    assert not has_ended(improving[:7], 8, 3) and has_ended(improving, 8, 3)


def test_without_patience_the_epochs_alone_end_training():
    assert [has_ended([1.0] * n, 3, 0) for n in range(5)] == [False] * 3 + [True] * 2


def test_training_ends_at_the_third_plateau_and_keeps_the_best_epoch(
    tmp_path, splits, told
):
    config = make_config(SMALL)
    folder = fit(config, splits, tmp_path)
    history = folder.history()
    assert history["val_loss"] == LOSSES[:9]
    # The warm-up is over with the first epoch.
    rates = np.array(history["learning_rate"])[1:] / config.learning_rate
    assert rates == pytest.approx(SHARES[1:])
    written = json.loads(folder.history_path.read_text())["ended"]
    assert written == {"after_epoch": 9, "saved_epoch": 5, "by": "patience"}
    for name in ("model.keras", "best.keras"):
        assert equal(load(folder.path / name).get_weights(), told.weights[5])
    assert not equal(told.weights[5], told.weights[9])
    assert folder.finished(config)
    assert epochs_done(Job(config, folder)) == config.epochs
    before = folder.model_path.read_bytes()
    fit(config, splits, tmp_path, resume=True)
    assert folder.model_path.read_bytes() == before


def test_the_loss_of_a_candidate_is_that_of_the_saved_epoch(tmp_path, splits, told):
    folder = fit(make_config(SMALL), splits, tmp_path)
    (candidate,) = runs([folder], splits)
    assert candidate.facts["val_loss"] == 1.0


def test_the_last_epoch_ends_it_where_no_plateau_has(tmp_path, splits, told):
    config = make_config(SMALL, {"epochs": 6})
    folder = fit(config, splits, tmp_path)
    written = json.loads(folder.history_path.read_text())["ended"]
    assert written == {"after_epoch": 6, "saved_epoch": 5, "by": "epochs"}
    assert equal(load(folder.model_path).get_weights(), told.weights[5])
    assert folder.finished(config)
    with pytest.raises(UsageError, match="epochs is 6 there"):
        fit(make_config(SMALL), splits, tmp_path, resume=True)


@pytest.mark.parametrize("stop", [4, 5, 8])
@pytest.mark.parametrize("given", [{}, {"loss": "log-mse"}], ids=["mse", "keras steps"])
def test_an_interrupted_run_resumes_to_the_same_bits(
    stop, given, tmp_path, splits, told, monkeypatch
):
    """Also where the rate falls with the first epoch after it, and after a fall."""
    config = make_config(SMALL, given)
    whole = fit(config, splits, tmp_path / "whole")
    monkeypatch.setattr(told, "stop", stop)
    with pytest.raises(KeyboardInterrupt):
        fit(config, splits, tmp_path / "halves")
    monkeypatch.setattr(told, "stop", 0)
    (half,) = find_runs(tmp_path / "halves")
    assert len(half.history()["loss"]) == stop
    assert not half.finished(config)
    resumed = fit(config, splits, tmp_path / "halves", resume=True)
    assert losses(resumed) == losses(whole)
    assert resumed.history_path.read_text().count("saved_epoch") == 1
    for name in ("model.keras", "best.keras"):
        one, other = (load(run.path / name) for run in (whole, resumed))
        assert equal(one.get_weights(), other.get_weights())


def test_the_steps_are_taken_at_the_rate_that_is_told(tmp_path, splits, told):
    """A compiled step that did not read the new rate would move weights as far."""
    fit(make_config(SMALL, {"learning_rate": 1e-3}), splits, tmp_path)

    def moved(epoch):
        pairs = zip(told.weights[epoch], told.weights[epoch - 1], strict=True)
        return np.mean([np.abs(one - other).mean() for one, other in pairs])

    assert moved(5) < 0.5 * moved(4)
    assert moved(8) < 0.5 * moved(7)


def test_the_held_rate_by_hand():
    config = make_config(SMALL, {"learning_rate": 0.1, "warmup_steps": 4})
    schedule = make_optimizer(config, 100)._learning_rate
    assert [float(schedule(n)) for n in (0, 1, 4, 999)] == pytest.approx(
        [0, 0.025, 0.1, 0.1]
    )
    schedule.share = 0.2
    again = type(schedule).from_config(schedule.get_config())
    assert float(again(50)) == pytest.approx(0.02)
    if backend.name() == "torch":
        from keras_dae.training.fast.optimizers import rate_at

        for step in (0, 1, 3, 4, 50):
            assert rate_at(again, step) == pytest.approx(float(again(step)))


def test_patience_implies_its_schedule_and_takes_no_other():
    assert make_config({"patience": 3}).schedule == "plateau"
    assert make_config().patience == 0
    for given in ({"patience": 3, "schedule": "cosine"}, {"schedule": "plateau"}):
        with pytest.raises(UsageError, match="patience and schedule=plateau need"):
            make_config(given)
    arguments = option_arguments(make_config({"patience": 3}))
    assert arguments[arguments.index("--patience") + 1] == "3"
