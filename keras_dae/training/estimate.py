"""How long a training will take on this machine, from a few of its steps."""

import time

import numpy as np

from keras_dae.images.splits import Splits
from keras_dae.system.numerics import float32
from keras_dae.training.config import RunConfig
from keras_dae.training.duration import FORWARD
from keras_dae.training.fitting import start
from keras_dae.training.loop import use_fast_steps
from keras_dae.training.optimizers import make_optimizer

STEPS = 8  # that are timed; one where they would take longer than MOST_SECONDS
MOST_SECONDS = 1.0


def run_seconds(config: RunConfig, splits: Splits) -> float:
    """Return about how many seconds the epochs of a run take.

    A few training steps of the model are timed, on images without content; drawing
    noise runs beside the steps and is not counted.

    Args:
        config: the run.
        splits: its data, limited to the images that it uses.
    """
    step = _step_seconds(config, splits.image_shape)
    steps = -(-len(splits.train) // config.batch_size)
    validation = FORWARD * len(splits.validation) / config.batch_size
    return config.epochs * (steps + validation) * step


@float32()
def _step_seconds(config: RunConfig, shape: tuple[int, int, int]) -> float:
    """Return the seconds of one training step, the first of which compiles it."""
    model = start(config, config.plan(shape), 0.0)
    model.compile(optimizer=make_optimizer(config, 1000), loss="mse")
    use_fast_steps(model, config.precision)
    images = np.zeros((STEPS * config.batch_size, *shape), np.float32)

    def seconds(steps: int) -> float:
        few = images[: steps * config.batch_size]
        began = time.perf_counter()
        model.fit(few, few, batch_size=config.batch_size, shuffle=False, verbose=0)
        return (time.perf_counter() - began) / steps

    seconds(1)
    once = seconds(1)
    return once if once * STEPS > MOST_SECONDS else seconds(STEPS)
