"""Early stopping: lower the learning rate when validation stalls, then stop.

With a rate that falls to 0 by a fixed epoch, validation improves until that epoch, so
that early stopping never triggers. With patience the rate is constant instead. If
`patience` epochs in a row do not lower the validation loss, the rate is multiplied by
`FALL`; after two falls, the next plateau ends training. The rate falls at the latest
after half and after three quarters of the epochs, so that a run which the number of
epochs ends also ends with a low rate. The epoch with the lowest validation loss is
saved. All of this is computed from the history, so a resumed run behaves the same.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_dae.training.config import RunConfig

FALL = 0.2  # factor of the rate at each fall
LATEST = (0.5, 0.75)  # shares of the epochs after which the rate has fallen


def plateaus(losses: Sequence[float], epochs: int, patience: int) -> int:
    """Return how often the loss has stopped improving, or the rate had to fall.

    Args:
        losses: validation losses, one per epoch.
        epochs: largest number of epochs.
        patience: epochs in a row without a lower loss, at least 1.

    Example:
        >>> plateaus([3.0, 2.0, 2.5, 2.0, 2.1, 1.0, 1.5], epochs=20, patience=2)
        1
        >>> plateaus([3.0, 2.0, 1.0], epochs=4, patience=2)
        2
    """
    lowest, waited, found = float("inf"), 0, 0
    for done, loss in enumerate(losses, 1):
        waited = 0 if loss < lowest else waited + 1
        lowest = min(lowest, loss)
        due = sum(done >= share * epochs for share in LATEST)
        if waited == patience or found < due:
            found, waited = found + 1, 0
    return found


def rate_share(losses: Sequence[float], epochs: int, patience: int) -> float:
    """Return the factor of the learning rate for the next epoch."""
    return float(FALL ** plateaus(losses, epochs, patience))


def has_stopped(losses: Sequence[float], epochs: int, patience: int) -> bool:
    """Return whether the loss has stopped improving at the lowest rate."""
    return patience > 0 and plateaus(losses, epochs, patience) > len(LATEST)


def has_ended(losses: Sequence[float], epochs: int, patience: int) -> bool:
    """Return whether training with these validation losses has ended."""
    return has_stopped(losses, epochs, patience) or len(losses) >= epochs


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
