"""Commands of the study: models, train, evaluate, sweep, plot, reproduce."""

from pathlib import Path
from typing import Any

import click

from keras_dae.commands.common import (
    check_free,
    configuration,
    echo_json,
    given_options,
    grid,
    load_splits,
    look_at,
    measurable,
    print_table,
    resumed,
    say,
    say_counts,
    say_duration,
    say_seen,
    show,
    was_given,
)
from keras_dae.commands.options import (
    DEFAULT_RUNS,
    DEFAULT_STUDY,
    FiniteRange,
    TableOption,
    as_json,
    data_dir,
    engine_option,
    executor_options,
    families,
    grid_options,
    machine_options,
    model_options,
    numbers_option,
    out_option,
    overwrite_option,
    recipe_options,
    test_options,
)
from keras_dae.errors import UsageError, check


@click.command()
@as_json
@numbers_option(
    "depth", None, "Depths, separated by commas or repeated.  [default: 5,3,1]"
)
@numbers_option(
    "latent",
    None,
    "Latent sides, separated by commas or repeated.  [default: 13,8,5]",
)
@click.option("--size", default=28, show_default=True, help="Side of the images.")
@click.option(
    "--channels", default=1, show_default=True, help="Channels of the images."
)
@click.option(
    "--filters",
    type=int,
    help="Channels of the hidden layers.  [default: by the model]",
)
@click.option(
    "--model",
    "family",
    cls=TableOption,
    rows=families,
    default="dae",
    help="Family: {rows}.  [default: dae]",
)
@click.option("--pretrained", is_flag=True, help="List the pretrained models.")
def models(
    as_json: bool,
    family: str,
    pretrained: bool,
    depths: list[int],
    latents: list[int],
    size: int,
    channels: int,
    filters: int | None,
) -> None:
    """List the architectures of the nine models of the paper, or others."""
    from keras_dae.models.architectures import (
        DEPTHS,
        LATENTS,
        architecture_row,
    )
    from keras_dae.models.families import plan_family
    from keras_dae.study.report.tables import architecture_table, pretrained_table

    if pretrained:
        from keras_dae.denoising.trained import pretrained_cards

        if was_given("family", "depths", "latents", "size", "channels", "filters"):
            raise UsageError(
                "--pretrained lists all pretrained models; only --json can be added."
            )
        cards = pretrained_cards()
        if as_json:
            echo_json({"schema": 1, "models": cards})
        else:
            print_table(pretrained_table(cards))
        return
    rows = [
        architecture_row(
            plan_family(family, depth, latent, (size, size, channels), filters)
        )
        for depth in depths or reversed(DEPTHS)
        for latent in latents or LATENTS
    ]
    show(rows, architecture_table, as_json)


