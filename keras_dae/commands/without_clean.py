"""The command that measures training without clean images: without-clean."""

from pathlib import Path

import click

from keras_dae.commands.common import (
    echo_json,
    look_at,
    measurable,
    print_table,
    say,
)
from keras_dae.commands.options import (
    DEFAULT_STUDY,
    as_json,
    data_dir,
    machine_options,
    out_option,
)


@click.command("without-clean")
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@data_dir
@out_option(DEFAULT_STUDY, "Folder of the study.")
@machine_options
@as_json
def without_clean(
    runs: tuple[Path, ...],
    data_dir: Path | None,
    out: Path,
    device: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Measure RUNS that were trained without clean images, on clean test images.

    A RUN is a run folder, or a folder of runs. The default is OUT/without-clean/runs.
    Train such runs with `train --targets` or `sweep --targets`. Each run is measured on
    the data and noise of its training. The study in OUT provides the errors of models
    trained on clean targets.
    """
    from keras_dae.system import backend
    from keras_dae.training.progress import Steps
    from keras_dae.training.runs import find_all

    folders = find_all(runs or [out / "without-clean" / "runs"])
    look_at([], folders)
    folders = measurable(folders)
    backend.select(device, threads)
    say(backend.summary())
    from keras_dae.study.without_clean.run import without_clean as carry_out
    from keras_dae.study.without_clean.section import without_clean_table

    with Steps() as steps:
        results = carry_out(folders, out, data_dir, progress=steps)
    if as_json:
        echo_json(results)
        return
    print_table(without_clean_table(results))
    click.echo(
        f"{out / 'without-clean' / 'without_clean.json'} and a figure in "
        f"{out / 'figures'}"
    )
