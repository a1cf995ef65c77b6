"""The paper's claims as comparisons of test errors, decided with statistics.

(*) at a given depth, a smaller latent gives a higher loss; (**) a shallower model
gives a higher loss (paper, section 4.2); section 5.1 adds three sentences. For each
comparison the difference of mean test errors is bootstrapped over seeds and over test
images, the images paired, and the p-values are corrected together by Holm's method.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from keras_dae.models.architectures import DAESpec
from keras_dae.system.streams import stream

DRAWS = 4000
LEVEL = 0.05
SMALLER_LATENT = "(*) a smaller latent gives a higher loss"
SHALLOWER = "(**) a shallower model gives a higher loss"
GROWS_WHEN_SHALLOWER = (
    "(5.1) from 13x13 to 8x8 the loss grows more in a shallower model"
)
HIGH_REGARDLESS = "(5.1) 5x5 is high at every depth: its step is the larger one"
DEEPEST_IS_BEST = "(5.1) the deepest model is the best at every latent size"
MINUS = " - "


@dataclass(frozen=True)
class Pair:
    """One comparison: the claim says that `worse` has the higher error.

    Each side is a model's name, or `one - other` where the claim is of increases.
    """

    claim: str
    worse: str
    better: str

    def coefficients(self) -> dict[str, int]:
        """Return model name -> its factor in `worse` minus `better`."""
        factors: Counter[str] = Counter()
        for side, sign in ((self.worse, 1), (self.better, -1)):
            first, _, second = side.partition(MINUS)
            factors[first] += sign
            if second:
                factors[second] -= sign
        return dict(factors)


def _latent(spec: DAESpec) -> int:
    """Return the side of the latent."""
    return spec.sizes[-1]


def paper_pairs(specs: list[DAESpec]) -> list[Pair]:
    """Return each pair of models behind (*) and (**), equal depth or latent."""
    pairs = []
    for one, other in combinations(specs, 2):
        same_depth, same_latent = (
            one.depth == other.depth,
            _latent(one) == _latent(other),
        )
        if same_depth and not same_latent:
            small, large = sorted((one, other), key=_latent)
            pairs.append(Pair(SMALLER_LATENT, small.name, large.name))
        elif same_latent and not same_depth:
            shallow, deep = sorted((one, other), key=lambda spec: spec.depth)
            pairs.append(Pair(SHALLOWER, shallow.name, deep.name))
    return sorted(pairs, key=lambda pair: pair.claim) + list(_sentences(specs))


def _sentences(specs: list[DAESpec]) -> Iterator[Pair]:
    """Yield the comparisons behind the sentences of section 5.1."""
    names = {(spec.depth, _latent(spec)): spec.name for spec in specs}
    depths = sorted({depth for depth, _ in names})
    latents = sorted({latent for _, latent in names})

    def step(depth: int, small: int, large: int) -> str | None:
        """Return the increase of the loss from the large latent to the small one."""
        ends = names.get((depth, small)), names.get((depth, large))
        return None if None in ends else MINUS.join(map(str, ends))

    for shallow, deep in combinations(depths, 2):
        worse, better = step(shallow, 8, 13), step(deep, 8, 13)
        if worse and better:
            yield Pair(GROWS_WHEN_SHALLOWER, worse, better)
    for depth in depths:
        worse, better = step(depth, 5, 8), step(depth, 8, 13)
        if worse and better:
            yield Pair(HIGH_REGARDLESS, worse, better)
    for latent in reversed(latents):
        at = [depth for depth in depths if (depth, latent) in names]
        for depth in at[:-1]:
            yield Pair(DEEPEST_IS_BEST, names[depth, latent], names[at[-1], latent])


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
        terms = [(factor, errors[name]) for name, factor in pair.coefficients().items()]
        draws = bootstrap(terms, stream("bootstrap", seed, number))
        difference = float(sum(factor * part.mean() for factor, part in terms))
        low, high = np.quantile(draws, (LEVEL / 2, 1 - LEVEL / 2))
        rows.append(
            {
                "claim": pair.claim,
                "worse": pair.worse,
                "better": pair.better,
                "difference": difference,
                "spread": _spread(terms),
                "low": float(low),
                "high": float(high),
                "p": two_sided_p(draws),
                "seeds": [len(part) for _, part in terms],
                "confounds": _confounds(pair, specs),
            }
        )
    for row, corrected in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = corrected
        row["verdict"] = verdict(row["difference"], corrected)
    return rows


def bootstrap(
    terms: Sequence[tuple[int, np.ndarray]], rng: np.random.Generator
) -> np.ndarray:
    """Return `DRAWS` resampled sums of factor times mean error, shape (DRAWS,).

    Seeds are drawn anew for each model, images once for all: the images are
    paired, the trainings are not.

    Args:
        terms: factor and test errors of shape (seeds, images) of each model.
        rng: what the resampling is drawn from.
    """
    (_, first), *_ = terms
    images = first.shape[1]
    differences = np.empty(DRAWS)
    for start in range(0, DRAWS, 500):
        count = min(500, DRAWS - start)
        weights = rng.multinomial(images, np.full(images, 1 / images), count) / images
        means = [weights @ errors.T for _, errors in terms]
        resampled = [
            np.take_along_axis(
                mean, rng.integers(mean.shape[1], size=mean.shape), axis=1
            ).mean(axis=1)
            for mean in means
        ]
        differences[start : start + count] = sum(
            factor * mean for (factor, _), mean in zip(terms, resampled, strict=True)
        )
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


def _confounds(pair: Pair, specs: Mapping[str, DAESpec]) -> dict[str, list[int]] | None:
    """Return what else differs in a pair of models; None for a pair of increases."""
    if pair.worse not in specs or pair.better not in specs:
        return None
    return confounds(specs[pair.worse], specs[pair.better])


def _spread(terms: Sequence[tuple[int, np.ndarray]]) -> float | None:
    """Standard deviation of the difference of single trainings, over the seeds."""
    if min(len(errors) for _, errors in terms) < 2:
        return None
    variances = [factor**2 * part.mean(axis=1).var(ddof=1) for factor, part in terms]
    return float(np.sqrt(sum(variances)))


def count_verdicts(rows: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, int]]]:
    """Yield each claim with how many of its pairs hold, fail and are unclear."""
    for claim in dict.fromkeys(row["claim"] for row in rows):
        verdicts = [row["verdict"] for row in rows if row["claim"] == claim]
        yield (
            claim,
            {name: verdicts.count(name) for name in ("HOLDS", "FAILS", "UNCLEAR")},
        )
