"""Short unique names for paths."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path


def unique(paths: Iterable[Path | str]) -> list[str]:
    """Return the last part of each path, or the whole path if others share that part.

    Example:
        >>> unique(["a/model.keras", "b/model.keras", "c/dae.keras"])
        ['a/model.keras', 'b/model.keras', 'dae.keras']
    """
    given = [Path(path) for path in paths]
    shared = Counter(path.name for path in given)
    return [path.name if shared[path.name] == 1 else str(path) for path in given]


def stems(paths: Iterable[Path | str]) -> list[str]:
    """Return the names of `unique` without the ending `.keras`, still unique."""
    given = [str(path) for path in paths]
    names = unique(path.removesuffix(".keras") for path in given)
    counts = Counter(names)
    return [
        name if counts[name] == 1 else path
        for name, path in zip(names, given, strict=True)
    ]
