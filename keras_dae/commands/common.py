"""Functions that the commands share: read a configuration, load data, print."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from keras_dae.errors import UsageError, printable


def configuration(config_file: Path | None, options: dict[str, Any]) -> Any:
    """Return the checked configuration: the file, overridden by the given options."""
    from keras_dae.training.config import make_config, read_toml

    below = read_toml(config_file) if config_file else {}
    return make_config(below, given_options(options, below))


def run_configuration(folder: Any, options: dict[str, Any]) -> Any:
    """Return the configuration of a run folder, overridden by the given options."""
    return folder.changed(given_options(options, folder.config().model_dump()))


def given_options(
    options: dict[str, Any], below: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the options that were given on the command line.

    Args:
        options: all options; those that were not given are None.
        below: configuration that the options override.

    Raises:
        UsageError: an option would be ignored because of another one.
    """
    from keras_dae.errors import check
    from keras_dae.models.families import FAMILIES
    from keras_dae.training.config import takes_sigma

    given = {key: value for key, value in options.items() if value is not None}
    under = {**(below or {}), **given}
    noise = under.get("noise")
    check(
        noise is None or "sigma" not in given or takes_sigma(noise),
        "sigma applies only to gaussian noise whose strength is not part of --noise.",
        noise=noise,
        sigma=given.get("sigma"),
    )
    model = under.get("model")
    shape = {key: given[key] for key in ("depth", "latent") if key in given}
    check(
        model in (None, *FAMILIES) or not shape,
        f"depth and latent apply only to the models {', '.join(FAMILIES)}.",
        model=model,
        **shape,
    )
    return given


def resumed(run: Path, options: dict[str, Any]) -> tuple[Any, Path]:
    """Return the configuration of a run folder, and the parent of that folder.

    Args:
        run: the run folder.
        options: options given on the command line. They override those of the run; the
            run is later refused if they differ from its own.

    Raises:
        UsageError: `run` is not a run folder, or it was renamed.
    """
    from keras_dae.errors import UsageError
    from keras_dae.training.runs import RunFolder, find_runs, run_name

    (folder, *others) = find_runs(run)
    if others:
        raise UsageError(f"{run} holds {len(others) + 1} runs; name one of them.")
    own: RunFolder = folder
    config = run_configuration(own, options)
    name = run_name(own.config(), own.data)
    if own.path.resolve().name != name:
        raise UsageError(
            f"Cannot resume {own.path}: its folder was named {name}. Rename it back."
        )
    return config, own.path.resolve().parent


def look_at(files: Iterable[Path], folders: Iterable[Any] = ()) -> None:
    """Refuse models and runs that must not be loaded, before keras is imported.

    Args:
        files: `.keras` and ONNX files. Other files are checked when they are read.
        folders: run folders.
    """
    from keras_dae.images.datasets import check_there
    from keras_dae.models.gate import inspect, look_at_onnx, try_out

    for folder in folders:
        folder.config()
        folder.history()
        check_there(folder.data)
        if folder.model_path.exists():
            inspect(folder.model_path)
            try_out(folder.model_path)
    for path in files:
        if path.suffix == ".keras":
            inspect(path)
            try_out(path)
        elif path.suffix == ".onnx":
            from keras_dae.system.storage import is_file

            if not is_file(path):
                raise UsageError(f"There is no model file {path}.")
            look_at_onnx(path)


def was_given(*names: str) -> bool:
    """Return whether any of these options was given on the command line."""
    context = click.get_current_context()
    typed = click.core.ParameterSource.COMMANDLINE
    return any(context.get_parameter_source(name) is typed for name in names)


def load_splits(config: Any, data_dir: Path | None) -> Any:
    """Return the data of a configuration, and print notes about them.

    A note says that `auto` replaced MNIST, or how files of a folder were changed.
    """
    from keras_dae.images.datasets import load

    splits = load(config.data, data_dir, config.data_seed, cut=config.make_cut())
    for note in splits.notes:
        say(note)
    return splits


def say_seen(models: Iterable[str | Path], data: str) -> None:
    """Print which models were trained on images that they are measured on.

    Args:
        models: names, `.keras` files or run folders.
        data: data set of the measurement. The digits of mnist5k are training images of
            MNIST.
    """
    from keras_dae.denoising.trained import find_model

    if data != "mnist5k":
        return
    found = map(find_model, models)
    if seen := [one.name for one in found if one.card.get("data") == "mnist"]:
        say(
            f"mnist5k consists of training images of MNIST. {', '.join(seen)} may have "
            "been trained on them; its errors on new images are higher then."
        )


