"""The configuration of a run: TOML and options in, checked values out."""

import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from keras_dae.errors import KerasDAEError, UsageError, check, short
from keras_dae.images.noise import MAX_SIGMA, PAPER_SIGMA, Noise
from keras_dae.images.noise_words import parse_noise
from keras_dae.images.patches import Cut
from keras_dae.images.unbiased import check_mean
from keras_dae.models.architectures import DAESpec
from keras_dae.models.ceilings import CEILINGS, CeilingSpec, plan_ceiling
from keras_dae.models.families import FAMILIES, plan_family
from keras_dae.models.photo_spec import BLOCKS, FILTERS, PHOTO, PhotoSpec
from keras_dae.system.storage import reason
from keras_dae.training.optimizer_table import OPTIMIZERS
from keras_dae.training.photo_recipe import photo_recipe

# Key of a table in `by_model`: a depth, or a depth and a latent.
MODEL_KEY = re.compile(r"\d+(_\d+)?")
MAX_TOML = 1 << 16  # bytes; parsing nested tables takes quadratic time
MAX_COUNT = 10**6  # of epochs, or of images per step
MAX_BIAS = 100.0
MAX_RATE = 1.0
MAX_SEED = 2**63 - 1  # the largest integer that is safe in JSON files


Spec = DAESpec | CeilingSpec | PhotoSpec


