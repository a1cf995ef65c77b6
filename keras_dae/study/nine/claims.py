"""The paper's claims as comparisons of test errors, decided with statistics.

(*) at a given depth, a smaller latent gives a higher loss; (**) a shallower model
gives a higher loss (paper, section 4.2); section 5.1 adds three statements. Each
comparison is made once. The difference of mean test errors is tested over seeds with
Welch's test, paired over images. All p-values are corrected together with Holm's
method. With fewer than three seeds there is no verdict.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from keras_dae.evaluation.contrasts import (
    FEWEST_SEEDS,
    LEVEL,
    Terms,
    estimate,
    holm,
    p_value,
)
from keras_dae.models.architectures import DAESpec

VERDICTS = ("HOLDS", "FAILS", "UNCLEAR", "NOT DECIDED")
SMALLER_LATENT = "(*) a smaller latent gives a higher loss"
SHALLOWER = "(**) a shallower model gives a higher loss"
# At depth 1 there is a single convolution to the latent, which cannot be widened.
# Greater depth then adds a nonlinear layer, so these comparisons do not count for (**).
NEARLY_LINEAR = "(**) at depth 1: the nearly linear model gives a higher loss"
GROWS_WHEN_SHALLOWER = (
    "(5.1) from 13x13 to 8x8, the loss grows more in a shallower model"
)
GROWS_TOWARDS_5X5 = "(5.1) the loss grows more from 8x8 to 5x5 than from 13x13 to 8x8"
MINUS = " - "
CLOSE = 0.03


@dataclass(frozen=True)
class Pair:
    """One comparison: the claim says that `worse` has the higher error.

    Each side is the name of a model, or `one - other` for claims on increases.
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
    """Return the comparisons behind the claims, without duplicates.

    That the deepest model is the best at every latent size (section 5.1) is decided by
    the comparisons with the deepest one in (**) and at depth 1, and adds none.
    """
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
            claim = NEARLY_LINEAR if shallow.depth == 1 else SHALLOWER
            pairs.append(Pair(claim, shallow.name, deep.name))
    order = (SMALLER_LATENT, SHALLOWER, NEARLY_LINEAR)
    pairs.sort(key=lambda pair: order.index(pair.claim))
    return pairs + list(_sentences(specs))


def _sentences(specs: list[DAESpec]) -> Iterator[Pair]:
    """Yield the comparisons behind the statements of section 5.1."""
    names = {(spec.depth, _latent(spec)): spec.name for spec in specs}
    depths = sorted({depth for depth, _ in names})

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
            yield Pair(GROWS_TOWARDS_5X5, worse, better)


def close_models(losses: Mapping[tuple[int, int], float]) -> set[tuple[int, int]]:
    """Return the models that are compared with one of nearly the same loss.

    Such pairs need more seeds. Which ones they are must follow from validation losses,
    since test errors decide the claims.

    Args:
        losses: (depth, latent) -> mean validation loss.

    Returns:
        Every (depth, latent) that differs in one of the two from a model whose loss is
        less than 3 % (`CLOSE`) higher or lower.

    Example:
        >>> sorted(close_models({(5, 13): 1.0, (5, 8): 1.02, (3, 8): 1.1}))
        [(5, 8), (5, 13)]
    """
    close = set[tuple[int, int]]()
    for one, other in combinations(losses, 2):
        compared = (one[0] == other[0]) != (one[1] == other[1])
        low, high = sorted((losses[one], losses[other]))
        if compared and high < low * (1 + CLOSE):
            close |= {one, other}
    return close


def decide(
    pairs: list[Pair], errors: dict[str, np.ndarray], specs: dict[str, DAESpec]
) -> list[dict[str, Any]]:
    """Return a row with a verdict for each pair.

    Args:
        pairs: the comparisons.
        errors: model name -> test errors of shape (seeds, images), for the same images
            and noise.
        specs: model name -> architecture, to list what else differs in a pair.

    Returns:
        Rows with the difference of means (worse minus better), its standard deviation
        over seeds (None for one seed), standard error and degrees of freedom, a 95 %
        interval, the p-value, its test, Holm's p-value and the verdict: HOLDS or FAILS
        if the difference is significant, else UNCLEAR. With fewer than `FEWEST_SEEDS`
        seeds the verdict is NOT DECIDED, and the values of the test are None.
    """
    rows = [_row(pair, errors, specs) for pair in pairs]
    tested = [row for row in rows if row["p"] is not None]
    for row, corrected in zip(tested, holm([r["p"] for r in tested]), strict=True):
        row["p_holm"] = corrected
        row["verdict"] = verdict(row["difference"], corrected)
    return rows


def _row(
    pair: Pair, errors: dict[str, np.ndarray], specs: dict[str, DAESpec]
) -> dict[str, Any]:
    """Return the row of one pair, before the correction."""
    terms = [(factor, errors[name]) for name, factor in pair.coefficients().items()]
    seeds = [len(part) for _, part in terms]
    row: dict[str, Any] = {
        "claim": pair.claim,
        "worse": pair.worse,
        "better": pair.better,
        "difference": float(sum(factor * part.mean() for factor, part in terms)),
        "spread": _spread(terms),
        "seeds": seeds,
        "confounds": _confounds(pair, specs),
        **dict.fromkeys(("standard_error", "degrees_of_freedom", "low", "high")),
        **{"p": None, "test": None, "p_holm": None, "verdict": "NOT DECIDED"},
    }
    if min(seeds) < FEWEST_SEEDS:
        return row
    found = estimate(terms)
    row["standard_error"], row["degrees_of_freedom"] = found.wider
    row["low"], row["high"] = found.interval()
    row["p"], row["test"] = p_value(terms)
    return row


def verdict(difference: float, p: float) -> str:
    """Return HOLDS or FAILS if p is below `LEVEL`, else UNCLEAR."""
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


def _spread(terms: Terms) -> float | None:
    """Standard deviation of the difference of single runs, over the seeds."""
    if min(len(errors) for _, errors in terms) < 2:
        return None
    variances = [factor**2 * part.mean(axis=1).var(ddof=1) for factor, part in terms]
    return float(np.sqrt(sum(variances)))


def count_verdicts(rows: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, int]]]:
    """Yield each claim with the number of its pairs for each verdict."""
    for claim in dict.fromkeys(row["claim"] for row in rows):
        verdicts = [row["verdict"] for row in rows if row["claim"] == claim]
        yield (
            claim,
            {name: verdicts.count(name) for name in VERDICTS},
        )
