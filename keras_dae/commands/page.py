"""The command for the page: page."""

from pathlib import Path

import click

from keras_dae.commands.common import echo_json, look_at, say
from keras_dae.commands.options import as_json, data_dir


@click.command()
@click.option(
    "-o",
    "--out",
    default="dae.html",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The HTML file.",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    help="Add a model: a pretrained model's name, a .keras file or a run folder; may "
    "be given again.",
)
@click.option("--only", is_flag=True, help="Leave out the models that are not named.")
@click.option(
    "--weights",
    type=click.Choice(["float16", "float32"]),
    default="float16",
    show_default=True,
    help="Type of the weights in the file; float32 doubles its size.",
)
@click.option(
    "--data",
    default="mnist5k",
    show_default=True,
    help="Take the test images from this data set: mnist5k, mnist, fashion-mnist or "
    "npz:PATH.",
)
@data_dir
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
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
    """Write a page that denoises: one HTML file that needs no network.

    It holds the nine models of digits and the model of photographs. In it you draw a
    digit, add noise and compare the answers; change the latent maps; and denoise a
    photograph.
    """
    from keras_dae.denoising.trained import find_model
    from keras_dae.errors import UsageError
    from keras_dae.images.datasets import check_there

    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists; --overwrite replaces it.")
    if only and not models:
        raise UsageError("--only needs a model; --model names one.")
    check_there(data)
    look_at(find_model(named).path for named in models)
    from keras_dae.page.page import write_page
    from keras_dae.page.samples import take_samples

    samples = take_samples(data, data_dir)
    row = write_page(out, samples, models, only=only, weights=weights)
    for name in row["left_out"]:
        say(f"The page would be too large with {name}; --model {name} adds it.")
    if as_json:
        echo_json({"schema": 1, **row})
    else:
        click.echo(f"{out}: {row['bytes']:,} bytes; models {', '.join(row['models'])}")
