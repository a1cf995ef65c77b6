"""One type for all compared denoisers: baselines, filters, models and a user's own."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from math import prod
from typing import Any

from keras_dae.errors import UsageError
from keras_dae.evaluation.affine import DRAWS as AFFINE_DRAWS
from keras_dae.evaluation.affine import RANKS as AFFINE_RANKS
from keras_dae.evaluation.affine import LeastSquares, fit_affine
from keras_dae.evaluation.baselines import BASELINES, MEDIANS, Denoiser
from keras_dae.evaluation.corrections import corrections
from keras_dae.evaluation.filters import FILTERS, Filter, Settings
from keras_dae.evaluation.scoring import TestBench
from keras_dae.images.noise_words import describe_noise
from keras_dae.images.splits import Splits
from keras_dae.study.common.loaders import Facts, Loaded
from keras_dae.study.common.store import Store
from keras_dae.study.common.tuning import NO_SIZE, filter_name, tuned_filter, versions
from keras_dae.system import backend

NOISY = "noisy input"
KINDS = ("floor", "filter", "dae", "best", "ceiling", "user")
NO_NETWORK = ("floor", "filter")
AFFINE_VALUES = 4096  # per image; the fit takes 2 GB and grows with their square
# Filters with commonly quoted parameters, without tuning.
UNTUNED: dict[str, tuple[str, Settings]] = {
    "mean 3x3": ("mean", {"size": 3}),
    "median 3x3": ("median", {"size": 3}),
}
SLOW = 200  # images per measurement of a slow filter


@dataclass(frozen=True)
class Candidate:
    """One denoiser to compare with others.

    Attributes:
        name: name in tables; the seeds of one model share it.
        kind: one of `KINDS`.
        fingerprint: JSON values that its outputs depend on besides its input; None if
            they are not known, so that it is measured each time.
        load: fits, tunes or loads it. It returns a function of noisy images, float32
            (N, H, W, C) in [0, 1], and facts (parameters, bytes, macs).
        facts: JSON values known without loading it, such as the seed of a run.
        group: candidates of one group form one row, such as the seeds of a model; the
            default is the name.
        images: measure it on the first N test images; None for all.
    """

    name: str
    kind: str
    fingerprint: dict[str, Any] | None
    load: Callable[[], Loaded]
    facts: Facts = field(default_factory=dict)
    group: str = ""
    images: int | None = None

    @cached_property
    def denoise(self) -> Denoiser:
        """The denoiser, loaded on first use."""
        return self.load()[0]

    @property
    def key(self) -> tuple[str, str]:
        """Kind and group, which identify a row of a table."""
        return self.kind, self.group or self.name

    @property
    def about(self) -> Facts:
        """The facts shown in rows of one run."""
        hidden = ("val_loss", "file")
        return {k: v for k, v in self.facts.items() if k not in hidden}

    @property
    def broad_kind(self) -> str:
        """The kind, with 'model' for every trained network."""
        return self.kind if self.kind in NO_NETWORK else "model"


def baselines(
    splits: Splits, names: Iterable[str] = MEDIANS, kind: str = "filter"
) -> list[Candidate]:
    """Return the named rows of `BASELINES`.

    Raises:
        UsageError: there is no such row.
    """

    def load(name: str) -> Loaded:
        values = prod(splits.image_shape) if name == "mean image" else 0
        facts = {"parameters": values, "bytes": 4 * values, "macs": 0}
        return BASELINES[name](splits), facts

    return [
        Candidate(
            _row_of(BASELINES, name, "baseline"),
            kind,
            {"baseline": name, "data": splits.sha256},
            partial(load, name),
        )
        for name in names
    ]


def _row_of(table: dict[str, Any], name: str, what: str) -> str:
    """Return the name of a row.

    Raises:
        UsageError: there is no such row.
    """
    if name not in table:
        raise UsageError(
            f"A {what} must be one of {', '.join(table)}. Received: {what}={name!r}."
        )
    return name


def floors(
    bench: TestBench, say: Callable[[str], None] = lambda line: None
) -> Iterator[Candidate]:
    """Yield the baselines that are not filters, and the best affine maps.

    Args:
        bench: the images and the noise.
        say: called with a message if images are too large for affine maps.
    """
    yield from baselines(bench.splits, _floor_names(), "floor")
    if bench.pixels > AFFINE_VALUES:
        say(
            f"Affine maps are skipped: images of {bench.pixels:,} values need too much "
            f"memory. The limit is {AFFINE_VALUES:,} values."
        )
        return

    @lru_cache(maxsize=1)
    def solution() -> LeastSquares:
        return fit_affine(
            bench.splits, bench.noise, seed=bench.seed, draws=AFFINE_DRAWS
        )

    def affine(rank: int | None) -> Loaded:
        fitted = solution().map(rank)
        return fitted, fitted.facts

    for name, rank in AFFINE_RANKS.items():
        if rank is not None and rank >= bench.pixels:
            continue  # the same as full rank
        settings = {"rank": rank or bench.pixels, "draws": AFFINE_DRAWS}
        used = {**settings, "numpy": backend.package_version("numpy"), **_drawn(bench)}
        yield Candidate(
            name, "floor", used, partial(affine, rank), {"settings": settings}
        )


def quick(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return baselines and filters for many measurements, without the noisy input.

    Those that are too slow for all images are measured on at most `SLOW` images.
    """
    return [
        replace(one, images=min(one.images, SLOW)) if one.images else one
        for one in candidates
        if one.name != NOISY
    ]


