"""How long a training is: steps as epochs, and more epochs for a finished run."""

from keras_dae.images.splits import Splits
from keras_dae.system.storage import write_json
from keras_dae.training.config import RunConfig
from keras_dae.training.runs import RunFolder

EPOCH_STEPS = 500  # where steps are asked for, an epoch has at most so many


def by_epochs(config: RunConfig, splits: Splits) -> RunConfig:
    """Return the configuration with `epochs` and `train_images` in place of `steps`.

    Epochs have the same number of steps, at most `EPOCH_STEPS`, so that all of them
    are `steps` to within half an epoch's rounding.
    """
    if config.steps is None:
        return config
    images = config.train_images or len(splits.train)
    whole = max(1, min(EPOCH_STEPS, images // config.batch_size, config.steps))
    epochs = max(1, round(config.steps / whole))
    each = min(max(1, round(config.steps / epochs)), -(-images // config.batch_size))
    lengths = {"epochs": epochs, "train_images": min(images, each * config.batch_size)}
    return config.model_copy(update={**lengths, "steps": None})


def begun(folder: RunFolder) -> int:
    """Return the epochs that were finished before the round that a run is in.

    A run that gets more epochs after its last one begins another round, with an
    optimizer and a schedule of its own.
    """
    rounds = folder.record().get("rounds") or [0]
    return int(rounds[-1])


def lengthen(folder: RunFolder, config: RunConfig) -> None:
    """Begin another round of a finished run, if `config` only asks for more epochs."""
    before = folder.config()
    more = config.epochs > before.epochs and not config.patience
    same = before.model_copy(update={"epochs": config.epochs}) == config
    if more and same and folder.finished(before):
        record = folder.record()
        rounds = [*record.get("rounds", []), before.epochs]
        asked = {"config": config.model_dump(), "rounds": rounds}
        write_json(folder.config_path, {**record, **asked})
