"""`Denoiser`: a Keras model together with all that its answers depend on."""

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np

from keras_dae.denoising.tile_model import TileModel
from keras_dae.denoising.tiles import BATCH
from keras_dae.denoising.trained import card_range, find_model
from keras_dae.errors import KerasDAEError, UsageError, check
from keras_dae.evaluation.arrays import Scores, bench_of, score
from keras_dae.images.frozen import VALIDATION, frozen_arrays
from keras_dae.images.io.formats import read_file
from keras_dae.images.io.pictures import from_unit, to_unit
from keras_dae.images.noise import Noise
from keras_dae.images.noise_words import as_noise, describe_noise, noise_label
from keras_dae.images.pairs import EpochClock, NoisyCleanPairs
from keras_dae.images.ranges import range_of
from keras_dae.images.rows import as_images
from keras_dae.interchange.export import export
from keras_dae.interchange.formats import EXPORTS
from keras_dae.models import files
from keras_dae.models.architectures import DAESpec
from keras_dae.models.builders import DEFAULT_OUTPUT_BIAS, output_bias
from keras_dae.models.ceilings import CeilingSpec
from keras_dae.models.counting import macs
from keras_dae.system import backend
from keras_dae.system.numerics import float32
from keras_dae.training.config import make_config
from keras_dae.training.fitting import batches_at_once, hasten, mean_pixel, start
from keras_dae.training.optimizers import make_optimizer

Spec = DAESpec | CeilingSpec
Range = tuple[float, float]
# How a name begins that keras.saving.load_model takes.
HANDLES = ("hf://", "kaggle://")


