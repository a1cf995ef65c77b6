"""The command that compares denoisers: compare."""

from pathlib import Path
from typing import Any

import click

from keras_dae.commands.common import (
    check_free,
    configuration,
    echo_json,
    given_options,
    look_at,
    measurable,
    print_table,
    run_configuration,
    say,
    say_seen,
)
from keras_dae.commands.options import (
    DEFAULT_STUDY,
    FOLDERS,
    as_json,
    data_dir,
    machine_options,
    out_option,
    overwrite_option,
    test_options,
)


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUNS]...")
@click.option(
    "--denoiser",
    "denoisers",
    multiple=True,
    help="The name of a pretrained model, a .keras file, an .onnx file or "
    "MODULE:FUNCTION. Can be repeated.",
)
@test_options
@data_dir
@out_option(DEFAULT_STUDY, "Folder for board.json and the figures.")
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write the table to this CSV file.",
)
@click.option(
    "--markdown",
    "markdown_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write the table to this Markdown file.",
)
@overwrite_option
@click.option(
    "--fresh",
    is_flag=True,
    help="Measure all again, except for the parameters chosen for filters.",
)
@machine_options
@as_json
def compare(
    runs: tuple[str, ...],
    denoisers: tuple[str, ...],
    data_dir: Path | None,
    out: Path,
    csv_file: Path | None,
    markdown_file: Path | None,
    overwrite: bool,
    fresh: bool,
    device: str,
    threads: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Compare baselines, filters, RUNS and your own denoisers on the same test images.

    RUNS are run folders, or folders that contain them. The default is the folders
    runs, best and ceilings (models without a bottleneck) in OUT. A RUN can also be any
    value that --denoiser accepts.

    The FUNCTION of --denoiser receives noisy images as a float32 array of shape
    (N, H, W, C) and returns the denoised images. It is measured in each call, because
    its result is not saved. If the data are a folder of photographs, the comparison
    includes photo or photo-gray.

    Other results are saved, so the same command continues after an interruption. The
    data and noise of the runs are used unless --data, --noise, --sigma or --clip is
    given.
    """
    from keras_dae.system import backend
    from keras_dae.system.storage import is_dir, write_csv, write_text
    from keras_dae.training.runs import find_all, presets_by_name

    presets = presets_by_name()
    named = [Path(run) for run in runs if is_dir(run)]
    if not runs:
        named = [out / name for name in FOLDERS if (out / name).is_dir()]
    folders = find_all(named)
    config = _setting(folders, options)
    texts = [*(run for run in runs if not is_dir(run)), *denoisers]
    data = Path(config.data.partition(":")[2]) if config and config.data else None
    inputs = [data, *(Path(text.partition(":")[0]) for text in texts)]
    check_free(csv_file, overwrite, *inputs)
    check_free(markdown_file, overwrite, csv_file, *inputs)
    own = [*_photo(config or (folders[0].config() if folders else None)), *texts]
    own = [str(presets.get(text, text)) for text in own]
    look_at(map(Path, own), folders)
    folders = measurable(folders, named=bool(runs))
    backend.select(device, threads)
    say(backend.summary())
    from keras_dae.study.board.figures import board_markdown, csv_rows, terminal_table
    from keras_dae.study.board.run import compare as measure

    board = measure(folders, own, out, config, data_dir=data_dir, fresh=fresh, say=say)
    say_seen((one for one in own if one.endswith(".keras")), board["dataset"]["name"])
    if csv_file is not None:
        write_csv(csv_file, csv_rows(board))
    if markdown_file is not None:
        write_text(markdown_file, board_markdown(board))
    if as_json:
        echo_json(board)
    else:
        print_table(terminal_table(board))


def _setting(folders: list[Any], options: dict[str, Any]) -> Any:
    """Return data and noise of the first run, changed by options; None without any."""
    given = given_options(options)
    if not given:
        return None
    if folders:
        return run_configuration(folders[0], given)
    return configuration(None, given)


def _photo(config: Any) -> list[str]:
    """Return the photo model for a folder of photographs, if its patches fit it."""
    cut = config.make_cut() if config is not None else None
    if cut is None or cut.size % 2:
        return []
    return ["photo" if cut.channels == 3 else "photo-gray"]
