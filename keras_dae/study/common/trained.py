"""Trained models as candidates: runs, and models that a user names."""

import json
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.evaluation.scoring import finished_epochs, saved_loss
from keras_dae.images.splits import Splits
from keras_dae.models.families import FAMILIES
from keras_dae.study.common.candidates import Candidate
from keras_dae.study.common.loaders import (
    file_sha256,
    fingerprint_of,
    load_denoiser,
    load_keras,
)
from keras_dae.system import backend
from keras_dae.system.path_names import stems, unique
from keras_dae.training.config import RunConfig
from keras_dae.training.records import check_data
from keras_dae.training.runs import RunFolder, model_name


def runs(folders: Iterable[RunFolder], splits: Splits) -> list[Candidate]:
    """Return the models of runs, deepest and largest latent first, then by seed.

    The seeds of one configuration form a group and share a name. The name says how a
    configuration differs from others of the same model.

    Raises:
        KerasDAEError: no run has finished an epoch, or the image shape differs.
    """
    done = [folder for folder in folders if folder.model_path.exists()]
    if not done:
        raise KerasDAEError("None of the runs has finished an epoch.")
    done.sort(key=lambda one: _order(one.config()))
    names = _names([folder.config() for folder in done])
    return [_run(folder, splits, names) for folder in done]


def _run(folder: RunFolder, splits: Splits, names: dict[str, str]) -> Candidate:
    check_data(folder, splits)
    config, path = folder.config(), folder.model_path
    group = group_of(config)
    facts: dict[str, Any] = {
        **{"model": config.model, "seed": config.seed, "file": str(path)},
        "val_loss": saved_loss(config, finished_epochs(folder)),
    }
    if config.model in FAMILIES:
        facts |= {"depth": config.depth, "latent": config.latent}
    return Candidate(
        names[group],
        _kind(config.model),
        {"file_sha256": file_sha256(path), "versions": backend.versions()},
        partial(load_keras, path, splits),
        facts,
        group,
    )


def _kind(model: str) -> str:
    """Return the kind of a model; one that is no autoencoder has no bottleneck."""
    if model == "best":
        return "best"
    return "dae" if model in FAMILIES else "ceiling"


def _order(config: RunConfig) -> tuple[Any, ...]:
    rest = (-config.depth, -config.latent, _trained_on(config), config.seed)
    return (config.model != "dae", config.model, *rest)


def _names(configs: list[RunConfig]) -> dict[str, str]:
    """Return group -> unique name.

    The name includes noise or images that differ from those of most runs.
    """
    usual, _ = Counter(map(_trained_on, configs)).most_common(1)[0]

    def name(config: RunConfig) -> str:
        learnt = _trained_on(config)
        tagged = learnt != usual or config.targets != "clean"
        return model_name(config) + (f" ({learnt})" if tagged else "")

    return told_apart(configs, name)


def group_of(config: RunConfig) -> str:
    """Return a configuration without its seed, as text."""
    return json.dumps(config.model_dump(exclude={"seed"}))


def told_apart(
    configs: Iterable[RunConfig], name_of: Callable[[RunConfig], str] = model_name
) -> dict[str, str]:
    """Return group -> name; groups of one name get the settings in which they differ.

    Args:
        configs: configurations; those that differ only in the seed are a group.
        name_of: returns the name of a configuration.
    """
    groups = {group_of(config): config for config in configs}
    names = {group: name_of(config) for group, config in groups.items()}
    for name, count in Counter(names.values()).items():
        if count > 1:
            alike = [group for group in groups if names[group] == name]
            for group in alike:
                names[group] += f" ({_differences(groups, group, alike)})"
    return names


def _differences(groups: dict[str, RunConfig], group: str, alike: list[str]) -> str:
    fields = {one: groups[one].model_dump(exclude={"seed"}) for one in alike}
    return ", ".join(
        f"{key.replace('_', ' ')} {'default' if value is None else value}"
        for key, value in fields[group].items()
        if len({str(fields[one][key]) for one in alike}) > 1
    )


def _trained_on(config: RunConfig) -> str:
    """Return the noise and, if limited, the number of images of a training run."""
    noise = config.noise
    if noise == "gaussian":
        noise = f"gaussian:{config.sigma:g}"
    noise += f", {config.train_images:,} images" if config.train_images else ""
    return noise + (f", {config.targets} targets" if config.targets != "clean" else "")


def users(texts: Iterable[str], splits: Splits) -> Iterator[Candidate]:
    """Yield a user's denoisers: files, and callables as MODULE:FUNCTION.

    Raises:
        UsageError: there is no such file, it cannot be imported, or the text is not a
            denoiser.
    """
    texts = list(dict.fromkeys(texts))
    for text, name in zip(texts, unique(texts), strict=True):
        load = partial(load_denoiser, text, splits)
        used = fingerprint_of(text)
        yield Candidate(name, "user", used, load, {"file": text}, text)


def files(
    paths: Iterable[Path], splits: Splits, taken: Container[str] = ()
) -> list[Candidate]:
    """Return `.keras` files as candidates, named after the files.

    Args:
        paths: the files.
        splits: the data set.
        taken: names of other candidates; a file of such a name is named by its path.
    """
    paths = list(paths)
    return [
        Candidate(
            str(path) if name in taken else name,
            "user",
            {"file_sha256": file_sha256(path), "versions": backend.versions()},
            partial(load_keras, path, splits),
        )
        for path, name in zip(paths, stems(paths), strict=True)
    ]


def best_of_each(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return, for each name, the candidate with the lowest validation loss."""
    best: dict[str, Candidate] = {}
    for one in candidates:
        other = best.get(one.name)
        if other is None or _loss(one) < _loss(other):
            best[one.name] = one
    return list(best.values())


def _loss(candidate: Candidate) -> float:
    loss = candidate.facts.get("val_loss")
    return float("inf") if loss is None else float(loss)


def one_setting(folders: Iterable[RunFolder]) -> tuple[str, RunConfig]:
    """Return the data set and a configuration of runs that share a data set.

    Raises:
        UsageError: the runs have several data sets, which cannot be compared.
    """
    folders = list(folders)
    kinds = {
        (
            folder.data,
            folder.config().data_seed,
            folder.config().make_cut(),
        ): folder
        for folder in folders
    }
    if len(kinds) > 1:
        names = ", ".join(sorted({str(name) for name, _, _ in kinds}))
        raise UsageError(
            "Models are compared on one data set and one data seed. Give runs that "
            f"share them. Received: {len(kinds)} kinds, on {names}."
        )
    ((name, _, _), folder) = next(iter(kinds.items()))
    return str(name), folder.config()
