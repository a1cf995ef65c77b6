"""Noise drawn on the training device: ROWS, with the random numbers of `philox`.

Each row computes the noise of its kind in `keras_dae.images.noise` from other random
numbers: the distribution is the same, the values are not.
"""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from keras_dae.errors import check
from keras_dae.images.noise import (
    Chain,
    Gaussian,
    Masking,
    Noise,
    Ranged,
    SaltPepper,
    Speckle,
    Uniform,
)
from keras_dae.training.fast.philox import Draw

# A number, or one per image.
Strength = float | Tensor
Row = Callable[[Tensor, Strength, Draw, int], Tensor]


def _gaussian(clean: Tensor, sigma: Strength, draw: Draw, part: int) -> Tensor:
    return draw.normals(part).mul_(sigma).add_(clean)


def _speckle(clean: Tensor, sigma: Strength, draw: Draw, part: int) -> Tensor:
    return draw.normals(part).mul_(sigma).add_(1).mul_(clean)


def _uniform(clean: Tensor, width: Strength, draw: Draw, part: int) -> Tensor:
    return draw.uniforms(part).mul_(2).sub_(1).mul_(width).add_(clean)


def _salt_pepper(clean: Tensor, amount: Strength, draw: Draw, part: int) -> Tensor:
    drawn = draw.uniforms(part)
    salted = torch.where(drawn < amount, 1.0, clean)
    return torch.where(drawn < amount / 2, 0.0, salted)


def _masking(clean: Tensor, amount: Strength, draw: Draw, part: int) -> Tensor:
    return clean * (draw.uniforms(part) >= amount)


ROWS: dict[type[Any], Row] = {
    Gaussian: _gaussian,
    Speckle: _speckle,
    Uniform: _uniform,
    SaltPepper: _salt_pepper,
    Masking: _masking,
}


def check_noise(noise: Noise) -> None:
    """Raise an error for a noise that cannot be drawn on a device.

    Raises:
        UsageError: the message names the supported kinds.
    """
    parts = noise.parts if isinstance(noise, Chain) else (noise,)
    for part in parts:
        kind = part.weak if isinstance(part, Ranged) else part
        check(
            type(kind) in ROWS,
            "noise_on=device supports "
            f"{', '.join(row.kind for row in ROWS)}; noise_on must be host for others.",
            noise=kind.kind,
        )


def add_noise(noise: Noise, clean: Tensor, draw: Draw) -> Tensor:
    """Return noisy images, a new tensor of the shape and type of `clean`.

    Args:
        noise: a noise that `check_noise` accepts.
        clean: float32 images in [0, 1], (batches * images, H, W, C), as in `draw`.
        draw: the random numbers.
    """
    parts = noise.parts if isinstance(noise, Chain) else (noise,)
    for number, part in enumerate(parts):
        clean = _add(part, clean, draw, 2 * number)
    # Parts of a chain are not clipped, only its result.
    return clean.clamp_(0, 1) if isinstance(noise, Chain) and noise.clip else clean


def _add(noise: Any, clean: Tensor, draw: Draw, part: int) -> Tensor:
    """Add one noise; the strengths of a range are drawn as the next part."""
    if isinstance(noise, Ranged):
        low, high = noise.ends
        strength: Strength = draw.by_image(part + 1).mul_(high - low).add_(low)
        row = ROWS[type(noise.weak)]
    else:
        strength = getattr(noise, fields(noise)[0].name)
        row = ROWS[type(noise)]
    noisy = row(clean, strength, draw, part)
    return noisy.clamp_(0, 1) if noise.clip else noisy
