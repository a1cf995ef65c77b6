"""When a training ends before its last epoch: validation has stopped improving.

A rate that falls to 0 by a fixed epoch improves validation until that epoch, so that
nothing ends early. With patience the rate is held instead. Each time that many epochs
in a row have not lowered the validation loss, it falls to `FALL` of what it was, and
after `FALLS` falls training ends. What is saved is the epoch of the lowest validation
loss. All of it follows from the history, so a resumed run does the same.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_dae.training.config import RunConfig

FALL = 0.2  # of the rate, at each fall
FALLS = 2  # before the plateau that ends training


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
    """Return the share of the learning rate that the next epoch has."""
    return float(FALL ** plateaus(losses, patience))


def has_ended(losses: Sequence[float], epochs: int, patience: int) -> bool:
    """Tell whether a training with these validation losses takes no further epoch."""
    stopped = patience > 0 and plateaus(losses, patience) > FALLS
    return stopped or len(losses) >= epochs


def saved_epoch(config: "RunConfig", losses: Sequence[float]) -> int:
    """Return the epoch, from 0, whose weights a run's `model.keras` holds.

    That is the last one, and of an ended run with patience the first of the lowest
    loss.

    Args:
        config: the run's configuration.
        losses: its validation losses, of at least one epoch.
    """
    ended = has_ended(losses, config.epochs, config.patience)
    if config.patience and ended:
        return list(losses).index(min(losses))
    return len(losses) - 1
