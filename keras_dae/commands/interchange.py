"""Commands for other runtimes, and for checking the installation."""

from pathlib import Path
from typing import Any

import click

from keras_dae.commands.common import echo_json, look_at, print_table, say
from keras_dae.commands.options import TableOption, as_json, data_dir, overwrite_option
from keras_dae.errors import UsageError

# Packages that compute outputs; a comparison records their versions.
RUNTIMES = ("keras", "torch", "jax", "tensorflow", "numpy", "onnxruntime", "openvino")
GENERAL = ("onnx", "openvino", "torch", "saved-model", "litert")
FORMATS = (*GENERAL, "dtmodel")
threads_option = click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True,
    help="CPU threads per process.",
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
    help="Output path. Its ending must be that of the format: {rows}.",
)
@overwrite_option
@threads_option
@as_json
def export(
    model: str, name: str, out: Path, overwrite: bool, threads: int, as_json: bool
) -> None:
    """Export MODEL to another format, read the file back and compare outputs.

    MODEL is the name of a pretrained model, a .keras file or a run folder. If the
    outputs differ by more than 1e-5, the command writes nothing and exits with 1.

    The format dtmodel is the archive that darktable 5.6 imports. It supports photo and
    models trained with --model photo.
    """
    from keras_dae.denoising.trained import find_model
    from keras_dae.interchange.export import export as write

    if str(out) == "-":
        raise UsageError("Standard output is not supported here; name a file.")
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
            f"{', '.join(row['files'])}: {row['bytes']:,} bytes; its outputs differ "
            f"from those of the model by at most {row['max_difference']:.2g}"
        )


@click.command()
@click.argument("models", nargs=-1)
@click.option(
    "--exported/--backends-only", default=True, help="Also compare exported files."
)
@threads_option
@as_json
def parity(
    models: tuple[str, ...], exported: bool, threads: int, as_json: bool
) -> None:
    """Compare the outputs of MODELS on each backend and in each exported format.

    MODELS are names of pretrained models, .keras files or run folders. The default is
    the pretrained models with a fixed input size.

    Each backend runs in its own process on the CPU. The command exits with 1 if an
    output differs from that of torch by more than 1e-5, or if a backend fails.
    Runtimes that are not installed are listed as absent.
    """
    from keras_dae.denoising.trained import find_model, pretrained_cards
    from keras_dae.interchange.export import TOLERANCE
    from keras_dae.interchange.parity import ANSWERING
    from keras_dae.interchange.parity import parity as compare
    from keras_dae.study.report.publish import command
    from keras_dae.study.report.tables import parity_table
    from keras_dae.system import backend
    from keras_dae.training.progress import new_progress

    # Exports with a variable input size cannot be compared without choosing a size.
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
    """Print the result of one runtime; a full comparison takes minutes."""
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
    """Check the installation: versions, backends, devices, data and folders."""
    from keras_dae.doctor import examine
    from keras_dae.study.report.tables import doctor_table

    rows: list[dict[str, Any]] = examine(data_dir)
    if as_json:
        echo_json({"schema": 1, "checks": rows})
    else:
        print_table(doctor_table(rows))
    if any(row["state"] == "broken" for row in rows):
        raise click.exceptions.Exit(1)