class Denoiser:
    """A denoising model with its noise, its value range and its card.

    Images are arrays of shape (N, H, W, C) or (N, H, W): clean ones for `fit` and
    `evaluate`, noisy ones for `denoise`. uint8, uint16 and bool images are scaled by
    the range of their type; floats must lie in [0, 1], unless `value_range` is given.

    Args:
        model: what `plan` returns, or a Keras model that maps images to images of the
            same shape.
        noise: the noise to train and evaluate on: a text such as `"gaussian:0.5"` or a
            noise type; None takes that of the card.
        value_range: image values that become 0 and 1.
        seed: what initial weights, image order and training noise are drawn from.
        card: what is known of the model's training, JSON values.

    Attributes:
        model: the Keras model.
        noise: the noise, or None.
        card: what is known of the training; saved with the model.

    Raises:
        UsageError: an unknown noise, or `value_range` without low below high.

    Example:
        >>> denoiser = Denoiser(plan(depth=5, latent=8), noise="gaussian:0.5")
        >>> denoiser.model.name
        'DAE_5_8'
    """

    def __init__(
        self,
        model: Spec | keras.Model,
        *,
        noise: Noise | str | None = None,
        value_range: Range | None = None,
        seed: int = 0,
        card: dict[str, Any] | None = None,
    ) -> None:
        self.card: dict[str, Any] = dict(card or {})
        self.seed, self.value_range = seed, value_range
        if value_range is not None:
            range_of(np.zeros(1), *value_range)  # says what is wrong with it
        found = self.card.get("noise") if noise is None else noise
        self.noise = None if found is None else as_noise(found)
        self._spec: Spec | None = model if isinstance(model, Spec) else None
        self.model: Any = (
            model if self._spec is None else self._start(DEFAULT_OUTPUT_BIAS)
        )
        self._tiles: TileModel | None = None

    @classmethod
    def from_preset(cls, named: str | Path) -> "Denoiser":
        """Load a denoiser by name.

        Args:
            named: a preset (`list_presets()`), a run folder, a `.keras` file, or a
                handle that `keras.saving.load_model` takes (`hf://user/name`).

        Raises:
            UsageError: there is none of that name.
            KerasDAEError: the file is damaged or not to be loaded.

        Example:
            >>> Denoiser.from_preset("DAE_5_13").model.output_shape
            (None, 28, 28, 1)
        """
        if str(named).startswith(HANDLES):
            return cls(_load_handle(str(named)))
        found = find_model(named)
        return cls(files.load(found.path), card=found.card)

    def __repr__(self) -> str:
        noise = "none"
        if self.noise is not None:
            noise = noise_label(describe_noise(self.noise))
        return (
            f"<Denoiser {self.model.name}: images {self.model.input_shape[1:]}, "
            f"{self.model.count_params():,} parameters, noise {noise}>"
        )

    def denoise(self, image: Any, *, strength: float = 1.0) -> Any:
        """Return an image, or a batch of images, without its noise.

        Args:
            image: a path, an image (H, W) or (H, W, C) with C 1 or 3, or a batch
                (N, H, W) or (N, H, W, C); uint8, uint16, bool or float. Images of
                another size than the model's are denoised in overlapping tiles.
            strength: from 0 (the image as it was) to 1 (the model's answer).

        Returns:
            An array of the same shape and type; of a file with several pages, a list.

        Raises:
            UsageError: a shape or type that is no image, floats outside the range, or
                a strength outside [0, 1].
            KerasDAEError: a file that cannot be read.

        Example:
            >>> denoiser = Denoiser.from_preset("DAE_1_5")
            >>> denoiser.denoise(np.zeros((40, 60), "uint8")).shape
            (40, 60)
        """
        check(0 <= strength <= 1, "strength is from 0 to 1.", strength=strength)
        if isinstance(image, str | Path):
            pages = read_file(Path(image)).pages
            found = [
                page.joined(self._denoise(page.values[None], strength)[0])
                for page in pages
            ]
            return found[0] if len(found) == 1 else found
        array = np.asarray(image)
        return self._denoise(_as_batch(array), strength).reshape(array.shape)

    def _denoise(self, images: np.ndarray, strength: float) -> np.ndarray:
        """Return a batch (N, H, W, C) denoised, of the same type."""
        low, high = self._range(images)
        unit = to_unit(images, low, high, inverted=False).clip(0, 1)
        if self.answer.sides == images.shape[1:3]:
            parts = np.split(unit, range(BATCH, len(unit), BATCH))
            answers = np.concatenate([self.answer(part) for part in parts])
        else:
            answers = np.stack([self.answer.denoise(one) for one in unit])
        answers = unit + np.float32(strength) * (answers - unit)
        return from_unit(answers, images.dtype, low, high, inverted=False)

    @property
    def answer(self) -> TileModel:
        """The model as a function of float32 images (N, H, W, C) in [0, 1]."""
        if self._tiles is None:
            self._tiles = TileModel(self.model)
        return self._tiles

    def _range(self, images: Any) -> Range:
        """Return the values of these images that become 0 and 1."""
        if self.value_range is not None:
            return self.value_range
        return card_range(self.card, images.dtype) or range_of(images)

    def fit(
        self,
        images: np.ndarray,
        *,
        validation_data: Any = None,
        epochs: int = 15,
        batch_size: int = 64,
        optimizer: Any = None,
        learning_rate: float | None = None,
        loss: Any = "mse",
        metrics: Any = None,
        callbacks: Iterable[keras.callbacks.Callback] = (),
        fast: bool = True,
        verbose: Any = "auto",
    ) -> keras.callbacks.History:
        """Train on clean images with fresh noise in each epoch.

        A second call goes on from the weights, with a new optimizer.

        Args:
            images: clean training images, (N, H, W, C) or (N, H, W).
            validation_data: clean images, which get noise once, or a pair of arrays
                (noisy, clean), float32 in [0, 1].
            epochs: passes over the images.
            batch_size: images per step.
            optimizer: what `keras.Model.compile` takes; by default Adam with a warm-up
                and a cosine decay, as in `configs/paper.toml`.
            learning_rate: of the default optimizer.
            loss: what `keras.Model.compile` takes.
            metrics: what `keras.Model.compile` takes.
            callbacks: Keras callbacks.
            fast: whether to use faster steps on torch where they compute the same.
            verbose: what `keras.Model.fit` takes.

        Returns:
            The Keras history. `card["training"]` says what was trained and how.

        Raises:
            UsageError: no noise, images of another shape than the model's, or a value
                out of range.

        Example:
            >>> denoiser = Denoiser(plan(depth=1, latent=5), noise="gaussian:0.5")
            >>> images = np.zeros((64, 28, 28), "uint8")
            >>> list(denoiser.fit(images, epochs=1, verbose=0).history)
            ['loss']
        """
        check(
            optimizer is None or learning_rate is None,
            "learning_rate is for the default optimizer.",
            optimizer=optimizer,
            learning_rate=learning_rate,
        )
        pairs = self._pairs(images, batch_size)
        limits = (pairs.low, pairs.high)
        validation = self._validation(validation_data, limits)
        if self._spec is not None:
            mean = mean_pixel(pairs.images, *limits)
            self.model = self._start(output_bias(mean))
            self._spec, self._tiles = None, None
        self.model.compile(
            optimizer=optimizer or self._optimizer(learning_rate, epochs, pairs),
            loss=loss,
            metrics=metrics,
        )
        lean = fast and hasten(self.model, batch_size=batch_size)
        callbacks = list(callbacks)
        if not callbacks and verbose == 0:  # nobody is told of each batch
            step = (macs(self.model) or 0) * batch_size
            pairs.at_once = batches_at_once(step, lean)
        history = float32()(self.model.fit)(
            pairs,
            validation_data=validation,
            epochs=epochs,
            shuffle=False,
            callbacks=[EpochClock(pairs), *callbacks],
            verbose=verbose,
        )
        self.card |= _card_of(pairs, history, lean)
        return history

    def evaluate(
        self, images: np.ndarray, *, noise: Noise | str | None = None, seed: int = 0
    ) -> Scores:
        """Return the error on clean images, whose noise is drawn once from a seed.

        Args:
            images: clean images, (N, H, W, C) or (N, H, W).
            noise: another noise than that of the denoiser.
            seed: what the noise is drawn from.

        Returns:
            `mse` (mean over images and pixels, on values in [0, 1]), `psnr` (of that
            mean, in dB; None where it is 0) and `ssim` (mean over images; None for
            images below 11x11 pixels).

        Example:
            >>> denoiser = Denoiser.from_preset("DAE_1_5")
            >>> sorted(denoiser.evaluate(np.zeros((4, 28, 28), "uint8")))
            ['mse', 'psnr', 'ssim']
        """
        used = self._needed_noise() if noise is None else as_noise(noise)
        clean = as_images(images)
        self._check_shape(clean)
        bench = bench_of(clean, used, self._range(clean), seed)
        return score(bench, self.answer)

    def save(self, path: Path | str) -> None:
        """Save model and card to one `.keras` file, whole or not at all.

        `keras.saving.load_model` opens it; `Denoiser.from_preset` reads the card too.

        Raises:
            UsageError: a name that does not end in `.keras`.
            KerasDAEError: the file cannot be written.
        """
        files.save(self.model, path, card=self.card)

    def export(
        self, path: Path | str, format: str | None = None, *, overwrite: bool = False
    ) -> dict[str, Any]:
        """Write the model for another program, compared with this one within 1e-5.

        Args:
            path: the file, or the folder of a saved model.
            format: a row of `EXPORTS`; by default what the ending of `path` says.
            overwrite: whether what is there may be replaced.

        Returns:
            Format, files, bytes and the largest difference of its answers.

        Raises:
            UsageError: an unknown format or ending, or a path that exists.
            KerasDAEError: a missing package, or answers that differ.
        """
        endings = {row.suffix: name for name, row in EXPORTS.items()}
        chosen = format or endings.get(Path(path).suffix, "")
        check(
            chosen in EXPORTS,
            f"format must be one of {', '.join(EXPORTS)}, or path must end in one of "
            f"{', '.join(filter(None, endings))}.",
            path=str(path),
            format=format,
        )
        with TemporaryDirectory() as folder:
            model = Path(folder) / "model.keras"
            self.save(model)
            return export(model, chosen, Path(path), self.card, overwrite=overwrite)

    def _start(self, bias: float) -> keras.Model:
        """Return the untrained model, with this bias of the last layer."""
        assert self._spec is not None  # it is what was planned
        return start(make_config({"seed": self.seed}), self._spec, bias)

    def _pairs(self, images: np.ndarray, batch_size: int) -> NoisyCleanPairs:
        """Return the training pairs of these images."""
        low, high = self.value_range or (None, None)
        pairs = NoisyCleanPairs(
            images,
            self._needed_noise(),
            batch_size=batch_size,
            seed=self.seed,
            low=low,
            high=high,
            prefetch=True,
        )
        self._check_shape(pairs.images)
        return pairs

    def _needed_noise(self) -> Noise:
        if self.noise is None:
            raise UsageError(
                "There is no noise to train or evaluate on; "
                'Denoiser(..., noise="gaussian:0.5") names one.'
            )
        return self.noise

    def _check_shape(self, images: Any) -> None:
        wanted, given = self.model.input_shape[1:], tuple(images.shape[1:])
        check(
            len(wanted) == len(given)
            and all(w in (None, g) for w, g in zip(wanted, given, strict=True)),
            f"The images must have the model's shape {wanted}; "
            "plan(..., image_shape=(H, W, C)) plans for another.",
            image_shape=given,
        )

    def _optimizer(
        self, rate: float | None, epochs: int, pairs: NoisyCleanPairs
    ) -> keras.optimizers.Optimizer:
        """Return the optimizer of the study, for so many epochs."""
        fields = {"epochs": epochs, "batch_size": pairs.batch_size}
        rates = {} if rate is None else {"learning_rate": rate}
        kind, _, rest = str(self.model.name).partition("_")
        depth = rest.partition("_")[0]
        known = {"depth": int(depth)} if kind == "DAE" and depth.isdigit() else {}
        return make_optimizer(make_config({**fields, **rates, **known}), pairs.batches)

    def _validation(self, given: Any, limits: Range) -> Any:
        """Return validation pairs: those that were given, or drawn once."""
        if given is None or isinstance(given, tuple | list):
            return given
        images = as_images(given)
        self._check_shape(images)
        drawn: dict[str, Any] = {"seed": self.seed, "split": VALIDATION}
        low, high = limits
        return frozen_arrays(images, self._needed_noise(), low=low, high=high, **drawn)


