"""Train one run: from a configuration and a data set to a model and its history."""

from math import prod
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_dae.errors import KerasDAEError, check
from keras_dae.images.datasets import Splits
from keras_dae.images.pairs import NoisyCleanPairs
from keras_dae.images.rows import Images, normalise
from keras_dae.images.targets import TargetPairs
from keras_dae.models.architectures import DAESpec
from keras_dae.models.builders import build, output_bias
from keras_dae.models.ceiling_builders import build_ceiling
from keras_dae.models.ceilings import CeilingSpec
from keras_dae.models.files import load
from keras_dae.models.photo import build_photo, initial_weights
from keras_dae.models.photo_spec import PhotoSpec
from keras_dae.system.inside import named
from keras_dae.system.locks import held, tidy
from keras_dae.system.numerics import float32
from keras_dae.system.storage import write_json
from keras_dae.training.averaging import averaging
from keras_dae.training.config import RunConfig, Spec
from keras_dae.training.feeding import training_data, validation_data
from keras_dae.training.length import begun, by_epochs, lengthen
from keras_dae.training.loop import (
    batches_at_once,
    train_epochs,
    use_fast_steps,
    validation_batch,
)
from keras_dae.training.losses import LOSSES
from keras_dae.training.machine import MachineRecord, check_machine
from keras_dae.training.noisy_files import with_sigma
from keras_dae.training.optimizers import make_optimizer
from keras_dae.training.progress import FitProgress
from keras_dae.training.recorder import Recorder, first_images
from keras_dae.training.records import check_same_run, input_ranges, record_of
from keras_dae.training.runs import HISTORY_KEYS, RunFolder, run_name
from keras_dae.training.starting import start_sha256, take_weights

# Time for a killed run of a sweep to notice and to release its folder.
ORPHAN_SECONDS = 5.0


def fit(
    config: RunConfig,
    splits: Splits,
    out: Path | str,
    *,
    resume: bool = False,
    progress: FitProgress | None = None,
) -> RunFolder:
    """Train one model with `model.fit` (paper, algorithm 1) and save the run.

    History and model are saved after every epoch. After an interruption, `resume=True`
    continues to the weights of an uninterrupted run. They are bitwise equal on a CPU
    (same machine, backend and thread count), and on CUDA if `config.deterministic` is
    set. Otherwise they are equal up to rounding. `environment.json` records which.

    Args:
        config: what to train, and how.
        splits: the data. The first `config.train_images` training images and the first
            `config.validation_images` validation images are used, and no test images.
        out: parent folder; the run folder is `out / run_name(...)`.
        resume: continue the existing run, if there is one.
        progress: progress display; None shows nothing.

    Raises:
        UsageError: the run exists and `resume` is not set, or it has another
            configuration.
        KerasDAEError: the folder cannot be written, another process trains this run, or
            the loss became NaN.
    """
    named(out)
    config = with_sigma(by_epochs(config, splits), splits)
    splits = splits.limited(config.train_images, validation=config.validation_images)
    spec = config.plan(splits.image_shape)
    folder = RunFolder(Path(out) / run_name(config, splits.name))
    check_machine(config)
    pairs = training_data(config, splits)
    if resume and folder.config_path.exists() and folder.finished(config):
        check_same_run(folder, record_of(config, splits, spec), resume)
        tidy(folder.path)
        return folder
    check(
        keras.config.max_epochs() is None
        and keras.config.max_steps_per_epoch() is None,
        "A setting of keras limits training. Unset KERAS_MAX_EPOCHS and "
        "KERAS_MAX_STEPS_PER_EPOCH.",
        max_epochs=keras.config.max_epochs(),
        max_steps_per_epoch=keras.config.max_steps_per_epoch(),
    )
    with (
        held(folder.path, "The run folder", wait=ORPHAN_SECONDS),
        float32(tf32=config.precision == "tf32", deterministic=config.deterministic),
    ):
        _train(config, spec, splits, folder, pairs, resume, progress)
    return folder


