"""`Denoiser`: a Keras model with its noise, value range and training record."""

from collections.abc import Iterable
from numbers import Integral
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np

from keras_dae.denoising.arrays import denoise_any, with_interval
from keras_dae.denoising.tile_model import TileModel
from keras_dae.denoising.trained import card_range, find_model
from keras_dae.denoising.widths import uncertainty_of
from keras_dae.errors import KerasDAEError, UsageError, check, is_a
from keras_dae.evaluation.arrays import Scores, bench_of, score
from keras_dae.images.noise import NOISES, Noise
from keras_dae.images.noise_words import as_noise, describe_noise, noise_label
from keras_dae.images.pairs import NoisyCleanPairs
from keras_dae.images.ranges import given_range, range_of
from keras_dae.images.rows import as_images, check_plain
from keras_dae.images.splits import Splits
from keras_dae.images.targets import CLEAN, TargetPairs, training_pairs
from keras_dae.interchange.export import export
from keras_dae.interchange.formats import format_of
from keras_dae.models import files
from keras_dae.models.architectures import DAESpec
from keras_dae.models.builders import DEFAULT_OUTPUT_BIAS, output_bias
from keras_dae.models.ceilings import CeilingSpec
from keras_dae.training.arrays import (
    OF_THESE_WEIGHTS,
    check_validation,
    choose_optimizer,
    fit_arrays,
    frozen_validation,
)
from keras_dae.training.config import RunConfig, make_config
from keras_dae.training.fitting import fit as fit_run
from keras_dae.training.fitting import mean_pixel, start
from keras_dae.training.progress import FitProgress
from keras_dae.uncertainty.calibrate import CONFIDENCE, LEVEL, calibrate
from keras_dae.uncertainty.records import KEY, to_json

Spec = DAESpec | CeilingSpec
Range = tuple[float, float]
# Prefixes of handles that keras.saving.load_model accepts.
HANDLES = ("hf://", "kaggle://")


