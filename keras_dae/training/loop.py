"""Run `model.fit`: batch sizes, and the choice of training steps."""

from collections.abc import Iterable
from math import prod
from typing import Any

import keras

from keras_dae.errors import check
from keras_dae.images.pairs import EpochClock, NoisyCleanPairs
from keras_dae.models.batches import images_at_once, widest
from keras_dae.system import backend

VALIDATION_BATCH = 128  # largest batch size
# Batches per call of steps that split them again, and of small single-threaded steps.
# The overhead of fit and its loader per call, 0.6 ms, is a third of a step of DAE_1_13.
AT_ONCE, SHORT_AT_ONCE = 8, 32


def train_epochs(
    model: keras.Model,
    pairs: NoisyCleanPairs,
    validation: Any,
    *,
    epochs: int,
    initial_epoch: int = 0,
    before: int = 0,
    fast: bool = False,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    verbose: Any = 0,
) -> keras.callbacks.History:
    """Train a compiled model on `pairs` with `model.fit`.

    Args:
        model: the model; its weights change.
        pairs: the training pairs; their epoch is set by its number.
        validation: arrays (noisy, clean), a dataset of batches, or None.
        epochs: the number of the last epoch.
        initial_epoch: epochs that are already done.
        before: epochs of earlier calls, whose noise is not drawn again.
        fast: whether `use_fast_steps` replaced the steps, which accept larger items.
        callbacks: Keras callbacks.
        verbose: as in `keras.Model.fit`.
    """
    size = None  # a dataset is already batched
    if isinstance(validation, tuple | list):
        values = prod(validation[0].shape[1:])
        size = validation_batch(model, values)
        if fast:
            size = images_at_once(values, size * AT_ONCE)
        if is_on_cuda():
            from keras_dae.training.fast.device_pairs import HeldPairs

            # Keep them on the device, so that they are copied only once.
            validation, size = HeldPairs(tuple(validation), size), None
    return model.fit(
        pairs,
        validation_data=validation,
        validation_batch_size=size,
        initial_epoch=initial_epoch,
        epochs=epochs,
        shuffle=False,
        verbose=verbose,
        callbacks=[EpochClock(pairs, before), *callbacks],
    )


def is_on_cuda() -> bool:
    """Return whether torch trains on a CUDA device."""
    return backend.name() == "torch" and backend.device().startswith("cuda")


def validation_batch(model: keras.Model, values: int) -> int:
    """Return the batch size for validation: a power of 2, bounded by memory.

    Args:
        model: the model; if its size is variable, 64 channels per pixel are assumed.
        values: values per image.
    """
    most = images_at_once(widest(model) or 64 * values, VALIDATION_BATCH)
    return 1 << (most.bit_length() - 1)


def batches_at_once(step: int, fast: bool, values: int = 1) -> int:
    """Return the number of batches that `fit` passes per call.

    Args:
        step: multiply-adds of a training step, as in `backend.useful_threads`.
        fast: whether the steps are those of `use_fast_steps`, which accept several.
        values: values of the images in a batch.
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

    They use torch (`keras_dae.training.fast.steps`) and compute the same numbers,
    except that bfloat16 rounds.

    Args:
        model: a compiled model.
        precision: precision of training steps: 'float32', 'tf32' or 'bfloat16'.
        batch_size: images per step, if several batches can be passed at once.
        graph: whether a step is one CUDA graph; the default is True on CUDA only.
        rate: weight of the bits per pixel in the loss (`fast.rate.RateLoss`); 0 for
            none.
        seed: seed for the noise on the latent that `rate` needs.

    Returns:
        Whether the steps were replaced: False if the model, its loss or its optimizer
        is not supported.

    Raises:
        UsageError: bfloat16 or a rate without torch, or TF32 without CUDA.
    """
    check(
        precision != "tf32" or "cuda" in backend.device(),
        "precision must be float32 or bfloat16 here; tf32 needs a CUDA device.",
        precision=precision,
    )
    if backend.name() != "torch":
        check(
            precision != "bfloat16",
            f"precision must be float32 on {backend.name()}; only torch trains in "
            "bfloat16.",
            precision=precision,
        )
        check(
            not rate, f"rate must be 0 on {backend.name()}; it needs torch.", rate=rate
        )
        return False
    from keras_dae.training.fast.steps import accelerate

    return accelerate(model, precision, batch_size, graph, rate=rate, seed=seed)
