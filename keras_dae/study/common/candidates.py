"""What is compared: one type for floors, filters, trained models and a user's own."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from math import prod
from typing import Any

from keras_dae.errors import UsageError
from keras_dae.evaluation.affine import LeastSquares, fit_affine
from keras_dae.evaluation.baselines import BASELINES, MEDIANS, Denoiser
from keras_dae.evaluation.filters import FILTERS, Filter, Settings, tune
from keras_dae.evaluation.scoring import TestBench
from keras_dae.images.frozen import VALIDATION, frozen_arrays
from keras_dae.images.noise_words import describe_noise
from keras_dae.images.splits import Splits
from keras_dae.study.common.loaders import Facts, Loaded
from keras_dae.study.common.store import Store
from keras_dae.system import backend
from keras_dae.training.progress import new_progress

NOISY = "noisy input"
KINDS = ("floor", "filter", "dae", "best", "ceiling", "user")
NO_NETWORK = ("floor", "filter")
AFFINE_RANKS: dict[str, int | None] = {
    "affine, rank 100": 100,
    "affine, rank 256": 256,
    "affine, rank 676": 676,
    "affine, full rank": None,
}
AFFINE_DRAWS = 10  # more lower the test error by less than 0.1 %
AFFINE_VALUES = 4096  # of an image; the fit takes 2 GB there, growing by their square
# Filters at parameters that nobody chose, as they are often quoted.
UNTUNED: dict[str, tuple[str, Settings]] = {
    "mean 3x3": ("mean", {"size": 3}),
    "median 3x3": ("median", {"size": 3}),
}
SLOW = 200  # images, at most, that a slow filter is asked for in many measurements
NO_SIZE: Facts = {"parameters": 0, "bytes": 0, "macs": None}


@dataclass(frozen=True)
class Candidate:
    """One denoiser that is compared with others.

    Attributes:
        name: as tables show it; the seeds of one model share it.
        kind: one of `KINDS`.
        fingerprint: JSON values that its answers depend on beside its input; None
            where they are not known, so that it is measured each time.
        load: fits, tunes or loads it: returns a function of noisy images, float32
            (N, H, W, C) in [0, 1], and facts (parameters, bytes, macs).
        facts: JSON values that are known without loading it, such as a run's seed.
        group: candidates of one group are one row, such as the seeds of a model; by
            default the name.
        images: test images, from the first, that it is asked for; None for all.
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
        """The denoiser itself, loaded on first use."""
        return self.load()[0]

    @property
    def key(self) -> tuple[str, str]:
        """Kind and group: what tells the rows of a table apart."""
        return self.kind, self.group or self.name

    @property
    def about(self) -> Facts:
        """The facts that rows of one run show."""
        hidden = ("val_loss", "file")
        return {k: v for k, v in self.facts.items() if k not in hidden}

    @property
    def broad_kind(self) -> str:
        """The kind, with every trained network named 'model'."""
        return self.kind if self.kind in NO_NETWORK else "model"


def baselines(
    splits: Splits, names: Iterable[str] = MEDIANS, kind: str = "filter"
) -> list[Candidate]:
    """Return the named rows of `BASELINES`.

    Raises:
        UsageError: a name that is no row.
    """

    def load(name: str) -> Loaded:
        values = prod(splits.image_shape) if name == "mean image" else 0
        facts = {"parameters": values, "bytes": 4 * values, "macs": 0}
        return BASELINES[name](splits), facts

    return [
        Candidate(
            _row_of(BASELINES, name),
            kind,
            {"baseline": name, "data": splits.sha256},
            partial(load, name),
        )
        for name in names
    ]


def _row_of(table: dict[str, Any], name: str) -> str:
    """Return the name of a row.

    Raises:
        UsageError: there is none.
    """
    if name not in table:
        raise UsageError(
            f"A filter must be one of {', '.join(table)}. Received: filter={name!r}."
        )
    return name


