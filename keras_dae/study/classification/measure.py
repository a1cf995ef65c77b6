"""Denoising measured by what a classifier reads (paper, section 5.4).

Two classifiers are trained on clean, on noisy and on denoised training images, and
asked for the classes of clean, noisy, filtered and denoised test images.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from keras_dae.evaluation.scoring import TestBench
from keras_dae.images.noise import Gaussian
from keras_dae.study.classification.bench import (
    CLEAN,
    DENOISED,
    NOISY,
    UNTOUCHED,
    ClassificationBench,
)
from keras_dae.study.classification.classifiers import CLASSIFIERS
from keras_dae.study.common.candidates import NOISY as NOISY_INPUT
from keras_dae.study.common.candidates import Candidate, baselines
from keras_dae.study.common.trained import best_of_each
from keras_dae.system import backend

TRAINED_ON = (CLEAN, NOISY, DENOISED)
SIGMAS = tuple(round(0.1 * step, 1) for step in range(11))
CURVE_IMAGES = 2000  # test images of a point over sigma, the first ones
WORST = 8
STUDIED = "dae"  # the family whose confusions and curves are measured
JUDGE = "cnn"  # whose confusions are counted: the one that is rarely wrong itself


def classify(
    bench: ClassificationBench,
    models: list[Candidate],
    others: list[Candidate],
    *,
    trained_on: Iterable[str] = TRAINED_ON,
    sigmas: Iterable[float] = SIGMAS,
) -> dict[str, Any]:
    """Return what `classification.json` holds; resumable, nothing is done twice.

    Args:
        bench: the images, the noise and where results are kept.
        models: the denoisers of runs.
        others: filters and floors.
        trained_on: what classifiers are trained on: 'clean' always, 'noisy', 'denoised'
            (by the run of lowest validation loss of each model of the study).
        sigmas: standard deviations of Gaussian noise for accuracy over strength.
    """
    studied = [one for one in models if one.facts.get("model", STUDIED) == STUDIED]
    judged = best_of_each(studied or models)
    rows = list(_rows(bench, [*others, *models], judged, set(trained_on)))
    _recovered(rows)
    confusions = [
        {"name": one.name, "kind": one.broad_kind, **confusion(bench, one)}
        for one in judged
    ]
    return {
        "dataset": bench.splits.describe(),
        "noise": bench.bench.describe_noise(),
        "hardware": backend.hardware(),
        "backend": backend.versions(),
        "classes": [int(name) for name in bench.names],
        "classifiers": {kind: row.about for kind, row in CLASSIFIERS.items()},
        "logistic": bench.chosen,
        "training_images": len(bench.train),
        "judge": JUDGE,
        "rows": rows,
        "confusions": confusions,
        "curves": list(_curves(bench, judged, list(sigmas))),
    }


def _rows(
    bench: ClassificationBench,
    tests: list[Candidate],
    denoisers: list[Candidate],
    trained_on: set[str],
) -> Iterator[dict[str, Any]]:
    """Yield a row for each classifier, training set and kind of test images."""
    clean, noisy = UNTOUCHED[CLEAN], UNTOUCHED[NOISY]
    for tested in (clean, noisy, *tests):
        yield from _of_each_kind(bench, CLEAN, clean, tested)
    for tested in (clean, noisy) if NOISY in trained_on else ():
        yield from _of_each_kind(bench, NOISY, noisy, tested)
    for model in denoisers if DENOISED in trained_on else ():
        yield from _of_each_kind(bench, DENOISED, model, model)


def _of_each_kind(
    bench: ClassificationBench, trained_on: str, source: Candidate, tested: Candidate
) -> Iterator[dict[str, Any]]:
    found = bench.read(tested, source)
    for kind in CLASSIFIERS:
        truth = bench.classes("test", len(found[kind]))
        yield {
            "classifier": kind,
            "trained_on": trained_on,
            "tested_on": tested.name,
            "kind": tested.kind if tested.name in UNTOUCHED else tested.broad_kind,
            **tested.about,
            "images": len(truth),
            "accuracy": float((found[kind] == truth).mean()),
        }


def _recovered(rows: list[dict[str, Any]]) -> None:
    """Add to each row the share of the accuracy lost to noise that it brings back.

    (denoised - noisy) / (clean - noisy), both of the same classifier trained on clean
    images; None where the noise costs nothing.
    """
    for row in rows:
        ends = {
            other["tested_on"]: other["accuracy"]
            for other in rows
            if other["classifier"] == row["classifier"]
            and other["trained_on"] == CLEAN
            and other["kind"] in (CLEAN, NOISY)
        }
        lost = ends[CLEAN] - ends[NOISY]
        gained = row["accuracy"] - ends[NOISY]
        row["recovered"] = gained / lost if lost > 0 else None


def confusion(bench: ClassificationBench, candidate: Candidate) -> dict[str, Any]:
    """Return which classes a denoiser turns into which others.

    Counted are test images that the judge reads rightly when clean and wrongly when
    denoised.

    Returns:
        `right_when_clean`, `misread`, `counts` as `counts[true][read]`, and `worst`:
        the images that are misread most surely, each with its index in the test
        images, true and read class (places in `classes`) and the probability.
    """
    clean = UNTOUCHED[CLEAN]
    found = bench.read(candidate, clean)
    read, probabilities = found[JUDGE], found[f"{JUDGE} probability"]
    truth = bench.classes("test", len(read))
    right = bench.read(clean, clean)[JUDGE][: len(read)] == truth
    wrong = np.flatnonzero(right & (read != truth))
    counts = np.zeros((len(bench.names), len(bench.names)), int)
    np.add.at(counts, (truth[wrong], read[wrong]), 1)
    surest = wrong[np.argsort(-probabilities[wrong], kind="stable")]
    return {
        "right_when_clean": int(right.sum()),
        "misread": len(wrong),
        "counts": counts.tolist(),
        "worst": [
            {
                "image": int(index),
                "true": int(truth[index]),
                "read": int(read[index]),
                "probability": float(probabilities[index]),
            }
            for index in surest[:WORST]
        ],
    }


def _curves(
    bench: ClassificationBench, models: list[Candidate], sigmas: list[float]
) -> Iterator[dict[str, Any]]:
    """Yield accuracy over the strength of Gaussian noise, a row a classifier and name.

    Drawn are the noisy images, every model (of several seeds the run of lowest
    validation loss) and, of the median filters, the best at each strength.
    """
    medians = baselines(bench.splits)
    lines = [UNTOUCHED[NOISY], *medians, *models]
    images = min(CURVE_IMAGES, len(bench.splits.test))
    splits = bench.splits.limited(test=images)
    accuracies: dict[tuple[str, str], list[float]] = {}
    for sigma in sigmas:
        noise = Gaussian(sigma, bool(getattr(bench.noise, "clip", True)))
        drawn = TestBench(splits, noise, bench.seed)
        for one in lines:
            found = bench.read(one, UNTOUCHED[CLEAN], drawn)
            for kind in CLASSIFIERS:
                truth = bench.classes("test", len(found[kind]))
                right = float((found[kind] == truth).mean())
                accuracies.setdefault((kind, one.name), []).append(right)
    for kind in CLASSIFIERS:
        of = {one.name: accuracies.get((kind, one.name), []) for one in lines}
        noise_of = {"noise": "gaussian", "sigmas": sigmas, "images": images}
        base = {"classifier": kind, **noise_of}
        yield {**base, "name": NOISY_INPUT, "kind": "noisy", "accuracy": of[NOISY]}
        best = np.max([of[one.name] for one in medians], axis=0).tolist()
        yield {**base, "name": "best median", "kind": "filter", "accuracy": best}
        for model in models:
            about = {k: v for k, v in model.facts.items() if k in ("depth", "latent")}
            named = {**base, "name": model.name, "kind": "model", **about}
            yield {**named, "accuracy": of[model.name]}
