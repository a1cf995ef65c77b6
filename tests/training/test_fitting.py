"""One run: what it leaves behind, and that a resumed one is the same to the bit."""

import json
import os
import signal
import time
from contextlib import suppress

import numpy as np
import pytest

from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.images.datasets import Arrays, split
from keras_dae.images.folder import ImageFiles
from keras_dae.images.patches import Cut
from keras_dae.models.architectures import plan
from keras_dae.models.builders import build
from keras_dae.models.ceiling_builders import build_ceiling
from keras_dae.models.files import load, save
from keras_dae.system import backend
from keras_dae.training import fitting, recorder
from keras_dae.training.config import make_config
from keras_dae.training.fitting import fit, start
from keras_dae.training.loop import batches_at_once, use_fast_steps
from keras_dae.training.machine import MachineRecord
from keras_dae.training.optimizers import make_optimizer
from keras_dae.training.progress import FitProgress
from keras_dae.training.recorder import Recorder
from keras_dae.training.runs import HISTORY_KEYS, RunFolder, find_runs

SMALL = {"depth": 1, "latent": 5, "epochs": 4, "batch_size": 16, "warmup_steps": 2}


@pytest.fixture
def splits():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (100, 28, 28), dtype=np.uint8)
    return split("random", Arrays(images[:90], None, images[90:], None), "0" * 64, 0)


@pytest.fixture
def config():
    return make_config(SMALL)


def weights(folder: RunFolder, name: str = "model.keras") -> list[np.ndarray]:
    return load(folder.path / name).get_weights()


def equal(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def losses(folder: RunFolder) -> dict[str, list[float]]:
    history = folder.history()
    return {key: history[key] for key in ("loss", "val_loss", "learning_rate")}


@pytest.mark.parametrize("given", [{"latent_bias": 4.0}, {"model": "unet"}])
def test_a_run_starts_from_what_its_configuration_says(given):
    config = make_config(SMALL, {"seed": 3, **given})
    spec = config.plan((28, 28, 1))
    model = start(config, spec, output_bias=-1.5)
    if config.latent_bias is None:
        expected = build_ceiling(spec, seed=3, output_bias=-1.5)
    else:
        expected = build(spec, seed=3, output_bias=-1.5, latent_bias=4.0)
    assert equal(model.get_weights(), expected.get_weights())


class Stop(Recorder):
    """A recorder that is interrupted after two epochs, as Ctrl-C would."""

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        if epoch == 1:
            raise KeyboardInterrupt


def test_the_folder_holds_what_was_done(tmp_path, config, splits):
    folder = fit(config, splits, tmp_path)
    assert folder.path.name == "random-DAE_1_5-seed0"
    names = {path.name for path in folder.path.iterdir()}
    assert names == {
        *("config.json", "environment.json", "history.json"),
        *("model.keras", "best.keras"),
    }
    history = json.loads(folder.history_path.read_text())
    assert history["schema"] == 1
    assert {key: len(history[key]) for key in HISTORY_KEYS} == dict.fromkeys(
        HISTORY_KEYS, 4
    )
    assert history["loss"][-1] < history["loss"][0]
    record = folder.record()
    assert record["dataset"]["sha256"] == "0" * 64
    assert (record["dataset"]["train"], record["dataset"]["validation"]) == (72, 18)
    assert folder.config() == config
    assert folder.finished(config)
    assert not folder.finished(make_config(SMALL, {"epochs": 5}))


@pytest.mark.parametrize("more", [{}, {"repeat": 3}], ids=["plain", "repeated"])
def test_an_interrupted_run_resumes_to_the_same_bits(
    tmp_path, splits, monkeypatch, more
):
    config = make_config(SMALL, more)
    whole = fit(config, splits, tmp_path / "whole")
    monkeypatch.setattr(fitting, "Recorder", Stop)
    with pytest.raises(KeyboardInterrupt):
        fit(config, splits, tmp_path / "halves")
    monkeypatch.undo()
    (half,) = find_runs(tmp_path / "halves")
    assert len(half.history()["loss"]) == 2
    resumed = fit(config, splits, tmp_path / "halves", resume=True)
    assert losses(resumed) == losses(whole)
    for name in ("model.keras", "best.keras"):
        assert equal(weights(resumed, name), weights(whole, name))
    steps = config.epoch_steps(len(splits.train))
    assert steps == (14 if more else 5)  # 216 or 72 images in batches of 16
    optimizer = make_optimizer(config, steps)
    optimizer.iterations.assign(3 * steps)
    told = losses(whole)["learning_rate"][3]
    assert float(optimizer.learning_rate) == pytest.approx(told, rel=1e-6)


ON_DEVICE = {"noise_on": "device"}
torch_only = pytest.mark.skipif(
    backend.name() != "torch", reason="noise is drawn on the device by torch"
)


@torch_only
def test_a_run_with_noise_on_the_device_resumes_to_the_same_bits(
    tmp_path, splits, monkeypatch
):
    config = make_config(SMALL, ON_DEVICE)
    whole = fit(config, splits, tmp_path / "whole")
    monkeypatch.setattr(fitting, "Recorder", Stop)
    with pytest.raises(KeyboardInterrupt):
        fit(config, splits, tmp_path / "halves")
    monkeypatch.undo()
    resumed = fit(config, splits, tmp_path / "halves", resume=True)
    assert losses(resumed) == losses(whole)
    assert equal(weights(resumed), weights(whole))
    assert whole.record()["config"]["noise_on"] == "device"


@torch_only
def test_noise_on_the_device_trains_as_noise_by_numpy_does(tmp_path, splits):
    """From the same weights on the same images: only the noise is another."""
    found = [
        fit(make_config(SMALL, {"noise_on": place}), splits, tmp_path / place)
        for place in ("host", "device")
    ]
    one, other = (np.array(losses(folder)["loss"]) for folder in found)
    assert (one != other).all()
    np.testing.assert_allclose(one, other, rtol=0.01)
    with pytest.raises(UsageError, match="noise_on is 'host' there"):
        fit(make_config(SMALL, ON_DEVICE), splits, tmp_path / "host", resume=True)


@torch_only
@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"noise": "poisson"}, "noise_on must be host for others"),
        ({"targets": "noisy"}, "noise_on must be host unless targets"),
    ],
)
def test_noise_that_no_device_draws_is_refused(given, sentence, tmp_path, splits):
    with pytest.raises(UsageError, match=sentence):
        fit(make_config(SMALL, ON_DEVICE, given), splits, tmp_path)
    assert list(tmp_path.iterdir()) == []