class Denoiser:
    """A denoising model with its noise, value range and card.

    Images are arrays of shape (N, H, W, C) or (N, H, W): clean ones for `fit` and
    `evaluate`, noisy ones for `denoise`. uint8, uint16 and bool images are scaled by
    the range of their type; floats must lie in [0, 1], unless `value_range` is given.

    Args:
        model: a specification from `plan`, or a Keras model that maps images to images
            of the same shape.
        noise: the noise to train and evaluate on: a string such as `"gaussian:0.5"` or
            a noise object. None uses the noise of the card.
        value_range: image values that are scaled to 0 and 1.
        seed: seed for initial weights, image order and training noise.
        card: information on the training of the model, as JSON values.

    Attributes:
        model: the Keras model.
        noise: the noise, or None.
        card: information on the training. It is saved with the model.
        run: the `RunFolder` that `train` wrote, or None.

    Raises:
        UsageError: the model or the noise is unknown, or `value_range` is not (low,
            high).

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
        check(
            isinstance(model, Spec | keras.Model),
            "model must be the result of plan or a Keras model. Denoiser.from_preset "
            "loads models by name.",
            model=model,
        )
        self.card: dict[str, Any] = dict(card or {})
        self.seed = seed
        self.value_range: Range | None = (
            None if value_range is None else given_range(value_range)
        )
        self.run: Any = None
        check(
            isinstance(model, Spec) or model.built,
            "The Keras model is not built yet. Give it an input shape, as in "
            "keras.Sequential([keras.Input((28, 28, 1)), ...]).",
            model=model.name,
        )
        self._name: str | None = None  # of the preset, run or file
        found = self._own_noise() if noise is None else noise
        self.noise = None if found is None else as_noise(found)
        self._spec: Spec | None = model if isinstance(model, Spec) else None
        self.model: Any = (
            model if self._spec is None else self._start(DEFAULT_OUTPUT_BIAS)
        )
        self._tiles: TileModel | None = None
        self._epochs = 0  # of all calls of `fit`

    @classmethod
    def from_preset(cls, named: str | Path) -> "Denoiser":
        """Load a denoiser by name.

        Args:
            named: a preset (`list_presets()`), a run folder, a `.keras` file, or a
                handle that `keras.saving.load_model` accepts (`hf://user/name`), from a
                source that you trust.

        Raises:
            UsageError: there is no model of this name.
            KerasDAEError: the file is damaged or must not be loaded.

        Example:
            >>> Denoiser.from_preset("DAE_5_13").model.output_shape
            (None, 28, 28, 1)
        """
        if str(named).startswith(HANDLES):
            return cls(_load_handle(str(named)))
        found = find_model(named)
        denoiser = cls(files.load(found.path), card=found.card)
        denoiser._name = found.name
        return denoiser

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
        """Train a run as `keras-dae train` does, and save it in a run folder.

        Args:
            config: what to train, and how; see `make_config`.
            splits: the data. Its test images are not used.
            out: parent folder of the run folder. `run.path` is the run folder.
            resume: continue the existing run, if there is one.
            progress: progress display.

        Raises:
            UsageError: the run exists and `resume` is not set, or its configuration
                differs.
            KerasDAEError: the folder cannot be written, or the loss became NaN.
        """
        run = fit_run(config, splits, out, resume=resume, progress=progress)
        denoiser = cls.from_preset(run.path)
        denoiser.run, denoiser.seed = run, config.seed
        denoiser._epochs = len(run.history()["loss"])
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
        """Denoise an image or a batch of images.

        Args:
            image: a path, an image (H, W) or (H, W, C) with C 1 or 3 (2 or 4 with
                alpha, which is not changed), or a batch (N, H, W) or (N, H, W, C);
                uint8, uint16, bool or float. Images that do
                not have the input size of the model are denoised in overlapping tiles.
                A file is treated like an array of its pixels. `keras-dae denoise` also
                fills gaps (NaN) and finds the range of counts in its values.
            strength: blend of input and output, from 0 (the input) to 1 (the output of
                the model).
            return_interval: also return the bounds of each pixel's interval. This needs
                an array and a calibrated model (`calibrate`), and warns if an image is
                unlike the images of the calibration.

        Returns:
            An array of the same shape and type; a list for a file with several pages.
            With `return_interval`, a tuple (output, lower, upper). The bounds are
            float32, in the units of the image.

        Raises:
            UsageError: the shape or type is not that of an image, floats are outside
                [0, 1] without a value range, or strength is outside [0, 1].
            KerasDAEError: the file cannot be read.

        Example:
            >>> denoiser = Denoiser.from_preset("DAE_1_5")
            >>> denoiser.denoise(np.zeros((40, 60), "uint8")).shape
            (40, 60)
        """
        if not return_interval:
            return denoise_any(lambda images: self.answer, image, self._range, strength)
        check(
            strength == 1 and not isinstance(image, str | Path),
            "return_interval needs an array and a strength of 1.",
            image=type(image).__name__,
            strength=strength,
        )
        check_plain(image)
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
        """Calibrate an interval around each output pixel.

        `denoise(return_interval=True)` returns the intervals. With probability
        `confidence` over the validation images, the intervals cover at least the share
        `level` of an image's pixels, on average over similar images. `save` keeps the
        intervals; `fit` discards them.

        Args:
            images: clean training images, (N, H, W, C) or (N, H, W).
            validation_images: clean images that the model was not trained on, some
                hundreds or more. Do not use test images.
            level: share of pixels to cover, in [0.5, 0.99].
            confidence: in [0.5, 0.999].

        Returns:
            A summary of the calibration, as JSON values.

        Raises:
            UsageError: a value is out of range, there is no noise, or the images have
                another shape.
            KerasDAEError: there are too few validation images.
        """
        clean = as_images(images)
        low, high = self._range(clean)
        check_validation(as_images(validation_images), clean.dtype, low, high)
        splits = Splits.from_arrays(
            clean, as_images(validation_images), value_range=(low, high)
        )
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
        """Return the values of these images that are scaled to 0 and 1."""
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
        """Train on clean images. Noise is drawn again in each epoch.

        A second call continues from the current weights, with a new optimizer and with
        noise that the first call did not use.

        Args:
            images: clean training images, (N, H, W, C) or (N, H, W).
            validation_data: clean images, or a pair of arrays (noisy, clean), float32
                in [0, 1]. Clean images get noise once and are scored as `targets` says.
            targets: what the outputs are compared with.
                `"clean"`: the clean images.
                `"noisy"`: a second noisy copy of each image (Noise2Noise).
                `"blind-spot"`: hidden pixels of the one noisy copy (Noise2Self).
                `"split"`: the one noisy copy, with Gaussian noise, is split into an
                input and a target.
                `"r2r"`: as `"split"`, for noise that is not clipped
                (Recorrupted-to-Recorrupted).
                Noisy targets are corrected for clipping.
                `card["targets"]` records the choice. See
                `docs/without-clean-images.md`.
            epochs: passes over the images.
            batch_size: images per step.
            optimizer: as in `keras.Model.compile`. The default is Adam with a warm-up
                and a cosine decay, as in `configs/paper.toml`.
            learning_rate: learning rate of the default optimizer.
            loss: as in `keras.Model.compile`.
            metrics: as in `keras.Model.compile`.
            callbacks: Keras callbacks.
            fast: use faster training steps on torch where they are equivalent.
            verbose: as in `keras.Model.fit`.

        Returns:
            The Keras history. `card["training"]` records the training.

        Raises:
            UsageError: there is no noise, the images do not have the shape of the
                model, a value is out of range, or `targets` does not allow the noise.

        Example:
            >>> denoiser = Denoiser(plan(depth=1, latent=5), noise="gaussian:0.5")
            >>> images = np.zeros((64, 28, 28), "uint8")
            >>> list(denoiser.fit(images, epochs=1, verbose=0).history)
            ['loss']
        """
        low, high = self._range(as_images(images))
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
        # Before training, which may be interrupted.
        for key in (KEY, "training", *OF_THESE_WEIGHTS):
            self.card.pop(key, None)
        before = self._epochs
        if is_a(epochs, Integral):
            self._epochs += int(epochs)  # the noise of none of them is drawn again
        history, card = fit_arrays(
            *(self.model, pairs, validation),
            epochs=epochs,
            before=before,
            compiled={"optimizer": optimizer, "loss": loss, "metrics": metrics},
            callbacks=callbacks,
            fast=fast,
            verbose=verbose,
        )
        self._epochs = before + len(history.epoch)
        self.card |= card
        return history

    def evaluate(
        self, images: np.ndarray, *, noise: Noise | str | None = None, seed: int = 0
    ) -> Scores:
        """Return the error on clean images to which noise is added with a fixed seed.

        Args:
            images: clean images, (N, H, W, C) or (N, H, W).
            noise: noise to use instead of that of the denoiser.
            seed: seed for the noise.

        Returns:
            A dict with `mse` (mean over images and pixels, on values in [0, 1]), `psnr`
            (of this mean, in dB; None if it is 0) and `ssim` (mean over images; None
            for images below 11x11 pixels).

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
        """Save model and card to one `.keras` file. The file is written atomically.

        `keras.saving.load_model` can load it. `Denoiser.from_preset` also reads the
        card.

        Raises:
            UsageError: the path does not end in `.keras`.
            KerasDAEError: the file cannot be written.
        """
        files.save(self.model, path, card=self._whole_card())

    def export(
        self, path: Path | str, format: str | None = None, *, overwrite: bool = False
    ) -> dict[str, Any]:
        """Export the model to another format and check its outputs within 1e-5.

        Args:
            path: the file, or the folder of a SavedModel.
            format: a row of `EXPORTS`. The default depends on the ending of `path`.
            overwrite: replace an existing output.

        Returns:
            Format, files, size in bytes and the largest difference of the outputs.

        Raises:
            UsageError: the format or ending is unknown, or `path` exists.
            KerasDAEError: a package is missing, or the outputs differ.
        """
        chosen = format_of(Path(path), format)
        with TemporaryDirectory() as folder:
            model = Path(folder) / "model.keras"
            self.save(model)
            card = {"name": self._name or self.model.name, **self._whole_card()}
            return export(model, chosen, Path(path), card, overwrite=overwrite)

    def _whole_card(self) -> dict[str, Any]:
        """Return the card with the noise and the value range that were given."""
        card = dict(self.card)
        if self.noise is not None:
            card.setdefault("noise", describe_noise(self.noise))
        if self.value_range is not None:
            low, high = self.value_range
            kept = card.get("values", {})
            if (kept.get("low"), kept.get("high")) != (low, high):
                # Of any type: the range of this one is not converted.
                card["values"] = {"dtype": "float64", "low": low, "high": high}
        return card

    def _start(self, bias: float) -> keras.Model:
        """Return the untrained model. `bias` is the initial bias of the last layer."""
        assert self._spec is not None
        return start(make_config({"seed": self.seed}), self._spec, bias)

    def _own_noise(self) -> Any:
        """Return the noise of the card; None for one of the user's own classes."""
        known = self.card.get("noise")
        kinds = str((known or {}).get("kind", "")).split("+")
        return known if set(kinds) <= set(NOISES) else None

    def _needed_noise(self) -> Noise:
        if self.noise is None:
            raise UsageError(
                "There is no noise to train or evaluate on. Give it as in "
                'Denoiser(..., noise="gaussian:0.5").'
            )
        return self.noise

    def _check_shape(self, images: Any) -> None:
        wanted, given = self.model.input_shape[1:], tuple(images.shape[1:])
        check(
            len(wanted) == len(given)
            and all(w in (None, g) for w, g in zip(wanted, given, strict=True)),
            f"The images must have the model's shape {wanted}. Use "
            "plan(..., image_shape=(H, W, C)) for another shape.",
            image_shape=given,
        )


def _start_mean(pairs: NoisyCleanPairs) -> float:
    """Return the mean target, estimated from the first targets."""
    if isinstance(pairs, TargetPairs):
        return pairs.mean_target()
    return mean_pixel(pairs.images, pairs.low, pairs.high)


def _load_handle(handle: str) -> keras.Model:
    try:
        return keras.saving.load_model(handle, compile=False)
    except Exception as error:  # each library raises errors of its own
        raise KerasDAEError(f"{handle} could not be loaded: {error}") from error