@click.command()
@model_options
@recipe_options
@data_dir
@out_option(DEFAULT_RUNS, "Parent folder of the run folder.")
@click.option(
    "--resume",
    is_flag=False,
    flag_value="",
    metavar="[RUN]",
    help="Continue the existing run. With RUN, a run folder, use the options of that "
    "run.",
)
@click.option(
    "--seconds",
    type=FiniteRange(min=0, min_open=True),
    help="Train for about N seconds. The number of epochs is estimated from a few "
    "timed steps.",
)
@machine_options
@as_json
def train(
    config_file: Path | None,
    data_dir: Path | None,
    out: Path,
    resume: str | None,
    seconds: float | None,
    device: str,
    threads: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Train one model and save it in a run folder.

    To train a finished run for longer, use --resume and a larger --epochs (not for runs
    with --patience).

    To fine-tune the pretrained denoiser of photographs, use --start photo and
    --data folder:PATH with your own photographs.
    """
    from keras_dae.commands.training import (
        asked,
        check_bfloat16,
        check_new,
        compare_with_noise,
        in_time,
        look_for_noise,
        noise_of_files,
    )
    from keras_dae.system import backend
    from keras_dae.training.length import by_epochs

    check(
        seconds is None or options["steps"] is None,
        "--steps and --seconds both set the length of training. Give one of them.",
        steps=options["steps"],
        seconds=seconds,
    )
    if resume:
        check(
            not was_given("config_file", "out"),
            "--config and --out do not apply to --resume RUN, which has its own.",
            resume=resume,
        )
        config, out = resumed(Path(resume), options)
    else:
        config = asked(config_file, options)
    splits = load_splits(config, data_dir)  # fails before the slow import of keras
    config = noise_of_files(config, splits)
    if resume is None:
        check_new(by_epochs(config, splits), splits, out)
    spec = config.plan(splits.image_shape)
    step = spec.macs * config.batch_size
    backend.select(device, threads or backend.useful_threads(step))
    say(backend.summary())
    check_bfloat16(config)
    config = config.model_copy(update={"data": splits.name})
    config = in_time(config, splits, seconds, out)
    splits = splits.limited(config.train_images, validation=config.validation_images)
    say_counts(splits)
    look_for_noise(config, splits)
    run = _fit(config, splits, out, resume=resume is not None)
    _tell_trained(config, spec, run, as_json)
    compare_with_noise(config, splits, run)


def _fit(config: Any, splits: Any, out: Path, resume: bool) -> Any:
    """Train with a progress bar; return the run."""
    from keras_dae.denoiser import Denoiser
    from keras_dae.training.progress import FitProgress

    images = config.epoch_images(len(splits.train))
    name = config.plan(splits.image_shape).name
    with FitProgress(name, epochs=config.epochs, images=images) as bar:
        return Denoiser.train(config, splits, out, resume=resume, progress=bar).run


def _tell_trained(config: Any, spec: Any, run: Any, as_json: bool) -> None:
    """Print the results of a run, as JSON or as a sentence."""
    from keras_dae.training.patience import saved_epoch

    history = run.history()
    kept = saved_epoch(config, history["val_loss"])
    row = {
        "run": str(run.path),
        "name": spec.name,
        "parameters": spec.parameters,
        "epochs": len(history["loss"]),
        **({"saved_epoch": kept + 1} if config.patience else {}),
        "loss": history["loss"][kept],
        "val_loss": history["val_loss"][kept],
        "seconds": round(sum(history["seconds"]), 1),
    }
    if as_json:
        echo_json(row)
    else:
        clean = config.targets == "clean"
        error = "MSE" if clean else f"loss against {config.targets} targets"
        if config.loss != "mse":
            error = f"{config.loss} (dB)"
        click.echo(
            f"{row['name']}: validation {error} {row['val_loss']:.5f} after "
            f"{row['epochs']} epochs, {row['seconds']:.0f} s of training; {row['run']}"
        )


@click.command()
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@test_options
@data_dir
@out_option(DEFAULT_RUNS, "Folder to search for runs if no RUNS are given.")
@click.option(
    "--per-image",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write the error of each image and model, to a CSV file with one row "
    "each or to an .npz file with one array per model.",
)
@overwrite_option
@engine_option
@machine_options
@as_json
def evaluate(
    runs: tuple[Path, ...],
    data_dir: Path | None,
    out: Path,
    per_image: Path | None,
    overwrite: bool,
    engine: str,
    device: str,
    threads: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Score RUNS on the test images (default: every run found).

    A run is scored on the data and noise of its training. A RUN can also be a .keras
    file; --data, --noise, --sigma and --clip apply to those.
    """
    from keras_dae.system import backend
    from keras_dae.training.runs import find_all

    files = [run for run in runs if run.suffix == ".keras"]
    given = given_options(options)
    check(
        bool(files) or not given, "These options apply only to .keras files.", **given
    )
    check(
        per_image is None or per_image.suffix in (".csv", ".npz"),
        "--per-image must end in .csv or .npz.",
        per_image=str(per_image),
    )
    config = configuration(None, given)
    data = Path((config.data or "").partition(":")[2])
    check_free(per_image, overwrite, *files, data)
    places = [run for run in runs if run not in files] if runs else [out]
    folders = find_all(places)
    look_at(files, folders)
    folders = measurable(folders, named=bool(runs))
    backend.select(device, threads)
    say(backend.summary())
    from keras_dae.study.nine.measure import evaluate as score
    from keras_dae.study.nine.measure import evaluate_files
    from keras_dae.study.report.tables import results_table

    scored = score(folders, data_dir, say, engine) if folders else []
    if files:
        scored.append(evaluate_files(files, config, data_dir, say, engine))
        say_seen(files, scored[-1].results["dataset"]["name"])
    if per_image is not None:
        _write_per_image(per_image, scored)
    results = [one.results for one in scored]
    if engine != "keras":
        away = max(
            row["engine"]["max_difference"] for one in results for row in one["models"]
        )
        say(f"{engine}: within {away:.1e} of the Keras outputs")
    if as_json:
        echo_json({"schema": 1, "results": results})
        return
    for one in results:
        print_table(results_table(one))


def _write_per_image(path: Path, scored: Any) -> None:
    """Write the error of each image: arrays to an .npz file, rows to a CSV file."""
    from keras_dae.study.nine.measure import image_rows, write_errors
    from keras_dae.system.storage import write_csv

    if path.suffix == ".npz":
        write_errors(path, scored)
    else:
        write_csv(path, image_rows(scored))


@click.command()
@grid_options
@executor_options
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
    executor: str,
    address: str | None,
    gpus_per_run: float | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Train every combination of depth, latent and seed, several at a time."""
    from keras_dae.study.report.tables import jobs_table
    from keras_dae.training.sweep import job_rows
    from keras_dae.training.sweep import sweep as run_all

    configs, splits = grid(data_dir, **options)
    say_duration(configs, splits, out, jobs)
    done = run_all(
        configs,
        out,
        jobs=jobs,
        data_dir=data_dir,
        device=device,
        threads=threads,
        executor=executor,
        address=address,
        gpus_per_run=gpus_per_run,
    )
    rows = job_rows(done)
    show(rows, jobs_table, as_json)
    if any(row["state"] == "failed" for row in rows):
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@data_dir
@out_option(DEFAULT_RUNS, "Folder to search for runs if no RUNS are given.")
@click.option(
    "--figures",
    type=click.Path(file_okay=False, path_type=Path),
    default="artifacts/figures",
    show_default=True,
    help="Folder for the PNG files.",
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
    from keras_dae.system import backend
    from keras_dae.training.runs import find_all

    folders = find_all(runs or (out,))
    look_at([], folders)
    backend.select(device, threads)
    say(backend.summary())
    from keras_dae.study.nine.run import plot as draw

    written = draw(folders, figures, data_dir, say)
    if as_json:
        echo_json({"figures": [str(path) for path in written]})
    else:
        for path in written:
            click.echo(path)


@click.command()
@grid_options
@click.option(
    "--close-seeds",
    type=click.IntRange(min=2),
    metavar="N",
    help="Train N seeds, instead of --seeds, of models that share depth or latent size "
    "and whose mean validation losses differ by less than 3 %.  [default: no further "
    "seeds]",
)
@executor_options
@recipe_options
@data_dir
@out_option(DEFAULT_STUDY, "Folder for results, figures, report and runs.")
@machine_options
@as_json
def reproduce(
    data_dir: Path | None,
    out: Path,
    close_seeds: int | None,
    jobs: int | None,
    device: str,
    threads: int | None,
    executor: str,
    address: str | None,
    gpus_per_run: float | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Reproduce the whole study: train, score, check the paper's claims, report."""
    from keras_dae.study.report.tables import claims_table, results_table
    from keras_dae.system import backend

    configs, splits = grid(data_dir, **options)
    check(
        close_seeds is None or close_seeds > options["seeds"],
        f"close_seeds must be larger than seeds, {options['seeds']}.",
        close_seeds=close_seeds,
    )
    say_duration(configs, splits, out / "runs", jobs)
    backend.select(device, threads)
    say(backend.summary())
    from keras_dae.study.nine.run import reproduce as carry_out

    results = carry_out(
        configs,
        out,
        close_seeds=close_seeds,
        jobs=jobs,
        data_dir=data_dir,
        device=device,
        threads=threads,
        executor=executor,
        address=address,
        gpus_per_run=gpus_per_run,
        say=say,
    )
    if as_json:
        echo_json(results)
        return
    print_table(results_table(results))
    print_table(claims_table(results["claims"]))
    click.echo(f"Report: {out / 'report.html'} and {out / 'report.md'}")
