"""The command line: parse, one library call, print.

Nothing here imports keras, torch or matplotlib at module level, so that `--help`
answers at once; each command imports what it needs when it runs.
"""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click

from keras_dae import __version__
from keras_dae.errors import KerasDAEError
from keras_dae.options import (
    DEFAULT_RUNS,
    DEFAULT_STUDY,
    as_json,
    data_dir,
    grid_options,
    machine_options,
    model_options,
    out_option,
    recipe_options,
    test_options,
)


class Group(click.Group):
    """A group that lists commands in the order of a study, and speaks of mistakes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands as they were added."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Turn a user's mistake into one sentence and an exit code."""
        try:
            return super().invoke(ctx)
        except KerasDAEError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo(
                "Interrupted. What was finished is kept; the same command with "
                "--resume (train) or as it stands (sweep, reproduce) goes on.",
                err=True,
            )
            ctx.exit(130)


@click.group(cls=Group, context_settings={"max_content_width": 88})
@click.version_option(__version__, prog_name="keras-dae")
def main() -> None:
    """Denoising autoencoders on Keras 3: train, evaluate, reproduce the study.

    KERAS_BACKEND chooses torch (default), jax or tensorflow.
    """
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


@main.command()
@as_json
@click.option("--depth", "depths", multiple=True, type=int, help="Other depths.")
@click.option("--latent", "latents", multiple=True, type=int, help="Other latents.")
@click.option("--size", default=28, show_default=True, help="Side of the images.")
@click.option(
    "--channels", default=1, show_default=True, help="Channels of the images."
)
@click.option("--filters", type=int, help="Channels between image and latent.")
def models(
    as_json: bool,
    depths: tuple[int, ...],
    latents: tuple[int, ...],
    size: int,
    channels: int,
    filters: int | None,
) -> None:
    """List the nine models of table 1, or others."""
    from keras_dae.models.architectures import (
        DEPTHS,
        LATENTS,
        architecture_row,
        plan,
    )
    from keras_dae.reporting.tables import architecture_table

    rows = [
        architecture_row(plan(depth, latent, (size, size, channels), filters))
        for depth in depths or tuple(reversed(DEPTHS))
        for latent in latents or LATENTS
    ]
    _show(rows, architecture_table, as_json)


