"""Verdicts on depth: where it helps, where it overfits, where training is harder."""

from collections.abc import Iterable, Mapping
from statistics import mean, stdev, variance
from typing import Any

from keras_dae.evaluation.contrasts import FEWEST_SEEDS

Row = dict[str, Any]
Runs = dict[int, list[Row]]  # by depth

PLAIN, RESIDUAL = "plain", "residual"
NETS = (PLAIN, RESIDUAL)
# `train` is measured with the saved weights; `fitted` is the loss of the last epoch.
PARTS = ("train", "fitted", "validation", "test")
GAP = 0.1
CHANCE = 3.0  # standard errors of a difference over seeds


def findings(rows: Iterable[Row]) -> list[Row]:
    """Return for each number of training images and network where depth stops helping.

    The residual networks include the plain ones that are too shallow for a block. Each
    finding holds `train_images`, `net` ('plain' or 'residual'), `seeds`, and by depth
    the means over seeds (`means`) and the standard deviation of the validation loss
    (`spread`, None for one seed); and

    - `best`: the depth with the lowest validation loss;
    - `enough`: the smallest depth from which no deeper one is better by more than the
      spread over seeds (of the two depths, added in squares; 0 for one seed);
    - `gap`: validation loss minus training loss, by depth;
    - `opens`: the smallest depth whose validation loss exceeds its training loss by
      more than `GAP`, None if there is none;
    - `overfits`: the smallest depth beyond `best` at which the loss of the last epoch
      has fallen and the validation loss risen, each by more than `CHANCE` standard
      errors over seeds; None if there is none, or with fewer than `FEWEST_SEEDS`;
    - `harder`: the smallest depth at which the loss of the last epoch exceeds the
      lowest one of shallower depths by as much; None as above.
    """
    rows, found = list(rows), []
    for size in sorted({row["train_images"] for row in rows}):
        own = [row for row in rows if row["train_images"] == size]
        for net in NETS:
            if any(row["net"] == net for row in own):
                found.append(_finding(size, net, [r for r in own if counts(r, net)]))
    return found


def counts(row: Mapping[str, Any], net: str) -> bool:
    """Return whether a row belongs to this network; a plain one without blocks does."""
    return row["net"] == net or (net == RESIDUAL and row["blocks"] == 0)


def _finding(size: int, net: str, own: list[Row]) -> Row:
    depths = sorted({row["depth"] for row in own})
    of = {depth: [r for r in own if r["depth"] == depth] for depth in depths}
    means = {
        part: {depth: mean(r[part] for r in of[depth]) for depth in depths}
        for part in PARTS
    }
    several = min(len(runs) for runs in of.values()) > 1
    spread = {
        depth: stdev(r["validation"] for r in of[depth]) if several else None
        for depth in depths
    }
    losses = means["validation"]
    gap = {depth: losses[depth] - means["train"][depth] for depth in depths}
    opened = [d for d in depths if gap[d] > GAP * means["train"][d]]
    return {
        "train_images": size,
        "net": net,
        "seeds": min(len(runs) for runs in of.values()),
        "depths": depths,
        "means": {part: list(means[part].values()) for part in PARTS},
        "spread": list(spread.values()),
        "best": min(depths, key=losses.__getitem__),
        "enough": _enough(depths, losses, spread),
        "gap": list(gap.values()),
        "opens": opened[0] if opened else None,
        "overfits": _overfits(of),
        "harder": _harder(of),
    }


def change(part: str, runs: list[Row], than: list[Row]) -> float:
    """Return the difference of means in standard errors over seeds."""
    values = [[row[part] for row in those] for those in (runs, than)]
    error = sum(variance(those) / len(those) for those in values) ** 0.5
    return float((mean(values[0]) - mean(values[1])) / max(error, 1e-12))


def _decided(of: Runs) -> bool:
    return min(len(runs) for runs in of.values()) >= FEWEST_SEEDS


def _mean(part: str, runs: list[Row]) -> float:
    return float(mean(row[part] for row in runs))


def _overfits(of: Runs) -> int | None:
    if not _decided(of):
        return None
    best = of[min(of, key=lambda depth: _mean("validation", of[depth]))]
    for depth in sorted(one for one in of if one > best[0]["depth"]):
        fallen = change("fitted", of[depth], best) < -CHANCE
        if fallen and change("validation", of[depth], best) > CHANCE:
            return depth
    return None


def _harder(of: Runs) -> int | None:
    if not _decided(of):
        return None
    depths = sorted(of)
    for place, depth in enumerate(depths[1:], 1):
        lowest = min((of[d] for d in depths[:place]), key=lambda r: _mean("fitted", r))
        if change("fitted", of[depth], lowest) > CHANCE:
            return depth
    return None


def trainability(rows: Iterable[Row], found: Iterable[Row]) -> list[Row]:
    """Return for each number of training images whether connections repair training.

    Each row holds `train_images`, the depths from which either network is harder to
    train, and `verdict`: 'repaired' if the loss of the last epoch rises with depth in
    plain networks and not in residual ones, and is lower in residual ones at the
    deepest common depth by more than `CHANCE` standard errors; 'not repaired' if it
    rises in plain networks and this does not hold; 'not needed' if it does not rise in
    plain networks; 'not decided' with fewer than `FEWEST_SEEDS` seeds, or if a network
    is missing.
    """
    rows, of = list(rows), {(f["train_images"], f["net"]): f for f in found}
    told = []
    for size in sorted({size for size, _ in of}):
        both = [of.get((size, net)) for net in NETS]
        hard = [None if one is None else one["harder"] for one in both]
        told.append(
            {
                "train_images": size,
                "plain_harder": hard[0],
                "residual_harder": hard[1],
                "verdict": _verdict(size, both, rows),
            }
        )
    return told


def _verdict(size: int, both: list[Row | None], rows: list[Row]) -> str:
    plain, residual = both
    if plain is None or residual is None:
        return "not decided"
    if min(plain["seeds"], residual["seeds"]) < FEWEST_SEEDS:
        return "not decided"
    if plain["harder"] is None:
        return "not needed"
    own = [row for row in rows if row["train_images"] == size]
    sides: list[Runs] = [
        {d: [r for r in own if (r["net"], r["depth"]) == (net, d)] for d in depths}
        for net, depths in ((PLAIN, plain["depths"]), (RESIDUAL, residual["depths"]))
    ]
    common = [d for d in sides[0] if sides[0][d] and sides[1].get(d)]
    if residual["harder"] is not None or not common:
        return "not repaired"
    deepest = max(common)
    lower = change("fitted", sides[1][deepest], sides[0][deepest]) < -CHANCE
    return "repaired" if lower else "not repaired"


def _enough(
    depths: list[int], losses: dict[int, float], spread: dict[int, float | None]
) -> int:
    for depth in depths:
        deeper = [other for other in depths if other > depth]
        chance = {
            other: ((spread[depth] or 0) ** 2 + (spread[other] or 0) ** 2) ** 0.5
            for other in deeper
        }
        if all(losses[depth] - losses[other] <= chance[other] for other in deeper):
            return depth
    return depths[-1]
