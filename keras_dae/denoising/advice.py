"""Check whether an image is like the training images of a model.

The same estimator is applied to noisy training images and to the image. Its bias
therefore cancels; for example, clipping hides half of the noise on black.
"""

from typing import Any

import numpy as np

from keras_dae.images.estimates import describe
from keras_dae.images.noise_words import as_noise, noise_label

NOISE_FACTOR = 1.5
SHADE_MARGIN = 0.1
Ranges = dict[str, tuple[float, float]]


def usual(card: dict[str, Any]) -> Ranges:
    """Return the ranges of the estimates over a model's training images, if known.

    Args:
        card: the card of the model. `input` holds the 1st and 99th percentile of
            `describe` over training images. Without it, `noise` is applied to flat
            images to find what the estimator returns for it.
    """
    if "input" in card:
        ranges = card["input"].items()
        return {key: (float(low), float(high)) for key, (low, high) in ranges}
    noise = card.get("noise")
    if noise is None:
        return {}
    drawn = as_noise(noise)
    shades = np.linspace(0, 1, 5, dtype=np.float32)
    flat = np.broadcast_to(shades[:, None, None, None], (5, 64, 64, 1))
    seen = [describe(image)["sigma"] for image in drawn(flat, np.random.default_rng(0))]
    return {"sigma": (min(seen), max(seen))}


def advise(seen: dict[str, float], ranges: Ranges, card: dict[str, Any]) -> str | None:
    """Return a warning if an image is far from the training images, else None."""
    found = []
    if "sigma" in ranges and _noise_is_far(seen["sigma"], *ranges["sigma"]):
        low, high = ranges["sigma"]
        found.append(
            f"estimated noise {seen['sigma']:.3f} (training {low:.3f}-{high:.3f})"
        )
    for key, word in (("mean", "mean"), ("std", "standard deviation")):
        if key not in ranges:
            continue
        low, high = ranges[key]
        if not low - SHADE_MARGIN <= seen[key] <= high + SHADE_MARGIN:
            found.append(f"{word} {seen[key]:.2f} (training {low:.2f}-{high:.2f})")
    if not found:
        return None
    return (
        f"unlike what the model was trained on ({card.get('data', 'unknown data')}, "
        f"{noise_label(card['noise'])}): {', '.join(found)}; results may be poor"
    )


def _noise_is_far(sigma: float, low: float, high: float) -> bool:
    return not low / NOISE_FACTOR <= sigma <= high * NOISE_FACTOR
