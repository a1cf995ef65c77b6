"""Train a model on arrays of clean images, and describe the training in its card."""

from collections.abc import Callable, Iterable
from math import prod
from typing import Any

import keras
import numpy as np

from keras_dae.errors import check
from keras_dae.images.estimates import SMALLEST, measure_ranges
from keras_dae.images.frozen import MEASURED, VALIDATION, FrozenPairs, frozen_arrays
from keras_dae.images.noise_words import describe_noise
from keras_dae.images.pairs import NoisyCleanPairs
from keras_dae.images.ranges import check_unit
from keras_dae.images.rows import Images, as_images
from keras_dae.images.targets import CLEAN, FrozenTargets, TargetPairs
from keras_dae.images.unbiased import describe_targets
from keras_dae.models.counting import macs
from keras_dae.system import backend
from keras_dae.system.numerics import float32
from keras_dae.training.config import make_config
from keras_dae.training.loop import batches_at_once, train_epochs, use_fast_steps
from keras_dae.training.losses import LOSSES
from keras_dae.training.optimizers import make_optimizer

MSE_NAMES = ("mse", "MSE", "mean_squared_error")  # in Keras
# Entries of a card that no longer hold if its model is trained further.
OF_THESE_WEIGHTS = (
    *("data_sha256", "data_seed", "images", "epochs", "seed", "backend"),
    *("input", "figures", "limits", "targets"),
)


def fit_arrays(
    model: keras.Model,
    pairs: NoisyCleanPairs,
    validation: Any,
    *,
    epochs: int,
    before: int,
    compiled: dict[str, Any],
    callbacks: Iterable[keras.callbacks.Callback],
    fast: bool,
    verbose: Any,
) -> tuple[keras.callbacks.History, dict[str, Any]]:
    """Compile and train a model; return the Keras history and entries for its card.

    Args:
        model: the model; its weights change.
        pairs: the training pairs.
        validation: arrays (noisy, clean), or None.
        epochs: passes over the images.
        before: epochs of earlier calls, whose noise is not drawn again.
        compiled: arguments of `keras.Model.compile`.
        callbacks: Keras callbacks.
        fast: use faster steps on torch where they are equivalent.
        verbose: as in `keras.Model.fit`.
    """
    loss = compiled["loss"]
    check(
        targets_of(pairs) == CLEAN or loss in MSE_NAMES or not isinstance(loss, str),
        "Noisy targets need the loss mse: only its mean is that of clean targets.",
        loss=loss,
        targets=targets_of(pairs),
    )
    if isinstance(loss, str) and loss in LOSSES:
        compiled = {**compiled, "loss": LOSSES[loss]()}
    model.compile(**compiled)
    # The fast steps do not support pixel weights.
    fast = targets_of(pairs) != "blind-spot" and fast
    fast = fast and use_fast_steps(model, batch_size=pairs.batch_size)
    callbacks = list(callbacks)
    if not callbacks and verbose == 0:  # nothing reports each batch
        step = (macs(model) or 0) * pairs.batch_size
        values = prod(pairs.images.shape[1:]) * pairs.batch_size
        pairs.at_once = batches_at_once(step, fast, values)
    history = float32()(train_epochs)(
        *(model, pairs, validation),
        epochs=epochs,
        before=before,
        fast=fast,
        callbacks=callbacks,
        verbose=verbose,
    )
    return history, _card_of(pairs, history, fast)


def _card_of(
    pairs: NoisyCleanPairs, history: keras.callbacks.History, fast: bool
) -> dict[str, Any]:
    """Return a description of the training, as JSON values."""
    images = pairs.images
    last = {key: float(column[-1]) for key, column in history.history.items()}
    return {
        "data": "arrays",
        "image_shape": list(images.shape[1:]),
        "values": {"dtype": images.dtype.name, "low": pairs.low, "high": pairs.high},
        "noise": describe_noise(pairs.noise),
        **_input(pairs),
        **describe_targets(targets_of(pairs), pairs.noise),
        "training": {
            "images": len(images),
            "epochs": len(history.epoch),
            "batch_size": pairs.batch_size,
            "seed": pairs.seed,
            "fast_steps": fast,
            "backend": backend.versions(),
            "device": backend.device(),
            "last": last,
        },
    }


