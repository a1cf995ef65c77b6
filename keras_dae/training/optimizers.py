"""Optimizers: Muon for kernels, learning rate schedules, and the choice for a run."""

from typing import Any

import keras
from keras import ops

from keras_dae.system.private import learning_rate
from keras_dae.training.config import RunConfig
from keras_dae.training.optimizer_table import OPTIMIZERS

__all__ = [
    *("OPTIMIZERS", "HeldRate", "KernelMuon", "LinearDecay"),
    *("hold", "make_optimizer"),
]


@keras.saving.register_keras_serializable("keras_dae")
class KernelMuon(keras.optimizers.Muon):  # type: ignore[misc]  # keras is untyped
    """Muon (K. Jordan, 2024) on convolution kernels; Adam on biases.

    The class of keras supports only matrices. Here a kernel of shape (h, w, a, b) is
    reshaped to a matrix (h w a) x b. Its momentum is orthogonalized approximately and
    scaled so that a step changes each weight by 0.2 times the rate in the root mean
    square (J. Liu et al., 2025, "Muon is scalable for LLM training").
    """

    def _should_use_adamw(self, variable: Any) -> bool:
        return len(variable.shape) < 2

    def _muon_update_step(self, gradient: Any, variable: Any, lr: Any, m: Any) -> None:
        self.assign_add(m, ops.add(gradient, m * (self.momentum - 1)))
        ahead = ops.add(gradient, self.momentum * m) if self.nesterov else m
        matrix = ops.reshape(ahead, (-1, variable.shape[-1]))
        step = self.lr_adjust(
            lr * self.zeropower_via_newtonschulz5(matrix, self.ns_steps)
        )
        self.assign_sub(variable, ops.reshape(step, variable.shape))


@keras.saving.register_keras_serializable("keras_dae")
class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]  # keras is untyped
    """A learning rate that rises linearly from 0, then falls linearly to 0.

    The `PolynomialDecay` of keras has no warm-up.

    Args:
        rate: the value at which the fall starts.
        steps: the step at which the rate is 0, including the warm-up.
        warmup_steps: steps of the rise.
    """

    def __init__(self, rate: float, steps: int, warmup_steps: int) -> None:
        super().__init__()
        self.rate, self.steps, self.warmup_steps = rate, steps, warmup_steps

    def __call__(self, step: Any) -> Any:
        """Return the rate of a step, a tensor or a number."""
        risen, fallen = self.slopes(ops.cast(step, "float32"))
        return self.rate * ops.maximum(ops.minimum(risen, fallen), 0)

    def slopes(self, step: Any) -> tuple[Any, Any]:
        """Return the values of the rise and of the fall; the rate is the lower one."""
        fallen = (self.steps - step) / (self.steps - self.warmup_steps)
        return step / self.warmup_steps if self.warmup_steps else fallen, fallen

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {
            "rate": self.rate,
            "steps": self.steps,
            "warmup_steps": self.warmup_steps,
        }


@keras.saving.register_keras_serializable("keras_dae")
class HeldRate(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]  # keras is untyped
    """A learning rate that rises linearly from 0, then stays constant.

    Args:
        rate: the constant rate.
        warmup_steps: steps of the rise.
        share: factor of the rate; `hold` changes it between epochs.
    """

    def __init__(self, rate: float, warmup_steps: int, share: float = 1.0) -> None:
        super().__init__()
        self.rate, self.warmup_steps, self.share = rate, warmup_steps, share

    def __call__(self, step: Any) -> Any:
        """Return the rate of a step, a tensor or a number."""
        risen = ops.cast(step, "float32") / max(self.warmup_steps, 1)
        held = self.rate * self.share
        return held * ops.minimum(risen, 1.0) if self.warmup_steps else held

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {
            "rate": self.rate,
            "warmup_steps": self.warmup_steps,
            "share": self.share,
        }


def hold(model: keras.Model, share: float) -> None:
    """Set the factor of the rate of `model`, whose schedule is `HeldRate`."""
    schedule = learning_rate(model.optimizer)
    if schedule.share == share:
        return
    schedule.share = share
    if keras.backend.backend() != "torch":  # others compiled the factor
        model.make_train_function(force=True)


def make_optimizer(config: RunConfig, steps: int) -> keras.optimizers.Optimizer:
    """Return the optimizer with its learning rate schedule.

    Args:
        config: optimizer, learning rates, warm-up and schedule.
        steps: steps per epoch.
    """
    total = steps * config.epochs
    warmup = min(config.warmup_steps, total // 2)
    rate: Any
    if config.schedule == "plateau":
        rate = HeldRate(config.learning_rate, warmup)
    elif config.schedule == "linear":
        rate = LinearDecay(config.learning_rate, total, warmup)
    else:
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else config.learning_rate,
            total - warmup,
            alpha=1.0 if config.schedule == "constant" else 0.0,
            warmup_target=config.learning_rate if warmup else None,
            warmup_steps=warmup,
        )
    optimizer: keras.optimizers.Optimizer = OPTIMIZERS[config.optimizer].make(
        rate, config
    )
    if config.clip_norm is not None:
        optimizer.global_clipnorm = config.clip_norm
    if config.averaging:
        optimizer.use_ema, optimizer.ema_momentum = True, config.averaging
    return optimizer
