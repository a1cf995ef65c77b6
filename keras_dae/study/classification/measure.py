"""Denoising measured by what a classifier reads (paper, section 5.4).

Two classifiers are trained on clean, on noisy and on denoised training images, and
asked for the classes of clean, noisy, filtered and denoised test images.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from keras_dae.images.frozen import TEST, VALIDATION, frozen_arrays
from keras_dae.images.noise import Gaussian
from keras_dae.images.noise_words import describe_noise
from keras_dae.study.classification.exam import CLEAN, DENOISED, REFERENCE, Exam
from keras_dae.study.classification.readers import BATCH, CLASSIFIERS, accuracy
from keras_dae.study.common.contenders import NOISY, Contender, best_of_each, filters
from keras_dae.system import backend

LESSONS = (CLEAN, "noisy", DENOISED)
SIGMAS = tuple(round(0.1 * step, 1) for step in range(11))
CURVE_IMAGES = 2000  # test images of a point over sigma, the first ones
WORST = 8
REFERENCE_SEEDS = (0, 1, 2)
STUDIED = "dae"  # the family whose confusions and curves are measured
JUDGE = "cnn"  # whose confusions are counted: the one that is rarely wrong itself


def classify(
    exam: Exam,
    models: list[Contender],
    others: list[Contender],
    *,
    lessons: Iterable[str] = LESSONS,
    sigmas: Iterable[float] = SIGMAS,
) -> dict[str, Any]:
    """Return what `classification.json` holds; resumable, nothing is done twice.

    Args:
        exam: the images, the noise and where things are kept.
        models: the denoisers of runs.
        others: filters and floors.
        lessons: on what classifiers are trained: 'clean' always, 'noisy', 'denoised'
            (by the run of lowest validation loss of each model of the study).
        sigmas: standard deviations of Gaussian noise for accuracy over strength.
    """
    studied = [one for one in models if one.row.get("model", STUDIED) == STUDIED]
    judged = best_of_each(studied or models)
    rows = list(_rows(exam, [*others, *models], judged, set(lessons)))
    rows += _reference_rows(exam)
    _recovered(rows)
    confusions = [
        {"name": one.name, "kind": one.kind, **confusion(exam, one)} for one in judged
    ]
    return {
        "dataset": exam.splits.describe(),
        "noise": exam.bench.describe_noise(),
        "hardware": backend.hardware(),
        "backend": backend.versions(),
        "classes": [int(name) for name in exam.names],
        "classifiers": {kind: row.about for kind, row in CLASSIFIERS.items()},
        "logistic": exam.chosen,
        "judge": JUDGE,
        "seeds": sorted({one.row["seed"] for one in models if "seed" in one.row}),
        "reference": {"steps": exam.steps, "batch": BATCH} if exam.steps else None,
        "rows": rows,
        "confusions": confusions,
        "curves": list(_curves(exam, judged, list(sigmas))),
    }


def _rows(
    exam: Exam, tests: list[Contender], teachers: list[Contender], lessons: set[str]
) -> Iterator[dict[str, Any]]:
    """Yield a row for each classifier, lesson and kind of test images."""
    for tested in (*_AS_IT_IS.values(), *tests):
        for kind in CLASSIFIERS:
            yield _row(exam, kind, CLEAN, None, tested)
    for kind in CLASSIFIERS if "noisy" in lessons else ():
        for tested in _AS_IT_IS.values():
            yield _row(exam, kind, "noisy", None, tested)
    for model in teachers if DENOISED in lessons else ():
        for kind in CLASSIFIERS:
            yield _row(exam, kind, DENOISED, model, model)


# Test images that no denoiser has touched.
_AS_IT_IS = {
    name: Contender(name, name, {"untouched": name}, {}, lambda: lambda images: images)
    for name in (CLEAN, "noisy")
}


def _row(
    exam: Exam, kind: str, lesson: str, teacher: Contender | None, tested: Contender
) -> dict[str, Any]:
    noisy, clean = exam.bench.pairs
    test = exam.test_sha256
    depends = {
        "accuracy": exam.identity(kind, lesson, teacher),
        "noise": None if tested.kind == CLEAN else test,
        "tested": tested.identity,
    }

    def measure() -> float:
        reader = exam.reader(kind, lesson, teacher)
        exam.progress(f"reading {tested.name}", 0.0)
        images = clean if tested.kind == CLEAN else exam.answers(tested, noisy, test)
        return accuracy(reader(images), exam.classes("test")[: tested.images])

    return {
        "classifier": kind,
        "trained_on": lesson,
        "tested_on": tested.name,
        "kind": tested.kind,
        **{key: value for key, value in tested.row.items() if key != "val_loss"},
        "images": min(tested.images or len(clean), len(clean)),
        "accuracy": exam.cells.get(depends, measure),
    }


def _reference_rows(exam: Exam) -> list[dict[str, Any]]:
    """Return what the reference reads of the noisy test images, a row a seed."""
    noisy, _ = exam.bench.pairs
    rows: list[dict[str, Any]] = []
    for seed in REFERENCE_SEEDS if exam.steps else ():
        depends = {
            "reference": exam.reference_identity(seed),
            "noise": exam.test_sha256,
        }

        def measure(seed: int = seed) -> float:
            return accuracy(exam.reference(seed)(noisy), exam.classes("test"))

        rows.append(
            {
                **{"classifier": JUDGE, "trained_on": REFERENCE, "tested_on": "noisy"},
                **{"kind": "noisy", "seed": seed, "images": len(noisy)},
                "accuracy": exam.cells.get(depends, measure),
            }
        )
    return rows


def _recovered(rows: list[dict[str, Any]]) -> None:
    """Add to each row the share of the accuracy lost to noise that it brings back.

    (denoised - noisy) / (clean - noisy), both of the same classifier trained on clean
    images; None where the noise costs nothing. `recovered_of_reference` has in place
    of clean what the reference, its mean over seeds, reads of noisy images.
    """
    reference = [r["accuracy"] for r in rows if r["trained_on"] == REFERENCE]
    for row in rows:
        ends = {
            other["tested_on"]: other["accuracy"]
            for other in rows
            if other["classifier"] == row["classifier"]
            and other["trained_on"] == CLEAN
            and other["kind"] in (CLEAN, "noisy")
        }
        lost = ends[CLEAN] - ends["noisy"]
        gained = row["accuracy"] - ends["noisy"]
        row["recovered"] = gained / lost if lost > 0 else None
        if reference and row["classifier"] == JUDGE:
            reached = float(np.mean(reference)) - ends["noisy"]
            share = gained / reached if reached > 0 else None
            row["recovered_of_reference"] = share


def confusion(exam: Exam, contender: Contender) -> dict[str, Any]:
    """Return which classes a denoiser turns into which others.

    Counted are test images that the judge reads rightly when clean and wrongly when
    denoised.

    Returns:
        `right_when_clean`, `misread`, `counts` as `counts[true][read]`, and `worst`:
        the images that are misread most surely, each with its index in the test
        images, true and read class (places in `classes`) and the probability.
    """
    test = exam.test_sha256
    depends = {
        "confusion": exam.identity(JUDGE, CLEAN, None),
        "noise": test,
        "tested": contender.identity,
        "worst": WORST,
    }

    def measure() -> dict[str, Any]:
        exam.progress(f"confusions of {contender.name}", 0.0)
        noisy, clean = exam.bench.pairs
        reader, truth = exam.reader(JUDGE), exam.classes("test")
        right = reader(clean).argmax(axis=1) == truth
        probabilities = reader(exam.answers(contender, noisy, test))
        read = probabilities.argmax(axis=1)
        wrong = np.flatnonzero(right & (read != truth))
        counts = np.zeros((len(exam.names), len(exam.names)), int)
        np.add.at(counts, (truth[wrong], read[wrong]), 1)
        surest = wrong[np.argsort(-probabilities[wrong, read[wrong]], kind="stable")]
        return {
            "right_when_clean": int(right.sum()),
            "misread": len(wrong),
            "counts": counts.tolist(),
            "worst": [
                {
                    "image": int(index),
                    "true": int(truth[index]),
                    "read": int(read[index]),
                    "probability": float(probabilities[index, read[index]]),
                }
                for index in surest[:WORST]
            ],
        }

    found: dict[str, Any] = exam.cells.get(depends, measure)
    return found


def _curves(
    exam: Exam, models: list[Contender], sigmas: list[float]
) -> Iterator[dict[str, Any]]:
    """Yield accuracy over the strength of Gaussian noise, a row a classifier and name.

    Drawn are the noisy images, every model (of several seeds the run of lowest
    validation loss) and, of the median filters, the one that is best on validation
    images at each strength.
    """
    medians = filters(exam.splits)
    lines = [_AS_IT_IS["noisy"], *medians, *models]
    points = {
        (one.name, sigma): _point(exam, one, sigma) for sigma in sigmas for one in lines
    }
    for kind in CLASSIFIERS:
        of = {
            one.name: [points[one.name, sigma][kind] for sigma in sigmas]
            for one in lines
        }
        images = min(CURVE_IMAGES, len(exam.splits.test))
        noise = {"noise": "gaussian", "sigmas": sigmas, "images": images}
        base = {"classifier": kind, **noise}
        yield {**base, "name": NOISY, "kind": "noisy", "accuracy": of["noisy"]}
        best = [
            points[_best_on_validation(exam, medians, sigma, kind).name, sigma][kind]
            for sigma in sigmas
        ]
        yield {**base, "name": "best median", "kind": "filter", "accuracy": best}
        for model in models:
            about = {k: v for k, v in model.row.items() if k in ("depth", "latent")}
            named = {**base, "name": model.name, "kind": "model", **about}
            yield {**named, "accuracy": of[model.name]}


def _best_on_validation(
    exam: Exam, filters: list[Contender], sigma: float, kind: str
) -> Contender:
    """Return the filter after which a classifier reads validation images best."""
    return max(filters, key=lambda one: _point(exam, one, sigma, VALIDATION)[kind])


def _point(
    exam: Exam, one: Contender, sigma: float, part: str = TEST
) -> dict[str, float]:
    """Return the accuracy of each classifier trained on clean images.

    Args:
        exam: the images and the classifiers.
        one: the denoiser.
        sigma: standard deviation of the noise.
        part: `TEST`, or `VALIDATION` to choose on.
    """
    noise = Gaussian(sigma, bool(getattr(exam.noise, "clip", True)))
    depends = {
        "point": [exam.identity(kind, CLEAN, None) for kind in CLASSIFIERS],
        "study": exam.test_sha256,
        "noise": describe_noise(noise),
        "images": [part, CURVE_IMAGES],
        "tested": one.identity,
    }

    def measure() -> dict[str, float]:
        exam.progress(f"reading {one.name} at sigma {sigma:g}", 0.0)
        splits = exam.splits
        noisy, _ = frozen_arrays(
            (splits.test if part == TEST else splits.validation)[:CURVE_IMAGES],
            noise,
            seed=exam.seed,
            split=part,
            low=splits.low,
            high=splits.high,
        )
        images = exam.answers(one, noisy, f"{part} {sigma}")
        classes = exam.classes(part)[: len(images)]
        return {
            kind: accuracy(exam.reader(kind)(images), classes) for kind in CLASSIFIERS
        }

    found: dict[str, float] = exam.cells.get(depends, measure)
    return found
