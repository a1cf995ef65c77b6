"""Names that strangers chose, on a terminal: shown as they are, obeyed by nobody."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.progress import Progress
from rich.table import Table

from keras_dae.errors import printable
from keras_dae.system.terminal import Terminal, Words
from keras_dae.training.progress import new_progress
from tests.commands import run

# Red letters, a title of the window, a C1 control; rich's markup and emoji.
NAMES = ["a\x1b[31mb", "a\x1b]0;b\x07", "a\x9b31mb", "[red]a[/b]", ":smile:"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\rb\x00\x7f\x9b", r"a\rb\x00\x7f\x9b"),
        ("two\nlines\tand ü", "two\nlines\tand ü"),
    ],
)
def test_control_characters_are_written_out(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_shows_the_name(name, capsys):
    table = Table()
    table.add_row(name)
    Terminal().print(table)
    assert printable(name) in capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_a_bar_shows_the_name(name, capsys):
    with Progress(
        Words("description"), Words("note"), console=Terminal(error=True)
    ) as bars:
        bars.add_task(name, note=f"of {name}")
    shown = capsys.readouterr().err
    assert printable(name) in shown
    assert f"of {printable(name)}" in shown


def test_the_package_shows_its_bars_with_such_columns():
    columns = new_progress().columns
    words = [column.field for column in columns if isinstance(column, Words)]
    assert words == ["description", "note"]


@pytest.mark.parametrize("name", ["a\x1b[31mb.png", "[red]a.png"])
def test_denoise_shows_the_names_of_files(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # short paths, which no table folds
    folder = Path("in")
    folder.mkdir()
    grey = np.random.default_rng(0).integers(0, 255, (28, 28), np.uint8)
    Image.fromarray(grey).save(folder / "plain.png")
    (folder / "plain.png").rename(folder / name)
    (folder / f"damaged-{name}").write_bytes(b"no image")
    done = run("denoise", folder, "-o", "out", "--model", "DAE_1_5")
    for text in (done.stdout, done.stderr):
        assert "\x1b" not in text
    assert printable(name) in done.stdout
    assert f"damaged-{printable(name)}" in done.stdout
