"""The run folder: the files of one training run, and how to find them.

DIR/<data>-<model>-seed<seed>/
    config.json       the checked configuration, the data and noise used
    environment.json  versions, backend, device, threads, commit, command
    history.json      one entry per epoch; for a model with a latent also the share of
                      validation images in which each latent map is above 0; with
                      patience, where it ended and which epoch is saved
    model.keras       the weights after the last finished epoch; with the
                      optimizer's state until training has ended; then, with
                      patience, those of best.keras
    best.keras        the weights of the epoch with the lowest validation loss
    uncertainty.json  the calibration of model.keras
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.images.noise_words import noise_label
from keras_dae.images.ranges import check_values
from keras_dae.models.families import FAMILIES
from keras_dae.models.gate import holds_optimizer
from keras_dae.models.photo_spec import BLOCKS
from keras_dae.system.inside import named, plain
from keras_dae.system.own import PRESETS
from keras_dae.system.storage import (
    content_errors,
    dump_json,
    is_dir,
    is_file,
    read_json,
    write_json,
)
from keras_dae.training.config import RunConfig, make_config
from keras_dae.training.patience import has_ended

# Largest value accepted in a history; a comparison with NaN is false.
LARGEST = 1e30
# Characters of up to 4 bytes in UTF-8; a file name can have 255 bytes.
LONGEST_LABEL = 48
HISTORY_KEYS = ("loss", "val_loss", "seconds", "val_seconds", "learning_rate")
# Additional columns for models with a latent: shares as in `models.live_maps`, one list
# per epoch, empty if an older version did not count them.
LIVE_MAPS = "live_maps"


class _Dataset(BaseModel):
    """The result of `Splits.describe`."""

    model_config = ConfigDict(strict=True)
    name: str
    sha256: str
    train: int = Field(ge=1)
    validation: int = Field(ge=0)
    test: int = Field(ge=0)
    files: dict[str, int] = {}


class _Record(BaseModel):
    """Required content of `config.json`; older files lack the keys with a default."""

    model_config = ConfigDict(strict=True)
    config: dict[str, Any]
    dataset: _Dataset
    noise: dict[str, Any]
    model: str
    parameters: int
    image_shape: tuple[int, int, int] | None = None
    input: dict[str, tuple[float, float]] | None = None
    values: dict[str, Any] | None = None
    rounds: list[int] = []


@dataclass(frozen=True)
class RunFolder:
    """Paths and records of one run."""

    path: Path

    @property
    def config_path(self) -> Path:
        """The checked configuration and the data and noise used."""
        return self.path / "config.json"

    @property
    def history_path(self) -> Path:
        """Losses, seconds and learning rate, one entry per epoch."""
        return self.path / "history.json"

    @property
    def model_path(self) -> Path:
        """The model after the last finished epoch."""
        return plain(self.path / "model.keras")

    @property
    def best_path(self) -> Path:
        """The model of the epoch with the lowest validation loss."""
        return plain(self.path / "best.keras")

    @property
    def uncertainty_path(self) -> Path:
        """The calibrated intervals of the model."""
        return self.path / "uncertainty.json"

    @property
    def environment_path(self) -> Path:
        """Versions, backend, hardware, commit and command."""
        return self.path / "environment.json"

    def config(self) -> RunConfig:
        """Return the configuration of the run."""
        record = self.record()
        try:
            return make_config(record["config"])
        except UsageError as error:
            raise KerasDAEError(f"{self.config_path}: {error}") from error

    @property
    def data(self) -> str:
        """The data set of the run, such as mnist; never auto."""
        return str(self.record()["dataset"]["name"])

    def changed(self, options: dict[str, Any]) -> RunConfig:
        """Return the configuration of the run with its data set, changed by options.

        Size, channels and patches of the images belong to the data set of the run:
        another data set has its own.
        """
        own = {**self.config().model_dump(), "data": self.data}
        if options.get("data", own["data"]) != own["data"]:
            own |= dict.fromkeys(("size", "channels", "patches"))
        return make_config(own, options)

    def record(self) -> dict[str, Any]:
        """Return `config.json`: config, dataset, noise, model, parameters."""
        record = read_json(self.config_path)
        try:
            _Record.model_validate_json(dump_json(record))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise KerasDAEError(
                f"{self.config_path} is not the configuration of a run: {place}: "
                f"{first['msg'][0].lower()}{first['msg'][1:]}."
            ) from error
        with content_errors(self.config_path):
            noise_label(record["noise"])
            if record.get("values"):
                check_values(record["values"])
        return record

    def history(self) -> dict[str, list[Any]]:
        """Return the history; empty lists before the first epoch has finished.

        Its keys are `HISTORY_KEYS` and, if maps were counted, `LIVE_MAPS`.
        """
        if not self.history_path.exists():
            return {key: [] for key in HISTORY_KEYS}
        history = read_json(self.history_path)
        columns = {key: history.get(key) for key in HISTORY_KEYS}
        shares = history.get(LIVE_MAPS)
        lengths = {
            len(column) if isinstance(column, list) else -1
            for column in columns.values()
        }
        if len(lengths) != 1 or -1 in lengths:
            raise KerasDAEError(
                f"{self.history_path} is not a history: it needs lists of one length "
                f"named {', '.join(HISTORY_KEYS)}."
            )
        for key, column in columns.items():
            if not all(_is_figure(number) for number in column or []):
                raise KerasDAEError(f"{key} in {self.history_path} holds no numbers.")
        if shares is not None:
            if not _are_shares(shares, len(columns["loss"] or [])):
                raise KerasDAEError(
                    f"{LIVE_MAPS} in {self.history_path} must hold shares per epoch."
                )
            columns[LIVE_MAPS] = shares
        return columns  # type: ignore[return-value]

    def write_history(
        self, history: dict[str, list[Any]], ended: dict[str, Any] | None = None
    ) -> None:
        """Write the history atomically.

        Args:
            history: the columns.
            ended: for an ended run with patience: the last epoch, the reason, and the
                saved epoch.
        """
        write_json(
            self.history_path, {**history, **({"ended": ended} if ended else {})}
        )

    def finished(self, config: RunConfig) -> bool:
        """Return whether this folder holds all epochs of exactly this configuration."""
        if not (self.config_path.exists() and self.model_path.exists()):
            return False
        losses = self.history()["val_loss"]
        ended = has_ended(losses, config.epochs, config.patience)
        whole = ended and len(losses) <= config.epochs
        return self.config() == config and whole and self._final()

    def _final(self) -> bool:
        """Return whether the model is that of the last epoch, saved without optimizer.

        The history is written first; after a kill between the two, the model is one
        epoch behind.
        """
        return holds_optimizer(self.model_path) is False


def _is_figure(number: Any) -> bool:
    """Tell whether a value is a number that a column may hold, and be summed with."""
    return type(number) in (int, float) and abs(number) < LARGEST


def _are_shares(column: Any, epochs: int) -> bool:
    """Return whether `column` holds a list of values from 0 to 1 for each epoch."""
    return (
        isinstance(column, list)
        and len(column) == epochs
        and all(isinstance(shares, list) for shares in column)
        and all(
            type(share) in (int, float) and 0 <= share <= 1
            for shares in column
            for share in shares
        )
    )


def refuse_existing(folder: RunFolder) -> None:
    """Raise `UsageError` if a folder holds a run."""
    if folder.config_path.exists():
        raise UsageError(
            f"{folder.path} already holds a run. Use --resume to continue it, or "
            "another --out."
        )


def find_all(places: Iterable[Path]) -> list[RunFolder]:
    """Return the runs in several folders, without duplicates.

    Raises:
        UsageError: there is none in one of them.
    """
    folders = [folder for place in places for folder in find_runs(place)]
    return list({folder.path.resolve(): folder for folder in folders}.values())


def run_name(config: RunConfig, data: str) -> str:
    """Return the name of the run folder, such as mnist-DAE_5_13-seed0.

    Other examples: mnist-n1000-DAE_5_13-seed0 for the first 1,000 training images,
    folder-photos-64-rgb-DAE_5_16-seed0 for RGB patches of a folder, and
    mnist-noisy-DAE_5_13-seed0 for noisy targets.
    """
    label, (kind, _, path) = data, data.partition(":")
    if kind == "npz":
        label = f"npz-{Path(path).stem}"
    elif kind == "folder":
        label = f"folder-{Path(path).resolve().name}-{config.size}"
        label += "-rgb" if config.channels == 3 else ""
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in label)
    safe = safe[:LONGEST_LABEL]
    if config.train_images is not None:
        safe += f"-n{config.train_images}"
    if config.targets != "clean":
        safe += f"-{config.targets}"
    return f"{safe}-{model_name(config)}-seed{config.seed}"


def model_name(config: RunConfig) -> str:
    """Return the model name in rows and folder names: DAE_5_13, unet."""
    if config.model in FAMILIES:
        prefix = FAMILIES[config.model].prefix
        return f"{prefix}_{config.depth}_{config.latent}"
    if config.blocks not in (None, BLOCKS):
        return f"{config.model}-{config.blocks}"
    return config.model


def presets_by_name() -> dict[str, Path]:
    """Return the files of the pretrained models, by name."""
    return {file.stem: file for file in sorted(PRESETS.glob("*.keras"))}


def find_model_file(given: str | Path) -> tuple[Path, RunFolder | None]:
    """Return the `.keras` file of a model, and its run if it is in a run folder.

    Args:
        given: a pretrained model (`DAE_5_13`), a `.keras` file or a run folder.

    Raises:
        UsageError: there is no such model, or the folder contains several runs.
    """
    path, presets = Path(given), presets_by_name()
    if str(given) in presets:
        return presets[str(given)], None
    if is_dir(path):
        runs = find_runs(path)
        if len(runs) > 1:
            raise UsageError(f"{path} holds {len(runs)} runs; name one of them.")
        return runs[0].model_path, runs[0]
    if path.suffix == ".keras" and is_file(path):
        return path, None
    if path.suffix == ".onnx" and is_file(path):
        raise UsageError(
            f"{path} is an ONNX file; a .keras file or a run folder is needed here. "
            "compare --denoiser measures ONNX files."
        )
    if is_file(path):
        raise UsageError(f"{path} is not a model: a .keras file or a run folder.")
    raise UsageError(
        f"There is no model {given}: name one of {', '.join(presets)}, a .keras file "
        "or a run folder."
    )


def find_runs(directory: Path) -> list[RunFolder]:
    """Return the run folders in `directory`, or the folder itself if it is one.

    Raises:
        UsageError: there is none.
    """
    named(directory)
    if is_file(directory / "config.json"):
        return [RunFolder(directory)]
    inside = directory.glob("*/config.json") if is_dir(directory) else ()
    found = sorted(path.parent for path in inside)
    if not found:
        raise UsageError(
            f"There is no run in {directory}. Train one first, or give its folder."
        )
    return [RunFolder(path) for path in found]
