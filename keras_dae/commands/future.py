"""Commands for the paper's future work: classify, depth-limit, robustness."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from keras_dae.commands.common import (
    configuration,
    echo_json,
    load_splits,
    look_at,
    measurable,
    print_table,
    say,
)
from keras_dae.commands.options import (
    DEFAULT_RUNS,
    DEFAULT_STUDY,
    FOLDERS,
    as_json,
    data_dir,
    data_options,
    machine_options,
    numbers_option,
    out_option,
)

_runs = click.argument("runs", nargs=-1, type=click.Path(path_type=Path))


def _filters(default: str) -> Callable[[Any], Any]:
    """Return the option --filter; `default` describes the filters without it."""
    return click.option(
        "--filter",
        "filters",
        multiple=True,
        help="A classical filter, such as median; 'none' for none. Can be repeated.  "
        f"[default: {default}]",
    )


def _found(runs: tuple[Path, ...], out: Path) -> list[Any]:
    """Return the named runs; by default those of the study, else those of `train`."""
    from keras_dae.training.runs import find_all

    own = [out / name for name in FOLDERS if (out / name).is_dir()]
    places = runs or own or [Path(DEFAULT_RUNS)]
    return find_all(places)


def _chosen(filters: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the named filters as an argument, or nothing for the default."""
    return {"filters": [name for name in filters if name != "none"]} if filters else {}