def _train(
    config: RunConfig,
    spec: Spec,
    splits: Splits,
    folder: RunFolder,
    pairs: NoisyCleanPairs,
    resume: bool,
    progress: FitProgress | None,
) -> None:
    """Train from the state of the folder to the last epoch."""
    model, history, record = _start(config, spec, splits, folder, pairs, resume)
    # The fast steps do not support pixel weights.
    fast = config.targets != "blind-spot" and use_fast_steps(
        model, config.precision, config.batch_size, rate=config.rate, seed=config.seed
    )
    if record is not None:  # a training that is refused before leaves no run
        write_json(folder.config_path, record)
    how = MachineRecord(folder.environment_path, config.deterministic, splits.sha256)
    how.note(model)
    if progress is not None:
        pairs.on_batch = progress.batch
    pixels, step = prod(splits.image_shape), spec.macs * config.batch_size
    pairs.at_once = batches_at_once(step, fast, pixels * config.batch_size)
    validation = validation_data(config, splits, validation_batch(model, pixels))
    recorder = Recorder(
        *(folder, history, config.epochs, progress),
        collect=not fast,
        probe=first_images(validation) if isinstance(spec, DAESpec) else None,
        patience=config.patience,
    )
    train_epochs(
        model,
        pairs,
        validation,
        epochs=config.epochs,
        initial_epoch=len(history["loss"]),
        fast=fast,
        callbacks=[*averaging(model), recorder, how],
    )


def _start(
    config: RunConfig,
    spec: Spec,
    splits: Splits,
    folder: RunFolder,
    pairs: NoisyCleanPairs,
    resume: bool,
) -> tuple[keras.Model, dict[str, list[Any]], dict[str, Any] | None]:
    """Return model and history, either new or from the folder, and a new record."""
    record, new = record_of(config, splits, spec), not folder.config_path.exists()
    if new:
        record["input"] = input_ranges(config, splits)
        if config.start is not None:
            record["start_sha256"] = start_sha256(config.start)
    else:
        if resume:
            lengthen(folder, config)
        check_same_run(folder, record, resume)
        if folder.model_path.exists():
            return *_continue(folder, config, pairs.batches), None
    seen = isinstance(pairs, TargetPairs)  # the mean must not come from clean images
    bias = output_bias(pairs.mean_target()) if seen else mean_bias(splits)
    model = start(config, spec, bias)
    model.compile(make_optimizer(config, pairs.batches), LOSSES[config.loss]())
    return model, {key: [] for key in HISTORY_KEYS}, record if new else None


def start(config: RunConfig, spec: Spec, output_bias: float) -> keras.Model:
    """Return the model that `spec` describes, with the initial weights of a run.

    Args:
        config: seed, bias of the latent, and the model to start from.
        spec: the architecture.
        output_bias: initial bias of the last layer, see `mean_bias`.
    """
    given: dict[str, Any] = {"seed": config.seed, "output_bias": output_bias}
    if isinstance(spec, PhotoSpec):
        model = build_photo(spec)
        model.set_weights(initial_weights(spec, config.seed))
    elif isinstance(spec, CeilingSpec):
        model = build_ceiling(spec, **given)
    else:
        model = build(spec, latent_bias=config.latent_bias, **given)
    if config.start is not None:
        take_weights(model, config.start)
    return model


def _continue(
    folder: RunFolder, config: RunConfig, steps: int
) -> tuple[keras.Model, dict[str, list[Any]]]:
    """Return the saved model and the history up to it.

    The history is written before the model, so after a kill between the two it is one
    epoch ahead. The step counter of the optimizer tells the epoch of the weights.
    """
    model = load(folder.model_path, compiled=True)
    history, before = folder.history(), begun(folder)
    done, rest = before, 0 if before else 1
    if getattr(model, "optimizer", None) is not None:
        done, rest = divmod(int(model.optimizer.iterations), steps)
        done += before
    elif before:
        more = config.model_copy(update={"epochs": config.epochs - before})
        model.compile(make_optimizer(more, steps), LOSSES[config.loss]())
    if rest or done > len(history["loss"]):
        raise KerasDAEError(
            f"{folder.model_path} and {folder.history_path} do not belong together. "
            f"Remove {folder.path} to train again."
        )
    return model, {key: column[:done] for key, column in history.items()}


def mean_bias(splits: Splits) -> float:
    """Return the output bias for which the initial output is the mean pixel."""
    return output_bias(mean_pixel(splits.train, splits.low, splits.high))


def mean_pixel(images: Images, low: float, high: float) -> float:
    """Return the mean of images (N, H, W, C), scaled so that low..high is 0..1."""
    # Block by block, so that not all images are in memory as floats.
    starts = range(0, len(images), 4096)
    sums = [
        normalise(images[start : start + 4096], low, high).sum(dtype=np.float64)
        for start in starts
    ]
    return float(sum(sums) / images.size)
