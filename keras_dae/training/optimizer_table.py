"""OPTIMIZERS: what moves the weights, one row each; keras is imported when one is made.

A row is used by `--optimizer`, `configs` and the tests of all optimizers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_dae.training.config import RunConfig


@dataclass(frozen=True)
class Optimizer:
    """One row.

    Attributes:
        make: (learning rate or schedule, configuration) -> the Keras optimizer.
        rates: default learning rate at depth 1, and of deeper models. Adam and Muon
            move every weight by about the rate, whatever the layer's width: a single
            layer with 16 inputs per filter takes, and needs, larger steps than deep
            ones.
    """

    make: Callable[[Any, "RunConfig"], Any]
    rates: tuple[float, float]


def _adam(rate: Any, config: "RunConfig") -> Any:
    import keras

    return keras.optimizers.Adam(rate)


def _muon(rate: Any, config: "RunConfig") -> Any:
    from keras_dae.training.optimizers import KernelMuon

    ratio = config.bias_lr_ratio
    return KernelMuon(
        rate, adam_lr_ratio=ratio, weight_decay=None, adam_weight_decay=None
    )


OPTIMIZERS = {
    "adam": Optimizer(_adam, (5e-2, 3e-3)),
    "muon": Optimizer(_muon, (1e-1, 5e-3)),
}