@torch_only
def test_the_record_says_how_steps_are_computed(tmp_path, config, splits):
    environment = json.loads(fit(config, splits, tmp_path).environment_path.read_text())
    assert environment["steps"] == {"kind": "lean", "why": None}
    assert environment["resumes_to_same_bits"] is True
    assert environment["data_sha256"] == "0" * 64


@torch_only
def test_the_record_says_that_a_step_could_not_be_captured(
    tmp_path, config, splits, monkeypatch
):
    """As on a GPU: known after the first epoch, and written over what was hoped."""
    from keras_dae.training.fast import graphs, steps

    class Refusing(graphs.Plain):
        def capture(self, body):
            raise RuntimeError("out of memory")

    def captured(graph, *given):
        return graphs.GraphSteps(*given, graph=Refusing())

    monkeypatch.setattr(steps, "_steps", captured)
    folder = fit(config, splits, tmp_path)
    environment = json.loads(folder.environment_path.read_text())
    why = "The step could not be captured as a CUDA graph: out of memory"
    assert environment["steps"] == {"kind": "lean", "why": why}
    assert environment["backend"] == "torch"


@pytest.mark.parametrize(
    ("device", "deterministic", "wanted"),
    [
        ("cpu", False, True),
        ("cuda:0 (a card)", False, False),
        ("cuda:0 (a card)", True, True),
    ],
)
def test_the_same_bits_are_promised_where_they_come(
    device, deterministic, wanted, tmp_path, monkeypatch
):
    monkeypatch.setattr(backend, "device", lambda: device)
    record = MachineRecord(tmp_path / "environment.json", deterministic, "0" * 64)
    record.note(build(plan(1, 5)))
    environment = json.loads(record.path.read_text())
    assert environment["resumes_to_same_bits"] is wanted


def test_deterministic_kernels_are_for_torch(tmp_path, splits, monkeypatch):
    monkeypatch.setattr(backend, "name", lambda: "jax")
    with pytest.raises(UsageError, match="deterministic must be false on jax"):
        fit(make_config(SMALL, {"deterministic": True}), splits, tmp_path)
    with pytest.raises(UsageError, match="noise_on must be host on jax"):
        fit(make_config(SMALL, ON_DEVICE), splits, tmp_path)


