"""Text of table cells: verdict, interval and p-value of a comparison; live maps."""

from collections.abc import Mapping, Sequence
from typing import Any

NONE = "-"


def verdict_words(row: Mapping[str, Any]) -> str:
    """Return the verdict of a row of `claims.json`, with the reason if there is none.

    Example:
        >>> verdict_words({"verdict": "NOT DECIDED", "seeds": [1, 1]})
        'not decided: 1 seed'
    """
    if row["verdict"] != "NOT DECIDED":
        return str(row["verdict"])
    fewest = min(row["seeds"])
    return f"not decided: {fewest} seed{'s' if fewest > 1 else ''}"


def interval_words(row: Mapping[str, Any]) -> str:
    """Return the 95 % interval of a row of `claims.json`."""
    if row["low"] is None:
        return NONE
    return f"{row['low']:+.5f} to {row['high']:+.5f}"


def p_words(p: float | None) -> str:
    """Return a p-value, with two digits where it is small.

    Example:
        >>> p_words(0.0000123)
        '1.2e-05'
    """
    if p is None:
        return NONE
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"


def seed_words(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the seeds of runs: those of all models, then those of only some.

    Example:
        >>> rows = [{"name": "one", "seed": 0}, {"name": "two", "seed": 0}]
        >>> seed_words([*rows, {"name": "two", "seed": 1}])
        '0; also 1 for two'
    """
    seeds: dict[str, set[int]] = {}
    for row in rows:
        seeds.setdefault(row["name"], set()).add(row["seed"])
    common = set.intersection(*seeds.values())
    further: dict[str, list[str]] = {}
    for name, own in seeds.items():
        if own > common:
            further.setdefault(_listed(own - common), []).append(name)
    also = [f"also {own} for {', '.join(names)}" for own, names in further.items()]
    return "; ".join([_listed(common)] * bool(common) + also)


def _listed(numbers: set[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))


def live_words(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Return how many latent maps of several runs are active for any test image.

    Returns:
        Live maps of all maps; None if a run has no latent, or none were counted.

    Example:
        >>> live_words([{"live_maps": [0.0, 1.0]}, {"live_maps": [0.5, 1.0]}])
        '3 of 4'
    """
    if not rows or any("live_maps" not in row for row in rows):
        return None
    shares = [share for row in rows for share in row["live_maps"]]
    return f"{sum(share > 0 for share in shares)} of {len(shares)}"


def dead_words(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the runs with dead latent maps, or 'none'.

    Returns:
        None if no maps were counted.

    Example:
        >>> dead_words([{"name": "DAE_5_13", "seed": 4, "live_maps": [0.0, 1.0]}])
        'DAE_5_13 seed 4 (1 of 2)'
    """
    counted = [row for row in rows if "live_maps" in row]
    found = [
        f"{row['name']} seed {row['seed']} ({dead} of {len(row['live_maps'])})"
        for row in counted
        if (dead := list(row["live_maps"]).count(0))
    ]
    return (", ".join(found) or "none") if counted else None
