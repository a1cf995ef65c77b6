"""Models and filters side by side, whatever each one was trained on."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.evaluation.baselines import BASELINES, MEDIANS, Denoiser
from keras_dae.evaluation.engines import model_denoiser
from keras_dae.evaluation.scoring import TestBench
from keras_dae.evaluation.walled import open_model
from keras_dae.images.datasets import Splits
from keras_dae.images.noise_words import describe_noise
from keras_dae.models.families import FAMILIES
from keras_dae.study.board.entries import Entry
from keras_dae.study.common.cells import file_sha256
from keras_dae.system.storage import is_file
from keras_dae.training.config import RunConfig
from keras_dae.training.records import check_data
from keras_dae.training.runs import RunFolder, model_name

NOISY = "noisy input"
SLOW = 200  # images, at most, that one too slow for all of them is asked for


@dataclass(frozen=True)
class Contender:
    """One denoiser under test.

    Attributes:
        name: what tables call it; the runs of one model share it.
        kind: 'model', 'filter' or 'floor'.
        identity: JSON values that say which answers it gives.
        row: what its rows say beside the name: model, depth, latent, seed of a run.
        make: returns its answers as a function; loads what that needs.
        images: test images, from the first, that it is asked for; None for all.
    """

    name: str
    kind: str
    identity: dict[str, Any]
    row: dict[str, Any]
    make: Callable[[], Denoiser]
    images: int | None = None

    @cached_property
    def denoise(self) -> Denoiser:
        """The denoiser itself, made on first use."""
        return self.make()


def of_board(bench: TestBench, entries: Iterable[Entry]) -> list[Contender]:
    """Return rows of the board as contenders; what does nothing is left out."""
    drawn = {
        "data": bench.splits.sha256,
        "noise": [describe_noise(bench.noise), bench.seed],
    }
    return [
        Contender(
            entry.name,
            entry.kind,
            {"entry": [entry.kind, entry.name, entry.depends], **drawn},
            {},
            partial(_denoise_of, entry),
            min(entry.images, SLOW) if entry.images else None,
        )
        for entry in entries
        if entry.name != NOISY
    ]


def _denoise_of(entry: Entry) -> Denoiser:
    return entry.make().denoise


def filters(splits: Splits, names: Iterable[str] = MEDIANS) -> list[Contender]:
    """Return the named rows of `BASELINES`.

    Raises:
        UsageError: a name that is no row.
    """
    found = []
    for name in names:
        if name not in BASELINES:
            raise UsageError(
                f"A filter must be one of {', '.join(BASELINES)}. "
                f"Received: filter={name!r}."
            )
        identity = {"filter": name, "data": splits.sha256}
        make = partial(BASELINES[name], splits)
        found.append(Contender(name, "filter", identity, {}, make))
    return found


def models(folders: Iterable[RunFolder], splits: Splits) -> list[Contender]:
    """Return the models of runs, deepest and largest latent first, then by seed.

    Of a run that was not trained on the noise and number of images that most were,
    the name says on which.

    Raises:
        KerasDAEError: no run has finished an epoch, or images of another shape.
    """
    done = [folder for folder in folders if folder.model_path.exists()]
    if not done:
        raise KerasDAEError("None of the runs has finished an epoch.")
    configs = {folder.path: folder.config() for folder in done}
    done.sort(key=lambda f: _order(configs[f.path]))
    usual, _ = Counter(map(_trained_on, configs.values())).most_common(1)[0]
    found = []
    for folder in done:
        check_data(folder, splits)
        config = configs[folder.path]
        name = model_name(config)
        if (learnt := _trained_on(config)) != usual:
            name += f" ({learnt})"
        history = folder.history()["val_loss"]
        row: dict[str, Any] = {"model": config.model, "seed": config.seed}
        row["val_loss"] = history[-1] if history else None
        if config.model in FAMILIES:
            row |= {"depth": config.depth, "latent": config.latent}
        found.append(_model(name, folder.model_path, row, splits))
    return found


def files(paths: Iterable[Path], splits: Splits) -> list[Contender]:
    """Return `.keras` files of any origin, named as the files are."""
    return [_model(path.stem, path, {}, splits) for path in paths]


def _order(config: RunConfig) -> tuple[Any, ...]:
    rest = (-config.depth, -config.latent, _trained_on(config), config.seed)
    return (config.model != "dae", config.model, *rest)


def _trained_on(config: RunConfig) -> str:
    """Return noise and, where it is limited, number of images of a training."""
    noise = config.noise
    if noise == "gaussian":
        noise = f"gaussian:{config.sigma:g}"
    noise += f", {config.train_images:,} images" if config.train_images else ""
    return noise + (f", {config.targets} targets" if config.targets != "clean" else "")


def _model(name: str, path: Path, row: dict[str, Any], splits: Splits) -> Contender:
    if not is_file(path):
        raise UsageError(f"There is no model file {path}.")

    def make() -> Denoiser:
        model = open_model(path)
        if tuple(model.input_shape[1:]) != splits.image_shape:
            raise KerasDAEError(
                f"{path} denoises images of shape {tuple(model.input_shape[1:])}; "
                f"{splits.name} holds {splits.image_shape}."
            )
        return model_denoiser(model)

    return Contender(name, "model", {"model": file_sha256(path)}, row, make)


def best_of_each(contenders: Iterable[Contender]) -> list[Contender]:
    """Return, of the contenders of one name, the one of lowest validation loss."""
    best: dict[str, Contender] = {}
    for one in contenders:
        other = best.get(one.name)
        if other is None or _loss(one) < _loss(other):
            best[one.name] = one
    return list(best.values())


def _loss(contender: Contender) -> float:
    loss = contender.row.get("val_loss")
    return float("inf") if loss is None else float(loss)


def one_setting(folders: Iterable[RunFolder]) -> tuple[str, RunConfig]:
    """Return the data set and one run's configuration of runs that share a data set.

    Raises:
        UsageError: runs of several data sets, which cannot be compared.
    """
    folders = list(folders)
    kinds = {
        (
            folder.record()["dataset"]["name"],
            folder.config().data_seed,
            folder.config().make_cut(),
        ): folder
        for folder in folders
    }
    if len(kinds) > 1:
        names = ", ".join(sorted({str(name) for name, _, _ in kinds}))
        raise UsageError(
            "Models are compared on one data set and one data seed; name the runs to "
            f"compare. Received: {len(kinds)} kinds, on {names}."
        )
    ((name, _, _), folder) = next(iter(kinds.items()))
    return str(name), folder.config()
