"""Estimate the noise of noisy files without clean ones."""

from itertools import islice

import numpy as np

from keras_dae.errors import UsageError
from keras_dae.images.estimates import median_sigma, middle
from keras_dae.images.patches import Patches, unit
from keras_dae.images.rows import normalise
from keras_dae.images.splits import Splits
from keras_dae.training.config import RunConfig

LOOKED_AT = 256  # number of images to use
# Share of black and white pixels above which estimates are too low: half of the noise
# of black pixels is clipped.
MOST_CLIPPED = 0.1


def with_sigma(config: RunConfig, splits: Splits) -> RunConfig:
    """Return the configuration with the sigma of its noisy files.

    If the configuration does not give sigma, it is estimated from training images.

    Raises:
        UsageError: it cannot be estimated, see `estimated_sigma`.
    """
    if not config.noisy_files or config.tells_sigma():
        return config
    sigma = estimated_sigma(splits)
    if sigma is None:
        raise UsageError(
            f"The noise of {splits.name} cannot be estimated: it shows none, or more "
            f"than {MOST_CLIPPED:.0%} of the pixels are black or white. Give --sigma."
        )
    return config.model_copy(update={"sigma": sigma})


def estimated_sigma(splits: Splits) -> float | None:
    """Return the median noise of training images, on the scale of 0 to 1.

    None if there is no noise, or if too many pixels are black or white for an estimate.
    The central `estimates.SIDE` pixels per side of each file are used.
    """
    if isinstance(splits.train, Patches):
        images = [unit(middle(one)) for one in islice(splits.train.images, LOOKED_AT)]
    else:
        images = [*normalise(splits.train[:LOOKED_AT], splits.low, splits.high)]
    clipped = np.mean([np.mean((one <= 0) | (one >= 1)) for one in images])
    sigma = round(median_sigma(images), 4)
    return sigma if sigma > 0 and clipped <= MOST_CLIPPED else None
