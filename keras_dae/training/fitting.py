"""One run: a configuration and a data set in, a fitted model and its history out."""

from math import prod
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_dae.errors import KerasDAEError, check
from keras_dae.images.datasets import Splits
from keras_dae.images.frozen import VALIDATION, FrozenPairs, frozen_arrays, is_held
from keras_dae.images.pairs import EpochClock, NoisyCleanPairs, normalise
from keras_dae.images.rows import Images
from keras_dae.images.targets import (
    CLEAN,
    FrozenTargets,
    TargetPairs,
    training_pairs,
)
from keras_dae.models.architectures import DAESpec
from keras_dae.models.batches import images_at_once, widest
from keras_dae.models.builders import build, output_bias
from keras_dae.models.ceiling_builders import build_ceiling
from keras_dae.models.ceilings import CeilingSpec
from keras_dae.models.files import load
from keras_dae.models.photo import build_photo, initial_weights
from keras_dae.models.photo_spec import PhotoSpec
from keras_dae.system import backend
from keras_dae.system.inside import named
from keras_dae.system.locks import held, tidy
from keras_dae.system.numerics import float32
from keras_dae.system.storage import write_json
from keras_dae.training.averaging import averaging
from keras_dae.training.config import RunConfig, Spec
from keras_dae.training.length import begun, by_epochs, lengthen
from keras_dae.training.losses import LOSSES
from keras_dae.training.optimizers import make_optimizer
from keras_dae.training.progress import FitProgress
from keras_dae.training.recorder import Recorder, first_images
from keras_dae.training.records import check_same_run, input_ranges, record_of
from keras_dae.training.runs import HISTORY_KEYS, RunFolder, run_name
from keras_dae.training.starting import take_weights

VALIDATION_BATCH = 128  # images at most
# Batches that `fit` hands over at a time to steps that take them apart, and of steps
# that are computed on one thread: what it and its loader do between two of them,
# 0.6 ms, is as much as a third of a step of DAE_1_13.
AT_ONCE, SHORT_AT_ONCE = 8, 32
# What a run of a sweep that was killed may take to notice, and to let its folder go.
ORPHAN_SECONDS = 5.0


