"""The paper's claims as comparisons of test errors, decided with statistics.

(*) at a given depth, a smaller latent gives a higher loss; (**) a shallower model
gives a higher loss (paper, section 4.2). For each pair of models the difference of
mean test errors is bootstrapped over seeds and over test images, the images paired,
and the p-values are corrected together by Holm's method.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from keras_dae.models.architectures import DAESpec
from keras_dae.streams import stream

DRAWS = 4000
LEVEL = 0.05
SMALLER_LATENT = "(*) a smaller latent gives a higher loss"
SHALLOWER = "(**) a shallower model gives a higher loss"


@dataclass(frozen=True)
class Pair:
    """One comparison: the claim says that `worse` has the higher error."""

    claim: str
    worse: str
    better: str


def paper_pairs(specs: list[DAESpec]) -> list[Pair]:
    """Return each pair of models behind (*) and (**), equal depth or latent."""
    pairs = []
    for one, other in combinations(specs, 2):
        latents = (one.latent_shape[0], other.latent_shape[0])
        if one.depth == other.depth and latents[0] != latents[1]:
            small, large = sorted((one, other), key=lambda spec: spec.latent_shape[0])
            pairs.append(Pair(SMALLER_LATENT, small.name, large.name))
        elif one.depth != other.depth and latents[0] == latents[1]:
            shallow, deep = sorted((one, other), key=lambda spec: spec.depth)
            pairs.append(Pair(SHALLOWER, shallow.name, deep.name))
    return sorted(pairs, key=lambda pair: pair.claim)


def decide(
    pairs: list[Pair],
    errors: dict[str, np.ndarray],
    specs: dict[str, DAESpec],
    *,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Return a row with a verdict for each pair.

    Args:
        pairs: the comparisons.
        errors: model name -> test errors of shape (seeds, images), of the same
            images and the same noise for every model.
        specs: model name -> architecture, for what the pair confounds.
        seed: what the bootstrap is drawn from.

    Returns:
        Rows with the difference of means (worse minus better), its standard deviation
        over seeds (None for one seed), a 95 % bootstrap interval, Holm's p-value and
        the verdict: HOLDS or FAILS where the difference is beyond chance, else
        UNCLEAR.
    """
    rows: list[dict[str, Any]] = []
    for number, pair in enumerate(pairs):
        worse, better = errors[pair.worse], errors[pair.better]
        draws = bootstrap(worse, better, stream("bootstrap", seed, number))
        difference = float(worse.mean() - better.mean())
        low, high = np.quantile(draws, (LEVEL / 2, 1 - LEVEL / 2))
        rows.append(
            {
                "claim": pair.claim,
                "worse": pair.worse,
                "better": pair.better,
                "difference": difference,
                "spread": _spread(worse, better),
                "low": float(low),
                "high": float(high),
                "p": two_sided_p(draws),
                "seeds": [len(worse), len(better)],
                "confounds": confounds(specs[pair.worse], specs[pair.better]),
            }
        )
    for row, corrected in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = corrected
        row["verdict"] = verdict(row["difference"], corrected)
    return rows


def bootstrap(
    worse: np.ndarray, better: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return `DRAWS` resampled differences of means, shape (DRAWS,).

    Seeds are drawn anew for each model, images once for both: the images are
    paired, the trainings are not.
    """
    images = worse.shape[1]
    differences = np.empty(DRAWS)
    for start in range(0, DRAWS, 500):
        count = min(500, DRAWS - start)
        weights = rng.multinomial(images, np.full(images, 1 / images), count) / images
        means = [weights @ errors.T for errors in (worse, better)]
        resampled = [
            np.take_along_axis(
                mean, rng.integers(mean.shape[1], size=mean.shape), axis=1
            ).mean(axis=1)
            for mean in means
        ]
        differences[start : start + count] = resampled[0] - resampled[1]
    return differences


def two_sided_p(draws: np.ndarray) -> float:
    """Return the share of draws beyond 0 on the rarer side, doubled; never 0."""
    rarer = min((draws <= 0).sum(), (draws >= 0).sum())
    return float(min(1.0, 2 * (rarer + 1) / (len(draws) + 1)))


def holm(p_values: list[float]) -> list[float]:
    """Return Holm's step-down corrected p-values, in the order given."""
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def verdict(difference: float, p: float) -> str:
    """Return HOLDS or FAILS where p is below `LEVEL`, else UNCLEAR."""
    if p >= LEVEL:
        return "UNCLEAR"
    return "HOLDS" if difference > 0 else "FAILS"


def confounds(worse: DAESpec, better: DAESpec) -> dict[str, list[int]]:
    """Return what else differs in a pair, as [worse, better]."""
    return {
        "parameters": [worse.parameters, better.parameters],
        "macs": [worse.macs, better.macs],
        "receptive_field": [worse.receptive_field, better.receptive_field],
    }


def _spread(worse: np.ndarray, better: np.ndarray) -> float | None:
    """Standard deviation of the difference of two trainings, over the seeds."""
    if min(len(worse), len(better)) < 2:
        return None
    variances = [errors.mean(axis=1).var(ddof=1) for errors in (worse, better)]
    return float(np.sqrt(sum(variances)))


def count_verdicts(rows: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, int]]]:
    """Yield each claim with how many of its pairs hold, fail and are unclear."""
    for claim in dict.fromkeys(row["claim"] for row in rows):
        verdicts = [row["verdict"] for row in rows if row["claim"] == claim]
        yield (
            claim,
            {name: verdicts.count(name) for name in ("HOLDS", "FAILS", "UNCLEAR")},
        )
