"""The command line: a group of the commands in `keras_dae.commands`.

Nothing here imports keras, torch or matplotlib at module level, so that `--help`
answers at once; each command imports what it needs when it runs.
"""

import signal
from typing import Any, NoReturn

import click

from keras_dae import __version__
from keras_dae.commands import board, future, images, interchange, study
from keras_dae.errors import KerasDAEError

# In the order in which `--help` lists them: that of a study.
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
    images.denoise,
    interchange.export,
    interchange.parity,
    interchange.doctor,
)


class Group(click.Group):
    """A group that lists commands in the order of a study, and speaks of mistakes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands as they were added."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Turn a user's mistake into one sentence and an exit code."""
        try:
            return super().invoke(ctx)
        except KerasDAEError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo(
                "Interrupted. What was finished is kept; the same command with "
                "--resume (train) or as it stands (sweep, reproduce, compare) goes on.",
                err=True,
            )
            ctx.exit(130)


@click.group(cls=Group, context_settings={"max_content_width": 88})
@click.version_option(__version__, prog_name="keras-dae")
def main() -> None:
    """Denoising autoencoders on Keras 3: train, evaluate, reproduce the study.

    KERAS_BACKEND chooses torch (default), jax or tensorflow.
    """
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


for _command in COMMANDS:
    main.add_command(_command)