@pytest.fixture
def photographs():
    """Splits of 12 random images of 20x24, as of a folder, in patches of 16x16."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (12, 20, 24, 1), dtype=np.uint8)
    names = tuple(f"{number:02}.png" for number in range(12))
    found = ImageFiles(names, tuple((image,) for image in images), Cut(16, 1, 6))
    return split("folder:photos", found, found.sha256(), 0)


def test_a_run_on_patches_resumes_to_the_same_bits(
    tmp_path, config, photographs, monkeypatch
):
    config = make_config(SMALL, {"data": "folder:photos", "size": 16, "latent": 8})
    whole = fit(config, photographs, tmp_path / "whole")
    monkeypatch.setattr(fitting, "Recorder", Stop)
    with pytest.raises(KeyboardInterrupt):
        fit(config, photographs, tmp_path / "halves")
    monkeypatch.undo()
    resumed = fit(config, photographs, tmp_path / "halves", resume=True)
    assert len(resumed.history()["loss"]) == 4
    assert losses(resumed) == losses(whole)
    assert equal(weights(resumed), weights(whole))


def test_the_record_of_a_run_on_patches(tmp_path, photographs):
    config = make_config(SMALL, {"data": "folder:photos", "size": 16, "latent": 8})
    config = config.model_copy(update={"epochs": 1})
    record = fit(config, photographs, tmp_path).record()
    assert record["image_shape"] == [16, 16, 1]
    assert record["dataset"]["files"] == {"train": 10, "validation": 1, "test": 1}
    # 6 patches of a training image; one cell of 20x24 is all there is to measure on.
    assert [record["dataset"][part] for part in photographs.files] == [60, 1, 1]
    assert record["files"] == {k: list(v) for k, v in photographs.files.items()}
    # Uniform values have a mean of 0.5 and a deviation of 0.289; with the noise of
    # 0.5 clipped to [0, 1], 0.5 and about 0.37.
    low, high = record["input"]["mean"]
    assert 0.4 < low < 0.5 < high < 0.6
    low, high = record["input"]["std"]
    assert 0.34 < low < high < 0.41


def test_a_history_ahead_of_the_model_is_cut_back(
    tmp_path, config, splits, monkeypatch
):
    whole = fit(config, splits, tmp_path / "whole")
    monkeypatch.setattr(fitting, "Recorder", Stop)
    with pytest.raises(KeyboardInterrupt):
        fit(config, splits, tmp_path / "halves")
    monkeypatch.undo()
    (half,) = find_runs(tmp_path / "halves")
    history = half.history()
    for column in history.values():
        column.append(column[-1])  # as if killed between the two files of epoch 3
    half.write_history(history)
    resumed = fit(config, splits, tmp_path / "halves", resume=True)
    assert losses(resumed) == losses(whole)
    assert equal(weights(resumed), weights(whole))


def test_an_interrupt_that_a_library_lost_ends_the_run_with_the_epoch(
    tmp_path, config, splits, monkeypatch, listening
):
    class Deaf(Recorder):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            if epoch == 1:
                with suppress(KeyboardInterrupt):
                    os.kill(os.getpid(), signal.SIGTERM)
                    time.sleep(60)

    monkeypatch.setattr(fitting, "Recorder", Deaf)
    with pytest.raises(KeyboardInterrupt):
        fit(config, splits, tmp_path)
    (run,) = find_runs(tmp_path)
    assert len(run.history()["loss"]) == 2


def test_a_kill_before_the_last_model_is_seen(tmp_path, config, splits, monkeypatch):
    whole = fit(config, splits, tmp_path / "whole")

    def killed(model, path, optimizer=False):
        if path.name == "model.keras" and not optimizer:
            raise KeyboardInterrupt
        save(model, path, optimizer=optimizer)

    monkeypatch.setattr(recorder, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        fit(config, splits, tmp_path / "cut")
    monkeypatch.undo()
    (cut,) = find_runs(tmp_path / "cut")
    assert len(cut.history()["loss"]) == 4
    assert not cut.finished(config)
    resumed = fit(config, splits, tmp_path / "cut", resume=True)
    assert resumed.finished(config)
    assert losses(resumed) == losses(whole)
    assert equal(weights(resumed), weights(whole))


def test_batches_and_start_depend_on_the_seed_alone(tmp_path, config, splits):
    one = fit(config, splits, tmp_path / "one")
    same = fit(config, splits, tmp_path / "same")
    other = fit(make_config(SMALL, {"seed": 1}), splits, tmp_path / "one")
    assert equal(weights(one), weights(same))
    assert not equal(weights(one), weights(other))


def test_a_run_is_not_overwritten_unasked(tmp_path, config, splits):
    folder = fit(config, splits, tmp_path)
    before = folder.model_path.read_bytes()
    with pytest.raises(UsageError, match="already holds a run"):
        fit(config, splits, tmp_path)
    assert folder.model_path.read_bytes() == before


def test_resuming_with_another_configuration_names_the_difference(
    tmp_path, config, splits
):
    folder = fit(config, splits, tmp_path)
    before = folder.model_path.read_bytes()
    with pytest.raises(UsageError, match=r"sigma is 0\.5 there\. Received: sigma=0\.3"):
        fit(make_config(SMALL, {"sigma": 0.3}), splits, tmp_path, resume=True)
    assert folder.model_path.read_bytes() == before


def test_a_finished_run_is_left_alone(tmp_path, config, splits):
    folder = fit(config, splits, tmp_path)
    before = folder.model_path.read_bytes()
    fit(config, splits, tmp_path, resume=True)
    assert folder.model_path.read_bytes() == before


def test_a_loss_that_is_no_number_stops_the_run(tmp_path, splits):
    config = make_config(SMALL, {"learning_rate": 3e38, "warmup_steps": 0})
    with pytest.raises(
        KerasDAEError, match=r"loss became nan in epoch 1; no model is saved"
    ):
        fit(config, splits, tmp_path)
    (folder,) = find_runs(tmp_path)
    assert sorted(path.name for path in folder.path.iterdir()) == [
        *("config.json", "environment.json"),
    ]


def poison(after):
    """Return a recorder that lets the weights overflow once `after` epochs are kept."""

    class Poison(Recorder):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            if epoch + 1 == after:
                weights = self.model.get_weights()
                self.model.set_weights([np.copysign(np.inf, one) for one in weights])

    return Poison


def test_a_divergence_keeps_the_last_good_model_also_when_resumed(
    tmp_path, config, splits, monkeypatch
):
    whole = fit(config, splits, tmp_path / "whole")
    for after, resume in ((1, False), (3, True)):
        says = f"loss became nan in epoch {after + 1}; the model of the previous epoch"
        with monkeypatch.context() as patch, pytest.raises(KerasDAEError, match=says):
            patch.setattr(fitting, "Recorder", poison(after))
            fit(config, splits, tmp_path / "cut", resume=resume)
        (cut,) = find_runs(tmp_path / "cut")
        assert cut.history()["loss"] == whole.history()["loss"][:after]
        assert all(np.isfinite(weight).all() for weight in weights(cut))
    resumed = fit(config, splits, tmp_path / "cut", resume=True)
    assert losses(resumed) == losses(whole)
    for name in ("model.keras", "best.keras"):
        assert equal(weights(resumed, name), weights(whole, name))


def test_the_best_model_has_the_lowest_validation_loss(
    tmp_path, config, splits, monkeypatch
):
    kept = []
    monkeypatch.setattr(
        recorder, "save", lambda model, path, optimizer=False: kept.append(path.name)
    )
    callback = Recorder(RunFolder(tmp_path), {key: [] for key in HISTORY_KEYS}, 3, None)
    callback.set_model(type("Model", (), {"optimizer": type("O", (), {})()})())
    callback.model.optimizer.learning_rate = 0.1
    for epoch, val_loss in enumerate((0.3, 0.4, 0.2)):
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, {"loss": 1.0, "val_loss": val_loss})
    assert kept == [
        *("best.keras", "model.keras"),
        "model.keras",
        *("best.keras", "model.keras"),
    ]


def test_test_images_are_not_touched(tmp_path, config, splits):
    class Untouchable:
        def __getattr__(self, name):
            raise AssertionError("training touched the test images")

        def __len__(self):
            return 10

    from dataclasses import replace

    fit(config, replace(splits, test=Untouchable()), tmp_path)
    assert find_runs(tmp_path)


def test_a_run_of_before_models_had_names_is_resumed(tmp_path, config, splits):
    folder = fit(config, splits, tmp_path)
    record = json.loads(folder.config_path.read_text())
    del record["config"]["model"]
    folder.config_path.write_text(json.dumps(record))
    assert fit(config, splits, tmp_path, resume=True) == folder


@pytest.mark.parametrize("name", ["unet", "dncnn"])
def test_a_ceiling_resumes_to_the_same_bits(tmp_path, splits, monkeypatch, name):
    config = make_config(
        {**SMALL, "model": name, "filters": 2, "epochs": 3, "batch_size": 32}
    )
    whole = fit(config, splits, tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(fitting, "Recorder", Stop)
        fit(config, splits, tmp_path / "parts")
    resumed = fit(config, splits, tmp_path / "parts", resume=True)
    assert resumed.path.name == f"random-{name}-seed0"
    assert equal(weights(whole), weights(resumed))
    assert losses(whole) == losses(resumed)


def test_short_steps_are_handed_over_in_larger_items():
    """Those that one thread computes fastest, at depth 1, on torch."""
    wanted = 32 if backend.name() == "torch" else 8
    for latent in (13, 8, 5):
        assert batches_at_once(plan(1, latent).macs * 64, True) == wanted
        assert batches_at_once(plan(3, latent).macs * 64, True) == 8
        assert batches_at_once(plan(1, latent).macs * 64, False) == 1


def test_bfloat16_is_for_torch_alone(monkeypatch):
    monkeypatch.setattr(backend, "name", lambda: "jax")
    with pytest.raises(UsageError, match=r"float32 on jax.*Received: precision="):
        use_fast_steps(build(plan(1, 8)), "bfloat16")


def test_waiting_for_the_last_steps_counts_as_training(
    tmp_path, config, splits, monkeypatch
):
    """jax returns from a step before it is computed; reading a weight waits for it."""
    convert = recorder.keras.ops.convert_to_numpy

    def slow(value):
        time.sleep(0.3)
        return convert(value)

    monkeypatch.setattr(recorder.keras.ops, "convert_to_numpy", slow)
    once = config.model_copy(update={"epochs": 1})
    history = fit(once, splits, tmp_path).history()
    assert history["seconds"][0] >= 0.3


def kill_map(model, number: int) -> None:
    """Set the latent's bias for one map so low that nothing passes its ReLU."""
    kernel, bias = model.get_layer("latent").get_weights()
    bias[number] = -1000
    model.get_layer("latent").set_weights([kernel, bias])


