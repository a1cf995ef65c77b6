"""Options that commands share, in groups; click only."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from keras_dae.system.backend import DEVICES
from keras_dae.system.inside import named

DEFAULT_RUNS = "artifacts/runs"
DEFAULT_STUDY = "artifacts/study"
# What a study's folder keeps runs in that stand side by side.
FOLDERS = ("runs", "best", "ceilings")


def _apply(options: list[Callable[..., Any]]) -> Callable[[Any], Any]:
    return lambda command: functools.reduce(
        lambda wrapped, option: option(wrapped), reversed(options), command
    )


class TableOption(click.Option):
    """An option whose help names the rows of a table, read when help is shown.

    Args:
        rows: returns the names of the rows.
        help: with `{rows}` where the names go.
    """

    def __init__(self, *args: Any, rows: Callable[[], Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rows = rows

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the option and its help with the rows named."""
        record = super().get_help_record(ctx)
        if record is None:
            return None
        return record[0], record[1].replace("{rows}", ", ".join(self.rows()))


def _noises() -> Any:
    from keras_dae.images.noise import NOISES

    return NOISES


def _optimizers() -> Any:
    from keras_dae.training.optimizer_table import OPTIMIZERS

    return OPTIMIZERS


def families() -> Any:
    """Return the names of the families of autoencoders."""
    from keras_dae.models.families import FAMILIES

    return FAMILIES


def _models() -> Any:
    from keras_dae.models.ceilings import CEILINGS
    from keras_dae.models.photo_spec import PHOTO

    return [*families(), *CEILINGS, PHOTO]


def _strength(text: str) -> float | str:
    """A number, or a range that the configuration takes apart."""
    return text if ".." in text else float(text)


def _together(
    context: click.Context, option: click.Parameter, texts: tuple[str, ...]
) -> list[int]:
    """Read whole numbers, separated by commas or given one by one, each once."""
    given = ",".join(texts)
    try:
        numbers = [int(word) for word in given.split(",")] if texts else []
    except ValueError:
        raise click.BadParameter(
            f"whole numbers separated by commas are wanted, not {given!r}."
        ) from None
    if min(numbers, default=1) < 1:
        raise click.BadParameter(f"numbers from 1 are wanted, not {given!r}.")
    return list(dict.fromkeys(numbers))


def numbers_option(name: str, default: str | None, what: str) -> Callable[[Any], Any]:
    """Return an option of whole numbers, spelled in the singular and the plural."""
    return click.option(
        *(f"--{name}s", f"--{name}", f"{name}s"),
        multiple=True,
        default=[default] if default else [],
        show_default=default or False,
        callback=_together,
        metavar="NUMBERS",
        help=what,
    )


overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Replace output files that exist."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
data_dir = click.option(
    "--data-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="KERAS_DAE_DATA",
    help="Folder that holds mnist.npz or Fashion-MNIST's files.  [env: KERAS_DAE_DATA]",
)
machine_options = _apply(
    [
        click.option(
            "--device",
            type=click.Choice(DEVICES),
            default="auto",
            show_default=True,
            help="Where to compute; auto takes CUDA where it is present.",
        ),
        click.option(
            "--threads",
            type=click.IntRange(min=1),
            help="CPU threads of one process; by default the backend's own choice, or "
            "one where a model is too small for more.",
        ),
    ]
)
engine_option = click.option(
    "--engine",
    type=click.Choice(["keras", "onnx"]),
    default="keras",
    show_default=True,
    help="What answers: the backend, or ONNX Runtime, faster at depth 1.",
)
# The configuration's fields as options; a default of None leaves the value to
# --config, and beyond that to RunConfig.
test_options = _apply(
    [
        click.option(
            "--data",
            help="auto, mnist, mnist5k, fashion-mnist, npz:PATH, or folder:PATH of "
            "image files.",
        ),
        click.option(
            "--size", type=int, help="Side of a folder's patches.  [default: 64]"
        ),
        click.option(
            "--channels",
            type=int,
            help="Channels of the patches: 1 grey, 3 RGB.  [default: 1]",
        ),
        click.option(
            "--patches",
            type=int,
            help="Patches per image and epoch.  [default: as fit side by side, 256 at "
            "most]",
        ),
        click.option(
            "--noise",
            cls=TableOption,
            rows=_noises,
            help="{rows}; kind:strength or kind:low..high, joined by + in their order. "
            " [default: gaussian]",
        ),
        click.option(
            "--sigma",
            type=_strength,
            help="Strength of gaussian noise, or a range as 0.1..0.9.  [default: 0.5]",
        ),
        click.option(
            "--clip/--no-clip", default=None, help="Clip noisy images to [0, 1]."
        ),
        click.option("--data-seed", type=int, help="Seed of split and test noise."),
    ]
)
recipe_options = _apply(
    [
        click.option(
            "--config",
            "config_file",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="TOML file of configuration keys; options override it.",
        ),
        test_options,
        click.option(
            "--targets",
            help="What to learn from: clean images; noisy, a second noisy copy of "
            "each; blind-spot or split, one noisy copy; r2r, one that is not clipped.  "
            "[default: clean]",
        ),
        click.option(
            "--noisy-files/--no-noisy-files",
            default=None,
            help="A folder's files have the noise already; none is added. For "
            "blind-spot; without --sigma it is estimated.",
        ),
        click.option("--filters", type=int, help="Channels between image and latent."),
        click.option(
            "--train-images",
            type=int,
            help="Train on the first N images.  [default: all]",
        ),
        click.option(
            "--validation-images",
            type=int,
            help="Validate on the first N images.  [default: all]",
        ),
        click.option(
            "--augment/--no-augment",
            default=None,
            help="Turn, mirror and darken training images.",
        ),
        click.option("--epochs", type=int, help="Passes over the data.  [default: 15]"),
        click.option("--steps", type=int, help="Train for N steps instead of epochs."),
        click.option("--batch-size", type=int, help="Images per step.  [default: 64]"),
        click.option(
            "--loss", help="mse, or log-mse: the mean of each image's, in decibels."
        ),
        click.option(
            "--optimizer",
            cls=TableOption,
            rows=_optimizers,
            help="{rows}.  [default: adam]",
        ),
        click.option("--lr", "learning_rate", type=float, help="Learning rate."),
        click.option(
            "--bias-lr-ratio",
            type=float,
            help="Muon's learning rate of biases over that of kernels.  [default: 1]",
        ),
        click.option("--warmup-steps", type=int, help="Steps until the full rate."),
        click.option(
            "--schedule",
            help="cosine, linear, constant, or with --patience plateau.",
        ),
        click.option(
            "--patience",
            type=int,
            help="Hold the rate; after N epochs without a lower validation loss lower "
            "it, the third time end. Saves the best epoch.  [default: 0, not used]",
        ),
        click.option(
            "--clip-norm", type=float, help="Largest norm of all gradients together."
        ),
        click.option(
            "--averaging",
            type=float,
            help="Keep an average of the weights, with this share of it per step.",
        ),
        click.option(
            "--precision",
            help="float32; or, while training, tf32 (CUDA) or bfloat16 (torch).",
        ),
        click.option(
            "--noise-on",
            help="Where training noise is drawn: host, by NumPy; or device, by another "
            "generator where torch trains.  [default: host]",
        ),
        click.option(
            "--deterministic/--no-deterministic",
            default=None,
            help="On CUDA, repeat a run to the bit, with slower kernels.",
        ),
        click.option(
            "--latent-bias",
            type=float,
            help="Bias of the latent at the start.  [default: 0.5 at depth 1, else 0]",
        ),
        click.option(
            "--rate",
            type=float,
            help="Also learn a latent of few bits: the MSE that a bit per pixel may "
            "cost, such as 0.003.  [default: 0]",
        ),
    ]
)
model_options = _apply(
    [
        click.option(
            "--model",
            cls=TableOption,
            rows=_models,
            help="{rows}.  [default: dae]",
        ),
        click.option(
            "--depth", type=int, help="Convolutions in the encoder.  [default: 5]"
        ),
        click.option("--latent", type=int, help="Side of the latent.  [default: 13]"),
        click.option("--blocks", type=int, help="Blocks of photo.  [default: 3]"),
        click.option(
            "--start",
            help="Begin with the weights of a model: a name, a .keras file or a run.",
        ),
        click.option("--seed", type=int, help="Seed of weights, order and noise."),
    ]
)
grid_options = _apply(
    [
        numbers_option("depth", "5,3,1", "Depths, separated by commas or repeated."),
        numbers_option("latent", "13,8,5", "Sides, separated by commas or repeated."),
        click.option(
            "--seeds",
            type=click.IntRange(min=1),
            default=3,
            show_default=True,
            help="How many seeds, from 0.",
        ),
        click.option(
            "--jobs",
            type=click.IntRange(min=1),
            help="Runs at the same time.  [default: one per core; up to three per GPU]",
        ),
    ]
)
executor_options = _apply(
    [
        click.option(
            "--executor",
            type=click.Choice(["processes", "ray"]),
            default="processes",
            show_default=True,
            help="What carries the runs out: processes here, or a Ray cluster.",
        ),
        click.option(
            "--address",
            help="Ray cluster to join, host:port.  [default: RAY_ADDRESS, else a "
            "local one is started]",
        ),
        click.option(
            "--gpus-per-run",
            type=click.FloatRange(min=0, min_open=True),
            help="GPUs that Ray gives each run, 0.5 for half of one.  [default: one, "
            "where there are any]",
        ),
    ]
)


def _named(context: click.Context, option: click.Parameter, folder: Path) -> Path:
    named(folder)
    return folder


def out_option(default: str, what: str) -> Callable[[Any], Any]:
    """Return the --out option of a command."""
    return click.option(
        "--out",
        type=click.Path(file_okay=False, path_type=Path),
        default=default,
        show_default=True,
        help=what,
        callback=_named,
    )
