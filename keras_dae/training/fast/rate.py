"""A rate-distortion loss: the squared error plus the cost of storing the latent.

Rounding to integers has no gradient. Uniform noise of width 1 changes the latent like
rounding. A value of variance v then takes about log2(1 + 12 v) / 2 bits: the rate of a
Gaussian value with this noise, whose variance is 1/12. The estimate has no weights, so
the file of a run holds only the autoencoder, and a run resumes exactly.
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
    """Return the estimated bits of one image's latent, rounded to integers.

    Args:
        latent: latents of a batch, shape (N, C, H, W); the variance is over N.
    """
    variance = latent.var(0, correction=0)
    return torch.log2(1 + 12 * variance).sum() / 2


class RateLoss:
    """MSE + rate * bits per pixel, with noise on the latent in place of rounding.

    Args:
        model: a compiled autoencoder with a layer named 'latent'.
        rate: weight of the bits per pixel.
        seed: seed for the uniform noise, combined with the step.
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
