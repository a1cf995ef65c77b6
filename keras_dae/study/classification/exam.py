"""Images, noise and the classifiers that read them, each kept as it is made."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.errors import KerasDAEError
from keras_dae.evaluation.engines import BATCH
from keras_dae.evaluation.scoring import TestBench
from keras_dae.images.datasets import Splits
from keras_dae.images.frozen import MEASURED, frozen_arrays, noise_sha256
from keras_dae.images.noise import Noise
from keras_dae.images.noise_words import describe_noise
from keras_dae.images.pairs import normalise
from keras_dae.study.classification.readers import (
    CLASSIFIERS,
    Lesson,
    Reader,
    choose_logistic,
    fit_on_fresh_noise,
)
from keras_dae.study.common.cells import Cells, digest_of
from keras_dae.study.common.contenders import Contender

CLEAN, DENOISED = "clean", "denoised"
REFERENCE = "reference"  # trained on noisy images as long as the denoisers were


@dataclass
class Exam:
    """Images, noise and the classifiers that read them, each trained at most once.

    Attributes:
        splits: a data set with labels.
        noise: the study's noise.
        seed: what the noise is drawn from.
        out: folder of the study; classifiers and figures are kept in
            `out / "classifiers"`.
        progress: told what is being done and how much of it, from 0 to 1.
        steps: of the reference, as many as the denoisers took; 0 for none.
    """

    splits: Splits
    noise: Noise
    seed: int
    out: Path
    progress: Callable[[str, float], None] = lambda what, share: None
    steps: int = 0
    _readers: dict[str, Reader] = field(default_factory=dict)
    _last: tuple[Any, np.ndarray] | None = None

    def __post_init__(self) -> None:
        if not self.splits.labels:
            raise KerasDAEError(
                f"{self.splits.name} has no labels, so there is no class to read; an "
                "npz data set holds them as y_train and y_test."
            )
        self.names = np.unique(np.concatenate(list(self.splits.labels.values())))
        self.cells = Cells(self.folder / "cells.json")

    @property
    def folder(self) -> Path:
        """Where classifiers and what they read are kept."""
        return self.out / "classifiers"

    def classes(self, part: str) -> np.ndarray:
        """Return the class of each image of a split, from 0."""
        return np.searchsorted(self.names, self.splits.labels[part])

    @cached_property
    def bench(self) -> TestBench:
        """The study's noisy test images."""
        return TestBench(self.splits, self.noise, self.seed)

    @cached_property
    def test_sha256(self) -> str:
        """Hash of the study's noisy test images: which noise was drawn."""
        return str(self.bench.describe_noise()["test_sha256"])

    @cached_property
    def clean_train(self) -> np.ndarray:
        """Clean training images, float32."""
        return normalise(self.splits.train[:], self.splits.low, self.splits.high)

    @cached_property
    def noisy_train(self) -> np.ndarray:
        """Noisy training images, one draw, float32."""
        low, high = self.splits.low, self.splits.high
        return frozen_arrays(
            self.splits.train,
            self.noise,
            seed=self.seed,
            split=MEASURED,
            low=low,
            high=high,
        )[0]

    @cached_property
    def chosen(self) -> dict[str, Any]:
        """Scale and C of logistic regression, chosen on clean images."""
        depends = {"chosen": CLASSIFIERS["logistic"].recipe(), **self._data}
        validation = normalise(
            self.splits.validation[:], self.splits.low, self.splits.high
        )

        def choose() -> dict[str, Any]:
            return choose_logistic(
                self._lesson(self.clean_train),
                Lesson(validation, self.classes("validation"), len(self.names)),
                lambda share: self.progress("choosing logistic regression", share),
            )

        setting: dict[str, Any] = self.cells.get(depends, choose)
        return setting

    @property
    def _data(self) -> dict[str, Any]:
        return {"data": self.splits.sha256, "data_seed": self.seed}

    def _lesson(self, images: np.ndarray) -> Lesson:
        return Lesson(images, self.classes("train"), len(self.names))

    def identity(self, kind: str, lesson: str, teacher: Contender | None) -> str:
        """Return the file name of a classifier: its kind, its lesson and a hash."""
        depends: dict[str, Any] = {"recipe": CLASSIFIERS[kind].recipe(), **self._data}
        if kind == "logistic":
            depends["setting"] = {k: self.chosen[k] for k in ("scale", "C")}
        if lesson != CLEAN:
            depends["noisy"] = self._noisy_sha256
        depends["teacher"] = teacher.identity if teacher else None
        safe = "".join(
            c if c.isalnum() or c in "-_." else "_" for c in _label(lesson, teacher)
        )
        return f"{kind}-{safe}-{digest_of(depends)}{CLASSIFIERS[kind].suffix}"

    @cached_property
    def _noisy_sha256(self) -> str:
        return noise_sha256(self.noisy_train)

    def reader(
        self, kind: str, lesson: str = CLEAN, teacher: Contender | None = None
    ) -> Reader:
        """Return a classifier, trained now or loaded from its file."""
        name, label = self.identity(kind, lesson, teacher), _label(lesson, teacher)
        if name not in self._readers:
            path = self.folder / name
            if not path.exists():
                images = self.clean_train if lesson == CLEAN else self.noisy_train
                if teacher is not None:
                    images = self.answers(teacher, images, self._noisy_sha256)
                setting = self.chosen if kind == "logistic" else {}
                CLASSIFIERS[kind].fit(
                    self._lesson(images),
                    path,
                    setting,
                    lambda share: self.progress(f"training {kind} on {label}", share),
                )
            self._readers[name] = CLASSIFIERS[kind].load(path)
        return self._readers[name]

    def reference_identity(self, seed: int) -> str:
        """Return the file name of the classifier that learns from fresh noise."""
        depends = {
            **{"recipe": CLASSIFIERS["cnn"].recipe(), **self._data},
            **{"noise": describe_noise(self.noise), "steps": self.steps},
        }
        return f"cnn-{REFERENCE}-seed{seed}-{digest_of(depends)}.keras"

    def reference(self, seed: int) -> Reader:
        """Return the classifier that learns from fresh noise, trained now or loaded."""
        path = self.folder / self.reference_identity(seed)
        if not path.exists():
            label = f"training the reference, seed {seed}"
            fit_on_fresh_noise(
                self._lesson(self.clean_train),
                self.noise,
                path,
                steps=self.steps,
                seed=seed,
                tick=lambda share: self.progress(label, share),
            )
        return CLASSIFIERS["cnn"].load(path)

    def answers(self, one: Contender, noisy: np.ndarray, sha256: str) -> np.ndarray:
        """Return what a denoiser makes of images; the last answer is remembered.

        Of one that is slow, the answers to the first `one.images`.
        """
        noisy = noisy[: one.images]
        key = one.identity, sha256
        if self._last is None or self._last[0] != key:
            starts = range(0, len(noisy), BATCH)
            blocks = [one.denoise(noisy[start : start + BATCH]) for start in starts]
            self._last = key, np.concatenate(blocks).astype(np.float32)
        return self._last[1]


def _label(lesson: str, teacher: Contender | None) -> str:
    return f"{teacher.name}-seed{teacher.row['seed']}" if teacher else lesson
