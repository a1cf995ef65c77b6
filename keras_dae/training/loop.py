"""The epochs of `model.fit`: how many images at a time, by which steps."""

from collections.abc import Iterable
from math import prod
from typing import Any

import keras

from keras_dae.errors import check
from keras_dae.images.pairs import EpochClock, NoisyCleanPairs
from keras_dae.models.batches import images_at_once, widest
from keras_dae.system import backend

VALIDATION_BATCH = 128  # images at most
# Batches that `fit` hands over at a time to steps that take them apart, and of steps
# that are computed on one thread: what it and its loader do between two of them,
# 0.6 ms, is as much as a third of a step of DAE_1_13.
AT_ONCE, SHORT_AT_ONCE = 8, 32


def train_epochs(
    model: keras.Model,
    pairs: NoisyCleanPairs,
    validation: Any,
    *,
    epochs: int,
    initial_epoch: int = 0,
    fast: bool = False,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    verbose: Any = 0,
) -> keras.callbacks.History:
    """Train a compiled model on `pairs` with `model.fit`.

    Args:
        model: the model; its weights change.
        pairs: the training pairs, moved to each epoch by their number.
        validation: arrays (noisy, clean), a dataset of batches, or None.
        epochs: the number of the last epoch.
        initial_epoch: epochs that are done already.
        fast: whether `use_fast_steps` replaced the steps; they take larger items apart.
        callbacks: Keras callbacks.
        verbose: what `keras.Model.fit` takes.
    """
    size = None  # a dataset has batches of its own
    if isinstance(validation, tuple | list):
        values = prod(validation[0].shape[1:])
        size = validation_batch(model, values)
        if fast:
            size = images_at_once(values, size * AT_ONCE)
        if is_on_cuda():
            from keras_dae.training.fast.device_pairs import HeldPairs

            # Held there, so that no epoch copies them again.
            validation, size = HeldPairs(tuple(validation), size), None
    return model.fit(
        pairs,
        validation_data=validation,
        validation_batch_size=size,
        initial_epoch=initial_epoch,
        epochs=epochs,
        shuffle=False,
        verbose=verbose,
        callbacks=[EpochClock(pairs), *callbacks],
    )


def is_on_cuda() -> bool:
    """Return whether torch trains on a CUDA device."""
    return backend.name() == "torch" and backend.device().startswith("cuda")


def validation_batch(model: keras.Model, values: int) -> int:
    """Return the images per batch of validation: a power of 2, bounded by memory.

    Args:
        model: the model; of open size, 64 channels at each pixel are taken.
        values: those of one image.
    """
    most = images_at_once(widest(model) or 64 * values, VALIDATION_BATCH)
    return 1 << (most.bit_length() - 1)


def batches_at_once(step: int, fast: bool, values: int = 1) -> int:
    """Return the batches that `fit` hands over at a time.

    Args:
        step: multiply-adds of a training step, as `backend.useful_threads` takes them.
        fast: whether the steps are those of `use_fast_steps`, which take several apart.
        values: those of a batch's images.
    """
    if not fast:
        return 1
    short = backend.useful_threads(step) == 1
    return images_at_once(values, SHORT_AT_ONCE if short else AT_ONCE)


def use_fast_steps(
    model: keras.Model,
    precision: str = "float32",
    batch_size: int | None = None,
    graph: bool | None = None,
    *,
    rate: float = 0,
    seed: int = 0,
) -> bool:
    """Replace Keras's train and test steps with faster equivalents.

    They are torch's (`keras_dae.training.fast.steps`), and compute the same numbers;
    in bfloat16 rounded ones, of any model.

    Args:
        model: a compiled model.
        precision: 'float32', 'tf32' or 'bfloat16', of training steps.
        batch_size: images per step, where several batches may be handed over at once.
        graph: whether a step is one CUDA graph; by default on CUDA alone.
        rate: the MSE that a bit per pixel may cost (`fast.rate.RateLoss`); 0 for none.
        seed: what the rate's noise on the latent is drawn from.

    Returns:
        Whether the steps were replaced: False where the model, its loss or its
        optimizer is not supported.

    Raises:
        UsageError: bfloat16 or a rate on another backend than torch, TF32 without CUDA.
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
        check(not rate, f"rate must be 0 on {backend.name()}; torch has it.", rate=rate)
        return False
    from keras_dae.training.fast.steps import accelerate

    return accelerate(model, precision, batch_size, graph, rate=rate, seed=seed)
