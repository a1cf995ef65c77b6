"""A loss with a price on bits: the squared error, and what the latent costs to store.

Rounding to whole numbers has no gradient. Uniform noise of width 1 moves the latent as
rounding does, and a value of variance v takes about log2(1 + 12 v) / 2 bits then: the
rate of a Gaussian value beside the noise, whose variance is 1/12. The estimate has no
weights of its own, so a run's file holds the autoencoder alone and resumes exactly.
"""

from typing import Any

import keras
import torch
import torch.nn.functional as torch_nn
from torch import Tensor

from keras_dae.models.builders import decoder, encoder
from keras_dae.system.streams import stream
from keras_dae.training.fast.layers import forward


def estimated_bits(latent: Tensor) -> Tensor:
    """Return the bits of one image's latent rounded to whole numbers, estimated.

    Args:
        latent: of a batch, shape (N, C, H, W); the variance is over its N images.
    """
    variance = latent.var(0, correction=0)
    return torch.log2(1 + 12 * variance).sum() / 2


class RateLoss:
    """MSE + rate * bits per pixel, the latent moved as rounding would move it.

    Args:
        model: an autoencoder with a layer named 'latent', compiled.
        rate: the MSE that a bit per pixel may cost.
        seed: what the uniform noise is drawn from, with the step.
    """

    def __init__(self, model: keras.Model, rate: float, seed: int) -> None:
        self.encode: Any = forward(encoder(model))
        self.decode: Any = forward(decoder(model))
        self.optimizer, self.rate, self.seed = model.optimizer, rate, seed

    def __call__(self, noisy: Tensor, clean: Tensor) -> Tensor:
        """Return the loss of a batch of images (N, H, W, C)."""
        latent = self.encode(noisy.permute(0, 3, 1, 2)).float()
        rng = stream("rate", self.seed, int(self.optimizer.iterations))
        moves = torch.from_numpy(rng.random(tuple(latent.shape), dtype="float32"))
        answer = self.decode(latent + moves.to(latent.device) - 0.5)
        error = torch_nn.mse_loss(answer, clean.permute(0, 3, 1, 2))
        return error + self.rate * estimated_bits(latent) / clean[0].numel()
