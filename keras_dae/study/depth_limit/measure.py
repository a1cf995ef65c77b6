"""How deep before it overfits (paper, section 5.4): depth by number of images."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from keras_dae.evaluation.engines import model_denoiser
from keras_dae.evaluation.metrics import mse
from keras_dae.evaluation.scoring import TestBench
from keras_dae.evaluation.walled import open_model
from keras_dae.images.datasets import Splits
from keras_dae.images.frozen import MEASURED, frozen_pairs
from keras_dae.models.architectures import DAESpec
from keras_dae.study.common.loaders import file_sha256
from keras_dae.study.common.store import Store
from keras_dae.study.depth_limit.verdicts import PLAIN, RESIDUAL, findings, trainability
from keras_dae.system import backend
from keras_dae.training.config import RunConfig, Spec, make_config
from keras_dae.training.patience import saved_epoch
from keras_dae.training.runs import RunFolder

STEPS = 9000  # limit; 12 epochs of 48,000 images
PATIENCE = 1000  # steps without a lower validation loss, at least 2 epochs
EPOCH = 250  # steps per epoch at least, so that validation does not dominate
WARMUP = 100  # steps per convolution of the encoder: at depth 5 the recipe's 500
MODELS = {"dae": PLAIN, "residual": RESIDUAL}


def warmup_steps(depth: int) -> int:
    """Return the warm-up steps, which are proportional to the depth.

    Deep networks are sensitive to early steps at the full rate. At depth 5 the number
    is that of the study. Plain and residual networks have the same.
    """
    return WARMUP * depth


def lengths(
    train_images: int, batch_size: int, steps: int = STEPS, patience: int = PATIENCE
) -> dict[str, int]:
    """Return `repeat`, `epochs` and `patience` for this number of training images.

    Few images are repeated until an epoch has about `EPOCH` steps, so that the time
    between two validations is similar for all numbers of images.
    """
    repeat = max(1, round(EPOCH * batch_size / train_images))
    epoch = -(-train_images * repeat // batch_size)
    return {
        "repeat": repeat,
        "epochs": max(1, round(steps / epoch)),
        "patience": max(2, round(patience / epoch)),
    }


def comparable(folder: RunFolder, configs: Iterable[RunConfig]) -> bool:
    """Return whether a finished run differs from `configs` only in studied settings.

    These are depth, settings that follow from it, residual blocks, number of images and
    seed; also epochs and patience, if `configs` do not have this number of images.
    """
    own, configs = folder.config(), list(configs)
    if not folder.finished(own):
        return False
    if own.model not in MODELS:
        return False
    free: dict[str, Any] = {"seed": 0}
    same_size = [c for c in configs if c.train_images == own.train_images]
    if not same_size:
        free |= {"train_images": None, "repeat": 1, "epochs": 1, "patience": 0}
    other = _deepened((same_size or configs)[0], own)
    return own.model_copy(update=free) == other.model_copy(update=free)


def _deepened(config: RunConfig, own: RunConfig) -> RunConfig:
    """Return a configuration for the depth and model of `own`.

    Learning rate and warm-up follow the depth, unless they were given.
    """
    fields = config.model_dump()
    if make_config({**fields, "learning_rate": None}) == config:
        fields["learning_rate"] = None
    if config.warmup_steps == warmup_steps(config.depth):
        fields["warmup_steps"] = warmup_steps(own.depth)
    return make_config({**fields, "depth": own.depth, "model": own.model})


def measure(
    folders: Iterable[RunFolder],
    splits: Splits,
    store: Store,
    progress: Callable[[str, float], None] = lambda what, share: None,
) -> dict[str, Any]:
    """Return the content of `depth_limit.json`; no run is measured twice.

    Args:
        folders: finished runs with the same data set and noise.
        splits: the whole data set.
        store: stores the measurements.
        progress: called with a description and the fraction done, from 0 to 1.
    """
    folders = list(folders)
    rows = []
    first = folders[0].config()
    bench = TestBench(splits, first.make_noise(), first.data_seed)
    for number, folder in enumerate(folders):
        progress(f"measuring {folder.path.name}", number / len(folders))
        rows.append(_row(folder, splits, bench, store))
    return {
        "dataset": splits.describe(),
        "noise": bench.describe_noise(),
        "hardware": backend.hardware(),
        "backend": backend.versions(),
        "latent": first.latent,
        "rows": rows,
        "findings": (found := findings(rows)),
        "trainability": trainability(rows, found),
    }


def blocks_of(spec: Spec) -> int:
    """Return the residual blocks of an encoder, or those that would fit."""
    return len(replace(spec, residual=True).blocks) if isinstance(spec, DAESpec) else 0


def _row(
    folder: RunFolder, splits: Splits, bench: TestBench, store: Store
) -> dict[str, Any]:
    """Return the losses of a run on its training images and on others."""
    config, history = folder.config(), folder.history()
    kept = splits.limited(config.train_images)

    def measure_run() -> dict[str, float]:
        denoise = model_denoiser(open_model(folder.model_path))
        return {
            "train": _on_training(config, kept, denoise),
            "test": float(bench.errors(denoise).mean()),
        }

    depends = {
        "model": file_sha256(folder.model_path),
        "test": bench.fingerprint,
        "train_images": len(kept.train),
    }
    found = store.figures(folder.path.name, depends, measure_run)
    losses, spec = history["val_loss"], config.plan(splits.image_shape)
    saved = saved_epoch(config, losses)
    per_epoch = config.epoch_steps(len(kept.train))
    return {
        "net": MODELS[config.model],
        "depth": config.depth,
        "blocks": blocks_of(spec),  # present or possible
        "latent": config.latent,
        "train_images": len(kept.train),
        "seed": config.seed,
        "parameters": spec.parameters,
        "warmup_steps": config.warmup_steps,
        "epochs": len(losses),
        "steps": len(losses) * per_epoch,
        "best_epoch": 1 + saved,
        "most_steps": len(losses) >= config.epochs,
        "train": found["train"],
        "fitted": history["loss"][-1],
        "validation": losses[saved],
        "test": found["test"],
        "seconds": round(sum(history["seconds"]) + sum(history["val_seconds"]), 1),
    }


def _on_training(config: RunConfig, splits: Splits, denoise: Any) -> float:
    """Return the error on the run's own training images, with frozen noise."""
    pairs = frozen_pairs(
        splits.train,
        config.make_noise(),
        seed=config.data_seed,
        split=MEASURED,
        low=splits.low,
        high=splits.high,
    )
    total = sum(float(mse(clean, denoise(noisy)).sum()) for noisy, clean in pairs)
    return total / len(splits.train)
