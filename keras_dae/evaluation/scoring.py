"""Score denoisers on test images."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_dae.errors import KerasDAEError
from keras_dae.evaluation.baselines import BASELINES, Denoiser
from keras_dae.evaluation.engines import (
    BATCH,
    difference,
    model_denoiser,
)
from keras_dae.evaluation.metrics import measure_all, mse, summarise
from keras_dae.evaluation.walled import WalledModel, open_model
from keras_dae.images.datasets import Splits
from keras_dae.images.frozen import (
    FROZEN_BLOCK,
    TEST,
    FrozenPairs,
    frozen_arrays,
    frozen_pairs,
    is_held,
    noise_sha256,
)
from keras_dae.images.noise import Noise
from keras_dae.images.noise_words import describe_noise
from keras_dae.images.pairs import Pair
from keras_dae.models.batches import images_at_once
from keras_dae.models.files import load
from keras_dae.models.gate import holds_optimizer
from keras_dae.training.config import RunConfig
from keras_dae.training.length import begun
from keras_dae.training.patience import saved_epoch
from keras_dae.training.runs import RunFolder, model_name

# Draws of the test noise for published figures, since a single draw may be lucky.
TEST_DRAWS = 5


@dataclass(frozen=True)
class TestBench:
    """The frozen noisy test images that all denoisers of a study are scored on.

    They are drawn once and kept in memory. If they are too large, they are drawn again
    for each denoiser in bounded memory. With several draws of the noise, only the first
    one is kept, and scores are means over all draws.

    Attributes:
        splits: the data set.
        noise: the noise added to its test images.
        seed: seed for the noise; the same for every model.
        draws: number of draws, with `seed`, `seed + 1` and so on.
    """

    __test__ = False  # tells pytest that this is not a test class

    splits: Splits
    noise: Noise
    seed: int = 0
    draws: int = 1

    @cached_property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """All noisy and clean test images, float32 (N, H, W, C)."""
        return frozen_arrays(self.splits.test, self.noise, **self._drawn_from)

    @property
    def _drawn_from(self) -> dict[str, Any]:
        low, high = self.splits.low, self.splits.high
        return {"seed": self.seed, "split": TEST, "low": low, "high": high}

    def batches(self, count: int | None = None, draw: int = 0) -> Iterator[Pair]:
        """Yield (noisy, clean) test images in batches of at most `BATCH`.

        Args:
            count: use the first N images; None uses all.
            draw: number of the draw, from 0.
        """
        # SSIM needs about eight times the memory of an image, in float64.
        size = images_at_once(16 * self.pixels, BATCH)
        if draw == 0 and is_held(self.splits.test):
            noisy, clean = (part[:count] for part in self.pairs)
            for start in range(0, len(noisy), size):
                yield noisy[start : start + size], clean[start : start + size]
        else:
            images = self.splits.test
            if count is not None:  # avoids reading a large slice if all are used
                images = images[:count]
            drawn_from = {**self._drawn_from, "seed": self.seed + draw}
            drawn = frozen_pairs(images, self.noise, **drawn_from)
            yield from rebatched(drawn, size)

    def take(self, index: np.ndarray) -> Pair:
        """Return the noisy and clean test images with these indices, in order."""
        if is_held(self.splits.test):
            return self.pairs[0][index], self.pairs[1][index]
        drawn = FrozenPairs(self.splits.test, self.noise, **self._drawn_from)
        places = [divmod(int(one), FROZEN_BLOCK) for one in index]
        found = {number: drawn.block(number) for number, _ in places}
        noisy, clean = (
            np.stack([found[number][part][row] for number, row in places])
            for part in (0, 1)
        )
        return noisy, clean

    @cached_property
    def _noise_sha256(self) -> str:
        return noise_sha256(noisy for noisy, _ in self.batches())

    @property
    def fingerprint(self) -> dict[str, Any]:
        """JSON values that determine the noisy and clean test images."""
        noise = {**self.describe_noise(), "seed": self.seed, "draws": self.draws}
        return {"data": self.splits.describe(), "noise": noise}

    def describe_noise(self) -> dict[str, Any]:
        """Return kind, parameters, and the hash of the noisy test images."""
        return {
            **describe_noise(self.noise),
            "test_sha256": self._noise_sha256,
        }

    def answers(
        self, denoise: Denoiser, count: int | None = None, draw: int = 0
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (clean, denoised) test images, `BATCH` at a time.

        Args:
            denoise: the denoiser.
            count: use the first N images; None uses all.
            draw: number of the draw, from 0.

        Raises:
            KerasDAEError: an output has another shape, or is not finite.
        """
        for noisy, truth in self.batches(count, draw):
            answer = np.asarray(denoise(noisy))
            if answer.shape != truth.shape:
                raise KerasDAEError(
                    f"The denoiser returns shape {answer.shape}, the clean images have "
                    f"{truth.shape}."
                )
            if not np.isfinite(answer).all():
                raise KerasDAEError("The denoiser returns values that are not finite.")
            yield truth, answer

    def errors(self, denoise: Denoiser) -> np.ndarray:
        """Return the mean squared error of each denoised test image, shape (N,).

        With several draws of the noise, it is the mean over draws.
        """
        total = np.zeros(len(self.splits.test))
        for draw in range(self.draws):
            pairs = self.answers(denoise, draw=draw)
            total += np.concatenate([mse(*pair) for pair in pairs])
        return total / self.draws

    def measure(self, denoise: Denoiser) -> tuple[dict[str, Any], np.ndarray]:
        """Return the scores of a denoiser, and its error on each test image."""
        of_images = self.measure_images(denoise)
        return self.summary(of_images), of_images["mse"]

    def measure_images(
        self, denoise: Denoiser, count: int | None = None
    ) -> dict[str, np.ndarray]:
        """Return metric -> one value per image, for the first `count` images or all.

        With several draws of the noise, values are means over draws. The metrics are
        those of `measure_all`.
        """
        return mean_of(list(self.measure_draws(denoise, count)))

    def measure_draws(
        self, denoise: Denoiser, count: int | None = None
    ) -> Iterator[dict[str, np.ndarray]]:
        """Yield the result of `measure_images` for each draw of the noise."""
        for draw in range(self.draws):
            parts = [measure_all(*pair) for pair in self.answers(denoise, count, draw)]
            yield {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}

    def summary(self, of_images: dict[str, np.ndarray]) -> dict[str, Any]:
        """Return the scores of a row from those of its images."""
        return summarise(of_images, self.pixels)

    @property
    def pixels(self) -> int:
        """Number of values per image."""
        return int(np.prod(self.splits.image_shape))