def fit(
    config: RunConfig,
    splits: Splits,
    out: Path | str,
    *,
    resume: bool = False,
    progress: FitProgress | None = None,
) -> RunFolder:
    """Train one model with `model.fit` (paper, algorithm 1) and keep it in a folder.

    Every epoch ends with a whole history and model on disk. Interrupted at any
    time, `resume=True` goes on to the weights of an uninterrupted run (same
    machine, backend and thread count).

    Args:
        config: what to train, and how.
        splits: the data; of its training images the first `config.train_images`
            are used, of its validation images the first `config.validation_images`;
            its test images are not touched.
        out: folder of runs; this one becomes `out / run_name(...)`.
        resume: go on with the run that is there, if any.
        progress: shown while training; none by default.

    Raises:
        UsageError: a run is there and `resume` is not set, or it was made with
            another configuration.
        KerasDAEError: nothing can be written, another process trains this run, or
            the loss became NaN.
    """
    named(out)
    config = by_epochs(config, splits)
    splits = splits.limited(config.train_images, validation=config.validation_images)
    spec = config.plan(splits.image_shape)
    folder = RunFolder(Path(out) / run_name(config, splits.name))
    pairs = training_pairs(
        config.targets,
        splits.train,
        config.make_noise(),
        batch_size=config.batch_size,
        seed=config.seed,
        low=splits.low,
        high=splits.high,
        prefetch=True,
        augment=config.augment,
    )
    if resume and folder.config_path.exists() and folder.finished(config):
        check_same_run(folder, record_of(config, splits, spec), resume)
        tidy(folder.path)
        return folder
    check(
        keras.config.max_epochs() is None
        and keras.config.max_steps_per_epoch() is None,
        "A setting of keras cuts training short; unset KERAS_MAX_EPOCHS and "
        "KERAS_MAX_STEPS_PER_EPOCH.",
        max_epochs=keras.config.max_epochs(),
        max_steps_per_epoch=keras.config.max_steps_per_epoch(),
    )
    with (
        held(folder.path, "The run folder", wait=ORPHAN_SECONDS),
        float32(tf32=config.precision == "tf32"),
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
    """Train from where the folder is to the last epoch."""
    model, history = _start(config, spec, splits, folder, pairs, resume)
    # The lean steps take no weights of pixels.
    lean = config.targets != "blind-spot" and hasten(
        model, config.precision, config.batch_size
    )
    if progress is not None:
        pairs.on_batch = progress.batch
    pixels = prod(splits.image_shape)
    pairs.at_once = batches_at_once(
        spec.macs * config.batch_size, lean, pixels * config.batch_size
    )
    size = validation_batch(widest(model) or 64 * pixels)
    validation = validation_data(config, splits, size)
    recorder = Recorder(
        *(folder, history, config.epochs, progress),
        collect=not lean,
        probe=first_images(validation) if isinstance(spec, DAESpec) else None,
    )
    own_batches = not is_held(splits.validation)
    # The lean steps take several such batches apart.
    handed = images_at_once(pixels, size * AT_ONCE) if lean else size
    model.fit(
        pairs,
        validation_data=validation,
        validation_batch_size=None if own_batches else handed,
        initial_epoch=len(history["loss"]),
        epochs=config.epochs,
        shuffle=False,
        verbose=0,
        callbacks=[EpochClock(pairs), *averaging(model), recorder],
    )


def batches_at_once(step: int, lean: bool, values: int = 1) -> int:
    """Return the batches that `fit` hands over at a time.

    Args:
        step: multiply-adds of a training step, as `backend.useful_threads` takes them.
        lean: whether the steps are those of `hasten`, which take several apart.
        values: those of a batch's images.
    """
    if not lean:
        return 1
    short = backend.useful_threads(step) == 1
    return images_at_once(values, SHORT_AT_ONCE if short else AT_ONCE)


def validation_batch(values: int) -> int:
    """Return the images per batch of validation: a power of 2.

    Args:
        values: those of the widest tensor of one image.
    """
    return 1 << (images_at_once(values, VALIDATION_BATCH).bit_length() - 1)


def hasten(
    model: keras.Model, precision: str = "float32", batch_size: int | None = None
) -> bool:
    """Give `model`, compiled, faster steps of the same numbers; whether there are any.

    They are torch's (`keras_dae.training.fast.steps`), for layers that `torch_layers`
    knows. In bfloat16 the numbers are rounded ones, of any model. With `batch_size`,
    several batches may be handed over at once: each of so many images is a step of its
    own.

    Raises:
        UsageError: bfloat16 on another backend than torch, TF32 without CUDA.
    """
    check(
        precision != "tf32" or "cuda" in backend.device(),
        "precision must be float32 or bfloat16 here; tf32 is for CUDA devices.",
        precision=precision,
    )
    if backend.name() != "torch":
        check(
            precision != "bfloat16",
            f"precision must be float32 on {backend.name()}; only torch trains in "
            "bfloat16.",
            precision=precision,
        )
        return False
    from keras_dae.training.fast.steps import accelerate

    return accelerate(model, precision, batch_size)


def validation_data(config: RunConfig, splits: Splits, batch_size: int) -> Any:
    """Return the frozen validation pairs as arrays, or in batches where too many."""
    if config.targets != CLEAN:
        frozen = FrozenTargets(
            config.targets,
            splits.validation,
            config.make_noise(),
            seed=config.data_seed,
            split=VALIDATION,
            low=splits.low,
            high=splits.high,
            batch_size=batch_size,
        )
        return frozen.arrays() if is_held(splits.validation) else frozen
    if is_held(splits.validation):
        return validation_arrays(config, splits)
    return FrozenPairs(
        splits.validation,
        config.make_noise(),
        seed=config.data_seed,
        split=VALIDATION,
        low=splits.low,
        high=splits.high,
        batch_size=batch_size,
    )


def validation_arrays(
    config: RunConfig, splits: Splits
) -> tuple[np.ndarray, np.ndarray]:
    """Return the frozen (noisy, clean) validation arrays of shape (N, H, W, C)."""
    return frozen_arrays(
        splits.validation,
        config.make_noise(),
        seed=config.data_seed,
        split=VALIDATION,
        low=splits.low,
        high=splits.high,
    )


def _start(
    config: RunConfig,
    spec: Spec,
    splits: Splits,
    folder: RunFolder,
    pairs: NoisyCleanPairs,
    resume: bool,
) -> tuple[keras.Model, dict[str, list[Any]]]:
    """Return model and history, new ones or those that the folder holds."""
    record = record_of(config, splits, spec)
    if folder.config_path.exists():
        if resume:
            lengthen(folder, config)
        check_same_run(folder, record, resume)
        if folder.model_path.exists():
            return _continue(folder, config, pairs.batches)
    else:
        looks = {"input": input_ranges(config, splits)}
        write_json(folder.config_path, {**record, **looks})
    write_json(
        folder.environment_path,
        {**backend.environment(), "data_sha256": splits.sha256},
    )
    seen = isinstance(pairs, TargetPairs)  # what no clean image tells
    bias = output_bias(pairs.mean_target()) if seen else mean_bias(splits)
    model = start(config, spec, bias)
    model.compile(make_optimizer(config, pairs.batches), LOSSES[config.loss]())
    return model, {key: [] for key in HISTORY_KEYS}


def start(config: RunConfig, spec: Spec, output_bias: float) -> keras.Model:
    """Return the model that `spec` describes, with the weights that a run starts from.

    Args:
        config: gives the seed, the bias of the latent, and the model to start from.
        spec: the architecture.
        output_bias: of the last layer, see `mean_bias`.
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

    The history is written before the model, so a kill between the two leaves it an
    epoch ahead; the optimizer's own step count says which epoch the weights are of.
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
            f"{folder.model_path} and {folder.history_path} are not of one run; remove "
            f"{folder.path} to train anew."
        )
    return model, {key: column[:done] for key, column in history.items()}


def mean_bias(splits: Splits) -> float:
    """Return the output bias at which a model starts on the mean training pixel."""
    return output_bias(mean_pixel(splits.train, splits.low, splits.high))


def mean_pixel(images: Images, low: float, high: float) -> float:
    """Return the mean of images (N, H, W, C) on the scale of `low` to `high`."""
    # Block by block, so that the images are never float all at once.
    starts = range(0, len(images), 4096)
    sums = [
        normalise(images[start : start + 4096], low, high).sum(dtype=np.float64)
        for start in starts
    ]
    return float(sum(sums) / images.size)
