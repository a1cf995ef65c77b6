"""Early stopping: lower the learning rate when validation stalls, then stop.

With a rate that falls to 0 by a fixed epoch, validation improves until that epoch, so
that early stopping never triggers. With patience the rate is constant instead. If
`patience` epochs in a row do not lower the validation loss, the rate is multiplied by
`FALL`; after `FALLS` such falls, the next plateau ends training. The epoch with the
lowest validation loss is saved. All of this is computed from the history, so a resumed
run behaves the same.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_dae.training.config import RunConfig

FALL = 0.2  # factor of the rate at each fall
FALLS = 2  # falls before the plateau that ends training


def plateaus(losses: Sequence[float], patience: int) -> int:
    """Return how often `patience` epochs in a row have not lowered the loss.

    Args:
        losses: validation losses, one per epoch.
        patience: epochs, at least 1.

    Example:
        >>> plateaus([3.0, 2.0, 2.5, 2.0, 2.1, 1.0, 1.5], patience=2)
        1
    """
    lowest, waited, found = float("inf"), 0, 0
    for loss in losses:
        waited = 0 if loss < lowest else waited + 1
        lowest = min(lowest, loss)
        if waited == patience:
            found, waited = found + 1, 0
    return found


def rate_share(losses: Sequence[float], patience: int) -> float:
    """Return the factor of the learning rate for the next epoch."""
    return float(FALL ** plateaus(losses, patience))


def has_ended(losses: Sequence[float], epochs: int, patience: int) -> bool:
    """Return whether training with these validation losses has ended."""
    stopped = patience > 0 and plateaus(losses, patience) > FALLS
    return stopped or len(losses) >= epochs


def saved_epoch(config: "RunConfig", losses: Sequence[float]) -> int:
    """Return the epoch, from 0, of the weights in a run's `model.keras`.

    It is the last one. If a run with patience has ended, it is the first one with the
    lowest loss.

    Args:
        config: the configuration of the run.
        losses: its validation losses, for at least one epoch.
    """
    ended = has_ended(losses, config.epochs, config.patience)
    if config.patience and ended:
        return list(losses).index(min(losses))
    return len(losses) - 1
