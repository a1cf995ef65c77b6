"""Noise as pure functions of clean images and a random generator.

Each row of `NOISES` is a frozen dataclass. An instance is called as `noise(clean, rng)
-> noisy` on float32 images in [0, 1], (N, H, W, C) or any shape (`blur` needs the
former). The first field of a row is its strength, so that a noise can be written as
`kind:strength`. Several noises are written in order, as in `blur:1+gaussian:0.3`. A
strength can be a range, `gaussian:0.1..0.9`, from which each image draws its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from numbers import Real
from typing import Any, ClassVar, Protocol

import numpy as np

from keras_dae.errors import UsageError, check, is_a

PAPER_SIGMA = 0.5
MAX_SIGMA = 1e6  # well within float32, and far above any useful value


class Noise(Protocol):
    """The interface of every row of `NOISES`."""

    kind: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def clip(self) -> bool:
        """Whether the noisy images are clipped to [0, 1]."""
        ...

    def __call__(self, clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return noisy images: a new float32 array of the shape of `clean`."""
        ...


def _check_strength(name: str, value: Any, low: float, high: float) -> None:
    check(
        is_a(value, Real) and not is_a(value, bool) and low <= value <= high,
        f"{name} must be a number from {low:g} to {high:g}.",
        **{name: value},
    )


def _clipped(noisy: np.ndarray, clip: bool) -> np.ndarray:
    return noisy.clip(0.0, 1.0, out=noisy) if clip else noisy


