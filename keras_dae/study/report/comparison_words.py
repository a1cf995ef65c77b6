"""What tables show of a comparison: its verdict, its interval, its p-value."""

from collections.abc import Mapping
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
