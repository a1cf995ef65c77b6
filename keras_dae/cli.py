"""The command line: a group of the commands in `keras_dae.commands`.

Nothing here imports keras, torch or matplotlib at module level, so that `--help`
answers at once; each command imports what it needs when it runs.
"""

import os
import sys
from pathlib import Path
from typing import Any

import click

from keras_dae import __version__
from keras_dae.commands import (
    bits,
    board,
    future,
    images,
    interchange,
    page,
    study,
    uncertainty,
    without_clean,
)
from keras_dae.commands.options import FiniteRange
from keras_dae.errors import (
    KerasDAEError,
    UsageError,
    legible,
    one_line,
    reason,
    unexpected,
)
from keras_dae.system.lifeline import (
    asked_to_end,
    end_with_parent,
    listen,
    reset_interrupt,
)
from keras_dae.system.limits import MEMORY_LIMIT, TIME_LIMIT
from keras_dae.system.standard import discard_output, steady_streams

# `--help` lists the commands in this order, which is the order of a study.
COMMANDS = (
    study.models,
    study.train,
    study.evaluate,
    board.compare,
    study.sweep,
    study.plot,
    study.reproduce,
    future.classify,
    future.depth_limit,
    future.robustness,
    bits.bits,
    uncertainty.calibrate,
    uncertainty.uncertainty,
    without_clean.without_clean,
    images.denoise,
    page.page,
    interchange.export,
    interchange.parity,
    interchange.doctor,
)


INTERRUPTED = (
    "Interrupted. Finished work is kept. Run the same command again to continue; add "
    "--resume for train, and --skip-existing for denoise."
)


NOT_ON_WINDOWS = (
    "keras_dae runs on Linux and macOS; on Windows use the Windows Subsystem for Linux."
)


NO_FOLDER = "The working folder no longer exists. Change to another one"
OWN_OF_CLICK = (click.ClickException, click.exceptions.Exit, click.Abort)


class Group(click.Group):
    """A group that lists commands in study order and reports errors in one sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which they were added."""
        return list(self.commands)

    def main(self, args: Any = None, *rest: Any, **options: Any) -> Any:
        """Run the command line; `args` defaults to the arguments of this process."""
        if args is None:
            steady_streams()
        words = sys.argv[1:] if args is None else list(args)
        if any(word == "" or (word[:2] == "--" and word[-1:] == "=") for word in words):
            click.echo("Error: An argument is empty. Give it a value.", err=True)
            sys.exit(UsageError.exit_code)
        try:
            return super().main(args, *rest, **options)
        except BrokenPipeError:
            raise  # which click ends without a word
        except OSError as error:  # of --help and --version, which write at once
            sys.exit(_failed(error))

    def invoke(self, ctx: click.Context) -> Any:
        """Turn an expected error into a one-line message and an exit code."""
        try:
            result = super().invoke(ctx)
            reset_interrupt()
            sys.stdout.flush()
            return result
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise  # click handles a broken pipe silently
            reset_interrupt()
            ctx.exit(_failed(error))
        except (Exception, KeyboardInterrupt) as error:
            asked = asked_to_end()
            reset_interrupt()
            if asked or isinstance(error, KeyboardInterrupt):
                click.echo(INTERRUPTED, err=True)
                ctx.exit(130)
            if isinstance(error, OWN_OF_CLICK):
                raise
            if not isinstance(error, KerasDAEError):
                error = KerasDAEError(f"The command {unexpected(error)}.")
            click.echo(one_line(f"Error: {error}"), err=True)
            ctx.exit(error.exit_code)


def _failed(error: OSError) -> int:
    """Say what the operating system refused; return the exit code."""
    discard_output()
    what = "" if error.filename is None else f" ({legible(error.filename)})"
    why = f"{reason(error)}{what}" if _has_folder() else NO_FOLDER
    click.echo(one_line(f"Error: {why}."), err=True)
    return 1


def _has_folder() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


@click.group(cls=Group, context_settings={"max_content_width": 88})
@click.version_option(__version__, prog_name="keras-dae")
@click.option(
    "--memory-limit",
    metavar="MIB",
    type=FiniteRange(min=1),
    envvar=MEMORY_LIMIT,
    help="Maximum memory for opening one file.  [default: 1024, plus 16 times its "
    f"size; env: {MEMORY_LIMIT}]",
)
@click.option(
    "--time-limit",
    metavar="SECONDS",
    type=FiniteRange(min=0.1),
    envvar=TIME_LIMIT,
    help="Maximum CPU time for opening one file.  [default: 10, plus 1 per 4 MB; "
    f"env: {TIME_LIMIT}]",
)
def main(memory_limit: float | None, time_limit: float | None) -> None:
    """Denoising autoencoders on Keras 3: train, evaluate and reproduce the study.

    The environment variable KERAS_BACKEND selects torch (default), jax or tensorflow.
    """
    for name, value in ((MEMORY_LIMIT, memory_limit), (TIME_LIMIT, time_limit)):
        if value is not None:
            os.environ[name] = str(value)
    if sys.platform == "win32":
        raise KerasDAEError(NOT_ON_WINDOWS)
    listen()
    end_with_parent()


for _command in COMMANDS:
    main.add_command(_command)
