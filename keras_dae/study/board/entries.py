"""What stands on the board: floors, filters, trained models, a user's denoisers."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from keras_dae.errors import UsageError
from keras_dae.evaluation.affine import DRAWS as AFFINE_DRAWS
from keras_dae.evaluation.affine import RANKS as AFFINE_RANKS
from keras_dae.evaluation.affine import LeastSquares, fit_affine
from keras_dae.evaluation.baselines import BASELINES
from keras_dae.evaluation.corrections import corrections
from keras_dae.evaluation.filters import FILTERS, Filter, Settings
from keras_dae.evaluation.scoring import TestBench
from keras_dae.models.families import FAMILIES
from keras_dae.study.board.denoisers import (
    Brought,
    bring,
    bring_keras,
    depends,
    file_sha256,
)
from keras_dae.study.board.tuning import (
    NOTHING,
    choices,
    filter_name,
    tuned_filter,
    versions,
)
from keras_dae.study.common.cells import Cells
from keras_dae.system import backend
from keras_dae.training.config import table_order
from keras_dae.training.runs import RunFolder, model_name

KINDS = ("floor", "filter", "dae", "best", "ceiling", "user")
# What a configuration's `model` stands for; every other one is a ceiling.
MODEL_KINDS = {"dae": "dae", "matched": "dae", "best": "best"}
AFFINE_VALUES = 4096  # of an image; the fit takes 2 GB there, growing by their square
# Filters at parameters that nobody chose, as they are often quoted.
UNTUNED: dict[str, tuple[str, Settings]] = {
    "mean 3x3": ("mean", {"size": 3}),
    "median 3x3": ("median", {"size": 3}),
}


@dataclass(frozen=True)
class Entry:
    """One denoiser to measure.

    Attributes:
        name: as the board shows it.
        kind: one of `KINDS`.
        depends: what its answers depend on beside data and noise, as JSON values;
            None where that is not known, so that it is measured each time.
        make: returns the denoiser, fitted, tuned or loaded.
        group: entries of one group are one row, such as the seeds of a model.
        images: test images, from the first, to score; None for all.
        about: what the row says of it besides.
    """

    name: str
    kind: str
    depends: dict[str, Any] | None
    make: Callable[[], Brought]
    group: str
    images: int | None = None
    about: dict[str, Any] = field(default_factory=dict)


def floors(
    bench: TestBench, say: Callable[[str], None] = lambda line: None
) -> Iterator[Entry]:
    """Yield the answers without learning, and the best affine maps.

    Args:
        bench: the images and the noise that they are of.
        say: told where images are too large for affine maps.
    """
    pixels = bench.pixels
    sizes = {"noisy input": 0, "all black": 0, "mean image": pixels}
    for name, values in sizes.items():
        facts: dict[str, Any] = {
            "parameters": values,
            "bytes": 4 * values,
            "macs": 0,
        }

        def plain(name: str = name, facts: dict[str, Any] = facts) -> Brought:
            return Brought(BASELINES[name](bench.splits), facts)

        yield Entry(name, "floor", {}, plain, name)

    if pixels > AFFINE_VALUES:
        say(
            f"Affine maps are left out: images of {pixels:,} values take too much "
            f"memory; up to {AFFINE_VALUES:,} do not."
        )
        return

    @lru_cache(maxsize=1)
    def solution() -> LeastSquares:
        return fit_affine(
            bench.splits, bench.noise, seed=bench.seed, draws=AFFINE_DRAWS
        )

    for name, rank in AFFINE_RANKS.items():
        if rank is not None and rank >= pixels:
            continue  # the full rank stands there already

        def affine(rank: int | None = rank) -> Brought:
            fitted = solution().map(rank)
            return Brought(fitted, fitted.facts)

        settings = {"rank": rank or pixels, "draws": AFFINE_DRAWS}
        used = {**settings, "numpy": backend.package_version("numpy")}
        yield Entry(name, "floor", used, affine, name, about={"settings": settings})


def filters(
    bench: TestBench,
    say: Callable[[str], None] = lambda line: None,
    *,
    names: Iterable[str] | None = None,
    tune_images: int | None = None,
    kept: Cells | None = None,
    untuned: bool = True,
) -> Iterator[Entry]:
    """Yield the filters, untuned and tuned; one whose package is absent is named.

    A tuned one comes plain and once for each correction of `corrections`, with
    parameters chosen for each.

    Args:
        bench: the images and the noise that they are tuned for.
        say: told what is left out.
        names: rows of `FILTERS`; None takes all.
        tune_images: validation images to tune on, at most; None takes each row's own.
        kept: where chosen parameters are kept, so that none is chosen twice.
        untuned: whether to yield those at quoted parameters too.

    Raises:
        UsageError: a name that is no row.
    """
    chosen = dict.fromkeys(FILTERS if names is None else names)
    for name in chosen:
        if name not in FILTERS:
            raise UsageError(
                f"A filter must be one of {', '.join(FILTERS)}. "
                f"Received: filter={name!r}."
            )
    for name, (base, settings) in UNTUNED.items():
        if base not in chosen or not untuned:
            continue

        def quoted(base: str = base, settings: Settings = settings) -> Brought:
            return Brought(FILTERS[base].denoiser(settings), NOTHING)

        known = {"settings": settings, "versions": versions(FILTERS[base])}
        yield Entry(name, "filter", known, quoted, name, about={"settings": settings})
    for name in chosen:
        row = FILTERS[name]
        if tune_images is not None:
            row = replace(row, tune_images=min(tune_images, row.tune_images))
        if row.missing:
            say(f"{name} is left out: it needs the package {row.missing}.")
            continue

        for correction in corrections(bench.noise):

            def tuned(
                name: str = name, row: Filter = row, correction: str = correction
            ) -> Brought:
                return tuned_filter(bench, name, row, kept, correction)

            used: dict[str, Any] = {
                **{"tune_images": row.tune_images, "correction": correction},
                **choices(row),
            }
            title = filter_name(name, correction)
            about = {"correction": correction}
            yield Entry(
                *(title, "filter", used, tuned, title), row.test_images, about=about
            )


def runs(bench: TestBench, folders: Iterable[RunFolder]) -> Iterator[Entry]:
    """Yield the trained models; the seeds of one configuration are one group."""
    for folder in sorted(folders, key=lambda one: table_order(one.config())):
        config, path = folder.config(), folder.model_path
        fields = config.model_dump()
        seed = fields.pop("seed")

        def trained(path: Path = path) -> Brought:
            return bring_keras(path, bench)

        learnt = "" if config.targets == "clean" else f" ({config.targets} targets)"
        yield Entry(
            model_name(config) + learnt,
            MODEL_KINDS.get(config.model, "ceiling"),
            {"file_sha256": file_sha256(path), "versions": backend.versions()},
            trained,
            json.dumps(fields),
            about={
                "latent": config.latent if config.model in FAMILIES else None,
                "seed": seed,
                "file": str(path),
            },
        )


def brought(bench: TestBench, texts: Iterable[str]) -> Iterator[Entry]:
    """Yield a user's denoisers: files, and callables as MODULE:FUNCTION.

    Raises:
        UsageError: no such file, not importable, or no form of a denoiser.
    """
    texts = list(dict.fromkeys(texts))
    names = Counter(Path(text).name for text in texts)
    for text in texts:
        name = Path(text).name if names[Path(text).name] == 1 else text
        used = depends(text)

        def own(text: str = text) -> Brought:
            return bring(text, bench)

        yield Entry(name, "user", used, own, text, about={"file": text})
