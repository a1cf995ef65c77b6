"""Images, noise and the classifiers that are applied to denoised images."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.errors import KerasDAEError
from keras_dae.evaluation.scoring import TestBench
from keras_dae.images.datasets import Splits
from keras_dae.images.frozen import MEASURED, frozen_pairs, images_held
from keras_dae.images.noise import Noise
from keras_dae.images.pairs import Pair
from keras_dae.images.rows import Images
from keras_dae.study.classification.classifiers import (
    CLASSIFIERS,
    Classifier,
    TrainingSet,
    choose_logistic,
    fit_on_fresh_noise,
)
from keras_dae.study.common.candidates import Candidate
from keras_dae.study.common.store import Result, Store

CLEAN, NOISY, DENOISED = "clean", "noisy", "denoised"
REFERENCE = "reference"  # trained on noisy images for as many steps as the denoisers
# Images without a denoiser.
UNTOUCHED = {
    name: Candidate(
        name, name, {"untouched": name}, lambda: (lambda images: images, {})
    )
    for name in (CLEAN, NOISY)
}


@dataclass
class ClassificationBench:
    """Test images with labels, and classifiers that are trained at most once.

    A classifier is trained on clean images, or on a candidate's outputs for noisy ones.
    If the training images do not fit in memory, the first ones are used.

    Attributes:
        splits: a data set with labels.
        noise: the noise of the study.
        seed: seed for the noise.
        store: stores classifiers and their predictions.
        progress: called with a description and the fraction done, from 0 to 1.
        steps: training steps of the reference, as many as of the denoisers; 0 for none.
    """

    splits: Splits
    noise: Noise
    seed: int
    store: Store
    progress: Callable[[str, float], None] = lambda what, share: None
    steps: int = 0
    _classifiers: dict[Path, Classifier] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.splits.labels:
            raise KerasDAEError(
                f"{self.splits.name} has no labels, so there is no class to predict. "
                "An npz data set holds them as y_train and y_test."
            )
        self.names = np.unique(np.concatenate(list(self.splits.labels.values())))
        self.bench = TestBench(self.splits, self.noise, self.seed)

    def classes(self, part: str, count: int | None = None) -> np.ndarray:
        """Return the classes of the first `count` images of a split, from 0."""
        return np.searchsorted(self.names, self.splits.labels[part][:count])

    @cached_property
    def train(self) -> Images:
        """The training images of the classifiers."""
        first: Images = self.splits.train[: images_held(self.splits.image_shape)]
        return first

    def _pairs(self, images: Images) -> Iterator[Pair]:
        """Yield (noisy, clean) images with noise that was not used in training."""
        low, high = self.splits.low, self.splits.high
        drawn: dict[str, Any] = {"seed": self.seed, "split": MEASURED}
        return frozen_pairs(images, self.noise, low=low, high=high, **drawn)

    def _training_set(self, source: Candidate) -> TrainingSet:
        """Return the training images, either clean or denoised by `source`."""
        images = np.concatenate([_input_of(source, p) for p in self._pairs(self.train)])
        classes = self.classes("train", len(images))
        return TrainingSet(images, classes, len(self.names))

    @cached_property
    def chosen(self) -> dict[str, Any]:
        """Scale and C of logistic regression, chosen on clean images."""
        recipe = CLASSIFIERS["logistic"].recipe()

        def choose() -> dict[str, Any]:
            images = self.splits.validation[: images_held(self.splits.image_shape)]
            clean = np.concatenate([clean for _, clean in self._pairs(images)])
            classes = self.classes("validation", len(clean))
            return choose_logistic(
                self._training_set(UNTOUCHED[CLEAN]),
                TrainingSet(clean, classes, len(self.names)),
                lambda share: self.progress("choosing logistic regression", share),
            )

        depends = {"chosen": recipe, **self.bench.fingerprint}
        setting: dict[str, Any] = self.store.figures("logistic", depends, choose)
        return setting

    def _recipe(self, kind: str, source: Candidate) -> dict[str, Any]:
        """Return what the weights of a classifier depend on."""
        recipe = {"recipe": CLASSIFIERS[kind].recipe(), **self.bench.fingerprint}
        if kind == "logistic":
            recipe["setting"] = {k: self.chosen[k] for k in ("scale", "C")}
        return {**recipe, "trained_on": source.fingerprint}

    def classifier(self, kind: str, source: Candidate) -> Classifier:
        """Return a classifier, trained now or loaded from its file.

        Args:
            kind: a row of `CLASSIFIERS`.
            source: what it is trained on: a row of `UNTOUCHED`, or a denoiser.
        """
        row, label = CLASSIFIERS[kind], f"{kind} on {source.name}"

        def train(path: Path) -> None:
            row.fit(
                self._training_set(source),
                path,
                self.chosen if kind == "logistic" else {},
                lambda share: self.progress(f"training {label}", share),
            )

        path = self.store.file(label, row.suffix, self._recipe(kind, source), train)
        if path not in self._classifiers:
            self._classifiers[path] = row.load(path)
        return self._classifiers[path]

    def read(
        self, tested: Candidate, source: Candidate, bench: TestBench | None = None
    ) -> dict[str, np.ndarray]:
        """Return the predictions of each kind of classifier for denoised test images.

        Args:
            tested: the denoiser.
            source: what the classifiers are trained on.
            bench: noisy test images; those of the study by default.

        Returns:
            The class per image, from 0, by the kind of classifier, and its probability,
            by kind and " probability". For a slow denoiser these are only the first
            `tested.images`.
        """
        bench = bench or self.bench
        depends = {
            "read": [self._recipe(kind, source) for kind in CLASSIFIERS],
            "tested": [tested.fingerprint, tested.images],
            "test": bench.fingerprint,
        }

        def measure() -> Result:
            classifiers = {kind: self.classifier(kind, source) for kind in CLASSIFIERS}
            self.progress(f"reading {tested.name}", 0.0)
            blocks = []
            for pair in bench.batches(tested.images):
                images = _input_of(tested, pair)
                blocks.append(
                    {kind: read(images) for kind, read in classifiers.items()}
                )
            found = {}
            for kind in classifiers:
                probabilities = np.concatenate([block[kind] for block in blocks])
                found[kind] = probabilities.argmax(axis=1)
                found[f"{kind} probability"] = probabilities.max(axis=1)
            return Result({}, found)

        label = f"{tested.name} read by {source.name}"
        return dict(self.store.get(label, depends, measure).arrays)

    def read_by_reference(self, seed: int) -> np.ndarray:
        """Return the reference's class per noisy test image, from 0.

        The reference is the network trained on noisy images for `steps`.
        """
        recipe = {
            **{"recipe": CLASSIFIERS["cnn"].recipe(), "reference": seed},
            **{"steps": self.steps, **self.bench.fingerprint},
        }

        def train(path: Path) -> None:
            label = f"training the reference, seed {seed}"
            fit_on_fresh_noise(
                self._training_set(UNTOUCHED[CLEAN]),
                self.noise,
                path,
                steps=self.steps,
                seed=seed,
                tick=lambda share: self.progress(label, share),
            )

        def measure() -> Result:
            suffix = CLASSIFIERS["cnn"].suffix
            path = self.store.file(f"reference {seed}", suffix, recipe, train)
            classify = CLASSIFIERS["cnn"].load(path)
            found = [
                classify(noisy).argmax(axis=1) for noisy, _ in self.bench.batches()
            ]
            return Result({}, {"classes": np.concatenate(found)})

        kept = self.store.get(f"read by reference {seed}", recipe, measure)
        return kept.arrays["classes"]


def _input_of(source: Candidate, pair: Pair) -> np.ndarray:
    """Return the input of a classifier from (noisy, clean) images."""
    noisy, clean = pair
    if source.kind == CLEAN:
        return clean
    return np.asarray(source.denoise(noisy), dtype=np.float32)
