"""The data for `fit`: training pairs and frozen validation pairs."""

from typing import Any

import numpy as np

from keras_dae.errors import check
from keras_dae.images.datasets import Splits
from keras_dae.images.frozen import VALIDATION, FrozenPairs, frozen_arrays, is_held
from keras_dae.images.pairs import NoisyCleanPairs
from keras_dae.images.targets import CLEAN, FrozenTargets, training_pairs
from keras_dae.system import backend
from keras_dae.training.config import RunConfig
from keras_dae.training.loop import is_on_cuda

# Items to prefetch in threads on CUDA, where a step can be faster than drawing its
# noise.
MOST_AHEAD = 8


def training_data(config: RunConfig, splits: Splits) -> NoisyCleanPairs:
    """Return the training pairs of a run, with noise drawn on the host or the device.

    Raises:
        UsageError: noise on the device is not supported by the backend or for this
            kind of noise.
    """
    options: dict[str, Any] = {
        "batch_size": config.batch_size,
        "repeat": config.repeat,
        "seed": config.seed,
        "low": splits.low,
        "high": splits.high,
    }
    noise = config.make_noise()
    if config.noise_on == "device":
        check(
            backend.name() == "torch",
            f"noise_on must be host on {backend.name()}; device needs torch.",
            noise_on=config.noise_on,
        )
        from keras_dae.training.fast.device_pairs import DevicePairs

        return DevicePairs(splits.train, noise, **options)
    options["augment"] = config.augment
    carried = is_on_cuda()
    options["prefetch"] = _ahead(splits) if carried else 1
    options["noisy_images"] = config.noisy_files
    pairs = training_pairs(config.targets, splits.train, noise, **options)
    if carried:
        from keras_dae.training.fast.device_pairs import Carrier

        pairs.carrier = Carrier()
    return pairs


def _ahead(splits: Splits) -> int:
    """Return the items to draw ahead on CUDA; a file is read by one thread."""
    if not isinstance(splits.train, np.ndarray):
        return 1
    return max(1, min(MOST_AHEAD, backend.available_cores() - 1))


def validation_data(config: RunConfig, splits: Splits, batch_size: int) -> Any:
    """Return the frozen validation pairs as arrays, or in batches if too large."""
    held, drawn = is_held(splits.validation), _drawn(config, splits)
    if config.targets != CLEAN:
        frozen = FrozenTargets(
            config.targets,
            **drawn,
            batch_size=batch_size,
            noisy_images=config.noisy_files,
        )
        return frozen.arrays() if held else frozen
    if held:
        return validation_arrays(config, splits)
    return FrozenPairs(**drawn, batch_size=batch_size)


def validation_arrays(
    config: RunConfig, splits: Splits
) -> tuple[np.ndarray, np.ndarray]:
    """Return the frozen (noisy, clean) validation arrays of shape (N, H, W, C)."""
    return frozen_arrays(**_drawn(config, splits))


def _drawn(config: RunConfig, splits: Splits) -> dict[str, Any]:
    """Return the validation images and the seed of their noise."""
    return {
        "images": splits.validation,
        "noise": config.make_noise(),
        "seed": config.data_seed,
        "split": VALIDATION,
        "low": splits.low,
        "high": splits.high,
    }
