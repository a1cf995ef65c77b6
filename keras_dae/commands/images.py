"""The command that denoises image files: denoise."""

import functools
import sys
from pathlib import Path
from typing import Any

import click

from keras_dae.commands.common import (
    check_free,
    echo_json,
    look_at,
    print_table,
    say,
    was_given,
)
from keras_dae.commands.options import (
    FiniteRange,
    as_json,
    engine_option,
    machine_options,
    overwrite_option,
)
from keras_dae.errors import one_line

DEFAULT_MODEL = "auto"


def _range(
    context: click.Context, option: click.Parameter, text: str | None
) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.replace("..", ",").split(","))
    except ValueError:
        low, high = 0.0, 0.0
    if not (low < high < float("inf") and low > float("-inf")):
        raise click.BadParameter(f"takes two numbers LOW..HIGH, not {text!r}.")
    return low, high


def _sigma(context: click.Context, option: click.Parameter, text: str) -> float | None:
    if text == "auto":
        return None
    try:
        sigma = float(text)
    except ValueError:
        sigma = -1.0
    if not 0 <= sigma <= 1:
        raise click.BadParameter(f"takes auto or a number from 0 to 1, not {text!r}.")
    return sigma


@click.command()
@click.argument("inputs", nargs=-1, required=True)
@click.option(
    "--model",
    "model_name",
    default=DEFAULT_MODEL,
    show_default=True,
    help="auto, the name of a pretrained model, a .keras file or a run folder.",
)
@click.option(
    "--strength",
    type=FiniteRange(0, 1),
    default=1.0,
    show_default=True,
    help="Blend of input and output: 1 is the model's output, 0 the input.",
)
@click.option(
    "--sigma",
    callback=_sigma,
    default="auto",
    show_default=True,
    help="Upper limit of the noise to remove, as a standard deviation on the scale "
    "where black is 0 and white is 1; auto sets no limit.",
)
@click.option(
    "--best",
    is_flag=True,
    help="Average over eight rotations and flips: more accurate, 8 times slower.",
)
@click.option(
    "--self",
    "from_itself",
    is_flag=True,
    help="Learn from the similar patches of each image, instead of using --model.",
)
@click.option(
    "-o",
    "--out",
    required=True,
    help="Output file or folder, or - for standard output.",
)
@overwrite_option
@click.option("--skip-existing", is_flag=True, help="Skip inputs whose output exists.")
@click.option(
    "--range",
    "value_range",
    callback=_range,
    help="LOW..HIGH: the input values that are scaled to 0 and 1.",
)
@click.option(
    "--overlap",
    type=click.IntRange(min=0),
    help="Overlap of the tiles in pixels.  [default: as the receptive field requires, "
    "or half a tile]",
)
@click.option(
    "--add-noise",
    help="Add noise before denoising, for a demonstration; see train --noise.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed for --add-noise.",
)
@click.option(
    "--compare",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a PNG that shows the input, the output and the difference. One image "
    "only.",
)
@click.option(
    "--clean",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Clean image to measure MSE, PSNR and SSIM against. One image only.",
)
@click.option(
    "--uncertainty",
    is_flag=True,
    help="Also write OUTPUT.width.png with the width of each pixel's interval. Needs a "
    "calibrated model.",
)
@click.option(
    "--max-megapixels",
    type=FiniteRange(min=0, min_open=True),
    default=256.0,
    show_default=True,
    help="Refuse larger files.",
)
@engine_option
@machine_options
@as_json
def denoise(
    inputs: tuple[str, ...],
    model_name: str,
    from_itself: bool,
    out: str,
    overwrite: bool,
    skip_existing: bool,
    add_noise: str | None,
    compare: Path | None,
    clean: Path | None,
    uncertainty: bool,
    device: str,
    threads: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Denoise images.

    INPUTS are files, folders, glob patterns or - for standard input. Inputs can be PNG,
    JPEG, TIFF, WebP, AVIF, BMP or NPY files of any size, grey or colour, and HEIC files
    with the extra heif. Each output has the
    format and data type of its input. Inputs are not changed, and no noise is added
    unless --add-noise is given.

    --model auto uses photo for colour images and photo-gray for grey images. It uses
    DAE_5_13 for grey images that look like its noisy training digits.
    """
    from keras_dae.denoising.choose import AUTO
    from keras_dae.denoising.files import STANDARD, holding, plan_jobs
    from keras_dae.errors import check
    from keras_dae.system import backend
    from keras_dae.system.standard import CLOSED

    noise, label = _noise(add_noise)
    ways = {"overwrite": overwrite, "skip_existing": skip_existing}
    _check_ways(**ways)
    kept = [clean] if clean else []
    plan = functools.partial(plan_jobs, inputs, out, label=label, kept=kept, **ways)
    jobs = plan()
    _check_picture(jobs, compare, clean, overwrite)
    check(
        out != STANDARD or "stdout" not in CLOSED, "Standard output is closed.", out=out
    )
    if uncertainty:
        _check_calibrated(from_itself, model_name, out, options)
    trained = _trained(model_name, from_itself, options)
    rows = _refused(jobs, options)
    if not rows:
        backend.select(device, threads)
        say(f"{backend.summary()}; model {trained.name if trained else AUTO}")
        with holding(out, jobs, say):
            # Plan again under the lock: another process may have written outputs.
            # Widths without an output are those of an interrupted command.
            replace = overwrite or skip_existing
            options |= {"uncertainty": uncertainty, "overwrite": replace}
            rows = _run(plan(), trained, noise, compare, clean, options)
    if compare is not None and any(row["state"] == "skipped" for row in rows):
        say("There is no comparison, since the image was skipped.")
    # An image on standard output must not be mixed with text.
    to_error = out == STANDARD
    _report(rows, as_json, to_error)
    if any(row["state"] == "failed" for row in rows):
        raise click.exceptions.Exit(1)


def _refused(jobs: list[Any], options: dict[str, Any]) -> list[dict[str, Any]]:
    """Check a single image before keras is imported, and return its row if refused."""
    from keras_dae.denoising.files import refused
    from keras_dae.errors import legible

    if jobs and all(job.skipped for job in jobs):
        return [_idle(job, "skipped", job.skipped) for job in jobs]
    if len(jobs) != 1:
        return []
    reason = refused(jobs[0], options["max_megapixels"], options["value_range"])
    if not reason:
        return []
    row = _idle(jobs[0], "failed", legible(reason))
    _tell(row, False)
    return [row]


def _idle(job: Any, state: str, reason: str) -> dict[str, Any]:
    """Return the row of a file that was not processed."""
    row = {"input": job.name, "output": None, "state": state, "reason": reason}
    return {**row, "seconds": 0.0}


def _check_ways(overwrite: bool, skip_existing: bool) -> None:
    from keras_dae.errors import check

    check(
        not (overwrite and skip_existing),
        "--overwrite and --skip-existing cannot be combined.",
        overwrite=overwrite,
        skip_existing=skip_existing,
    )


def _check_picture(
    jobs: list[Any], compare: Path | None, clean: Path | None, overwrite: bool
) -> None:
    from keras_dae.denoising.files import Job, refused
    from keras_dae.errors import UsageError, check, legible

    check(
        len(jobs) == 1 or not (compare or clean),
        "--compare and --clean need a single input image.",
        images=len(jobs),
    )
    if clean is not None and (words := refused(Job(clean, None), float("inf"))):
        raise UsageError(f"--clean {legible(clean)} {words}.")
    if compare is None:
        return
    if compare.suffix.lower() != ".png":
        raise UsageError(f"--compare writes a .png file. Received: {compare}.")
    (job,) = jobs
    check_free(compare, overwrite, job.source, clean)
    if job.target is None:
        return
    written, place = job.target.resolve(), compare.resolve()
    # Its widths are named after the output.
    widths = f"{written.name}.width"
    if place == written or (
        place.parent == written.parent and place.name.startswith(widths)
    ):
        raise UsageError(f"{compare} is an output; name another file for --compare.")


def _trained(name: str, from_itself: bool, options: dict[str, Any]) -> Any:
    """Return the named model, or None if a model is chosen for each image."""
    from keras_dae.denoising.choose import AUTO
    from keras_dae.denoising.trained import find_model

    if from_itself:
        return _itself(options)
    if name == AUTO:
        return None
    trained = find_model(name)
    look_at([trained.path])
    return trained


def _itself(options: dict[str, Any]) -> Any:
    """Return a placeholder for a model if each image trains its own."""
    from keras_dae.denoising.trained import Trained
    from keras_dae.errors import UsageError, check

    check(
        options["engine"] == "keras",
        "--self needs --engine keras.",
        engine=options["engine"],
    )
    if was_given("model_name"):
        raise UsageError("--self and --model cannot be combined: --self uses no model.")
    return Trained("learned from each image itself", Path(), {})


def _check_calibrated(
    from_itself: bool, model_name: str, out: str, options: dict[str, Any]
) -> None:
    """Refuse --uncertainty unless the output is that of a calibrated model."""
    from keras_dae.denoising.choose import AUTO
    from keras_dae.denoising.files import STANDARD
    from keras_dae.errors import UsageError, check

    if from_itself or model_name == AUTO:
        raise UsageError(
            "--uncertainty needs a calibrated model, named by --model. Create one with "
            "`keras-dae calibrate`."
        )
    check(
        options["strength"] == 1 and options["sigma"] is None and not options["best"],
        "--uncertainty cannot be combined with --strength, --sigma and --best: "
        "intervals are calibrated for the model's own output.",
        strength=options["strength"],
        sigma=options["sigma"],
        best=options["best"],
    )
    check(
        out != STANDARD,
        "--uncertainty writes an extra file, so -o must name a folder or a file.",
        out=out,
    )


def _noise(text: str | None) -> tuple[Any, str]:
    """Return the noise to add, and its label in the output's name."""
    from keras_dae.errors import UsageError
    from keras_dae.images.noise_words import parse_noise, short_label

    if text is None:
        if was_given("seed"):
            raise UsageError("--seed needs --add-noise: denoising draws no noise.")
        return None, ""
    noise = parse_noise(text)
    return noise, f".{short_label(noise)}"


def _run(
    jobs: list[Any],
    trained: Any,  # None to choose a model for each image
    noise: Any,
    compare: Path | None,
    clean: Path | None,
    options: dict[str, Any],
) -> list[dict[str, Any]]:
    """Denoise all jobs, report failures at once, and return the rows."""
    from keras_dae.denoising.denoise import denoise_jobs
    from keras_dae.denoising.pages import Task
    from keras_dae.training.progress import new_progress

    task = Task(
        **_answering(trained, options["engine"], options["uncertainty"]),
        overwrite=options["overwrite"],
        strength=options["strength"],
        sigma=options["sigma"],
        best=options["best"],
        overlap=options["overlap"],
        range=options["value_range"],
        noise=noise,
        noise_seed=options["seed"],
        megapixels=options["max_megapixels"],
        clean=clean,
    )
    rows: list[dict[str, Any]] = []
    with new_progress() as display:

        def begin(job: Any, tiles: int) -> Any:
            note = f"{len(rows) + 1} of {len(jobs)}"
            bar = display.add_task(Path(job.name).name[-30:], total=tiles, note=note)
            return lambda done: display.update(bar, advance=done)

        warned, told = False, set[str]()
        for result in denoise_jobs(
            jobs,
            task,
            stdin=sys.stdin.buffer,
            stdout=sys.stdout.buffer,
            views=compare is not None,
            begin=begin,
        ):
            rows.append(result.row)
            for bar in display.task_ids:
                display.remove_task(bar)
            _tell_choice(result.row, told)
            warned = _tell(result.row, warned)
            if compare is not None:
                _draw(compare, result)
    return rows


def _answering(trained: Any, engine: str, uncertainty: bool) -> dict[str, Any]:
    """Return the arguments of a `Task` that describe the model."""
    if trained is None:
        from keras_dae.denoising.choose import chooser

        return {"choose": chooser(lambda found: _tile_model(found, engine))}
    if trained.path == Path():  # --self
        from keras_dae.denoising.similar_patches import SimilarPatches, learn

        return {"model": SimilarPatches([]), "learn": learn}
    model = _tile_model(trained, engine)
    answering = {"model": model, "card": trained.card}
    if uncertainty:
        from keras_dae.denoising.widths import uncertainty_of

        found = uncertainty_of(trained.name, trained.card, model.model)
        answering["uncertainty"] = found
    return answering


def _tile_model(trained: Any, engine: str) -> Any:
    from keras_dae.denoising.tile_model import TileModel
    from keras_dae.evaluation.walled import open_model

    model = TileModel(open_model(trained.path), engine)
    if engine != "keras":
        say(f"{engine}: within {model.max_difference:.1e} of the Keras outputs")
    return model


def _tell_choice(row: dict[str, Any], told: set[str]) -> None:
    """Print which model was chosen and why, once per model."""
    name = row.get("model")
    if name is None or name in told:
        return
    told.add(name)
    noise = row.get("estimate")
    seen = "" if not noise else f", estimated noise {255 * noise['sigma']:.1f} of 255"
    say(one_line(f"Model {name}: {row['input']} is {row['why']}{seen}"))


def _tell(row: dict[str, Any], warned: bool) -> bool:
    """Print a failure; warn once if an input is unlike the training images."""
    if row["state"] == "failed":
        say(one_line(f"Error: {row['input']}: {row['reason']}."))
    if row.get("warning") and not warned:
        say(one_line(f"Warning: {row['input']} is {row['warning']}."))
        return True
    return warned


def _draw(path: Path, result: Any) -> None:
    """Write the comparison of a file that was denoised."""
    from keras_dae.denoising.comparison import comparison
    from keras_dae.errors import KerasDAEError
    from keras_dae.system.storage import replacing

    if result.views is None:
        return
    clean, noisy, denoised = result.views
    try:
        with replacing(path) as temporary:
            comparison(noisy, denoised, clean).savefig(temporary)
    except KerasDAEError as error:  # the report still follows
        say(f"Error: {error}")
        result.row |= {"state": "failed", "reason": f"{error}".rstrip(".")}
        return
    say(f"Comparison: {path}")


def _report(rows: list[dict[str, Any]], as_json: bool, to_error: bool) -> None:
    from keras_dae.study.report.tables import denoise_table
    from keras_dae.system.storage import dump_json

    states = ("done", "skipped", "failed")
    counts = {state: sum(row["state"] == state for row in rows) for state in states}
    summary = {"schema": 1, **counts, "images": rows}
    if as_json and to_error:
        say(dump_json(summary).rstrip())
    elif as_json:
        echo_json(summary)
    else:
        print_table(denoise_table(rows), to_error)