@dataclass(frozen=True)
class Gaussian:
    """Additive Gaussian noise, clean + sigma * N(0, 1) (paper, section 2.2).

    Attributes:
        sigma: standard deviation on images in [0, 1]; the paper's alpha.
        clip: whether the sum is clipped to [0, 1], as in the paper.

    Raises:
        UsageError: sigma is not a number from 0 to `MAX_SIGMA`.
    """

    kind: ClassVar[str] = "gaussian"
    sigma: float = PAPER_SIGMA
    clip: bool = True

    def __post_init__(self) -> None:
        _check_strength("sigma", self.sigma, 0, MAX_SIGMA)

    def __call__(self, clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return noisy images of the shape of `clean`, float32."""
        noisy = rng.standard_normal(clean.shape, dtype=np.float32)
        noisy *= np.float32(self.sigma)
        noisy += clean
        return _clipped(noisy, self.clip)


@dataclass(frozen=True)
class Speckle:
    """Multiplicative Gaussian noise, clean * (1 + sigma * N(0, 1)).

    Attributes:
        sigma: standard deviation of the factor.
        clip: whether the product is clipped to [0, 1].
    """

    kind: ClassVar[str] = "speckle"
    sigma: float = PAPER_SIGMA
    clip: bool = True

    def __post_init__(self) -> None:
        _check_strength("sigma", self.sigma, 0, MAX_SIGMA)

    def __call__(self, clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return noisy images of the shape of `clean`, float32."""
        noisy = rng.standard_normal(clean.shape, dtype=np.float32)
        noisy *= np.float32(self.sigma)
        noisy += 1
        noisy *= clean
        return _clipped(noisy, self.clip)


@dataclass(frozen=True)
class Uniform:
    """Additive uniform noise, clean + U(-width, width).

    Attributes:
        width: half the range of the added values.
        clip: whether the sum is clipped to [0, 1].
    """

    kind: ClassVar[str] = "uniform"
    width: float = PAPER_SIGMA
    clip: bool = True

    def __post_init__(self) -> None:
        _check_strength("width", self.width, 0, MAX_SIGMA)

    def __call__(self, clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return noisy images of the shape of `clean`, float32."""
        noisy = rng.random(clean.shape, dtype=np.float32)
        noisy *= np.float32(2 * self.width)
        noisy += clean - np.float32(self.width)
        return _clipped(noisy, self.clip)


@dataclass(frozen=True)
class Poisson:
    """Photon noise, Poisson(clean * peak) / peak.

    Attributes:
        peak: photons at an image value of 1; a lower peak gives more noise.
        clip: whether the result is clipped to [0, 1].
    """

    kind: ClassVar[str] = "poisson"
    peak: float = 4.0
    clip: bool = True

    def __post_init__(self) -> None:
        _check_strength("peak", self.peak, 1e-3, MAX_SIGMA)

    def __call__(self, clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return noisy images of the shape of `clean`, float32."""
        # Values below 0, from an earlier noise, emit no photons.
        counts = rng.poisson(np.maximum(clean, 0) * self.peak)
        return _clipped((counts / self.peak).astype(np.float32), self.clip)


@dataclass(frozen=True)
class SaltPepper:
    """Salt-and-pepper noise: a share of the pixels becomes 0 or 1, evenly.

    Attributes:
        amount: probability that a value is replaced.
        clip: has no effect, since replaced values are 0 or 1.
    """

    kind: ClassVar[str] = "salt-pepper"
    amount: float = 0.3
    clip: bool = True

    def __post_init__(self) -> None:
        _check_strength("amount", self.amount, 0, 1)

    def __call__(self, clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return noisy images of the shape of `clean`, float32."""
        drawn = rng.random(clean.shape, dtype=np.float32)
        noisy = clean.astype(np.float32)
        noisy[drawn < self.amount] = 1
        noisy[drawn < self.amount / 2] = 0
        return _clipped(noisy, self.clip)


@dataclass(frozen=True)
class Masking:
    """Masking noise: a share of the values becomes 0.

    This is the corruption of the first denoising autoencoders (P. Vincent et al.,
    "Extracting and Composing Robust Features with Denoising Autoencoders", ICML 2008).

    Attributes:
        amount: probability that a value is set to 0.
        clip: only clips values that were outside [0, 1] before.
    """

    kind: ClassVar[str] = "masking"
    amount: float = 0.5
    clip: bool = True

    def __post_init__(self) -> None:
        _check_strength("amount", self.amount, 0, 1)

    def __call__(self, clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return noisy images of the shape of `clean`, float32."""
        kept = rng.random(clean.shape, dtype=np.float32) >= self.amount
        return _clipped((clean * kept).astype(np.float32), self.clip)


@dataclass(frozen=True)
class Blur:
    """Gaussian blur of each channel, with reflected edges; not random.

    Attributes:
        sigma: standard deviation of the kernel, in pixels.
        clip: whether the result is clipped to [0, 1].
    """

    kind: ClassVar[str] = "blur"
    sigma: float = 1.0
    clip: bool = True

    def __post_init__(self) -> None:
        _check_strength("sigma", self.sigma, 0, 1000)

    def __call__(self, clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return blurred images of the shape of `clean`, (N, H, W, C), float32."""
        from scipy.ndimage import gaussian_filter

        blurred = gaussian_filter(clean, (0, self.sigma, self.sigma, 0))
        return _clipped(blurred.astype(np.float32), self.clip)


@dataclass(frozen=True)
class Camera:
    """Noise of photographs: Gaussian, partly signal-dependent, partly 8-bit.

    For each image it is drawn at random whether the image gets no noise (4 %), whether
    a part of the variance grows with the pixel value (30 %) and which part, and whether
    the image is clipped and rounded to 8 bits (50 %).

    Attributes:
        sigma: standard deviation of the noise at a pixel of mean brightness.
        clip: whether all images are clipped to [0, 1].
    """

    kind: ClassVar[str] = "camera"
    sigma: float = 0.1
    clip: bool = True

    def __post_init__(self) -> None:
        _check_strength("sigma", self.sigma, 0, MAX_SIGMA)

    def __call__(self, clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return noisy images of the shape of `clean`, (N, H, W, C), float32."""
        count = len(clean)
        sigma = np.where(rng.random(count) < 0.04, 0, self.sigma)
        share = np.where(rng.random(count) < 0.3, rng.random(count), 0)
        sigma, share = (
            part.astype(np.float32)[:, None, None, None] for part in (sigma, share)
        )
        rounded = rng.random(count) < 0.5
        light = clean.mean(axis=(1, 2, 3), keepdims=True).clip(0.05)
        variance = 1 - share + share * np.maximum(clean, 0) / light
        noisy = rng.standard_normal(clean.shape, dtype=np.float32)
        noisy *= sigma * np.sqrt(variance)
        noisy += clean
        noisy[rounded] = np.rint(noisy[rounded].clip(0, 1) * 255) / 255
        return _clipped(noisy, self.clip)


@dataclass(frozen=True)
class Ranged:
    """A noise of unknown strength: each image draws its own, uniformly from a range.

    A model trained on it is blind: the strength is not an input. The strengths of all
    images (N, ...) are drawn first, then the noise of one image after the other.

    Attributes:
        weak: the noise at the lower end of the range.
        strong: the same kind at the upper end.

    Raises:
        UsageError: the upper end is not larger than the lower end.
    """

    kind: ClassVar[str] = "ranged"
    weak: Noise
    strong: Noise

    def __post_init__(self) -> None:
        given: Any = self.strong  # may be a noise without this strength
        strength = {self.strength: getattr(given, self.strength, None)}
        check(
            type(self.weak) is type(given)
            and replace(self.weak, **strength) == self.strong,
            "Both ends of a range must be the same noise, except for the strength.",
            weak=self.weak,
            strong=self.strong,
        )
        low, high = self.ends
        check(
            low < high,
            "The lower bound must be smaller than the upper bound.",
            range=f"{low}..{high}",
        )

    @property
    def strength(self) -> str:
        """The name of the field that has a range."""
        return fields(self.weak)[0].name

    @property
    def ends(self) -> tuple[float, float]:
        """Lowest and highest strength."""
        return getattr(self.weak, self.strength), getattr(self.strong, self.strength)

    @property
    def clip(self) -> bool:
        """Whether the result is clipped to [0, 1]."""
        return self.weak.clip

    def __call__(self, clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return noisy images of the shape of `clean`, float32."""
        noisy = np.empty(clean.shape, np.float32)
        for index, strength in enumerate(rng.uniform(*self.ends, len(clean))):
            drawn = {self.strength: float(strength)}
            noise = replace(self.weak, **drawn)
            noisy[index] = noise(clean[index : index + 1], rng)[0]
        return noisy


@dataclass(frozen=True)
class Chain:
    """Several noises, one after the other; the result is clipped once, if at all.

    Attributes:
        parts: the noises in order of application. None of them is clipped, whatever
            its own `clip` is.
        clip: whether the result is clipped to [0, 1].
    """

    kind: ClassVar[str] = "chain"
    parts: tuple[Noise, ...]
    clip: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(map(_unclipped, self.parts)))

    def __call__(self, clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return noisy images of the shape of `clean`, float32."""
        noisy = clean
        for part in self.parts:
            noisy = part(noisy, rng)
        return _clipped(noisy, self.clip)


def _unclipped(noise: Any) -> Any:
    """Return the same noise without clipping."""
    if isinstance(noise, Ranged):
        return Ranged(_unclipped(noise.weak), _unclipped(noise.strong))
    return replace(noise, clip=False) if noise.clip else noise


_ROWS: Sequence[type[Any]] = (
    Gaussian,
    SaltPepper,
    Poisson,
    Speckle,
    Uniform,
    Blur,
    Masking,
    Camera,
)
NOISES: dict[str, type[Any]] = {row.kind: row for row in _ROWS}


def make_noise(kind: str, **parameters: Any) -> Noise:
    """Return the noise named `kind` with its parameters.

    Args:
        kind: 'gaussian', 'speckle', 'blur' or another row of `NOISES`.
        parameters: its fields. The first one, the strength, can be a pair (low, high)
            from which each image draws its own.

    Raises:
        UsageError: the kind or a parameter is unknown, or a value is invalid.
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
    strength = parameters.get(known[0])
    if isinstance(strength, list | tuple):
        check(len(strength) == 2, "A range must have two ends.", **{known[0]: strength})
        return Ranged(*(row(**{**parameters, known[0]: end}) for end in strength))
    noise: Noise = row(**parameters)
    return noise
