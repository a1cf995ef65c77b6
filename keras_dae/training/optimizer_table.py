"""OPTIMIZERS, one row each; keras is imported when an optimizer is created.

A row is used by `--optimizer`, `configs` and the tests of all optimizers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_dae.training.config import RunConfig


@dataclass(frozen=True)
class Optimizer:
    """One row of `OPTIMIZERS`.

    Attributes:
        make: (learning rate or schedule, configuration) -> the Keras optimizer.
        rates: default learning rates for depth 1 and for deeper models. Adam and Muon
            change every weight by about the rate, whatever the width of the layer. A
            single layer with 16 inputs per filter needs larger steps than deep ones.
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
