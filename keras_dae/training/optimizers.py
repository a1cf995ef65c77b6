"""What moves the weights: Muon on kernels, schedules, and the optimizer of a run."""

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

    keras's own takes matrices alone. A kernel of shape (h, w, a, b) is taken as the
    matrix of its last axis, (h w a) x b: its momentum is made nearly orthogonal and
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
    """A learning rate that rises from 0 over the warm-up, then falls straight to 0.

    keras's `PolynomialDecay` has no warm-up.

    Args:
        rate: where the fall begins.
        steps: at which it has reached 0, the warm-up included.
        warmup_steps: of the rise.
    """

    def __init__(self, rate: float, steps: int, warmup_steps: int) -> None:
        super().__init__()
        self.rate, self.steps, self.warmup_steps = rate, steps, warmup_steps

    def __call__(self, step: Any) -> Any:
        """Return the rate of a step, a tensor or a number."""
        risen, fallen = self.slopes(ops.cast(step, "float32"))
        return self.rate * ops.maximum(ops.minimum(risen, fallen), 0)

    def slopes(self, step: Any) -> tuple[Any, Any]:
        """Return the heights of the rise and of the fall; the lower one counts."""
        fallen = (self.steps - step) / (self.steps - self.warmup_steps)
        return step / self.warmup_steps if self.warmup_steps else fallen, fallen

    def get_config(self) -> dict[str, Any]:
        """Return what the schedule is made again from."""
        return {
            "rate": self.rate,
            "steps": self.steps,
            "warmup_steps": self.warmup_steps,
        }


@keras.saving.register_keras_serializable("keras_dae")
class HeldRate(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]  # keras is untyped
    """A learning rate that rises from 0 over the warm-up, then is held.

    Args:
        rate: what is held.
        warmup_steps: of the rise.
        share: of the rate that is in force; `hold` changes it between epochs.
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
        """Return what the schedule is made again from."""
        return {
            "rate": self.rate,
            "warmup_steps": self.warmup_steps,
            "share": self.share,
        }


def hold(model: keras.Model, share: float) -> None:
    """Train `model`, whose schedule is `HeldRate`, on at this share of its rate."""
    schedule = learning_rate(model.optimizer)
    if schedule.share == share:
        return
    schedule.share = share
    if keras.backend.backend() != "torch":  # the others have compiled the old share
        model.make_train_function(force=True)


def make_optimizer(config: RunConfig, steps: int) -> keras.optimizers.Optimizer:
    """Return the optimizer, whose rate rises, then is held or falls to 0.

    Args:
        config: names the optimizer, its learning rates, warm-up and schedule.
        steps: of one epoch.
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
