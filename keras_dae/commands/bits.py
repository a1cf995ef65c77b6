"""The command that measures the size of latents: bits."""

from pathlib import Path
from typing import Any

import click

from keras_dae.commands.common import (
    configuration,
    echo_json,
    given_options,
    load_splits,
    look_at,
    measurable,
    print_table,
    run_configuration,
    say,
    say_seen,
)
from keras_dae.commands.options import (
    DEFAULT_STUDY,
    as_json,
    data_dir,
    machine_options,
    out_option,
    test_options,
)
from keras_dae.errors import check
from keras_dae.system.path_names import stems


@click.command()
@click.argument("runs", nargs=-1)
@test_options
@data_dir
@out_option(DEFAULT_STUDY, "Folder of the study.")
@click.option(
    "--images",
    type=click.IntRange(min=1),
    default=10_000,
    show_default=True,
    help="Use the first N test images.",
)
@machine_options
@as_json
def bits(
    runs: tuple[str, ...],
    data_dir: Path | None,
    out: Path,
    images: int,
    device: str,
    threads: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure how many bits the latents of RUNS take, and the error at that size.

    A RUN is a run folder, the name of a pretrained model or a .keras file. The default
    is the nine pretrained models of the study and the runs in the folder bits/runs of
    --out.

    If there are run folders, all models are measured on the data and noise of the runs.
    Otherwise --data, --noise, --sigma and --clip apply. Results are saved after each
    step: a repeated command measures only what is missing.
    """
    from keras_dae.system import backend
    from keras_dae.training.progress import Steps

    files, folders = _found(runs, out)
    look_at(files.values(), folders)
    folders = measurable(folders)
    config = configuration(None, options)
    for folder in folders:
        _check_setting(folder, given_options(options))
    if not folders:
        config = config.model_copy(update={"data": load_splits(config, data_dir).name})
    backend.select(device, threads)
    say(backend.summary())
    from keras_dae.study.bits.run import bits as carry_out
    from keras_dae.study.bits.section import bits_table

    with Steps() as steps:
        results = carry_out(
            folders, files, out, config, data_dir, images=images, progress=steps
        )
    say_seen(files.values(), results["dataset"]["name"])
    if as_json:
        echo_json(results)
        return
    print_table(bits_table(results))
    click.echo(f"{out / 'bits' / 'bits.json'} and figures in {out / 'figures'}")


def _found(runs: tuple[str, ...], out: Path) -> tuple[dict[str, Path], list[Any]]:
    """Return name -> model file, and run folders."""
    from keras_dae.denoising.trained import find_model
    from keras_dae.models.architectures import paper_specs
    from keras_dae.system.storage import is_dir
    from keras_dae.training.runs import find_all

    if not runs:
        own = out / "bits" / "runs"
        names = [spec.name for spec in paper_specs()]
        return {name: find_model(name).path for name in names}, (
            find_all([own]) if is_dir(own) else []
        )
    places = [run for run in runs if is_dir(run)]
    named = {run: find_model(run).path for run in runs if run not in places}
    files = dict(zip(stems(named), named.values(), strict=True))
    return files, find_all(map(Path, places))


def _check_setting(folder: Any, given: dict[str, Any]) -> None:
    """Refuse options that differ from the data or noise of a run."""
    own, asked = folder.changed({}), run_configuration(folder, given)
    check(
        (asked.data, asked.data_seed, asked.make_cut(), asked.make_noise())
        == (own.data, own.data_seed, own.make_cut(), own.make_noise()),
        f"All models are measured on the data and noise of {folder.path}. Without run "
        "folders, these options apply.",
        **given,
    )
