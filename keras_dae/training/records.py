"""The records of a run, and the comparison of two runs."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.images.datasets import Splits
from keras_dae.images.estimates import SMALLEST, measure_ranges, middle
from keras_dae.images.frozen import FROZEN_BLOCK, MEASURED, FrozenPairs
from keras_dae.images.noise import Gaussian, Noise
from keras_dae.images.noise_words import describe_noise
from keras_dae.images.patches import Patches, unit
from keras_dae.images.unbiased import describe_targets
from keras_dae.system.streams import stream
from keras_dae.training.config import RunConfig, Spec
from keras_dae.training.noisy_files import estimated_sigma
from keras_dae.training.runs import RunFolder, refuse_existing


def record_of(config: RunConfig, splits: Splits, spec: Spec) -> dict[str, Any]:
    """Return the contents of `config.json`, without the input statistics."""
    return {
        "config": config.model_dump(),
        "dataset": splits.describe(),
        "image_shape": list(splits.image_shape),
        "values": splits.values(),
        "noise": describe_noise(config.make_noise()),
        "model": spec.name,
        "parameters": spec.parameters,
        **_targets(config, splits),
        **({"files": splits.files} if splits.files else {}),
    }


def _targets(config: RunConfig, splits: Splits) -> dict[str, Any]:
    """Return the record of targets, and the estimated noise of noisy files."""
    described = describe_targets(config.targets, config.make_noise())
    if config.noisy_files:
        described["targets"]["estimated_sigma"] = estimated_sigma(splits)
    return described


def input_ranges(config: RunConfig, splits: Splits) -> dict[str, list[float]] | None:
    """Return the ranges of noisy training images, see `estimates.measure_ranges`.

    For images of a folder, both the first patches and the centres of whole images are
    used, since `denoise` estimates from centres. None if images are too small.
    """
    if min(splits.image_shape[:2]) < SMALLEST:
        return None
    noise: Noise = Gaussian(0.0) if config.noisy_files else config.make_noise()
    seed = config.data_seed
    frozen = FrozenPairs(
        splits.train,
        noise,
        seed=seed,
        split=MEASURED,
        low=splits.low,
        high=splits.high,
    )
    groups: list[Iterable[np.ndarray]] = [frozen.block(0)[0]]
    if isinstance(splits.train, Patches):
        groups.append(
            noise(unit(middle(image))[None], stream(MEASURED, seed, 1 + number))[0]
            for number, image in enumerate(splits.train.images[:FROZEN_BLOCK])
        )
    return measure_ranges(*groups)


def check_same_run(folder: RunFolder, record: dict[str, Any], resume: bool) -> None:
    """Refuse a folder that must not be resumed, or that holds another run.

    Raises:
        UsageError: the message states the difference.
    """
    if not resume:
        refuse_existing(folder)
    # A run older than a key has its default.
    found = {**folder.record(), "config": folder.config().model_dump()}
    for part in ("config", "dataset"):
        for key, wanted in record[part].items():
            if found.get(part, {}).get(key) != wanted:
                raise UsageError(
                    f"{folder.path} holds a run of another configuration and cannot be "
                    f"resumed with this one: {key} is {found.get(part, {}).get(key)!r} "
                    f"there. Received: {key}={wanted!r}."
                )


def check_data(folder: RunFolder, splits: Splits) -> None:
    """Refuse to measure a run on data that changed since, or that is noisy.

    Test images could then be training images of the run: files of a folder would be
    split differently, and splits of a file may have been exchanged.

    Raises:
        KerasDAEError: the images are not those of the run, or not clean.
    """
    if folder.config().noisy_files:
        raise KerasDAEError(
            f"{folder.path} was trained on noisy files, so there are no clean images "
            f"to measure against. Use evaluate {folder.model_path} --data folder:CLEAN "
            "to measure it on other images."
        )
    check_same_data(folder, splits)


def check_same_data(folder: RunFolder, splits: Splits) -> None:
    """Refuse data that changed since a run.

    Raises:
        KerasDAEError: the images are not those of the run.
    """
    then = folder.record()["dataset"]
    if then["sha256"] == splits.sha256:
        return
    if not splits.files or "files" not in then:
        raise KerasDAEError(
            f"{splits.name} does not hold the images that {folder.path} was trained "
            f"on (sha256 {then['sha256'][:12]} then, {splits.sha256[:12]} now). "
            "Restore the same data, or train again."
        )
    counts = [sum(then["files"].values()), sum(map(len, splits.files.values()))]
    raise KerasDAEError(
        f"The images of {splits.name} are not those that {folder.path} was trained "
        f"on ({counts[0]} files then, {counts[1]} now). A new split would put training "
        "images into the test set."
    )
