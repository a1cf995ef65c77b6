"""Commands for uncertainty intervals: calibrate, uncertainty."""

from pathlib import Path
from typing import Any

import click

from keras_dae.commands.common import (
    check_free,
    configuration,
    echo_json,
    given_options,
    load_splits,
    look_at,
    print_table,
    run_configuration,
    say,
    say_seen,
)
from keras_dae.commands.options import (
    DEFAULT_STUDY,
    FiniteRange,
    as_json,
    data_dir,
    machine_options,
    out_option,
    overwrite_option,
    test_options,
)


@click.command()
@click.argument("model")
@test_options
@data_dir
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Path of the calibrated .keras file.  [default for a run folder: its "
    "uncertainty.json]",
)
@overwrite_option
@click.option(
    "--level",
    type=FiniteRange(0.5, 0.99),
    default=0.9,
    show_default=True,
    help="Share of an image's pixels that the intervals should cover.",
)
@click.option(
    "--confidence",
    type=FiniteRange(0.5, 0.999),
    default=0.9,
    show_default=True,
    help="Probability, over validation images, that the coverage holds.",
)
@click.option(
    "--train-images",
    type=click.IntRange(min=20),
    default=8000,
    show_default=True,
    help="Fit on the first N training images.",
)
@click.option(
    "--validation-images",
    type=click.IntRange(min=20),
    help="Calibrate on the first N validation images.  [default: all]",
)
@click.option(
    "--report",
    "with_report",
    is_flag=True,
    help="Also measure the intervals on test images, including other noise.",
)
@machine_options
@as_json
def calibrate(
    model: str,
    data_dir: Path | None,
    out: Path | None,
    overwrite: bool,
    with_report: bool,
    device: str,
    threads: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Calibrate MODEL: add an interval around each output pixel.

    Only training and validation images are used. MODEL is a run folder, the name of a
    pretrained model or a .keras file. Data and noise are those of its training unless
    --data, --noise, --sigma or --clip is given. `denoise --uncertainty` uses the
    intervals.
    """
    from keras_dae.denoising.trained import find_model
    from keras_dae.system import backend

    found = find_model(model)
    target = _target(Path(model), out, overwrite)
    look_at([found.path])
    limits = ("level", "confidence", "train_images", "validation_images")
    chosen = {key: options.pop(key) for key in limits}
    splits, noise, seed = _data_of(Path(model), found.card, options, data_dir)
    say_seen([model], splits.name)
    backend.select(device, threads)
    say(backend.summary())
    from keras_dae.evaluation.engines import model_denoiser
    from keras_dae.evaluation.scoring import check_shape
    from keras_dae.models.files import load
    from keras_dae.training.progress import Steps
    from keras_dae.uncertainty.calibrate import calibrate as carry_out
    from keras_dae.uncertainty.records import to_json

    network = load(found.path)
    check_shape(network, splits, found.name)
    denoise = model_denoiser(network)
    with Steps() as steps:
        result = carry_out(denoise, splits, noise, seed=seed, progress=steps, **chosen)
    _keep(target, network, found.card, to_json(result, network))
    summary = {
        "schema": 1,
        "model": found.name,
        "out": str(target),
        "level": result.level,
        "confidence": result.confidence,
        "certified": result.intervals.certified,
        **result.facts,
    }
    if with_report:
        from keras_dae.study.uncertainty.measure import shifts

        summary["report"] = shifts(denoise, result, splits, noise, seed)
    if as_json:
        echo_json(summary)
    else:
        _tell(summary)


def _tell(summary: dict[str, Any]) -> None:
    """Print the result of a calibration, after the tables of its report if any."""
    name = summary["model"]
    if report := summary.get("report"):
        from keras_dae.study.uncertainty.section import parts_table, report_table

        print_table(report_table(name, report))
        print_table(parts_table(name, report[0]))
    click.echo(
        f"{name}: intervals cover {summary['level']:.0%} of an image's pixels with "
        f"probability {100 * summary['confidence']:g} %, from "
        f"{summary['images']['validation']:,} validation images; {summary['out']}"
    )


def _target(model: Path, out: Path | None, overwrite: bool) -> Path:
    """Return the file to write: a `.keras` file, or that of a run folder."""
    from keras_dae.errors import UsageError, check
    from keras_dae.system.storage import is_dir
    from keras_dae.training.runs import find_runs

    if out is None and is_dir(model):
        out = find_runs(model)[0].uncertainty_path
        check_free(out, overwrite)
        return out
    if out is None:
        raise UsageError(
            "Give the path of the calibrated model, such as -o calibrated.keras. Only "
            "a run folder needs no -o."
        )
    check(out.suffix == ".keras", "The output must be a .keras file.", out=str(out))
    check_free(out, overwrite, model)
    return out


def _data_of(
    model: Path, card: dict[str, Any], options: dict[str, Any], data_dir: Path | None
) -> tuple[Any, Any, int]:
    """Return images, noise and data seed: those of the training, or those given."""
    from keras_dae.errors import UsageError, check
    from keras_dae.images.noise_words import as_noise, noise_label
    from keras_dae.system.storage import is_dir, is_file
    from keras_dae.training.records import check_data
    from keras_dae.training.runs import RunFolder, find_runs

    noise = card.get("noise", {})
    # Its parts have strengths of their own, which sigma does not change.
    below = noise_label(noise) if "parts" in noise else noise.get("kind")
    given = given_options(options, {"noise": below})
    folder = find_runs(model)[0] if is_dir(model) else RunFolder(model.parent)
    run = folder if is_file(folder.config_path) else None
    own = {"data": card.get("data"), "data_seed": card.get("data_seed", 0)}
    if run is not None:
        own = {"data": run.data, "data_seed": run.config().data_seed}
    same = given.get("data", own["data"]) == own["data"]
    # Another split would calibrate on training images, whose errors are too small.
    check(
        not same or given.get("data_seed", own["data_seed"]) == own["data_seed"],
        f"{model} was trained on the split of {own['data']} with data seed "
        f"{own['data_seed']}. Its intervals need images that it was not trained on.",
        data_seed=given.get("data_seed"),
    )
    if run is not None and same:
        config = run_configuration(run, given)
        splits = load_splits(config, data_dir)
        check_data(run, splits)
        splits = splits.limited(
            config.train_images, validation=config.validation_images
        )
        return splits, config.make_noise(), config.data_seed
    if "data" not in given and not card.get("data"):
        raise UsageError(
            f"Give --data, since {model} does not name the data of its training."
        )
    config = configuration(None, {**(own if same else {}), **given})
    splits = load_splits(config, data_dir)
    if "noise" in given or not noise:
        return splits, config.make_noise(), config.data_seed
    changes = {key: value for key, value in given.items() if key in ("sigma", "clip")}
    return splits, as_noise(noise | changes), config.data_seed


def _keep(
    target: Path, network: Any, card: dict[str, Any], record: dict[str, Any]
) -> None:
    """Write the calibration into the card of a `.keras` file, or into a run folder."""
    from keras_dae.models.files import save
    from keras_dae.system.storage import write_json

    if target.suffix == ".keras":
        save(network, target, card={**card, "uncertainty": record})
    else:
        write_json(target, record)


@click.command()
@click.argument("models", nargs=-1)
@click.option(
    "--data",
    default="auto",
    show_default=True,
    help="Data set, such as mnist or mnist5k.",
)
@data_dir
@out_option(DEFAULT_STUDY, "Folder of the study; results go to OUT/uncertainty.")
@click.option(
    "--validation-images",
    type=click.IntRange(min=20),
    help="Calibrate on the first N validation images.  [default: all]",
)
@machine_options
@as_json
def uncertainty(
    models: tuple[str, ...],
    data: str,
    data_dir: Path | None,
    out: Path,
    validation_images: int | None,
    device: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Measure calibrated intervals of MODELS on test images (default: the nine models).

    MODELS are names of pretrained models, .keras files or run folders. All must have
    been trained on the same data set with clipped Gaussian noise of sigma 0.5. Results
    are saved: a repeated command measures only what is missing.
    """
    from keras_dae.denoising.trained import find_model
    from keras_dae.errors import check
    from keras_dae.models.architectures import paper_specs
    from keras_dae.system import backend
    from keras_dae.training.progress import Steps

    nine = [spec.name for spec in paper_specs()]
    found = [find_model(name) for name in models or nine]
    names = [one.name for one in found]
    check(
        len(set(names)) == len(names),
        "Each model has a file of its name in OUT/uncertainty, so names must differ.",
        models=", ".join(names),
    )
    splits = load_splits(configuration(None, {"data": data}), data_dir)
    _check_training(found, splits)
    look_at([one.path for one in found])
    backend.select(device, threads)
    say(backend.summary())
    from keras_dae.study.uncertainty.run import uncertainty as carry_out
    from keras_dae.study.uncertainty.section import coverage_tables

    with Steps() as steps:
        results: dict[str, Any] = carry_out(
            [(one.name, one.path) for one in found],
            out,
            data_dir,
            data=splits.name,
            validation_images=validation_images,
            progress=steps,
        )
    say_seen(models or nine, splits.name)
    if as_json:
        echo_json(results)
        return
    for table in coverage_tables(results):
        print_table(table)
    click.echo(
        f"{out / 'uncertainty' / 'uncertainty.json'} and figures in {out / 'figures'}"
    )


def _check_training(models: list[Any], splits: Any) -> None:
    """Refuse models that were trained on other data or with other noise."""
    from keras_dae.errors import check
    from keras_dae.images.noise import Gaussian
    from keras_dae.images.noise_words import describe_noise

    studied = describe_noise(Gaussian(0.5, clip=True))
    for one in models:
        trained_on = one.card.get("noise", studied)
        check(
            trained_on == studied,
            f"{one.name} was not trained with clipped Gaussian noise of sigma 0.5.",
            noise=trained_on,
        )
        data = one.card.get("data", splits.name)
        check(
            data == splits.name or {data, splits.name} <= {"mnist", "mnist5k"},
            f"{one.name} was not trained on {splits.name}.",
            data=data,
        )
        check(
            not one.card.get("data_seed"),
            f"{one.name} was trained on another split of the data. Models must have "
            "data seed 0.",
            data_seed=one.card.get("data_seed"),
        )
