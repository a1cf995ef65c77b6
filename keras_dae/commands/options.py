"""Options that commands share, in groups; click only."""

import functools
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any

import click

from keras_dae.system.backend import DEVICES
from keras_dae.system.inside import named

DEFAULT_RUNS = "artifacts/runs"
DEFAULT_STUDY = "artifacts/study"
MOST_THREADS = 512
# Folders of runs within the folder of a study.
FOLDERS = ("runs", "best", "ceilings")


def _apply(options: list[Callable[..., Any]]) -> Callable[[Any], Any]:
    return lambda command: functools.reduce(
        lambda wrapped, option: option(wrapped), reversed(options), command
    )


class FiniteRange(click.FloatRange):
    """A range of numbers without NaN and infinity."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """Return the number, or refuse the value."""
        number = super().convert(value, param, ctx)
        if not isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class TableOption(click.Option):
    """An option whose help lists the rows of a table.

    The table is imported only when help is shown.

    Args:
        rows: returns the names of the rows.
        help: the help text; `{rows}` is replaced by the names.
    """

    def __init__(self, *args: Any, rows: Callable[[], Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rows = rows

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the option and its help, with the names of the rows filled in."""
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
    """Return a number, or a range as text for the configuration to parse."""
    return text if ".." in text else float(text)


def _together(
    context: click.Context, option: click.Parameter, texts: tuple[str, ...]
) -> list[int]:
    """Return whole numbers, separated by commas or repeated, without duplicates."""
    given = ",".join(texts)
    try:
        numbers = [int(word) for word in given.split(",")] if texts else []
    except ValueError:
        raise click.BadParameter(
            f"expected whole numbers separated by commas, not {given!r}."
        ) from None
    if min(numbers, default=1) < 1:
        raise click.BadParameter(f"expected numbers of at least 1, not {given!r}.")
    return list(dict.fromkeys(numbers))


def numbers_option(name: str, default: str | None, what: str) -> Callable[[Any], Any]:
    """Return an option for whole numbers, with a singular and a plural name."""
    return click.option(
        *(f"--{name}s", f"--{name}", f"{name}s"),
        multiple=True,
        default=[default] if default else [],
        show_default=False,
        callback=_together,
        metavar="NUMBERS",
        help=f"{what}  [default: {default}]" if default else what,
    )


overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Replace existing outputs."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
data_dir = click.option(
    "--data-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="KERAS_DAE_DATA",
    help="Folder with mnist.npz or the Fashion-MNIST files.  [env: KERAS_DAE_DATA]",
)
machine_options = _apply(
    [
        click.option(
            "--device",
            type=click.Choice(DEVICES),
            default="auto",
            show_default=True,
            help="Device to compute on; auto uses CUDA if it is available.",
        ),
        click.option(
            "--threads",
            type=click.IntRange(1, MOST_THREADS),
            help="CPU threads per process.  [default: as the backend chooses; in "
            "training, 1 for a small model, and an equal share of the cores in a "
            "sweep]",
        ),
    ]
)
engine_option = click.option(
    "--engine",
    type=click.Choice(["keras", "onnx"]),
    default="keras",
    show_default=True,
    help="Inference engine: the Keras backend, or ONNX Runtime, which is faster at "
    "depth 1.",
)


# The fields of RunConfig as options. The default is None, so that the value comes from
# --config, or else from RunConfig.
def _data_options(of_run: str = "") -> Callable[[Any], Any]:
    """Return the options for data and noise; `of_run` comes before each default."""
    return _apply(
        [
            click.option(
                "--data",
                help="Data set: auto, mnist, mnist5k, fashion-mnist, npz:PATH, or "
                f"folder:PATH for a folder of image files.  [default: {of_run}auto]",
            ),
            click.option(
                "--size",
                type=int,
                help="Side of the patches cut from a folder's images.  "
                f"[default: {of_run}64; photo: 128]",
            ),
            click.option(
                "--channels",
                type=int,
                help="Channels of the patches: 1 for grey, 3 for RGB.  "
                f"[default: {of_run}1; photo: 3]",
            ),
            click.option(
                "--patches",
                type=int,
                help=f"Patches per image and epoch.  [default: {of_run}as many as fit "
                "without overlap, at most 256]",
            ),
            click.option(
                "--noise",
                cls=TableOption,
                rows=_noises,
                help="Noise: {rows}. Write kind:strength or kind:low..high; + applies "
                f"several in order.  [default: {of_run}gaussian; photo: "
                "camera:0..0.2157]",
            ),
            click.option(
                "--sigma",
                type=_strength,
                metavar="NUMBER|LOW..HIGH",
                help="Standard deviation of Gaussian noise on the scale of 0 to 1, or "
                f"a range such as 0.1..0.9.  [default: {of_run}0.5]",
            ),
            click.option(
                "--clip/--no-clip",
                default=None,
                help=f"Clip noisy images to [0, 1].  [default: {of_run}clip; photo: "
                "no-clip]",
            ),
            click.option(
                "--data-seed",
                type=int,
                help="Seed for the data split and the test noise.  "
                f"[default: {of_run}0]",
            ),
        ]
    )