def _card_of(
    pairs: NoisyCleanPairs, history: keras.callbacks.History, fast: bool
) -> dict[str, Any]:
    """Return what was trained, and on what, as JSON values."""
    images = pairs.images
    values = {"dtype": images.dtype.name, "low": pairs.low, "high": pairs.high}
    last = {key: float(column[-1]) for key, column in history.history.items()}
    return {
        "data": "arrays",
        "image_shape": list(images.shape[1:]),
        "values": values,
        "noise": describe_noise(pairs.noise),
        "training": {
            "images": len(images),
            "epochs": len(history.epoch),
            "batch_size": pairs.batch_size,
            "seed": pairs.seed,
            "fast_steps": fast,
            "backend": backend.versions(),
            "device": backend.device(),
            "last": last,
        },
    }


def _load_handle(handle: str) -> keras.Model:
    try:
        return keras.saving.load_model(handle, compile=False)
    except Exception as error:  # of whatever library reads the handle
        raise KerasDAEError(f"{handle} cannot be loaded: {error}") from error


def _as_batch(array: np.ndarray) -> np.ndarray:
    """Return an image or a batch as (N, H, W, C)."""
    if array.ndim == 2:
        return array[None, ..., None]
    if array.ndim == 3:
        return array[None] if array.shape[-1] in (1, 3) else array[..., None]
    check(
        array.ndim == 4 and array.shape[-1] in (1, 3),
        "An image is (H, W) or (H, W, C), a batch (N, H, W) or (N, H, W, C), with C 1 "
        "or 3.",
        shape=array.shape,
    )
    return array
