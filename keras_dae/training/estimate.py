"""Estimate how long training takes from a few timed steps."""

import time
from math import prod
from typing import Any

import keras

from keras_dae.errors import KerasDAEError
from keras_dae.images.io.arrays import memory
from keras_dae.images.splits import Splits
from keras_dae.images.targets import training_pairs
from keras_dae.system import backend
from keras_dae.system.numerics import float32
from keras_dae.training.config import RunConfig
from keras_dae.training.duration import FORWARD
from keras_dae.training.fitting import start
from keras_dae.training.loop import use_fast_steps
from keras_dae.training.losses import LOSSES
from keras_dae.training.optimizers import make_optimizer

TIMED_SECONDS, TIMED_STEPS = 0.5, 20  # limits of an estimate, after the first step


def check_memory(model: keras.Model, batch: int) -> None:
    """Refuse a batch whose activations and their gradients do not fit into memory.

    Raises:
        KerasDAEError: says how many images would fit.
    """
    if backend.device() != "cpu" or None in model.input_shape[1:]:
        return  # a GPU has its own memory; a model of any size has no fixed shapes
    values = sum(prod(layer.output.shape[1:]) for layer in model.layers)
    an_image = 2 * 4 * values
    if batch * an_image > memory():
        raise KerasDAEError(
            f"A batch of {batch} images takes about {batch * an_image / 1e9:,.0f} GB, "
            f"and this machine has {memory() / 1e9:,.0f} GB; --batch-size "
            f"{max(1, int(memory() / an_image / 2))} or smaller images fit."
        )


def epoch_seconds(config: RunConfig, splits: Splits) -> float:
    """Estimate the seconds per epoch, including validation.

    A separate model is trained for a few steps on the first batches.

    Args:
        config: the run, with `epochs`, not `steps`.
        splits: its data, limited as for the run.
    """
    step = step_seconds(config, splits)
    train = config.epoch_steps(len(splits.train))
    validation = -(-len(splits.validation) // config.batch_size)
    return step * (train + FORWARD * validation)


def step_seconds(config: RunConfig, splits: Splits) -> float:
    """Return the seconds per training step, including drawing of the batch."""
    pairs = training_pairs(
        config.targets,
        splits.train,
        config.make_noise(),
        batch_size=config.batch_size,
        seed=config.seed,
        low=splits.low,
        high=splits.high,
        augment=config.augment,
        noisy_images=config.noisy_files,
    )
    with float32(tf32=config.precision == "tf32"):
        fresh = config.model_copy(update={"start": None})
        model = start(fresh, config.plan(splits.image_shape), 0.0)
        check_memory(model, config.batch_size)
        model.compile(make_optimizer(config, 1), LOSSES[config.loss]())
        lean = config.targets != "blind-spot" and use_fast_steps(
            model, config.precision, config.batch_size
        )

        def step(number: int) -> None:
            batch = pairs[number % len(pairs)]
            if lean:
                given: Any = [tuple(keras.ops.convert_to_tensor(a) for a in batch)]
                keras.ops.convert_to_numpy(model.train_function(given)["loss"])
            else:
                model.train_on_batch(*batch)

        step(0)  # compiles and allocates memory
        began, number = time.perf_counter(), 0
        while number < TIMED_STEPS and time.perf_counter() - began < TIMED_SECONDS:
            number += 1
            step(number)
        return (time.perf_counter() - began) / number
