"""Measure denoising by the accuracy of a classifier (paper, section 5.4).

Two classifiers are trained on clean, on noisy and on denoised training images. They
predict the classes of clean, noisy, filtered and denoised test images.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from keras_dae.evaluation.scoring import TestBench
from keras_dae.images.noise import Gaussian, Noise
from keras_dae.study.classification.bench import (
    CLEAN,
    DENOISED,
    NOISY,
    REFERENCE,
    UNTOUCHED,
    ClassificationBench,
)
from keras_dae.study.classification.classifiers import BATCH, CLASSIFIERS
from keras_dae.study.common.candidates import NOISY as NOISY_INPUT
from keras_dae.study.common.candidates import Candidate, baselines
from keras_dae.study.common.trained import best_of_each
from keras_dae.system import backend

TRAINED_ON = (CLEAN, NOISY, DENOISED)
SIGMAS = tuple(round(0.1 * step, 1) for step in range(11))
CURVE_IMAGES = 2000  # test images per point of the curves over sigma
WORST = 8
REFERENCE_SEEDS = (0, 1, 2)
STUDIED = "dae"  # the family whose confusions and curves are measured
JUDGE = "cnn"  # its confusions are counted, since it is the more accurate one


def classify(
    bench: ClassificationBench,
    models: list[Candidate],
    others: list[Candidate],
    *,
    trained_on: Iterable[str] = TRAINED_ON,
    sigmas: Iterable[float] = SIGMAS,
) -> dict[str, Any]:
    """Return the content of `classification.json`. Results are stored and reused.

    Args:
        bench: the images, the noise and the store.
        models: the denoisers of runs.
        others: filters and baselines.
        trained_on: training images of classifiers: 'clean' always, 'noisy', 'denoised'
            (by the run with the lowest validation loss of each model of the study).
        sigmas: standard deviations of Gaussian noise for the curves.
    """
    studied = [one for one in models if one.facts.get("model", STUDIED) == STUDIED]
    judged = best_of_each(studied or models)
    rows = list(_rows(bench, [*others, *models], judged, set(trained_on)))
    rows += _reference_rows(bench)
    _recovered(bench, rows)
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
        "seeds": sorted({m.facts["seed"] for m in models if "seed" in m.facts}),
        "reference": {"steps": bench.steps, "batch": BATCH} if bench.steps else None,
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


def _reference_rows(bench: ClassificationBench) -> list[dict[str, Any]]:
    """Return the reference's accuracy on the noisy test images, one row per seed."""
    rows = []
    for seed in REFERENCE_SEEDS if bench.steps else ():
        read = bench.read_by_reference(seed)
        truth = bench.classes("test", len(read))
        rows.append(
            {
                **{"classifier": JUDGE, "trained_on": REFERENCE, "tested_on": NOISY},
                **{"kind": NOISY, "seed": seed, "images": len(read)},
                "accuracy": float((read == truth).mean()),
            }
        )
    return rows


def _recovered(bench: ClassificationBench, rows: list[dict[str, Any]]) -> None:
    """Add to each row the share of the accuracy lost to noise that is recovered.

    It is (denoised - noisy) / (clean - noisy), on the same images, for the same
    classifier trained on clean images; None if the noise costs nothing.
    `recovered_of_reference` uses the mean accuracy of the reference on noisy images in
    place of clean.
    """
    with_reference = any(row["trained_on"] == REFERENCE for row in rows)
    for row in rows:
        kind, count = row["classifier"], row["images"]
        truth, clean = bench.classes("test", count), UNTOUCHED[CLEAN]
        ends = {
            name: float((bench.read(source, clean)[kind][:count] == truth).mean())
            for name, source in UNTOUCHED.items()
        }
        lost = ends[CLEAN] - ends[NOISY]
        gained = row["accuracy"] - ends[NOISY]
        row["recovered"] = gained / lost if lost > 0 else None
        if with_reference and kind == JUDGE:
            read = [bench.read_by_reference(seed)[:count] for seed in REFERENCE_SEEDS]
            reached = float(np.mean([one == truth for one in read])) - ends[NOISY]
            share = gained / reached if reached > 0 else None
            row["recovered_of_reference"] = share


def confusion(bench: ClassificationBench, candidate: Candidate) -> dict[str, Any]:
    """Return which classes a denoiser turns into which others.

    It counts test images that the convolutional network classifies correctly when clean
    and wrongly when denoised.

    Returns:
        `right_when_clean`, `misread`, `counts` as `counts[true][read]`, and `worst`:
        the images misclassified with the highest probability, each with its index in
        the test images, true and predicted class (indices of `classes`) and the
        probability.
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
    """Yield accuracy against the strength of Gaussian noise, per classifier and name.

    Included are the noisy images, every model (the run with the lowest validation loss
    of several seeds) and, of the median filters, the one that is best on validation
    images at each strength.
    """
    medians = baselines(bench.splits)
    lines = [UNTOUCHED[NOISY], *medians, *models]
    images = min(CURVE_IMAGES, len(bench.splits.test))
    splits = bench.splits.limited(test=images)
    accuracies: dict[tuple[str, str], list[float]] = {}
    clip = bool(getattr(bench.noise, "clip", True))
    noises = [Gaussian(sigma, clip) for sigma in sigmas]
    for noise in noises:
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
        best = [
            of[_best_on_validation(bench, medians, noise, kind).name][place]
            for place, noise in enumerate(noises)
        ]
        yield {**base, "name": "best median", "kind": "filter", "accuracy": best}
        for model in models:
            about = {k: v for k, v in model.facts.items() if k in ("depth", "latent")}
            named = {**base, "name": model.name, "kind": "model", **about}
            yield {**named, "accuracy": of[model.name]}


def _best_on_validation(
    bench: ClassificationBench, filters: list[Candidate], noise: Noise, kind: str
) -> Candidate:
    """Return the filter with the highest validation accuracy of a classifier."""
    images = bench.splits.validation[:CURVE_IMAGES]
    drawn = TestBench(replace(bench.splits, test=images), noise, bench.seed)
    truth = bench.classes("validation", len(images))

    def accuracy(one: Candidate) -> float:
        read = bench.read(one, UNTOUCHED[CLEAN], drawn)[kind]
        return float((read == truth[: len(read)]).mean())

    return max(filters, key=accuracy)
