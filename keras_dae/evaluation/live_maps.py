"""Latent maps that answer: a ReLU map that is 0 for every image carries nothing."""

import keras
import numpy as np

from keras_dae.models.builders import encoder


def live_maps(model: keras.Model, noisy: np.ndarray) -> list[float]:
    """Return for each latent map the share of images in which it is above 0 anywhere.

    A map whose share is 0 is dead: the latent is that much smaller than its shape says.

    Args:
        model: an autoencoder of `keras_dae.models.builders.build`.
        noisy: images of shape (N, H, W, C), values in [0, 1].

    Returns:
        One share in [0, 1] for each map of the latent.
    """
    latent = np.asarray(encoder(model).predict(noisy, batch_size=128, verbose=0))
    return [float(share) for share in (latent > 0).any(axis=(1, 2)).mean(axis=0)]
