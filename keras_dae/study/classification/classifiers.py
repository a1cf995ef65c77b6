"""Classifiers that are trained once and applied to denoised images.

Each row of `CLASSIFIERS` fits and loads one kind. A `Classifier` maps images, float32
(N, H, W, C) in [0, 1], to the probability of each class, (N, classes).
"""

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_dae.errors import KerasDAEError
from keras_dae.images.noise import Noise
from keras_dae.models.batches import images_at_once, widest
from keras_dae.models.classifiers import LAYERS, build_classifier
from keras_dae.models.files import load, save
from keras_dae.system.inside import opened, plain
from keras_dae.system.numerics import float32
from keras_dae.system.storage import replacing

Classifier = Callable[[np.ndarray], np.ndarray]
BATCH, RATE = 128, 2e-3
# Four passes over the 48,000 training images of MNIST. Smaller data sets get more
# passes, for the same number of steps.
STEPS = 1500
# Settings of logistic regression: chosen on validation images, then solved by L-BFGS.
SCALES, STRENGTHS = ("pixels", "standard"), (0.01, 0.1, 1)
ITERATIONS, TOLERANCE = 200, 1e-3


@dataclass(frozen=True)
class TrainingSet:
    """Images and classes to train a classifier on.

    Attributes:
        images: float32 (N, H, W, C).
        classes: class of each image, from 0, (N,).
        count: number of classes.
    """

    images: np.ndarray
    classes: np.ndarray
    count: int


def accuracy(probabilities: np.ndarray, classes: np.ndarray) -> float:
    """Return the share of images whose most probable class is correct."""
    return float((probabilities.argmax(axis=1) == classes).mean())


@float32()
def fit_on_fresh_noise(
    data: TrainingSet,
    noise: Noise,
    path: Path,
    *,
    steps: int,
    seed: int,
    tick: Callable[[float], None],
) -> None:
    """Train the convolutional network on images with new noise in each epoch.

    This is what a classifier reaches without a denoiser, if it is trained for as long.

    Args:
        data: clean images and their classes.
        noise: noise to add.
        path: where the network is saved.
        steps: steps of `BATCH` images.
        seed: seed for weights, order and noise.
        tick: called with the fraction of epochs done.
    """
    model = build_classifier(data.images.shape[1:], data.count, seed=seed)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(RATE, steps)),
        loss="sparse_categorical_crossentropy",
    )
    epochs = -(-steps * BATCH // len(data.images))
    for epoch in range(epochs):
        rng = np.random.default_rng([seed, epoch])
        left = steps * BATCH - epoch * len(data.images)
        order = rng.permutation(len(data.images))[:left]
        model.fit(
            noise(data.images[order], rng),
            data.classes[order],
            batch_size=BATCH,
            initial_epoch=epoch,
            epochs=epoch + 1,
            shuffle=False,
            verbose=0,
        )
        tick((epoch + 1) / epochs)
    save(model, path)


@float32()
def fit_cnn(
    data: TrainingSet,
    path: Path,
    setting: dict[str, Any],
    tick: Callable[[float], None],
) -> None:
    """Train the convolutional network with `model.fit` and save it to `path`."""
    model = build_classifier(data.images.shape[1:], data.count)
    steps = -(-len(data.images) // BATCH)
    epochs = -(-STEPS // steps)
    model.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(RATE, steps * epochs)
        ),
        loss="sparse_categorical_crossentropy",
    )
    for epoch in range(epochs):
        # Shuffled here, since keras shuffles differently on each backend.
        order = np.random.default_rng([0, epoch]).permutation(len(data.images))
        model.fit(
            data.images[order],
            data.classes[order],
            batch_size=BATCH,
            initial_epoch=epoch,
            epochs=epoch + 1,
            shuffle=False,
            verbose=0,
        )
        tick((epoch + 1) / epochs)
    save(model, path)


def load_cnn(path: Path) -> Classifier:
    """Return the network stored in `path`."""
    model = load(plain(path))
    size = images_at_once(widest(model) or 1, most=500)
    return lambda images: np.asarray(
        model.predict(images, batch_size=size, verbose=0), dtype=np.float32
    )


def choose_logistic(
    data: TrainingSet, validation: TrainingSet, tick: Callable[[float], None]
) -> dict[str, Any]:
    """Return the scale and C with the highest validation accuracy."""
    candidates = [
        {"scale": scale, "C": strength} for scale in SCALES for strength in STRENGTHS
    ]
    tried: list[dict[str, Any]] = []
    for number, setting in enumerate(candidates, 1):
        reader = _linear(**_logistic(data, setting))
        right = accuracy(reader(validation.images), validation.classes)
        tried.append({**setting, "validation_accuracy": right})
        tick(number / len(candidates))
    best = tried[int(np.argmax([row["validation_accuracy"] for row in tried]))]
    return {**best, "tried": tried}


def fit_logistic(
    data: TrainingSet,
    path: Path,
    setting: dict[str, Any],
    tick: Callable[[float], None],
) -> None:
    """Fit multiclass logistic regression and save its arrays to `path`."""
    arrays = _logistic(data, setting)
    with replacing(path) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]  # no options
    tick(1.0)