def _input(pairs: NoisyCleanPairs) -> dict[str, Any]:
    """Return the ranges of noisy training images; empty if images are too small."""
    if min(pairs.images.shape[1:3]) < SMALLEST:
        return {}
    drawn = FrozenPairs(
        pairs.images,
        pairs.noise,
        seed=pairs.seed,
        split=MEASURED,
        low=pairs.low,
        high=pairs.high,
    )
    return {"input": measure_ranges(drawn.block(0)[0])}


def targets_of(pairs: NoisyCleanPairs) -> str:
    """Return the name of the targets of these pairs, as in `training_pairs`."""
    return pairs.targets if isinstance(pairs, TargetPairs) else CLEAN


def choose_optimizer(
    model: keras.Model,
    given: Any,
    rate: float | None,
    epochs: int,
    pairs: NoisyCleanPairs,
) -> Any:
    """Return the given optimizer, or the study's default for this number of epochs.

    Args:
        model: the default rate depends on the depth in its name, such as DAE_5_13.
        given: an optimizer for `keras.Model.compile`, or None.
        rate: learning rate of the default optimizer; None uses its default.
        epochs: passes over the images.
        pairs: the training pairs.

    Raises:
        UsageError: both an optimizer and a rate are given.
    """
    check(
        given is None or rate is None,
        "learning_rate applies only to the default optimizer.",
        optimizer=given,
        learning_rate=rate,
    )
    if given is not None:
        return given
    fields = {"epochs": epochs, "batch_size": pairs.batch_size}
    rates = {} if rate is None else {"learning_rate": rate}
    kind, _, rest = str(model.name).partition("_")
    depth = rest.partition("_")[0]
    known = {"depth": int(depth)} if kind == "DAE" and depth.isdigit() else {}
    return make_optimizer(make_config({**fields, **rates, **known}), pairs.batches)


def frozen_validation(
    given: Any, pairs: NoisyCleanPairs, check_shape: Callable[[Images], None]
) -> Any:
    """Return validation pairs: the given ones, or images with noise drawn once.

    Args:
        given: images, a pair of arrays (noisy, clean), or None.
        pairs: the training pairs, which define noise, targets, range and seed.
        check_shape: raises an error if images do not have the shape of the model.
    """
    if given is None:
        return None
    if isinstance(given, tuple | list):
        return _checked_pair(given, check_shape)
    images = as_images(given)
    check_shape(images)
    check_validation(images, pairs.images.dtype, pairs.low, pairs.high)
    options: dict[str, Any] = {
        "seed": pairs.seed,
        "split": VALIDATION,
        "low": pairs.low,
        "high": pairs.high,
    }
    if isinstance(pairs, TargetPairs):
        return FrozenTargets(pairs.targets, images, pairs.noise, **options).arrays()
    return frozen_arrays(images, pairs.noise, **options)


def check_validation(images: Images, dtype: Any, low: float, high: float) -> None:
    """Refuse validation images of another type than the training images.

    Raises:
        UsageError: the types differ, or floats are outside the range.
    """
    check(
        images.dtype == dtype,
        "Validation images must have the type of the training images.",
        types=(images.dtype.name, dtype.name),
    )
    if images.dtype.kind == "f" and (low, high) == (0, 1):
        check_unit(images)


def _checked_pair(
    given: tuple[Any, ...] | list[Any], check_shape: Callable[[Images], None]
) -> tuple[np.ndarray, np.ndarray]:
    """Return a pair of arrays (noisy, clean) as float32 (N, H, W, C)."""
    rule = "A pair of validation arrays holds noisy and clean images of one shape"
    check(len(given) == 2, f"{rule}.", arrays=len(given))
    noisy, clean = (np.asarray(as_images(one)) for one in given)
    check(noisy.shape == clean.shape, f"{rule}.", shapes=(noisy.shape, clean.shape))
    check(
        noisy.dtype.kind == clean.dtype.kind == "f",
        f"{rule}, as floats in [0, 1].",
        types=(noisy.dtype.name, clean.dtype.name),
    )
    check_shape(clean)
    return noisy.astype(np.float32, copy=False), clean.astype(np.float32, copy=False)
