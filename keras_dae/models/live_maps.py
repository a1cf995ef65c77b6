"""Detect dead latent maps, which are 0 for every image because of their ReLU."""

from collections.abc import Sequence

import keras
import numpy as np

from keras_dae.models.builders import encoder


def live_maps(model: keras.Model, noisy: np.ndarray) -> list[float]:
    """Return for each latent map the share of images in which it is not all 0.

    A map with share 0 is dead: the latent is effectively smaller than its shape.

    Args:
        model: an autoencoder from `keras_dae.models.builders.build`.
        noisy: images of shape (N, H, W, C), values in [0, 1].

    Returns:
        One share in [0, 1] per latent map.
    """
    return live_shares(encoder(model), noisy)


def live_shares(half: keras.Model, noisy: np.ndarray) -> list[float]:
    """Return the same as `live_maps`, given the encoder."""
    return alive(np.asarray(half.predict(noisy, batch_size=128, verbose=0)))


def alive(latent: np.ndarray) -> list[float]:
    """Return the share of images in which each map of (N, H, W, maps) is not all 0."""
    return [float(share) for share in (latent > 0).any(axis=(1, 2)).mean(axis=0)]


def dead_maps(shares: Sequence[float], images: str) -> str | None:
    """Return a sentence on the dead latent maps, or None if there are none.

    Args:
        shares: result of `live_maps`.
        images: description of the images, such as '256 validation images'.

    Example:
        >>> dead_maps([0.0, 1.0, 0.5, 0.0], "256 validation images")
        '2 of 4 latent maps answer 0 for all of 256 validation images.'
    """
    if not (dead := list(shares).count(0)):
        return None
    return f"{dead} of {len(shares)} latent maps answer 0 for all of {images}."