data_options = _data_options()
# For commands that measure finished runs.
test_options = _data_options("that of the run, else ")
recipe_options = _apply(
    [
        click.option(
            "--config",
            "config_file",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="TOML file of configuration keys; options override it.",
        ),
        data_options,
        click.option(
            "--targets",
            help="Training targets: clean images; noisy, a second noisy copy of each; "
            "or from one noisy copy alone: blind-spot, split, or r2r for noise that is "
            "not clipped.  [default: clean]",
        ),
        click.option(
            "--noisy-files/--no-noisy-files",
            default=None,
            help="The files of the folder are already noisy, so no noise is added. "
            "Needs --targets blind-spot. Sigma is estimated unless --sigma is given.",
        ),
        click.option(
            "--filters",
            type=int,
            help="Channels of the hidden convolutions.  [default: by the model]",
        ),
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
            help="Randomly rotate, flip and darken training images; make some finer.",
        ),
        click.option(
            "--repeat",
            type=int,
            help="Use each training image N times per epoch, with new noise each time; "
            "for small data sets.  [default: 1]",
        ),
        click.option(
            "--epochs",
            type=int,
            help="Number of epochs.  [default: 15; with --start photo: 5]",
        ),
        click.option("--steps", type=int, help="Train for N steps; replaces --epochs."),
        click.option(
            "--batch-size", type=int, help="Images per step.  [default: 64; photo: 32]"
        ),
        click.option(
            "--loss",
            help="mse; or log-mse, the mean over images of the MSE in decibels.  "
            "[default: mse; photo: log-mse]",
        ),
        click.option(
            "--optimizer",
            cls=TableOption,
            rows=_optimizers,
            help="Optimizer: {rows}.  [default: adam]",
        ),
        click.option(
            "--lr",
            "learning_rate",
            type=float,
            help="Learning rate.  [default: depends on the optimizer, the depth and "
            "the model]",
        ),
        click.option(
            "--bias-lr-ratio",
            type=float,
            help="Ratio of the learning rate of biases to that of kernels, for muon.  "
            "[default: 1]",
        ),
        click.option(
            "--warmup-steps",
            type=int,
            help="Steps to reach the full learning rate.  [default: 500; with "
            "--start photo: 100]",
        ),
        click.option(
            "--schedule",
            help="Learning rate schedule: cosine, linear or constant; or plateau, "
            "which goes with --patience.  [default: cosine]",
        ),
        click.option(
            "--patience",
            type=int,
            help="Lower the learning rate after N epochs without a lower validation "
            "loss; the third time, stop. Saves the best epoch.  [default: 0, off]",
        ),
        click.option(
            "--clip-norm",
            type=float,
            help="Clip gradients to this global norm.  [default: off]",
        ),
        click.option(
            "--averaging",
            type=float,
            help="Average the weights exponentially, with this decay per step.  "
            "[default: off]",
        ),
        click.option(
            "--precision",
            help="Precision of training: float32, tf32 (CUDA) or bfloat16 (torch).  "
            "[default: float32]",
        ),
        click.option(
            "--noise-on",
            help="Where training noise is drawn: host (NumPy), or device (another "
            "generator; torch only).  [default: host]",
        ),
        click.option(
            "--deterministic/--no-deterministic",
            default=None,
            help="On CUDA, make runs bitwise reproducible; uses slower kernels.",
        ),
        click.option(
            "--latent-bias",
            type=float,
            help="Initial bias of the latent.  [default: 0.5 at depth 1, else 1]",
        ),
        click.option(
            "--rate",
            type=float,
            help="Also train the latent to take few bits: weight of the bits per pixel "
            "in the loss, such as 0.003.  [default: 0]",
        ),
    ]
)
model_options = _apply(
    [
        click.option(
            "--model",
            cls=TableOption,
            rows=_models,
            help="Model: {rows}.  [default: dae]",
        ),
        click.option(
            "--depth", type=int, help="Convolutions in the encoder.  [default: 5]"
        ),
        click.option(
            "--latent", type=int, help="Height and width of the latent.  [default: 13]"
        ),
        click.option(
            "--blocks",
            type=int,
            help="Residual blocks of photo.  [default: 3; with --start photo: 6]",
        ),
        click.option(
            "--start",
            help="Start from the weights of a model: the name of a pretrained model, a "
            ".keras file or a run folder.",
        ),
        click.option(
            "--seed",
            type=int,
            help="Seed for initial weights, image order and training noise.  "
            "[default: 0]",
        ),
    ]
)
grid_options = _apply(
    [
        numbers_option("depth", "5,3,1", "Depths, separated by commas or repeated."),
        numbers_option(
            "latent", "13,8,5", "Latent sides, separated by commas or repeated."
        ),
        click.option(
            "--seeds",
            type=click.IntRange(min=1),
            default=3,
            show_default=True,
            help="Number of seeds, counted from 0.",
        ),
        click.option(
            "--jobs",
            type=click.IntRange(min=1),
            help="Runs in parallel.  [default: one per core; up to three per GPU]",
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
            help="Run in local processes or on a Ray cluster.",
        ),
        click.option(
            "--address",
            help="Address of a Ray cluster, host:port.  [default: RAY_ADDRESS; if "
            "unset, a local cluster is started]",
        ),
        click.option(
            "--gpus-per-run",
            type=FiniteRange(min=0, min_open=True),
            help="GPUs per run for Ray; 0.5 shares one GPU between two runs.  "
            "[default: 1 if the cluster has GPUs]",
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
