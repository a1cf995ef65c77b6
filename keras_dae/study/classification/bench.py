"""Images, noise and the classifiers that read denoised images."""

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
)
from keras_dae.study.common.candidates import Candidate
from keras_dae.study.common.store import Result, Store

CLEAN, NOISY, DENOISED = "clean", "noisy", "denoised"
# Images that no denoiser has touched.
UNTOUCHED = {
    name: Candidate(
        name, name, {"untouched": name}, lambda: (lambda images: images, {})
    )
    for name in (CLEAN, NOISY)
}


@dataclass
class ClassificationBench:
    """Test images with labels, and classifiers that are trained at most once.

    A classifier is trained on clean images, or on what a candidate returns for noisy
    ones. Of training images that do not fit in memory the first are used.

    Attributes:
        splits: a data set with labels.
        noise: the study's noise.
        seed: what the noise is drawn from.
        store: keeps classifiers and what they read.
        progress: told what is being done and how much of it, from 0 to 1.
    """

    splits: Splits
    noise: Noise
    seed: int
    store: Store
    progress: Callable[[str, float], None] = lambda what, share: None
    _classifiers: dict[Path, Classifier] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.splits.labels:
            raise KerasDAEError(
                f"{self.splits.name} has no labels, so there is no class to read; an "
                "npz data set holds them as y_train and y_test."
            )
        self.names = np.unique(np.concatenate(list(self.splits.labels.values())))
        self.bench = TestBench(self.splits, self.noise, self.seed)

    def classes(self, part: str, count: int | None = None) -> np.ndarray:
        """Return the class of each image of a split, from 0; of the first `count`."""
        return np.searchsorted(self.names, self.splits.labels[part][:count])

    @cached_property
    def train(self) -> Images:
        """The training images that classifiers learn from."""
        first: Images = self.splits.train[: images_held(self.splits.image_shape)]
        return first

    def _pairs(self, images: Images) -> Iterator[Pair]:
        """Yield (noisy, clean) images, under noise that no training drew."""
        low, high = self.splits.low, self.splits.high
        drawn: dict[str, Any] = {"seed": self.seed, "split": MEASURED}
        return frozen_pairs(images, self.noise, low=low, high=high, **drawn)

    def _training_set(self, source: Candidate) -> TrainingSet:
        """Return the training images, clean or as `source` returns noisy ones."""
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
        """Return what a classifier's weights depend on."""
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
        """Return what each kind of classifier reads in denoised test images.

        Args:
            tested: the denoiser.
            source: what the classifiers are trained on.
            bench: noisy test images; by default the study's own.

        Returns:
            The class per image, from 0, by the classifier's kind, and its probability,
            by kind and " probability". Of a slow denoiser the first `tested.images`.
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


def _input_of(source: Candidate, pair: Pair) -> np.ndarray:
    """Return the images that a classifier sees of (noisy, clean) ones."""
    noisy, clean = pair
    if source.kind == CLEAN:
        return clean
    return np.asarray(source.denoise(noisy), dtype=np.float32)