@main.command()
@model_options
@recipe_options
@data_dir
@out_option(DEFAULT_RUNS, "Folder of runs; this one gets a folder of its own in it.")
@click.option("--resume", is_flag=True, help="Go on with the run that is there.")
@machine_options
@as_json
def train(
    config_file: Path | None,
    data_dir: Path | None,
    out: Path,
    resume: bool,
    device: str,
    threads: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Train one model and keep it in a run folder."""
    from keras_dae import backend
    from keras_dae.training.progress import FitProgress

    config = _config(config_file, options)
    backend.select(device, threads)
    _say(backend.summary())
    splits = _load(config, data_dir)
    config = config.model_copy(update={"data": splits.name})
    spec = config.plan(splits.image_shape)
    _say(
        f"{splits.name}: {len(splits.train):,} images train, "
        f"{len(splits.validation):,} validate"
    )
    from keras_dae.training.fitting import fit

    with FitProgress(spec.name, epochs=config.epochs, images=len(splits.train)) as bar:
        folder = fit(config, splits, out, resume=resume, progress=bar)
    history = folder.history()
    row = {
        "run": str(folder.path),
        "name": spec.name,
        "parameters": spec.parameters,
        "epochs": len(history["loss"]),
        "loss": history["loss"][-1],
        "val_loss": history["val_loss"][-1],
        "seconds": round(sum(history["seconds"]), 1),
    }
    if as_json:
        _echo_json(row)
    else:
        click.echo(
            f"{row['name']}: validation MSE {row['val_loss']:.5f} after "
            f"{row['epochs']} epochs, {row['seconds']:.0f} s of training; {row['run']}"
        )


@main.command()
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@test_options
@data_dir
@out_option(DEFAULT_RUNS, "Where to look for runs when none is named.")
@machine_options
@as_json
def evaluate(
    runs: tuple[Path, ...],
    data_dir: Path | None,
    out: Path,
    device: str,
    threads: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Score RUNS (default: every run found) on the test images.

    A run is scored on the data and noise that it was trained with. A RUN may also be a
    .keras file of any origin; --data, --noise, --sigma and --clip are for those.
    """
    from keras_dae import backend
    from keras_dae.training.runs import find_runs

    files = [run for run in runs if run.suffix == ".keras"]
    config = _config(None, options)
    places = [run for run in runs if run not in files] if runs else [out]
    folders = [folder for place in places for folder in find_runs(place)]
    backend.select(device, threads)
    _say(backend.summary())
    from keras_dae.evaluation.scored import evaluate as score
    from keras_dae.evaluation.scored import evaluate_files
    from keras_dae.reporting.tables import results_table

    results = [one.results for one in score(folders, data_dir, _say)] if folders else []
    if files:
        results.append(evaluate_files(files, config, data_dir, _say))
    if as_json:
        _echo_json({"schema": 1, "results": results})
        return
    for one in results:
        _print(results_table(one))


@main.command()
@grid_options
@recipe_options
@data_dir
@out_option(DEFAULT_RUNS, "Folder of runs.")
@machine_options
@as_json
def sweep(
    data_dir: Path | None,
    out: Path,
    jobs: int | None,
    device: str,
    threads: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Train every depth, latent and seed, several processes at a time."""
    from keras_dae.reporting.tables import jobs_table
    from keras_dae.training.sweep import job_rows
    from keras_dae.training.sweep import sweep as run_all

    configs = _grid(data_dir, **options)
    done = run_all(
        configs, out, jobs=jobs, data_dir=data_dir, device=device, threads=threads
    )
    rows = job_rows(done)
    _show(rows, jobs_table, as_json)
    if any(row["state"] == "failed" for row in rows):
        raise click.exceptions.Exit(1)


@main.command()
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@data_dir
@out_option(DEFAULT_RUNS, "Where to look for runs when none is named.")
@click.option(
    "--figures",
    type=click.Path(file_okay=False, path_type=Path),
    default="artifacts/figures",
    show_default=True,
    help="Folder of the PNG files.",
)
@machine_options
@as_json
def plot(
    runs: tuple[Path, ...],
    data_dir: Path | None,
    out: Path,
    figures: Path,
    device: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Draw figures 1 to 7 of the paper from saved RUNS."""
    from keras_dae import backend
    from keras_dae.training.runs import find_runs

    folders = [folder for run in runs or (out,) for folder in find_runs(run)]
    backend.select(device, threads)
    _say(backend.summary())
    from keras_dae.study import plot as draw

    written = draw(folders, figures, data_dir, _say)
    if as_json:
        _echo_json({"figures": [str(path) for path in written]})
    else:
        for path in written:
            click.echo(path)


@main.command()
@grid_options
@recipe_options
@data_dir
@out_option(DEFAULT_STUDY, "Folder of results, figures, report and runs.")
@machine_options
@as_json
def reproduce(
    data_dir: Path | None,
    out: Path,
    jobs: int | None,
    device: str,
    threads: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Carry out the whole study: train, score, decide the claims, report."""
    from keras_dae import backend
    from keras_dae.reporting.tables import claims_table, results_table

    backend.select(device, threads)
    _say(backend.summary())
    configs = _grid(data_dir, **options)
    from keras_dae.study import reproduce as carry_out

    results = carry_out(
        configs,
        out,
        jobs=jobs,
        data_dir=data_dir,
        device=device,
        threads=threads,
        say=_say,
    )
    if as_json:
        _echo_json(results)
        return
    _print(results_table(results))
    _print(claims_table(results["claims"]))
    click.echo(f"Report: {out / 'report.html'} and {out / 'report.md'}")


def _config(config_file: Path | None, options: dict[str, Any]) -> Any:
    from keras_dae.training.config import make_config, read_toml

    given = {key: value for key, value in options.items() if value is not None}
    return make_config(read_toml(config_file) if config_file else {}, given)


def _load(config: Any, data_dir: Path | None) -> Any:
    from keras_dae.images.datasets import load

    splits = load(config.data, data_dir, config.data_seed)
    if config.data == "auto" and splits.name != "mnist":
        _say(
            f"The full MNIST is not at hand; {splits.name} is used in its place "
            f"({len(splits.train) + len(splits.validation):,} training images)."
        )
    return splits


def _grid(
    data_dir: Path | None,
    config_file: Path | None,
    depths: str,
    latents: str,
    seeds: int,
    **options: Any,
) -> list[Any]:
    """Return the checked configurations of a grid, the data set named."""
    splits = _load(_config(config_file, options), data_dir)
    named = {**options, "data": splits.name}
    configs = [
        _config(config_file, {**named, "depth": depth, "latent": latent, "seed": seed})
        for seed in range(seeds)
        for depth in _integers("--depths", depths)
        for latent in _integers("--latents", latents)
    ]
    for config in configs:
        config.plan(splits.image_shape)  # says at once what has no schedule
    return configs


def _integers(option: str, text: str) -> list[int]:
    try:
        return list(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise click.BadParameter(
            f"{option} takes whole numbers separated by commas, not {text!r}."
        ) from None


def _say(line: str) -> None:
    click.echo(line, err=True)


def _echo_json(value: Any) -> None:
    from keras_dae.storage import dump_json

    click.echo(dump_json(value), nl=False)


def _show(
    rows: list[dict[str, Any]],
    table: Callable[[list[dict[str, Any]]], Any],
    as_json: bool,
) -> None:
    if as_json:
        _echo_json(rows)
    else:
        _print(table(rows))


def _print(table: Any) -> None:
    from rich.console import Console

    # Rows in a file or a pipe are not folded to a terminal that is not there.
    Console(width=None if sys.stdout.isatty() else 160).print(table)