def floors(
    bench: TestBench, say: Callable[[str], None] = lambda line: None
) -> Iterator[Candidate]:
    """Yield the baselines that are no filters, and the best affine maps.

    Args:
        bench: the images and the noise that they are of.
        say: told where images are too large for affine maps.
    """
    yield from baselines(bench.splits, _floor_names(), "floor")
    if bench.pixels > AFFINE_VALUES:
        say(
            f"Affine maps are left out: images of {bench.pixels:,} values take too "
            f"much memory; up to {AFFINE_VALUES:,} do not."
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
            continue  # the full rank stands there already
        settings = {"rank": rank or bench.pixels, "draws": AFFINE_DRAWS}
        used = {**settings, "numpy": backend.package_version("numpy"), **_drawn(bench)}
        yield Candidate(
            name, "floor", used, partial(affine, rank), {"settings": settings}
        )


def quick(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return floors and filters for many measurements, without the noisy input.

    Those that are too slow for all images are asked for `SLOW` at most.
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
    """Yield the filters, untuned and tuned; one whose package is absent is named.

    Args:
        bench: the images and the noise that they are tuned for.
        store: keeps chosen parameters, so that none is chosen twice.
        say: told what is left out.
        names: rows of `FILTERS`; None takes all.
        tune_images: validation images to tune on, at most; None takes each row's own.
        untuned: whether to yield those at quoted parameters too.

    Raises:
        UsageError: a name that is no row.
    """
    chosen = [_row_of(FILTERS, n) for n in (FILTERS if names is None else names)]
    for name, (base, settings) in UNTUNED.items():
        if untuned and base in chosen:
            versions = _versions(FILTERS[base])
            used: Facts = {"settings": settings, "versions": versions}
            load = partial(_at, FILTERS[base], settings)
            yield Candidate(name, "filter", used, load, {"settings": settings})
    for name in dict.fromkeys(chosen):
        row = FILTERS[name]
        if tune_images is not None:
            row = replace(row, tune_images=min(tune_images, row.tune_images))
        if row.missing:
            say(f"{name} is left out: it needs the package {row.missing}.")
            continue
        used = {
            **{"filter": name, "images": row.tune_images, **_drawn(bench)},
            "grid": {key: list(values) for key, values in row.grid.items()},
            "versions": _versions(row),
        }
        load = partial(_tuned, bench, name, row, store, used)
        yield Candidate(f"{name}, tuned", "filter", used, load, images=row.test_images)


def _at(row: Filter, settings: Settings) -> Loaded:
    return row.denoiser(settings), NO_SIZE


def _tuned(
    bench: TestBench, name: str, row: Filter, store: Store, used: dict[str, Any]
) -> Loaded:
    """Return a filter at the parameters that suit the validation images best."""
    found = store.figures(f"tuned {name}", used, lambda: _choose(bench, name, row))
    if found["settings"] not in row.settings():  # of a file that somebody wrote
        found = _choose(bench, name, row)
    return row.denoiser(found["settings"]), {**NO_SIZE, **found}


def _choose(bench: TestBench, name: str, row: Filter) -> dict[str, Any]:
    """Return the best parameters on the validation images, and their error."""
    splits = bench.splits
    noisy, clean = frozen_arrays(
        splits.validation[: row.tune_images],
        bench.noise,
        seed=bench.seed,
        split=VALIDATION,
        low=splits.low,
        high=splits.high,
    )
    with new_progress() as display:
        total = sum(1 for _ in row.settings())
        task = display.add_task(f"choosing {name}", total=total, note="")
        settings, error = tune(row, noisy, clean, lambda: display.advance(task))
    tuned_on = {"split": "validation", "images": len(noisy), "mse": error}
    return {"settings": settings, "tuned_on": tuned_on}


def _versions(row: Filter) -> dict[str, str]:
    packages = {"numpy", "scipy", *row.packages}
    return {name: backend.package_version(name) for name in sorted(packages)}
