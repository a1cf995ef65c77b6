"""Random numbers on any device of torch, as a pure function of integers.

Philox4x32-10 (J. Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011)
turns a counter of four words and a key of two words into four random words. It uses
integer arithmetic only, so a CPU and a GPU give the same words. Normals are computed
from them in float32 and agree between devices up to rounding.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import pi, prod

import torch
from torch import Tensor

from keras_dae.errors import check

_ROUNDS = 10
_FACTORS = 0xD2511F53, 0xCD9E8D57
_WEYL = 0x9E3779B9, 0xBB67AE85
_MASK = 0xFFFFFFFF
# Values drawn at a time: the words need eight bytes each, several times.
_MOST_VALUES = 1 << 23

Make = Callable[[tuple[Tensor, ...]], Tensor]


def philox(counters: tuple[Tensor, ...], key: tuple[int, int]) -> tuple[Tensor, ...]:
    """Return the four random words of each counter.

    Args:
        counters: four int64 tensors of words from 0 to 2**32 - 1, of shapes that can be
            broadcast.
        key: two such words.

    Returns:
        Four int64 tensors of words from 0 to 2**32 - 1.
    """
    a, b, c, d = counters
    one, other = key
    for _ in range(_ROUNDS):
        # A product of two words wraps to its low 64 bits, which are split in two
        # halves.
        first, second = a * _FACTORS[0], c * _FACTORS[1]
        a, b = ((second >> 32) & _MASK) ^ b ^ one, second & _MASK
        c, d = ((first >> 32) & _MASK) ^ d ^ other, first & _MASK
        one, other = (one + _WEYL[0]) & _MASK, (other + _WEYL[1]) & _MASK
    return a, b, c, d


@dataclass(frozen=True)
class Draw:
    """The random numbers of some batches of an epoch.

    The numbers of an image depend only on seed, epoch, batch, part and the index of the
    image in its batch, not on which batches are drawn together.

    Attributes:
        seed: from 0 to 2**63 - 1.
        epoch: from 0.
        batches: consecutive batch numbers.
        shape: images per batch, height, width and channels.
        device: where the numbers are computed.
    """

    seed: int
    epoch: int
    batches: range
    shape: tuple[int, int, int, int]
    device: torch.device

    def __post_init__(self) -> None:
        images, *image = self.shape
        blocks = images * -(-prod(image) // 4)
        check(
            blocks <= _MASK,
            "A batch must have fewer than 2**34 values.",
            values=prod(self.shape),
        )

    def uniforms(self, part: int) -> Tensor:
        """Return float32 numbers in [0, 1) of shape (batches * images, H, W, C)."""
        return self._values(part, _uniforms)

    def normals(self, part: int) -> Tensor:
        """Return float32 standard normals of shape (batches * images, H, W, C)."""
        return self._values(part, _normals)

    def by_image(self, part: int) -> Tensor:
        """Return float32 numbers in [0, 1) of shape (batches * images, 1, 1, 1)."""
        words = self._words(self.batches, part, 1)
        return _uniforms(words)[..., 0].reshape(-1, 1, 1, 1)

    def _values(self, part: int, make: Make) -> Tensor:
        images, *image = self.shape
        size = prod(image)
        step = max(1, _MOST_VALUES // (images * size))
        found = [
            make(self._words(self.batches[n : n + step], part, -(-size // 4)))
            for n in range(0, len(self.batches), step)
        ]
        values = found[0] if len(found) == 1 else torch.cat(found)
        return values.flatten(2)[..., :size].reshape(-1, *image)

    def _words(self, batches: range, part: int, blocks: int) -> tuple[Tensor, ...]:
        """Return four words for each batch, image and block of an image."""
        images = self.shape[0]
        places = torch.arange(images * blocks, device=self.device)
        numbers = torch.arange(batches.start, batches.stop, device=self.device)
        counters = (
            places.view(1, images, blocks),
            numbers.view(-1, 1, 1),
            torch.full((1, 1, 1), self.epoch, device=self.device),
            torch.full((1, 1, 1), part, device=self.device),
        )
        return philox(counters, (self.seed & _MASK, self.seed >> 32))


def _uniforms(words: tuple[Tensor, ...]) -> Tensor:
    # The upper 24 bits, which float32 represents exactly.
    return torch.stack([(word >> 8).float() * 2**-24 for word in words], -1)


def _normals(words: tuple[Tensor, ...]) -> Tensor:
    """Return normals by the Box-Muller transform, two for two words."""
    made = []
    for one, other in (words[:2], words[2:]):
        length = ((one.float() + 0.5) * 2**-32).log_().mul_(-2).clamp_(min=0).sqrt_()
        angle = other.float() * (2 * pi * 2**-32)
        made += [length * angle.cos(), length * angle.sin()]
    return torch.stack(made, -1)