def _floor_names() -> list[str]:
    return [name for name in BASELINES if name not in MEDIANS]


def _drawn(bench: TestBench) -> dict[str, Any]:
    """Return what fitting and tuning depend on: data and noise, not the test split."""
    noise = [describe_noise(bench.noise), bench.seed]
    return {"data": bench.splits.sha256, "noise": noise}


def filters(
    bench: TestBench,
    store: Store,
    say: Callable[[str], None] = lambda line: None,
    *,
    names: Iterable[str] | None = None,
    tune_images: int | None = None,
    untuned: bool = True,
) -> Iterator[Candidate]:
    """Yield the filters, untuned and tuned; report those whose package is missing.

    A tuned filter is yielded without correction and once for each row of
    `corrections`, with separate parameters.

    Args:
        bench: the images and the noise to tune for.
        store: stores chosen parameters.
        say: called with a message about each skipped filter.
        names: rows of `FILTERS`; None uses all.
        tune_images: limit of validation images for tuning; None uses that of each row.
        untuned: also yield filters with quoted parameters.

    Raises:
        UsageError: there is no such row.
    """
    chosen = [
        _row_of(FILTERS, n, "filter") for n in (FILTERS if names is None else names)
    ]
    for name, (base, settings) in UNTUNED.items():
        if untuned and base in chosen:
            used: Facts = {"settings": settings, "versions": versions(FILTERS[base])}
            load = partial(_at, FILTERS[base], settings)
            yield Candidate(name, "filter", used, load, {"settings": settings})
    for name in dict.fromkeys(chosen):
        row = FILTERS[name]
        if tune_images is not None:
            row = replace(
                row,
                tune_images=min(tune_images, row.tune_images),
                curve_images=min(tune_images, row.curve_images),
            )
        if row.missing:
            say(f"{name} is skipped: it needs the package {row.missing}.")
            continue
        used = {
            **{"filter": name, **_drawn(bench)},
            "images": [row.tune_images, row.curve_images],
            "grid": {key: list(values) for key, values in row.grid.items()},
            "versions": versions(row),
        }
        for correction in corrections(bench.noise):
            yield Candidate(
                filter_name(name, correction),
                "filter",
                {**used, "correction": correction},
                partial(tuned_filter, bench, name, row, store, used, correction),
                {"correction": correction},
                images=row.test_images,
            )


def _at(row: Filter, settings: Settings) -> Loaded:
    return row.denoiser(settings), NO_SIZE
