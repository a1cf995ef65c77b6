"""Noise as pure functions of clean images and a random generator.

Each row of `NOISES` is a frozen dataclass; an instance is called as
`noise(clean, rng) -> noisy` on float32 images in [0, 1], of any shape.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Protocol

import numpy as np

from keras_dae.errors import UsageError, check

PAPER_SIGMA = 0.5
MAX_SIGMA = 1e6  # well within float32, and far beyond any image


class Noise(Protocol):
    """What every row of `NOISES` offers."""

    kind: ClassVar[str]

    def __call__(self, clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the noisy images: a new float32 array of the shape of `clean`."""
        ...


@dataclass(frozen=True)
class Gaussian:
    """Additive Gaussian noise, clean + sigma * N(0, 1) (paper, section 2.2).

    Attributes:
        sigma: standard deviation on images in [0, 1]; the paper's alpha.
        clip: whether the sum is clipped to [0, 1], as in the paper.

    Raises:
        UsageError: sigma is no number from 0 to `MAX_SIGMA`.
    """

    kind: ClassVar[str] = "gaussian"
    sigma: float = PAPER_SIGMA
    clip: bool = True

    def __post_init__(self) -> None:
        check(
            isinstance(self.sigma, (int, float)) and 0 <= self.sigma <= MAX_SIGMA,
            f"sigma must be a number from 0 to {MAX_SIGMA:g}.",
            sigma=self.sigma,
        )

    def __call__(self, clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return noisy images of the shape of `clean`, float32."""
        noisy = rng.standard_normal(clean.shape, dtype=np.float32)
        noisy *= np.float32(self.sigma)
        noisy += clean
        return np.clip(noisy, 0.0, 1.0, out=noisy) if self.clip else noisy


NOISES: dict[str, type[Gaussian]] = {row.kind: row for row in (Gaussian,)}


def make_noise(kind: str, **parameters: Any) -> Noise:
    """Return the noise named `kind` with its parameters.

    Raises:
        UsageError: an unknown kind, a parameter that the kind has not, or a bad value.
    """
    check(kind in NOISES, f"noise must be one of {', '.join(NOISES)}.", noise=kind)
    row = NOISES[kind]
    known = [field.name for field in fields(row)]
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise UsageError(
            f"The noise {kind} takes {', '.join(known)}. "
            f"Received: {', '.join(unknown)}."
        )
    return row(**parameters)


def describe_noise(noise: Noise) -> dict[str, Any]:
    """Return `noise` as JSON values: its kind first, then its parameters."""
    return {"kind": noise.kind, **asdict(noise)}  # type: ignore[call-overload]
