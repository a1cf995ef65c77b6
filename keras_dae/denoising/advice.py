"""Whether an image is of the kind that a model was trained on: estimates, one sentence.

What is compared is what an estimator says of noisy training images with what it says
of this one, so that its own bias (clipping hides half of the noise on black) cancels.
"""

from typing import Any

import numpy as np

from keras_dae.images.estimates import describe
from keras_dae.images.noise import make_noise
from keras_dae.images.noise_words import noise_label

NOISE_FACTOR = 1.5
SHADE_MARGIN = 0.1
Ranges = dict[str, tuple[float, float]]


def usual(card: dict[str, Any]) -> Ranges:
    """Return the ranges in which a model's training images lie, as far as known.

    Args:
        card: with `input` (the 1st and 99th percentile of `describe` over images of
            the training set), or with `noise` alone, which is then drawn on flat
            images to see what the estimator says of it.
    """
    if "input" in card:
        ranges = card["input"].items()
        return {key: (float(low), float(high)) for key, (low, high) in ranges}
    noise = card.get("noise")
    if noise is None or "parts" in noise:
        return {}
    parameters = {k: v for k, v in noise.items() if k not in ("kind", "test_sha256")}
    drawn = make_noise(noise["kind"], **parameters)
    shades = np.linspace(0, 1, 5, dtype=np.float32)
    flat = np.broadcast_to(shades[:, None, None, None], (5, 64, 64, 1))
    seen = [describe(image)["sigma"] for image in drawn(flat, np.random.default_rng(0))]
    return {"sigma": (min(seen), max(seen))}


def advise(seen: dict[str, float], ranges: Ranges, card: dict[str, Any]) -> str | None:
    """Return one sentence if an image is far from a model's training, else None."""
    found = []
    if "sigma" in ranges and _noise_is_far(seen["sigma"], *ranges["sigma"]):
        low, high = ranges["sigma"]
        found.append(
            f"estimated noise {seen['sigma']:.3f} (there {low:.3f}-{high:.3f})"
        )
    for key, word in (("mean", "mean"), ("std", "standard deviation")):
        if key not in ranges:
            continue
        low, high = ranges[key]
        if not low - SHADE_MARGIN <= seen[key] <= high + SHADE_MARGIN:
            found.append(f"{word} {seen[key]:.2f} (there {low:.2f}-{high:.2f})")
    if not found:
        return None
    return (
        f"unlike what the model was trained on ({card.get('data', 'unknown data')}, "
        f"{noise_label(card['noise'])}): {', '.join(found)}; expect little of it"
    )


def _noise_is_far(sigma: float, low: float, high: float) -> bool:
    return not low / NOISE_FACTOR <= sigma <= high * NOISE_FACTOR