def _logistic(data: TrainingSet, setting: dict[str, Any]) -> dict[str, np.ndarray]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    flat = data.images.reshape(len(data.images), -1)
    mean, scale = np.zeros(flat.shape[1], "f4"), np.ones(flat.shape[1], "f4")
    if setting["scale"] == "standard":
        mean, scale = flat.mean(axis=0), flat.std(axis=0)
        scale[scale < 1e-3] = 1  # a constant pixel
    model = LogisticRegression(
        C=setting["C"],
        solver="lbfgs",
        max_iter=ITERATIONS,
        tol=TOLERANCE,
        random_state=0,
    )
    with warnings.catch_warnings():
        # If the iterations end before the optimum, validation decides.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit((flat - mean) / scale, data.classes)
    weights = np.zeros((data.count, flat.shape[1]))
    biases = np.full(data.count, -np.inf)  # a class without training images
    if len(model.classes_) == 2:
        weights[model.classes_[1]], biases[model.classes_[0]] = model.coef_[0], 0
        biases[model.classes_[1]] = model.intercept_[0]
    else:
        weights[model.classes_], biases[model.classes_] = model.coef_, model.intercept_
    return {"mean": mean, "scale": scale, "weights": weights, "biases": biases}


def load_logistic(path: Path) -> Classifier:
    """Return the logistic regression stored in `path`."""
    try:
        with (
            os.fdopen(opened(path), "rb") as raw,
            np.load(raw, allow_pickle=False) as file,
        ):
            arrays = {key: file[key] for key in ("mean", "scale", "weights", "biases")}
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise KerasDAEError(f"{path} is not a classifier; remove it.") from error
    return _linear(**arrays)


def _linear(
    mean: np.ndarray, scale: np.ndarray, weights: np.ndarray, biases: np.ndarray
) -> Classifier:
    def read(images: np.ndarray) -> np.ndarray:
        scores = ((images.reshape(len(images), -1) - mean) / scale) @ weights.T + biases
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities: np.ndarray = odds / odds.sum(axis=1, keepdims=True)
        return probabilities

    return read


@dataclass(frozen=True)
class Kind:
    """One row of `CLASSIFIERS`.

    Attributes:
        about: description for tables and figures.
        suffix: file extension.
        fit: `fit(data, path, setting, tick)` trains and saves.
        load: `load(path)` returns a `Classifier`.
        recipe: what the weights depend on besides images and setting.
    """

    about: str
    suffix: str
    fit: Callable[[TrainingSet, Path, dict[str, Any], Callable[[float], None]], None]
    load: Callable[[Path], Classifier]
    recipe: Callable[[], dict[str, Any]]


CLASSIFIERS: dict[str, Kind] = {
    "cnn": Kind(
        "convolutional network",
        ".keras",
        fit_cnn,
        load_cnn,
        lambda: {
            **{"layers": LAYERS, "batch": BATCH},
            **{"rate": RATE, "steps": STEPS},
        },
    ),
    "logistic": Kind(
        "logistic regression",
        ".npz",
        fit_logistic,
        load_logistic,
        lambda: {"iterations": ITERATIONS, "tolerance": TOLERANCE},
    ),
}
