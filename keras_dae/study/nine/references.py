"""Baselines on the same test images, for `floors` of `results.json`."""

from typing import Any

from keras_dae.evaluation.affine import DRAWS, RANKS, fit_affine
from keras_dae.evaluation.baselines import MEDIANS
from keras_dae.evaluation.filters import FILTERS
from keras_dae.evaluation.scoring import TestBench, score_baselines, score_denoiser
from keras_dae.study.common.tuning import choose, corrected, filter_name

# Rows of `FILTERS` that take seconds to tune and to score on all test images. On MNIST
# no other filter is better than the best of these.
QUICK = ("mean", "median", "Gaussian")
QUICK_AFFINE_VALUES = 1024  # values per image; beyond this a fit takes minutes
AFFINE = ("affine, rank 100", "affine, full rank")


def references(bench: TestBench, *, affine: bool = False) -> list[dict[str, Any]]:
    """Return a row per baseline: trivial outputs, filters, affine maps.

    The last of the filters is the best of `QUICK` with any correction for clipping.
    Filter, parameters and correction are chosen on validation images. The rows of
    filters have `kind` 'filter'.

    Args:
        bench: the test images.
        affine: also fit affine maps, for images of up to `QUICK_AFFINE_VALUES` values.
    """
    rows = score_baselines(bench)
    for row in rows:
        row |= {"kind": "filter"} if row["name"] in MEDIANS else {}
    rows.append(_best_filter(bench))
    if affine and bench.pixels <= QUICK_AFFINE_VALUES:
        solution = fit_affine(bench.splits, bench.noise, seed=bench.seed, draws=DRAWS)
        for name in AFFINE:
            if (rank := RANKS[name]) is None or rank < bench.pixels:
                scored = score_denoiser(bench, solution.map(rank))
                rows.append({"name": name, "kind": "affine", **scored})
    return rows


def _best_filter(bench: TestBench) -> dict[str, Any]:
    """Return the row of the filter that is best on validation images."""
    found = [
        (chosen["tuned_on"]["mse"], name, correction, chosen)
        for name in QUICK
        for correction, chosen in choose(bench, name, FILTERS[name]).items()
    ]
    _, name, correction, chosen = min(found, key=lambda one: one[0])
    scored = score_denoiser(bench, corrected(FILTERS[name], chosen))
    about = {key: chosen[key] for key in ("settings", "tuned_on")}
    title = filter_name(name, correction)
    row = {"name": title, "kind": "filter", "correction": correction}
    return {**row, **about, **scored}
