"""Convert noise to and from text, JSON records, labels and file names."""

from dataclasses import asdict, fields, is_dataclass
from typing import Any

import numpy as np

from keras_dae.errors import UsageError, check, is_a, short
from keras_dae.images.noise import (
    NOISES,
    PAPER_SIGMA,
    Chain,
    Gaussian,
    Noise,
    Ranged,
    make_noise,
)


def parse_noise(text: str, *, sigma: float = PAPER_SIGMA, clip: bool = True) -> Noise:
    """Return the noise that `text` describes, such as `blur:1+gaussian:0.3`.

    Args:
        text: kinds with strengths, `kind:strength`, joined by `+` in order of
            application. A strength is a number or a range such as `0.1..0.9`. A kind
            without a strength uses its default.
        sigma: the strength of `gaussian` if the text gives none.
        clip: whether the result is clipped to [0, 1].

    Raises:
        UsageError: a kind is unknown, or a strength is not a number or out of range.
    """
    words = text.split("+")
    parts = []
    for word in words:
        kind, colon, strength = word.partition(":")
        alone = len(words) == 1
        parameters: dict[str, Any] = {"clip": clip and alone}
        if colon:
            parameters[_strength_field(kind, text)] = _strength(strength, text)
        elif kind == Gaussian.kind:
            parameters["sigma"] = sigma
        parts.append(make_noise(kind, **parameters))
    return parts[0] if len(parts) == 1 else Chain(tuple(parts), clip)


def as_noise(noise: Noise | str | dict[str, Any]) -> Noise:
    """Return a noise, given a noise, its text or the result of `describe_noise`.

    Raises:
        UsageError: a kind is unknown, or a strength is not a number or out of range.

    Example:
        >>> as_noise("gaussian:0.5")
        Gaussian(sigma=0.5, clip=True)
    """
    if isinstance(noise, str):
        return parse_noise(noise)
    if not isinstance(noise, dict):
        check(
            is_dataclass(noise) and not is_a(noise, type) and hasattr(noise, "kind"),
            "noise must be text such as gaussian:0.5, or a dataclass with `kind` and "
            "`clip`, as in docs/extend.md.",
            noise=noise,
        )
        return noise
    fields = {k: v for k, v in noise.items() if k not in ("kind", "test_sha256")}
    if "parts" in fields:
        return Chain(tuple(map(as_noise, fields["parts"])), fields["clip"])
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    return make_noise(noise["kind"], **fields)


def _strength_field(kind: str, text: str) -> str:
    check(kind in NOISES, f"noise must be one of {', '.join(NOISES)}.", noise=text)
    return fields(NOISES[kind])[0].name


def _strength(strength: str, text: str) -> float | tuple[float, float]:
    low, dots, high = strength.partition("..")
    try:
        return (float(low), float(high)) if dots else float(strength)
    except ValueError:
        raise UsageError(
            "A noise is written kind:strength, where the strength is a number or a "
            f"range such as 0.1..0.9. Received: noise={short(text)}."
        ) from None


def describe_noise(noise: Noise) -> dict[str, Any]:
    """Return `noise` as JSON values: its kind first, then its parameters."""
    if isinstance(noise, Chain):
        parts = [describe_noise(part) for part in noise.parts]
        kinds = "+".join(part["kind"] for part in parts)
        return {"kind": kinds, "parts": parts, "clip": noise.clip}
    if isinstance(noise, Ranged):
        return {**describe_noise(noise.weak), noise.strength: list(noise.ends)}
    values = asdict(noise).items()
    # Numbers of NumPy are not JSON values.
    return {
        "kind": noise.kind,
        **{k: v.item() if isinstance(v, np.generic) else v for k, v in values},
    }


def noise_label(described: dict[str, Any]) -> str:
    """Return a label for the result of `describe_noise`: `gaussian, sigma 0.5`."""
    if "parts" in described:
        words = " then ".join(
            noise_label({**part, "clip": False}) for part in described["parts"]
        )
    else:
        strengths = [
            f"{key} " + " to ".join(f"{end:g}" for end in _ends(value))
            for key, value in described.items()
            if key not in ("kind", "clip", "test_sha256")
        ]
        words = ", ".join([described["kind"], *strengths])
    return words + (", clipped" if described["clip"] else "")


def _ends(value: float | list[float]) -> list[float]:
    return value if isinstance(value, list) else [value]


def short_label(noise: Noise) -> str:
    """Return a noise as part of a file name, such as `blur-1+gaussian-0.1-to-0.9`."""
    parts = noise.parts if isinstance(noise, Chain) else (noise,)
    return "+".join(_short(part) for part in parts)


def _short(part: Noise) -> str:
    kind, strength, *_ = describe_noise(part).values()
    return f"{kind}-" + "-to-".join(f"{end:g}" for end in _ends(strength))
