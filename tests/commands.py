"""The command line as the tests call it."""

from click.testing import CliRunner, Result

from keras_dae.cli import main


def run(*arguments: object, given: bytes | None = None) -> Result:
    """Run a command in this process; `given` is its standard input."""
    words = [str(argument) for argument in arguments]
    return CliRunner().invoke(main, words, input=given)


def sentence(result: Result, code: int) -> str:
    """Return the one line that was printed for a mistake; check how it ended."""
    assert result.exit_code == code, result.output
    (line,) = [line for line in result.stderr.splitlines() if "rror" in line]
    assert "Traceback" not in result.output
    return line
