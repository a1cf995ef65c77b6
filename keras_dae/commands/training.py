"""What `train` prints and estimates before a run starts."""

from pathlib import Path
from typing import Any

from keras_dae.commands.common import given_options, say

LARGE_SIGMA = 2.0  # above it, the scale of 0 to 255 was probably meant
COMPARED = 1000  # validation images that a model is compared on
NOISY = 4 / 255  # images with a median estimate of at least this count as noisy


def asked(config_file: Path | None, options: dict[str, Any]) -> Any:
    """Return the checked configuration of a run; `start` sets options it implies."""
    from keras_dae.training.config import make_config, read_toml
    from keras_dae.training.starting import start_options

    recipe = read_toml(config_file) if config_file else {}
    start = options.get("start") or recipe.get("start")
    implied = start_options(str(start)) if start is not None else {}
    given = given_options(options, {**implied, **recipe})
    sigma = given.get("sigma")
    if isinstance(sigma, float | int) and sigma > LARGE_SIGMA:
        say(
            f"Warning: sigma is on the scale from 0 to 1; {sigma:g} of 255 is "
            f"{sigma / 255:.3f}"
        )
    folder = str(given.get("data", recipe.get("data"))).startswith("folder:")
    if not folder:
        implied.pop("channels", None)
    return make_config(implied, recipe, given)


def look_for_noise(config: Any, splits: Any) -> None:
    """Say that a folder's images must be clean; warn if they look noisy."""
    from keras_dae.images.estimates import SMALLEST, median_sigma
    from keras_dae.images.patches import Patches

    if not isinstance(splits.train, Patches) or config.targets != "clean":
        return
    say("These images must be clean: they are the targets, and noise is added to them")
    images = [one for one in splits.train.images if min(one.shape[:2]) >= SMALLEST]
    sigma = median_sigma(images)
    if sigma >= NOISY:
        say(
            f"Warning: the images of {splits.name} look noisy: half of them have an "
            f"estimated noise of {255 * sigma:.1f} of 255 or more. The model would "
            "learn to keep this noise. Use clean images, or --noisy-files --targets "
            "blind-spot."
        )


def noise_of_files(config: Any, splits: Any) -> Any:
    """Return the configuration with the sigma of the noisy files, and print it."""
    if not config.noisy_files:
        return config
    from keras_dae.training.noisy_files import estimated_sigma, with_sigma

    told, config = config.tells_sigma(), with_sigma(config, splits)
    estimate = estimated_sigma(splits)
    beside = "cannot be made" if estimate is None else f"gives {estimate:g}"
    sigma = config.make_noise().sigma
    how = f"as given; an estimate {beside}" if told else "estimated from the files"
    say(f"Noise of the files: sigma {sigma:g} (0 to 1), {how}; no noise is added")
    return config


def check_new(config: Any, splits: Any, out: Path) -> None:
    """Refuse a folder that holds a run, before anything is estimated or loaded."""
    from keras_dae.training.runs import RunFolder, refuse_existing, run_name

    refuse_existing(RunFolder(out / run_name(config, splits.name)))


def compare_with_noise(config: Any, splits: Any, run: Any) -> None:
    """Warn if a model is further from the clean images than the noisy ones are."""
    import numpy as np

    from keras_dae.images.frozen import VALIDATION, frozen_arrays
    from keras_dae.training.patience import saved_epoch

    if config.targets != "clean" or config.loss != "mse":
        return
    noisy, clean = frozen_arrays(
        splits.validation[:COMPARED],
        config.make_noise(),
        seed=config.data_seed,
        split=VALIDATION,
        low=splits.low,
        high=splits.high,
    )
    losses = run.history()["val_loss"]
    error, without = (
        losses[saved_epoch(config, losses)],
        np.square(noisy - clean).mean(),
    )
    if error > without:
        say(
            f"Warning: the model is worse than no denoising: its validation MSE is "
            f"{error:.5f}, that of the noisy images {without:.5f}. Train for more "
            "--epochs; for photographs, start from a trained model with --start photo."
        )


def in_time(config: Any, splits: Any, seconds: float | None, out: Path) -> Any:
    """Return the configuration with its length in epochs, and print an estimate.

    Args:
        config: the run.
        splits: its data.
        seconds: training time; None if epochs or steps set the length.
        out: folder of runs. An existing run keeps its length.
    """
    from keras_dae.training.length import by_epochs
    from keras_dae.training.patience import has_ended
    from keras_dae.training.runs import RunFolder, run_name

    if seconds is not None:
        config = config.model_copy(update={"steps": None})
    config = by_epochs(config, splits)
    folder = RunFolder(out / run_name(config, splits.name))
    there = folder.config() if folder.config_path.exists() else None
    if seconds is not None and there is not None:
        say(
            f"--seconds sets the length of a new run; {folder.path} keeps its "
            f"{there.epochs} epochs"
        )
        return config.model_copy(update={"epochs": there.epochs})
    losses = folder.history()["val_loss"] if there is not None else []
    done = len(losses)
    if has_ended(losses, config.epochs, config.patience):
        return config  # there is nothing left to train
    from keras_dae.training.duration import time_words
    from keras_dae.training.estimate import epoch_seconds

    limits = (config.train_images, None, config.validation_images)
    epoch = epoch_seconds(config, splits.limited(*limits))
    if seconds is not None:
        epochs = max(1, round(seconds / epoch))
        config = config.model_copy(update={"epochs": epochs})
    left = config.epochs - done
    what = "1 epoch takes" if left == 1 else f"{left:,} epochs take"
    most = "at most " if config.patience else ""
    say(f"{what} {most}about {time_words(left * epoch)} here")
    return config


def check_bfloat16(config: Any) -> None:
    """Warn if the processor has no bfloat16 instructions, since it is then slow."""
    from keras_dae.system import backend

    if config.precision != "bfloat16" or backend.name() != "torch":
        return
    if "cuda" not in backend.device() and not backend.has_bfloat16():
        say(
            "Warning: this processor has no bfloat16 instructions and emulates them, "
            "which is several times slower. Use --precision float32 here."
        )