def say_counts(splits: Any) -> None:
    """Print how many images train and validate, and how many files they come from."""
    say(
        f"{splits.name}: {len(splits.train):,} training images, "
        f"{len(splits.validation):,} validation images"
    )
    if splits.files:
        counts = [f"{len(names):,} {part}" for part, names in splits.files.items()]
        say(f"The images are patches of these files: {', '.join(counts)}")


def say_duration(configs: list[Any], splits: Any, out: Path, jobs: int | None) -> None:
    """Print about how long the runs of a sweep will take, if that is known."""
    from keras_dae.training.duration import duration_words

    if words := duration_words(configs, splits, out, jobs):
        say(words)


def grid(
    data_dir: Path | None,
    config_file: Path | None,
    depths: list[int],
    latents: list[int],
    seeds: int,
    **options: Any,
) -> tuple[list[Any], Any]:
    """Return the checked configurations of a grid, the data set named, and its data."""
    from keras_dae.commands.training import noise_of_files
    from keras_dae.errors import check
    from keras_dae.models.families import FAMILIES
    from keras_dae.training.config import longest_first
    from keras_dae.training.length import by_epochs

    first = configuration(config_file, options)
    check(
        first.model in FAMILIES,
        f"A grid takes a family of autoencoders ({', '.join(FAMILIES)}). Use train for "
        "the other models.",
        model=first.model,
    )
    splits = load_splits(first, data_dir)
    named = {**options, "data": splits.name}
    if first.noisy_files and not first.tells_sigma():
        named["sigma"] = noise_of_files(first, splits).sigma
    configs = [
        by_epochs(
            configuration(
                config_file,
                {**named, "depth": depth, "latent": latent, "seed": seed},
            ),
            splits,
        )
        for seed in range(seeds)
        for depth in depths
        for latent in latents
    ]
    return longest_first(configs, splits.image_shape), splits


def say(line: str) -> None:
    """Print a line to standard error, apart from the result."""
    click.echo(printable(line), err=True)


def measurable(folders: Iterable[Any], named: bool = True) -> list[Any]:
    """Return the runs that can be measured, and print what is left out.

    The weights of the last finished epoch are measured.

    Args:
        folders: the runs.
        named: whether the user named them. Of runs that were only found, those of noisy
            files, which have no clean images, are left out too.

    Raises:
        KerasDAEError: there are runs, but none of them can be measured.
    """
    from keras_dae.errors import KerasDAEError

    folders, kept = list(folders), []
    for folder in folders:
        config, done = folder.config(), len(folder.history()["loss"])
        if not folder.model_path.exists():
            say(f"{folder.path} has no finished epoch yet; left out")
        elif config.noisy_files and not named:
            say(f"{folder.path} was trained on noisy files; left out")
        else:
            kept.append(folder)
            if not folder.finished(config):
                say(
                    f"{folder.path} was interrupted after {done} of {config.epochs} "
                    "epochs; train --resume continues it"
                )
    if folders and not kept:
        raise KerasDAEError("None of the runs can be measured.")
    return kept


def echo_json(value: Any) -> None:
    """Print `value` as JSON."""
    from keras_dae.system.storage import dump_json

    click.echo(dump_json(value), nl=False)


def check_free(path: Path | None, overwrite: bool, *inputs: Path | None) -> None:
    """Refuse an output that is there, unless it may be replaced, or that is an input.

    Args:
        path: the output; None for none.
        overwrite: whether what is there may be replaced.
        inputs: what the command reads, and what else it writes.

    Raises:
        UsageError: says which file.
    """
    if path is None:
        return
    if str(path) == "-":
        raise UsageError("Standard output is not supported here; name a file.")
    if path.parent.is_file():
        raise UsageError(f"{path.parent} is a file, not a folder.")
    if not os.path.lexists(path):
        return
    if any(one is not None and one.exists() and path.samefile(one) for one in inputs):
        raise UsageError(f"{path} is read or written already; name another output.")
    if not overwrite:
        raise UsageError(f"{path} exists; --overwrite replaces it.")


def show(
    rows: list[dict[str, Any]],
    table: Callable[[list[dict[str, Any]]], Any],
    as_json: bool,
) -> None:
    """Print rows as a table, or as JSON."""
    if as_json:
        echo_json(rows)
    else:
        print_table(table(rows))


def print_table(table: Any, to_error: bool = False) -> None:
    """Print a rich table, or its rows as lists where the terminal is too narrow."""
    from keras_dae.system.terminal import Terminal, fits, listed

    terminal = Terminal(error=to_error)
    terminal.print(table if fits(table, terminal) else listed(table))
