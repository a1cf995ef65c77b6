"""Commands that take models elsewhere: export, parity, doctor."""

from pathlib import Path
from typing import Any

import click

from keras_dae.commands.common import echo_json, look_at, print_table, say
from keras_dae.commands.options import TableOption, as_json, data_dir

# Packages that answer, whose versions a comparison names.
RUNTIMES = ("keras", "torch", "jax", "tensorflow", "numpy", "onnxruntime", "openvino")
GENERAL = ("onnx", "openvino", "torch", "saved-model", "litert")
FORMATS = (*GENERAL, "dtmodel")
threads_option = click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True,
    help="CPU threads of each process.",
)  # fmt: skip


def _endings() -> list[str]:
    from keras_dae.interchange.formats import EXPORTS

    return [f"{name} {row.suffix or '(a folder)'}" for name, row in EXPORTS.items()]


@click.command()
@click.argument("model")
@click.option("--format", "name", type=click.Choice(FORMATS), required=True)
@click.option(
    "-o",
    "--out",
    cls=TableOption,
    rows=_endings,
    required=True,
    type=click.Path(path_type=Path),
    help="Output path, with the ending of the format: {rows}.",
)
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
@threads_option
@as_json
def export(
    model: str, name: str, out: Path, overwrite: bool, threads: int, as_json: bool
) -> None:
    """Write MODEL for another runtime, read it again and compare.

    MODEL is a pretrained model's name, a .keras file or a run folder. Exits with 1,
    and keeps nothing, if an answer differs by more than 1e-5. dtmodel is the archive
    that darktable 5.6 imports; it is for photo and what was trained as photo.
    """
    from keras_dae.denoising.trained import find_model
    from keras_dae.interchange.export import export as write

    trained = find_model(model)
    look_at([trained.path])
    card = {"name": trained.name, **trained.card}
    row = write(
        trained.path, name, out, card, overwrite=overwrite, threads=threads, say=say
    )
    if as_json:
        echo_json({"schema": 1, "model": trained.name, **row})
    else:
        click.echo(
            f"{', '.join(row['files'])}: {row['bytes']:,} bytes; read again, its "
            f"answers differ by at most {row['max_difference']:.2g}"
        )


@click.command()
@click.argument("models", nargs=-1)
@click.option(
    "--exported/--backends-only", default=True, help="Compare exported files too."
)
@threads_option
@as_json
def parity(
    models: tuple[str, ...], exported: bool, threads: int, as_json: bool
) -> None:
    """Compare what MODELS answer on each backend and in each exported format.

    MODELS are names of pretrained models (default: those of a fixed size), .keras files
    or run folders.
    Each backend is a process of its own on the CPU; a difference from torch above
    1e-5, or a failure, exits with 1. What is not installed is listed as absent.
    """
    from keras_dae.denoising.trained import find_model, pretrained_cards
    from keras_dae.interchange.export import TOLERANCE
    from keras_dae.interchange.parity import ANSWERING
    from keras_dae.interchange.parity import parity as compare
    from keras_dae.study.report.publish import command
    from keras_dae.study.report.tables import parity_table
    from keras_dae.system import backend
    from keras_dae.training.progress import new_progress

    # An export of open sides needs sizes to be compared at.
    chosen = models or tuple(
        name
        for name, card in pretrained_cards().items()
        if None not in card["image_shape"]
    )
    found = [(one.name, one.path) for one in map(find_model, chosen)]
    look_at([path for _, path in found])
    formats = GENERAL if exported else ()
    rows: list[dict[str, Any]] = []
    with new_progress() as display:
        total = len(found) * (1 + len(ANSWERING) + len(formats))
        bar = display.add_task("parity", total=total, note="")

        def begin(model: str, target: str) -> None:
            display.update(bar, note=f"{model} on {target}")

        for row in compare(found, threads=threads, formats=formats, begin=begin):
            rows.append(row)
            display.update(bar, advance=1)
            _tell(row, f"{len(rows)} of {total}")
    rows.sort(key=lambda row: [name for name, _ in found].index(row["model"]))
    if as_json:
        about = {
            "command": command(),
            "hardware": backend.hardware(),
            "versions": {name: backend.package_version(name) for name in RUNTIMES},
        }
        echo_json({"schema": 1, **about, "bound": TOLERANCE, "rows": rows})
    else:
        print_table(parity_table(rows))
    if any(row["state"] in ("failed", "differs") for row in rows):
        raise click.exceptions.Exit(1)


def _tell(row: dict[str, Any], number: str) -> None:
    """Say what one runtime answered, since all of them together take minutes."""
    what = row["state"]
    if row["max_difference"] is not None:
        what += f", {row['max_difference']:.2g} from torch"
    if row["state"] == "failed":
        say(f"Error: {row['model']}: {row['reason']}")
    else:
        say(f"{number}: {row['model']} on {row['runtime']}, {row['form']}: {what}")


@click.command()
@data_dir
@as_json
def doctor(data_dir: Path | None, as_json: bool) -> None:
    """Show what is installed and found: versions, backends, devices, data, folders."""
    from keras_dae.doctor import examine
    from keras_dae.study.report.tables import doctor_table

    rows: list[dict[str, Any]] = examine(data_dir)
    if as_json:
        echo_json({"schema": 1, "checks": rows})
    else:
        print_table(doctor_table(rows))
    if any(row["state"] == "broken" for row in rows):
        raise click.exceptions.Exit(1)