@pytest.fixture
def one_dead_map(monkeypatch):
    """Let every run start with its second latent map dead."""
    begin = fitting.start

    def started(*arguments):
        model = begin(*arguments)
        kill_map(model, 1)
        return model

    monkeypatch.setattr(fitting, "start", started)


def test_a_dead_map_is_counted_after_each_epoch_and_told_once(
    tmp_path, splits, one_dead_map, capsys
):
    config = make_config(SMALL, {"learning_rate": 1e-4})  # at which no other map dies
    with FitProgress("DAE_1_5", epochs=4, images=72) as progress:
        folder = fit(config, splits, tmp_path, progress=progress)
    shares = folder.history()["live_maps"]
    assert [len(of_epoch) for of_epoch in shares] == [4] * 4
    assert [of_epoch[1] for of_epoch in shares] == [0] * 4
    assert all(of_epoch[0] > 0 for of_epoch in shares)
    told = [line for line in capsys.readouterr().err.splitlines() if "latent" in line]
    assert told == [
        "DAE_1_5: After epoch 1, 1 of 4 latent maps answer 0 for all of 18 validation "
        "images."
    ]


def test_a_history_without_live_maps_is_read_and_resumed(
    tmp_path, config, splits, monkeypatch
):
    whole = fit(config, splits, tmp_path / "whole")
    monkeypatch.setattr(fitting, "Recorder", Stop)
    with pytest.raises(KeyboardInterrupt):
        fit(config, splits, tmp_path / "halves")
    monkeypatch.undo()
    (half,) = find_runs(tmp_path / "halves")
    old = {key: half.history()[key] for key in HISTORY_KEYS}
    half.write_history(old)
    assert half.history() == old
    resumed = fit(config, splits, tmp_path / "halves", resume=True).history()
    assert resumed["live_maps"] == [[], [], *whole.history()["live_maps"][2:]]


@pytest.mark.parametrize("bad", [3, [[0.5]] * 3, [[0.5], [0.5], 0.5, []], [[2.0]] * 4])
def test_live_maps_that_are_no_shares_are_refused(tmp_path, bad):
    folder = RunFolder(tmp_path)
    folder.write_history({**{key: [1.0] * 4 for key in HISTORY_KEYS}, "live_maps": bad})
    with pytest.raises(KerasDAEError, match=r"live_maps in .* must hold shares"):
        folder.history()


def test_a_model_without_a_latent_has_no_live_maps(tmp_path, splits):
    config = make_config(SMALL, {"model": "unet", "filters": 2, "epochs": 1})
    assert "live_maps" not in fit(config, splits, tmp_path).history()
