"""The length of training: convert steps to epochs, and extend finished runs."""

from keras_dae.images.splits import Splits
from keras_dae.system.storage import write_json
from keras_dae.training.config import RunConfig
from keras_dae.training.runs import RunFolder

EPOCH_STEPS = 500  # steps per epoch at most, if steps are given


def by_epochs(config: RunConfig, splits: Splits) -> RunConfig:
    """Return the configuration with `epochs` and `train_images` instead of `steps`.

    All epochs have the same number of steps, at most `EPOCH_STEPS`. The total is
    `steps` up to the rounding of epochs.
    """
    if config.steps is None:
        return config
    images = config.train_images or len(splits.train)
    whole = max(1, min(EPOCH_STEPS, images // config.batch_size, config.steps))
    epochs = max(1, round(config.steps / whole))
    each = min(max(1, round(config.steps / epochs)), -(-images // config.batch_size))
    used = min(images, each * config.batch_size)
    kept = config.train_images if used == images else used  # None stays None
    lengths = {"epochs": epochs, "train_images": kept}
    return config.model_copy(update={**lengths, "steps": None})


def begun(folder: RunFolder) -> int:
    """Return the epochs that were finished before the current round of a run.

    Extending a finished run by more epochs starts a new round, with a new optimizer and
    schedule.
    """
    rounds = folder.record().get("rounds") or [0]
    return int(rounds[-1])


def lengthen(folder: RunFolder, config: RunConfig) -> None:
    """Start another round of a finished run, if `config` only adds epochs."""
    before = folder.config()
    more = config.epochs > before.epochs and not config.patience
    same = before.model_copy(update={"epochs": config.epochs}) == config
    if more and same and folder.finished(before):
        record = folder.record()
        rounds = [*record.get("rounds", []), before.epochs]
        asked = {"config": config.model_dump(), "rounds": rounds}
        write_json(folder.config_path, {**record, **asked})