@click.command()
@_runs
@data_dir
@out_option(DEFAULT_STUDY, "Folder of the study; RUNS default to those in it.")
@click.option(
    "--train-on",
    "trained_on",
    multiple=True,
    type=click.Choice(["clean", "noisy", "denoised"]),
    help="Train classifiers on these images too.  [default: all three]",
)
@_filters("all")
@machine_options
@as_json
def classify(
    runs: tuple[Path, ...],
    data_dir: Path | None,
    out: Path,
    trained_on: tuple[str, ...],
    filters: tuple[str, ...],
    device: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Measure the accuracy of two classifiers on the outputs of RUNS (default: all).

    A convolutional network and multiclass logistic regression classify clean, noisy,
    filtered and denoised test images. Results are saved: a repeated command measures
    only what is missing.
    """
    from keras_dae.system import backend
    from keras_dae.training.progress import Steps

    folders = _found(runs, out)
    look_at([], folders)
    folders = measurable(folders)
    backend.select(device, threads)
    say(backend.summary())
    from keras_dae.study.classification.run import classify as carry_out
    from keras_dae.study.classification.section import reading_table

    options: dict[str, Any] = {"trained_on": trained_on} if trained_on else {}
    with Steps() as steps:
        results = carry_out(
            folders, out, data_dir, progress=steps, **options, **_chosen(filters)
        )
    if as_json:
        echo_json(results)
        return
    print_table(reading_table(results))
    click.echo(f"{out / 'classification.json'} and figures in {out / 'figures'}")


@click.command()
@_runs
@click.option(
    "--data",
    default="auto",
    show_default=True,
    help="Data set for .keras files, if no run names one.",
)
@data_dir
@out_option(DEFAULT_STUDY, "Folder of the study; RUNS default to those in it.")
@click.option(
    "--noise",
    "noises",
    multiple=True,
    help="Noise kind and strengths, such as gaussian:0.1,0.5. Can be repeated.  "
    "[default: seven kinds]",
)
@click.option(
    "--images",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Test images per noise and strength.",
)
@_filters("mean, median, Gaussian, Wiener, total variation")
@machine_options
@as_json
def robustness(
    runs: tuple[Path, ...],
    data: str,
    data_dir: Path | None,
    out: Path,
    noises: tuple[str, ...],
    images: int,
    filters: tuple[str, ...],
    device: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Measure RUNS and filters on other noise than that of their training.

    A RUN can also be a .keras file. Results are saved: a repeated command measures only
    what is missing.
    """
    from keras_dae.system import backend

    files = [run for run in runs if run.suffix == ".keras"]
    named = tuple(run for run in runs if run not in files)
    folders = _found(named, out) if named or not files else []
    look_at(files, folders)
    from keras_dae.study.robustness.measure import parse_grid
    from keras_dae.training.progress import Steps

    grid = parse_grid(noises)
    if not folders:
        data = load_splits(configuration(None, {"data": data}), data_dir).name
    backend.select(device, threads)
    say(backend.summary())
    from keras_dae.study.robustness.run import robustness as carry_out
    from keras_dae.study.robustness.section import gains_table

    with Steps() as steps:
        results = carry_out(
            folders,
            files,
            out,
            data_dir,
            data=data,
            grid=grid,
            images=images,
            progress=steps,
            **_chosen(filters),
        )
    if as_json:
        echo_json(results)
        return
    print_table(gains_table(results))
    click.echo(f"{out / 'robustness.json'} and figures in {out / 'figures'}")


def _numbers(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> list[int | None]:
    """Return whole numbers separated by commas; None stands for 'all'."""
    words = text.split(",") if text else []
    try:
        numbers = [None if word == "all" else int(word) for word in words]
    except ValueError:
        raise click.BadParameter(
            f"expected whole numbers separated by commas, not {text!r}."
        ) from None
    if parameter.name == "epochs" and None in numbers:
        raise click.BadParameter(f"expected numbers, not {text!r}.")
    if any(number is not None and number < 1 for number in numbers):
        raise click.BadParameter(f"expected numbers of at least 1, not {text!r}.")
    return list(dict.fromkeys(numbers)) if parameter.name != "epochs" else numbers


@click.command("depth-limit")
@data_options
@numbers_option("depth", "3,5,9,17", "Depths, separated by commas or repeated.")
# The depths have 0, 1, 3 and 7 residual blocks per side. The first two convolutions and
# the last one are the same at each depth, and so are the filters.
@click.option("--latent", default=5, show_default=True, help="Latent side.")
@click.option(
    "--filters", default=32, show_default=True, help="Channels of each layer."
)
@click.option(
    "--train-images",
    "sizes",
    default="1000,5000,all",
    show_default=True,
    callback=_numbers,
    help="Numbers of training images, separated by commas; 'all' for all.",
)
@click.option(
    "--validation-images",
    type=int,
    help="Validate on the first N images.  [default: all]",
)
@click.option(
    "--epochs",
    callback=_numbers,
    help="Most epochs for each of --train-images, separated by commas.  [default: set "
    "by --steps]",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=9000,
    show_default=True,
    help="Most training steps of a run, whatever its number of images.",
)
@click.option(
    "--patience",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Lower the learning rate after N steps (at least 2 epochs) without a lower "
    "validation loss; the third time, stop.",
)
@click.option("--batch-size", type=int, help="Images per step.  [default: 64]")
@click.option(
    "--lr",
    "learning_rate",
    type=float,
    help="Adam's learning rate.  [default: by depth]",
)
@click.option(
    "--precision",
    help="Precision of training: float32, tf32 (CUDA) or bfloat16 (torch).",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Number of seeds.",
)
@click.option("--jobs", type=click.IntRange(min=1), help="Runs in parallel.")
@data_dir
@out_option(DEFAULT_STUDY, "Folder of the study; the runs go to OUT/depth-limit.")
@machine_options
@as_json
def depth_limit(
    depths: list[int],
    sizes: list[int | None],
    epochs: list[int],
    steps: int,
    patience: int,
    seeds: int,
    jobs: int | None,
    data_dir: Path | None,
    out: Path,
    device: str,
    threads: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Find the depth at which models overfit, by number of training images.

    Plain and residual networks are trained until the validation loss stops improving.
    Finished runs are skipped, so a repeated command continues.

    The figure shows all finished runs with these settings in the folder. Run the
    command again with other options to measure more depths for one number of
    training images.
    """
    from keras_dae.system import backend
    from keras_dae.training.progress import Steps

    splits = load_splits(configuration(None, options), data_dir)
    named = {**options, "data": splits.name}
    whole = len(splits.train)
    for size in sizes:  # says at once what is more than there is
        splits.limited(size, validation=options["validation_images"])
    backend.select(device, threads)
    say(backend.summary())
    from keras_dae.study.depth_limit.run import depth_configs, limit_depth
    from keras_dae.study.depth_limit.section import depth_tables

    configs = depth_configs(
        lambda **fields: configuration(None, {**named, **fields}),
        [size or whole for size in sizes],
        depths,
        seeds,
        image_shape=splits.image_shape,
        whole=whole,
        epochs=epochs,
        steps=steps,
        patience=patience,
    )
    with Steps() as bar:
        results = limit_depth(
            configs,
            out,
            jobs=jobs,
            data_dir=data_dir,
            device=device,
            threads=threads,
            progress=bar,
        )
    if as_json:
        echo_json(results)
        return
    for table in depth_tables(results):
        print_table(table)
    click.echo(f"{out / 'depth_limit.json'} and a figure in {out / 'figures'}")
