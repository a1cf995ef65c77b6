"""`Denoiser`: a Keras model together with all that its answers depend on."""

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np

from keras_dae.denoising.arrays import denoise_any, with_interval
from keras_dae.denoising.tile_model import TileModel
from keras_dae.denoising.trained import card_range, find_model
from keras_dae.denoising.widths import uncertainty_of
from keras_dae.errors import KerasDAEError, UsageError, check
from keras_dae.evaluation.arrays import Scores, bench_of, score
from keras_dae.images.noise import Noise
from keras_dae.images.noise_words import as_noise, describe_noise, noise_label
from keras_dae.images.pairs import NoisyCleanPairs
from keras_dae.images.ranges import range_of
from keras_dae.images.rows import as_images
from keras_dae.images.splits import Splits
from keras_dae.images.targets import CLEAN, TargetPairs, training_pairs
from keras_dae.interchange.export import export
from keras_dae.interchange.formats import format_of
from keras_dae.models import files
from keras_dae.models.architectures import DAESpec
from keras_dae.models.builders import DEFAULT_OUTPUT_BIAS, output_bias
from keras_dae.models.ceilings import CeilingSpec
from keras_dae.training.arrays import choose_optimizer, fit_arrays, frozen_validation
from keras_dae.training.config import RunConfig, make_config
from keras_dae.training.fitting import fit as fit_run
from keras_dae.training.fitting import mean_pixel, start
from keras_dae.training.progress import FitProgress
from keras_dae.uncertainty.calibrate import CONFIDENCE, LEVEL, calibrate
from keras_dae.uncertainty.records import KEY, to_json

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
        run: the `RunFolder` that `train` wrote, or None.

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
        self.run: Any = None
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

    @classmethod
    def train(
        cls,
        config: RunConfig,
        splits: Splits,
        out: Path | str,
        *,
        resume: bool = False,
        progress: FitProgress | None = None,
    ) -> "Denoiser":
        """Train a run as `keras-dae train` does, and keep it in a run folder.

        Args:
            config: what to train, and how; `make_config` returns one.
            splits: the data; its test images are not used.
            out: folder of runs; this one becomes `run.path` in it.
            resume: go on with the run that is there, if any.
            progress: shown while training.

        Raises:
            UsageError: the run is there and `resume` is not set, or it has another
                configuration.
            KerasDAEError: nothing can be written, or the loss became NaN.
        """
        run = fit_run(config, splits, out, resume=resume, progress=progress)
        denoiser = cls.from_preset(run.path)
        denoiser.run = run
        return denoiser

    def __repr__(self) -> str:
        noise = "none"
        if self.noise is not None:
            noise = noise_label(describe_noise(self.noise))
        return (
            f"<Denoiser {self.model.name}: images {self.model.input_shape[1:]}, "
            f"{self.model.count_params():,} parameters, noise {noise}>"
        )

    def denoise(
        self, image: Any, *, strength: float = 1.0, return_interval: bool = False
    ) -> Any:
        """Return an image, or a batch of images, without its noise.

        Args:
            image: a path, an image (H, W) or (H, W, C) with C 1 or 3, or a batch
                (N, H, W) or (N, H, W, C); uint8, uint16, bool or float. Images of
                another size than the model's are denoised in overlapping tiles.
            strength: from 0 (the image as it was) to 1 (the model's answer).
            return_interval: whether to return the ends of each pixel's interval too,
                of an array and a calibrated model (`calibrate`). A warning is given
                where an image is unlike those of the calibration.

        Returns:
            An array of the same shape and type; of a file with several pages, a list.
            With `return_interval` (answer, lower, upper), the ends float32 and in the
            values of the image.

        Raises:
            UsageError: a shape or type that is no image, floats outside the range, or
                a strength outside [0, 1].
            KerasDAEError: a file that cannot be read.

        Example:
            >>> denoiser = Denoiser.from_preset("DAE_1_5")
            >>> denoiser.denoise(np.zeros((40, 60), "uint8")).shape
            (40, 60)
        """
        if not return_interval:
            return denoise_any(self.answer, image, self._range, strength)
        check(
            strength == 1 and not isinstance(image, str | Path),
            "return_interval takes an array and a strength of 1.",
            image=type(image).__name__,
            strength=strength,
        )
        found = uncertainty_of(self.model.name, self.card, self.model)
        return with_interval(self.answer, np.asarray(image), self._range, found)

    def calibrate(
        self,
        images: np.ndarray,
        validation_images: np.ndarray,
        *,
        level: float = LEVEL,
        confidence: float = CONFIDENCE,
    ) -> dict[str, Any]:
        """Learn intervals around the answers, for `denoise(return_interval=True)`.

        With probability `confidence` over the validation images, at least the share
        `level` of an image's pixels lie in their interval, on average over images
        like them. `save` keeps the intervals; `fit` drops them.

        Args:
            images: clean training images, (N, H, W, C) or (N, H, W).
            validation_images: clean images that the model was not trained on, some
                hundreds or more; never those of a test.
            level: the share of pixels, in [0.5, 0.99].
            confidence: in [0.5, 0.999].

        Returns:
            What was calibrated on what, as JSON values.

        Raises:
            UsageError: a value out of range, no noise, or images of another shape.
            KerasDAEError: too few validation images.
        """
        low, high = self._range(np.asarray(images[:1]))
        splits = Splits.from_arrays(images, validation_images, value_range=(low, high))
        self._check_shape(splits.train)
        found = calibrate(
            self.answer,
            splits,
            self._needed_noise(),
            level=level,
            confidence=confidence,
            seed=self.seed,
        )
        self.card[KEY] = to_json(found, self.model)
        return found.facts

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
        targets: str = CLEAN,
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
        """Train on images with fresh noise in each epoch.

        A second call goes on from the weights, with a new optimizer.

        Args:
            images: clean training images, (N, H, W, C) or (N, H, W).
            validation_data: clean images, which get noise once and are scored as
                `targets` says, or a pair of arrays (noisy, clean), float32 in [0, 1].
            targets: `"clean"`: the model is scored against the clean images.
                `"noisy"`: against a second noisy copy of each (Noise2Noise).
                `"blind-spot"`: against hidden pixels of the one noisy copy
                (Noise2Self). `"split"`: the one Gaussian noisy copy is split into an
                input and a target. All are corrected for clipping, so that the model
                learns clean values. `"r2r"`: `"split"` of unclipped noise
                (Recorrupted-to-Recorrupted).
                `card["targets"]` says what was used. See
                `docs/without-clean-images.md`.
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
            UsageError: no noise, images of another shape than the model's, a value
                out of range, or noise that `targets` does not allow.

        Example:
            >>> denoiser = Denoiser(plan(depth=1, latent=5), noise="gaussian:0.5")
            >>> images = np.zeros((64, 28, 28), "uint8")
            >>> list(denoiser.fit(images, epochs=1, verbose=0).history)
            ['loss']
        """
        low, high = self.value_range or (None, None)
        pairs = training_pairs(
            targets,
            images,
            self._needed_noise(),
            batch_size=batch_size,
            seed=self.seed,
            low=low,
            high=high,
            prefetch=True,
        )
        self._check_shape(pairs.images)
        validation = frozen_validation(validation_data, pairs, self._check_shape)
        if self._spec is not None:
            self.model = self._start(output_bias(_start_mean(pairs)))
            self._spec, self._tiles = None, None
        optimizer = choose_optimizer(
            *(self.model, optimizer, learning_rate, epochs, pairs)
        )
        history, card = fit_arrays(
            *(self.model, pairs, validation),
            epochs=epochs,
            compiled={"optimizer": optimizer, "loss": loss, "metrics": metrics},
            callbacks=callbacks,
            fast=fast,
            verbose=verbose,
        )
        for key in (KEY, "targets"):  # they were of the weights of before
            self.card.pop(key, None)
        self.card |= card
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
        chosen = format_of(Path(path), format)
        with TemporaryDirectory() as folder:
            model = Path(folder) / "model.keras"
            self.save(model)
            return export(model, chosen, Path(path), self.card, overwrite=overwrite)

    def _start(self, bias: float) -> keras.Model:
        """Return the untrained model, with this bias of the last layer."""
        assert self._spec is not None  # it is what was planned
        return start(make_config({"seed": self.seed}), self._spec, bias)

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


def _start_mean(pairs: NoisyCleanPairs) -> float:
    """Return the mean target, as far as these targets show it."""
    if isinstance(pairs, TargetPairs):
        return pairs.mean_target()
    return mean_pixel(pairs.images, pairs.low, pairs.high)


def _load_handle(handle: str) -> keras.Model:
    try:
        return keras.saving.load_model(handle, compile=False)
    except Exception as error:  # of whatever library reads the handle
        raise KerasDAEError(f"{handle} cannot be loaded: {error}") from error
