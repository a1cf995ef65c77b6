"""Compare models at equal bits, and find the bits below which a claim is reversed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_dae.models.architectures import DAESpec, paper_specs
from keras_dae.study.nine.claims import MINUS, paper_pairs

Curve = Sequence[Mapping[str, float]]  # points of `bits` and `mse`
DENSITY = 2000  # numbers of bits at which two curves are compared


def specs_of(names: Sequence[str]) -> list[DAESpec]:
    """Return the given models that belong to the nine of the paper."""
    return [spec for spec in paper_specs() if spec.name in names]


def error_at(curve: Curve, bits: np.ndarray) -> np.ndarray:
    """Return the lowest MSE for at most so many bits.

    It is interpolated linearly on logarithmic axes. Beyond the last point it is
    constant; before the first point it is NaN.
    """
    points = sorted((point["bits"], point["mse"]) for point in curve)
    if not points:
        return np.full(np.shape(bits), np.nan)
    x, y = np.log(np.array(points)).T
    found = np.interp(np.log(bits), x, np.minimum.accumulate(y), left=np.nan)
    errors: np.ndarray = np.exp(found)
    return errors


def turn(worse: Curve, better: Curve) -> dict[str, Any]:
    """Compare two curves at equal bits.

    Returns:
        `low`, from which on both are measured; `high`, beyond which more bits change
        neither; `turned`, the ranges of bits in which `worse` has the lower error; and
        `below`, the largest of these bits, None if there are none.
    """
    ends = [[point["bits"] for point in curve] for curve in (worse, better)]
    low, high = max(map(min, ends)), max(map(max, ends))
    # Rounding outwards would move the low end outside a curve.
    bits = np.geomspace(low, high, DENSITY)[1:-1]
    lower = error_at(worse, bits) < error_at(better, bits)
    changes = np.flatnonzero(np.diff(np.concatenate([[0], lower, [0]])))
    turned = [
        [float(bits[start]), float(bits[end - 1])]
        for start, end in zip(changes[::2], changes[1::2], strict=True)
    ]
    below = turned[-1][1] if turned else None
    return {"low": low, "high": high, "turned": turned, "below": below}


def turns(models: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return each comparison of two models behind a claim, at equal bits.

    Args:
        models: rows of `name`, the exact `mse` and `points`.
    """
    by_name = {row["name"]: row for row in models}
    found = []
    for pair in paper_pairs(specs_of(list(by_name))):
        if MINUS in pair.worse:
            continue
        worse, better = by_name[pair.worse], by_name[pair.better]
        if not worse["points"] or not better["points"]:
            continue
        found.append(
            {
                **{"claim": pair.claim, "worse": pair.worse, "better": pair.better},
                "holds_exactly": worse["mse"] > better["mse"],
                **turn(worse["points"], better["points"]),
            }
        )
    return found


def leaders(models: Sequence[Mapping[str, Any]], bits: Sequence[float]) -> list[Any]:
    """Return the model with the lowest MSE at each number of bits; None if unknown."""
    errors = {
        row["name"]: error_at(row["points"], np.array(bits))
        for row in models
        if row["points"]
    }
    best: list[Any] = []
    for place in range(len(bits)):
        here = {n: e[place] for n, e in errors.items() if not np.isnan(e[place])}
        best.append(min(here, key=here.__getitem__) if here else None)
    return best
