"""The command that writes the web page: page."""

from pathlib import Path

import click

from keras_dae.commands.common import check_free, echo_json, look_at, say
from keras_dae.commands.options import as_json, data_dir, overwrite_option


@click.command()
@click.option(
    "-o",
    "--out",
    default="dae.html",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Path of the HTML file.",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    help="Add a model: the name of a pretrained model, a .keras file or a run folder. "
    "Can be repeated.",
)
@click.option("--only", is_flag=True, help="Include only the models given by --model.")
@click.option(
    "--weights",
    type=click.Choice(["float16", "float32"]),
    default="float16",
    show_default=True,
    help="Type of the stored weights; float32 doubles the size of the file.",
)
@click.option(
    "--data",
    default="mnist5k",
    show_default=True,
    help="Data set of the test images: mnist5k, mnist, fashion-mnist or npz:PATH.",
)
@data_dir
@overwrite_option
@as_json
def page(
    out: Path,
    models: tuple[str, ...],
    only: bool,
    weights: str,
    data: str,
    data_dir: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write a self-contained HTML page that denoises images in the browser.

    The page contains the nine models of digits and a model of photographs, and needs no
    internet connection. You can draw a digit, add noise, compare the outputs of the
    models, edit the latent maps, and denoise a photograph.
    """
    from keras_dae.denoising.trained import find_model
    from keras_dae.errors import UsageError
    from keras_dae.images.datasets import check_there
    from keras_dae.system import backend

    check_free(out, overwrite)
    if only and not models:
        raise UsageError("--only needs at least one --model.")
    check_there(data)
    look_at(find_model(named).path for named in models)
    backend.select("cpu")
    from keras_dae.page.page import write_page
    from keras_dae.page.samples import take_samples

    samples = take_samples(data, data_dir)
    row = write_page(out, samples, models, only=only, weights=weights)
    for name in row["left_out"]:
        say(f"{name} is left out to keep the page small; --model {name} adds it.")
    if as_json:
        echo_json({"schema": 1, **row})
    else:
        click.echo(f"{out}: {row['bytes']:,} bytes; models {', '.join(row['models'])}")