def mean_of(draws: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the values of each image, averaged over draws of the noise."""
    return {key: np.mean([one[key] for one in draws], axis=0) for key in draws[0]}


def first_draw(row: Mapping[str, Any]) -> float:
    """Return the test MSE in a row of results on the first draw of the noise."""
    return float(row.get("test_draws", [row["test"]["mse"]])[0])


def draw_errors(draws: list[dict[str, np.ndarray]]) -> dict[str, list[float]]:
    """Return the mean error of each draw, for a row; empty for a single draw."""
    if len(draws) == 1:
        return {}
    return {"test_draws": [float(one["mse"].mean()) for one in draws]}


def rebatched(pairs: Iterable[Pair], size: int) -> Iterator[Pair]:
    """Yield the images of `pairs` in order, `size` at a time."""
    noisy: list[np.ndarray] = []
    clean: list[np.ndarray] = []
    waiting = 0
    for one, other in pairs:
        noisy.append(one)
        clean.append(other)
        waiting += len(one)
        while waiting >= size:
            all_noisy, all_clean = np.concatenate(noisy), np.concatenate(clean)
            yield all_noisy[:size], all_clean[:size]
            noisy, clean = [all_noisy[size:]], [all_clean[size:]]
            waiting -= size
    if waiting:
        yield np.concatenate(noisy), np.concatenate(clean)


ImageFigures = dict[str, np.ndarray]  # metric -> one value per image


def load_for(splits: Splits, path: Path) -> keras.Model | WalledModel:
    """Return the model of a `.keras` file, if it denoises images of this shape.

    Raises:
        KerasDAEError: the file is not a readable model, or its shape differs.
    """
    model = open_model(path)
    check_fits(model, splits, str(path))
    return model


def check_fits(model: keras.Model, splits: Splits, named: str) -> None:
    """Raise an error if a model does not fit the images, or there are no test images.

    Raises:
        KerasDAEError: see `check_shape`; or there are no test images.
    """
    if not len(splits.test):
        raise KerasDAEError(
            f"{splits.name} holds no test images. Put some into its folder test."
        )
    check_shape(model, splits, named)


def check_shape(model: keras.Model | WalledModel, splits: Splits, named: str) -> None:
    """Raise an error if the input shape of a model does not fit the images.

    Variable sides fit any size.

    Raises:
        KerasDAEError: the shapes differ.
    """
    expected, shape = tuple(model.input_shape[1:]), splits.image_shape
    open_sides = len(expected) == len(shape) and all(
        side in (None, given) for side, given in zip(expected, shape, strict=True)
    )
    if not open_sides:
        raise KerasDAEError(
            f"{named} denoises images of shape {expected}, but {splits.name} has "
            f"{shape}."
        )


def score_model(
    bench: TestBench,
    model: keras.Model,
    engine: str = "keras",
    named: str = "The model",
) -> tuple[dict[str, Any], ImageFigures]:
    """Return the scores of a model, and those of each test image.

    An engine (`engines.ENGINES`) other than keras is included, with its largest
    difference from keras.

    Raises:
        KerasDAEError: the model is for images of another shape.
    """
    check_fits(model, bench.splits, named)
    denoise = model_denoiser(model, engine)
    of_draws = list(bench.measure_draws(denoise))
    of_images = mean_of(of_draws)
    row = {"parameters": model.count_params(), "test": bench.summary(of_images)}
    row |= draw_errors(of_draws)
    if engine != "keras":
        row["engine"] = {"name": engine, "max_difference": difference(denoise)}
    return row, of_images


def finished_epochs(folder: RunFolder) -> dict[str, list[Any]]:
    """Return the history up to the epoch of the saved weights.

    The history is written before the model. If a run is killed between the two, its
    history is one epoch ahead. The step counter of the optimizer detects this.

    Raises:
        KerasDAEError: the steps do not correspond to epochs of the history.
    """
    history = folder.history()
    if not history["loss"]:
        raise KerasDAEError(f"{folder.path} holds no epoch that has been finished.")
    if not holds_optimizer(folder.model_path):
        return history  # the model is that of the last epoch
    steps = folder.config().epoch_steps(folder.record()["dataset"]["train"])
    taken = int(load(folder.model_path, compiled=True).optimizer.iterations)
    done, rest = divmod(taken, steps)
    done += begun(folder)  # each round has a new optimizer
    if rest or not 0 < done <= len(history["loss"]):
        raise KerasDAEError(
            f"{folder.model_path} and {folder.history_path} do not belong together: "
            f"the model has been trained for {taken} steps, an epoch has {steps}, and "
            f"the history has {len(history['loss'])} epochs."
        )
    return {key: column[:done] for key, column in history.items()}


def saved_loss(config: RunConfig, history: dict[str, list[Any]]) -> float:
    """Return the validation loss of the weights that a run saves.

    Args:
        config: the run.
        history: result of `finished_epochs`.
    """
    losses = history["val_loss"]
    return float(losses[saved_epoch(config, losses)])


def run_row(folder: RunFolder, scored: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a run for `results.json`.

    Args:
        folder: the run.
        scored: result of `score_model` for its model.
    """
    config, history = folder.config(), finished_epochs(folder)
    return {
        "name": model_name(config),
        "depth": config.depth,
        "latent": config.latent,
        "seed": config.seed,
        "parameters": scored["parameters"],
        "epochs": len(history["loss"]),
        "val_loss": saved_loss(config, history),
        "test": scored["test"],
        **({"test_draws": scored["test_draws"]} if "test_draws" in scored else {}),
        **({"engine": scored["engine"]} if "engine" in scored else {}),
        "seconds": round(sum(history["seconds"]) + sum(history["val_seconds"]), 1),
    }


def score_baselines(bench: TestBench) -> list[dict[str, Any]]:
    """Return a row for each row of `BASELINES`."""
    return [
        {"name": name, **score_denoiser(bench, make(bench.splits))}
        for name, make in BASELINES.items()
    ]


def score_denoiser(bench: TestBench, denoise: Denoiser) -> dict[str, Any]:
    """Return the scores for a row: `test`, and with several draws `test_draws`."""
    of_draws = list(bench.measure_draws(denoise))
    return {"test": bench.summary(mean_of(of_draws)), **draw_errors(of_draws)}
