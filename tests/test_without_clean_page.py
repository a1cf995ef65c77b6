"""docs/without-clean-images.md: its commands have these options, its code runs."""

import re
import shlex
from pathlib import Path

import click
import pytest

from keras_dae.cli import main

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "without-clean-images.md").read_text()
COMMANDS = re.findall(r"^keras-dae (.*)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_have_these_options(line):
    name, *words = shlex.split(line)
    command = main.get_command(click.Context(main), name)
    command.make_parser(click.Context(command)).parse_args(words)


def test_the_python_examples_run(capsys):
    code = "".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    exec(code, {})
    assert capsys.readouterr().out == "blind-spot h(y)\n[0.0381 0.     0.0381]\n"


def test_the_tests_that_are_named_exist():
    named = re.findall(r"`(tests/[\w/]+\.py)`", PAGE)
    assert len(named) == 3
    assert all((ROOT / name).is_file() for name in named)