class RunConfig(BaseModel):
    """All settings that the result of a run depends on, except backend and hardware.

    The order of the fields is that of `configs/paper.toml`, which explains the values.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    data: str = "auto"
    # For 'folder:PATH' only, where they have defaults: see `Cut`.
    size: int | None = None
    channels: int | None = None
    patches: int | None = None
    model: str = "dae"  # a row of FAMILIES or of CEILINGS, or photo
    depth: int = Field(5, ge=1, le=64)
    latent: int = Field(13, ge=1, le=1024)
    filters: int | None = Field(None, ge=1, le=1024)
    blocks: int | None = Field(None, ge=1, le=64)  # only for photo
    start: str | None = None  # the model whose weights are the initial ones
    noise: str = "gaussian"
    sigma: float = Field(PAPER_SIGMA, ge=0, le=MAX_SIGMA)
    clip: bool = True
    # A row of TARGETS.
    targets: Literal["clean", "noisy", "blind-spot", "split", "r2r"] = "clean"
    noisy_files: bool = False  # the files are already noisy
    train_images: int | None = Field(None, ge=1, le=MAX_SEED)  # None uses all
    validation_images: int | None = Field(None, ge=1, le=MAX_SEED)
    augment: bool = False  # rotate, flip, darken or refine training images
    repeat: int = Field(1, ge=1, le=MAX_COUNT)  # of each training image per epoch
    epochs: int = Field(15, ge=1, le=MAX_COUNT)
    steps: int | None = Field(None, ge=1, le=MAX_SEED)  # replaces epochs
    batch_size: int = Field(64, ge=1, le=MAX_COUNT)
    loss: Literal["mse", "log-mse"] = "mse"  # a row of LOSSES
    optimizer: str = "adam"  # a row of OPTIMIZERS
    learning_rate: float = Field(3e-3, ge=1e-8)  # the default depends on the optimizer
    bias_lr_ratio: float = Field(1, gt=0)  # rate of biases / rate of kernels, for muon
    warmup_steps: int = Field(500, ge=0, le=MAX_SEED)
    schedule: Literal["cosine", "linear", "constant", "plateau"] = "cosine"
    # Epochs without a lower validation loss, see `patience`; 0 trains all epochs.
    patience: int = Field(0, ge=0, le=MAX_COUNT)
    clip_norm: float | None = Field(None, gt=0)  # global norm
    averaging: float = Field(0, ge=0, lt=1)  # decay of the average per step
    # Precision of convolutions in training; "tf32" lets CUDA round their inputs.
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    # Where training noise is drawn: by NumPy, or by another generator on torch's
    # device.
    noise_on: Literal["host", "device"] = "host"
    deterministic: bool = False  # on CUDA, use slower, reproducible kernels
    # Initial bias; None uses that of the depth. The models of CEILINGS have no latent.
    latent_bias: float | None = Field(None, ge=-MAX_BIAS, le=MAX_BIAS)
    rate: float = Field(0, ge=0, le=MAX_RATE)  # weight of bits per pixel in the loss
    seed: int = Field(0, ge=0, le=MAX_SEED)
    data_seed: int = Field(0, ge=0, le=MAX_SEED)

    @field_validator("model", "optimizer")
    @classmethod
    def _row_of_a_table(cls, name: str, field: ValidationInfo) -> str:
        """Refuse a name that is not a row of the table of the field."""
        models = [*FAMILIES, *CEILINGS, PHOTO]
        rows = models if field.field_name == "model" else OPTIMIZERS
        check(
            name in rows,
            f"{field.field_name} should be one of {', '.join(rows)}.",
            **{str(field.field_name): name},
        )
        return name

    @model_validator(mode="before")
    @classmethod
    def _rate_by_depth(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fill in the default learning rate for the depth."""
        if values.get("learning_rate") is None:
            name, depth = values.get("optimizer", "adam"), values.get("depth", 5)
            # An unknown optimizer is refused later, by the validator of its field.
            one, deeper = OPTIMIZERS.get(str(name), OPTIMIZERS["adam"]).rates
            return {**values, "learning_rate": one if depth == 1 else deeper}
        return values

    @model_validator(mode="before")
    @classmethod
    def _schedule_of_patience(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Set the schedule to plateau if patience is given."""
        if values.get("patience") and values.get("schedule") is None:
            return {**values, "schedule": "plateau"}
        return values

    @model_validator(mode="before")
    @classmethod
    def _range_of_sigma(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Convert a range of sigma, such as 0.1..0.9, to a noise.

        A sigma that the noise does not use is dropped.
        """
        sigma = values.get("sigma")
        noise = str(values.get("noise") or "gaussian")
        used = takes_sigma(noise)
        kept = {key: value for key, value in values.items() if key != "sigma"}
        if not isinstance(sigma, str) or ".." not in sigma:
            return values if used else kept
        check(used, "A range of sigma needs gaussian noise.", sigma=sigma)
        words = noise.split("+")
        ranged = [f"{word}:{sigma}" if word == "gaussian" else word for word in words]
        return {**kept, "noise": "+".join(ranged)}

    @model_validator(mode="before")
    @classmethod
    def _cut_of_folder(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fill in the cut for images of a folder; other data have none."""
        own = {f.name: f.default for f in fields(Cut)}
        given = {k: v for k in own if (v := values.get(k)) is not None}
        if str(values.get("data")).startswith("folder:"):
            return {**values, **own, **given}
        check(not given, f"{', '.join(own)} apply only to data=folder:PATH.", **given)
        return values

    @model_validator(mode="before")
    @classmethod
    def _of_photographs(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fill in the recipe of `configs/photo.toml` for the model photo."""
        if values.get("model") != PHOTO:
            return values
        given = {key: value for key, value in values.items() if value is not None}
        return {**photo_recipe(given), **given}

    @model_validator(mode="after")
    def _what_applies(self) -> "RunConfig":
        """Refuse options that this optimizer or model would ignore."""
        check(
            self.bias_lr_ratio == 1 or self.optimizer == "muon",
            "bias_lr_ratio applies only to optimizer=muon.",
            bias_lr_ratio=self.bias_lr_ratio,
            optimizer=self.optimizer,
        )
        check(
            self.latent_bias is None or self.model in FAMILIES,
            f"latent_bias applies only to models with a latent: {', '.join(FAMILIES)}.",
            latent_bias=self.latent_bias,
            model=self.model,
        )
        check(
            not self.rate or (self.model in FAMILIES and self.targets != "blind-spot"),
            f"rate is for {', '.join(FAMILIES)}, which have a latent, and not for "
            "targets=blind-spot.",
            rate=self.rate,
            model=self.model,
            targets=self.targets,
        )
        check(
            not self.rate or not (self.averaging or self.clip_norm),
            "rate cannot be combined with averaging and clip_norm.",
            rate=self.rate,
            averaging=self.averaging,
            clip_norm=self.clip_norm,
        )
        check(
            self.blocks is None or self.model == PHOTO,
            "blocks applies only to model=photo.",
            blocks=self.blocks,
            model=self.model,
        )
        return self

    @model_validator(mode="after")
    def _what_goes_together(self) -> "RunConfig":
        """Refuse options that exclude or need each other."""
        check(
            self.targets != "blind-spot" or self.precision == "float32",
            "precision must be float32 for targets=blind-spot.",
            precision=self.precision,
        )
        check(
            self.targets == "clean" or self.noise_on == "host",
            "noise_on must be host unless targets=clean.",
            noise_on=self.noise_on,
            targets=self.targets,
        )
        check(
            not self.augment or self.noise_on == "host",
            "noise_on must be host if augment is set.",
            noise_on=self.noise_on,
        )
        check(
            self.steps is None or self.repeat == 1,
            "steps chooses the length of an epoch itself, so repeat must be 1.",
            steps=self.steps,
            repeat=self.repeat,
        )
        check(
            (self.schedule == "plateau") == (self.patience > 0),
            "patience and schedule=plateau need each other: other schedules do not "
            "depend on validation.",
            patience=self.patience,
            schedule=self.schedule,
        )
        return self

    @model_validator(mode="after")
    def _of_noisy_files(self) -> "RunConfig":
        """Refuse options that noisy targets or noisy files do not allow."""
        check(
            self.targets == "clean" or self.loss == "mse",
            "loss must be mse unless targets=clean: noisy targets have the clean image "
            "as their mean, which only mse estimates.",
            loss=self.loss,
            targets=self.targets,
        )
        if not self.noisy_files:
            return self
        check(
            self.targets == "blind-spot",
            "noisy_files needs targets=blind-spot: noisy files come without a clean "
            "image and a second noisy copy, and their sigma is not known exactly.",
            targets=self.targets,
        )
        check(
            self.data.startswith("folder:"),
            "noisy_files applies only to data=folder:PATH.",
            data=self.data,
        )
        check(
            self.clip and not self.augment,
            "noisy_files cannot be combined with clip=false, since files are clipped, "
            "nor with augment, which changes the noise.",
            clip=self.clip,
            augment=self.augment,
        )
        return self

    def tells_sigma(self) -> bool:
        """Return whether the strength of gaussian noise was given explicitly."""
        return "sigma" in self.model_fields_set or ":" in self.noise

    def make_cut(self) -> Cut | None:
        """Return how images of a folder are cut into patches; None for other data."""
        if self.size is None or self.channels is None:
            return None
        return Cut(self.size, self.channels, self.patches)

    def epoch_images(self, images: int) -> int:
        """Return the images per epoch for this number of training images."""
        return images * self.repeat

    def epoch_steps(self, images: int) -> int:
        """Return the training steps per epoch for this number of training images."""
        return -(-self.epoch_images(images) // self.batch_size)

    def make_noise(self) -> Noise:
        """Return the noise that training and evaluation add, or that of noisy files."""
        return parse_noise(self.noise, sigma=self.sigma, clip=self.clip)

    def plan(self, image_shape: tuple[int, int, int]) -> Spec:
        """Return the architecture for images of this shape."""
        if self.model == PHOTO:
            height, width, channels = image_shape
            wide = self.filters or FILTERS
            return PhotoSpec(channels, self.blocks or BLOCKS, wide, (height, width))
        if self.model not in FAMILIES:
            return plan_ceiling(self.model, image_shape, self.filters)
        return plan_family(
            self.model, self.depth, self.latent, image_shape, self.filters
        )


def takes_sigma(noise: str) -> bool:
    """Return whether a noise contains `gaussian` without a strength of its own."""
    return "gaussian" in noise.split("+")


def table_order(config: RunConfig) -> tuple[bool, str, int, int, int]:
    """Sort key: deepest and largest latent first, as in table 1; then by seed."""
    ceiling = config.model not in FAMILIES
    return ceiling, config.model, -config.depth, -config.latent, config.seed


def longest_first(
    configs: list[RunConfig], image_shape: tuple[int, int, int]
) -> list[RunConfig]:
    """Return the configurations by seed, with the longest runs of each seed first.

    If several run in parallel, the last ones are then short, and no core idles long.

    Raises:
        UsageError: a latent has no exact schedule for these images.
    """

    def cost(config: RunConfig) -> int:
        return config.plan(image_shape).macs * config.epochs

    return sorted(configs, key=lambda config: (config.seed, -cost(config)))


def make_config(*layers: dict[str, Any]) -> RunConfig:
    """Return the configuration in which later layers override earlier ones.

    A layer can have a table `by_model` of tables, such as `{"5": {"epochs": 7},
    "5_13": {"epochs": 8}}`. Its entries for the depth, and for depth and latent, of the
    model override the rest of the layer.

    Raises:
        UsageError: a key is unknown or a value is out of range.
    """
    for layer in layers:
        check(
            isinstance(layer, Mapping),
            "A configuration is a dict, such as {'depth': 3}.",
            layer=layer,
        )
    shape = {"depth": None, "latent": None}
    for field in shape:
        given = [layer[field] for layer in layers if layer.get(field) is not None]
        shape[field] = given[-1] if given else RunConfig.model_fields[field].default
    merged: dict[str, Any] = {}
    for layer in layers:
        own = _at(layer, **shape)
        if own.get("epochs") is not None:  # replaces the steps of earlier layers
            merged["steps"] = None
        merged |= own
    try:
        config = RunConfig(**merged)
        check_mean(config.targets, config.make_noise())
        config.make_cut()
    except ValidationError as error:
        raise UsageError(_sentence(error)) from error
    return config


def _at(layer: dict[str, Any], depth: Any, latent: Any) -> dict[str, Any]:
    """Return a layer with the entries of its `by_model` for this model applied."""
    tables = layer.get("by_model", {})
    whole = isinstance(tables, dict) and all(
        MODEL_KEY.fullmatch(str(name)) and isinstance(table, dict)
        for name, table in tables.items()
    )
    check(
        whole,
        "by_model must hold tables for a depth, such as [by_model.5], or for a depth "
        "and a latent, such as [by_model.5_13].",
        by_model=tables,
    )
    known = RunConfig.model_fields.keys() - {"model", "depth", "latent"}
    for name, table in tables.items():
        for key in sorted(table.keys() - known):
            raise UsageError(f"Unknown configuration key {key} in by_model.{name}.")
    plain = {key: value for key, value in layer.items() if key != "by_model"}
    of_depth, of_both = (
        tables.get(name, {}) for name in (f"{depth}", f"{depth}_{latent}")
    )
    return {**plain, **of_depth, **of_both}


# Field -> command-line option of `train` and `sweep`.
OPTIONS = {
    "data": "--data",
    "size": "--size",
    "channels": "--channels",
    "patches": "--patches",
    "model": "--model",
    "depth": "--depth",
    "latent": "--latent",
    "filters": "--filters",
    "blocks": "--blocks",
    "start": "--start",
    "noise": "--noise",
    "sigma": "--sigma",
    "clip": "--clip/--no-clip",
    "targets": "--targets",
    "noisy_files": "--noisy-files/--no-noisy-files",
    "train_images": "--train-images",
    "validation_images": "--validation-images",
    "augment": "--augment/--no-augment",
    "repeat": "--repeat",
    "epochs": "--epochs",
    "steps": "--steps",
    "batch_size": "--batch-size",
    "loss": "--loss",
    "optimizer": "--optimizer",
    "learning_rate": "--lr",
    "bias_lr_ratio": "--bias-lr-ratio",
    "warmup_steps": "--warmup-steps",
    "schedule": "--schedule",
    "patience": "--patience",
    "clip_norm": "--clip-norm",
    "averaging": "--averaging",
    "precision": "--precision",
    "noise_on": "--noise-on",
    "deterministic": "--deterministic/--no-deterministic",
    "latent_bias": "--latent-bias",
    "rate": "--rate",
    "seed": "--seed",
    "data_seed": "--data-seed",
}


def option_arguments(config: RunConfig) -> list[str]:
    """Return the command-line arguments for `config`, with every option explicit."""
    arguments: list[str] = []
    unused = set() if takes_sigma(config.noise) else {"sigma"}
    unused |= set() if config.model in FAMILIES else {"depth", "latent"}
    for field, option in OPTIONS.items():
        value = None if field in unused else getattr(config, field)
        if isinstance(value, bool):
            arguments.append(option.split("/")[0 if value else 1])
        elif value is not None:
            arguments += [option, str(value)]
    return arguments


def read_toml(path: Path | str) -> dict[str, Any]:
    """Read a TOML file of `RunConfig` keys.

    Raises:
        KerasDAEError: the file is unreadable or not TOML.
    """
    try:
        found = Path(path).stat()
        if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for for ever
            raise KerasDAEError(f"{path} is no regular file.")
        if found.st_size > MAX_TOML:
            raise KerasDAEError(f"{path} is larger than {MAX_TOML >> 10} KiB.")
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except KerasDAEError:
        raise  # also a ValueError, but its message is complete
    except OSError as error:
        raise KerasDAEError(f"Cannot read {path}: {reason(error)}.") from error
    except RecursionError as error:
        raise KerasDAEError(f"{path} is nested too deeply.") from error
    except ValueError as error:  # not UTF-8, not TOML, or too long a number
        raise UsageError(f"{path} is not valid TOML: {_first_line(error)}.") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200].rstrip(".")


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    if first["type"] == "value_error":  # from a check here, with a complete message
        return str(first["ctx"]["error"])
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = ", ".join(RunConfig.model_fields)
        return f"Unknown configuration key {key}. Known keys: {known}."
    rule = first["msg"].removeprefix("Input should be ")
    return f"{key} should be {rule}. Received: {key}={short(first['input'])}."
