"""A terminal that prints untrusted text safely."""

import sys
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.progress import ProgressColumn, Task
from rich.table import Table
from rich.text import Text

from keras_dae.errors import printable

PIPE_WIDTH = 160  # rows in a file or a pipe are not wrapped


class Terminal(Console):
    """A rich console that ignores markup and emoji, and escapes control characters.

    Args:
        error: write to standard error instead of standard output.
    """

    def __init__(self, *, error: bool = False) -> None:
        stream = sys.stderr if error else sys.stdout
        width = None if stream.isatty() else PIPE_WIDTH
        super().__init__(width=width, stderr=error, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return the text of a plain string, such as a table cell."""
        return super().render_str(printable(text), **options)


def fits(table: Table, console: Console) -> bool:
    """Tell whether a table can be printed without shortening a cell."""
    wide = console.options.update(max_width=10_000)
    return Measurement.get(console, wide, table).minimum <= console.width


def listed(table: Table) -> Text:
    """Return a table as text: each row as a list of its columns' names and values."""
    heads = [str(column.header) for column in table.columns]
    wide = max(map(len, heads), default=0)
    lines = [str(table.title)] if table.title else []
    for cells in zip(*(column.cells for column in table.columns), strict=True):
        for head, cell in zip(heads, cells, strict=True):
            text = cell.plain if isinstance(cell, Text) else str(cell)
            if text:
                lines.append(f"{head:{wide}}  {printable(text)}")
        lines.append("")
    return Text("\n".join([*lines, str(table.caption or "")]).rstrip())


class Words(ProgressColumn):
    """A column of a progress display: a field of the task, as text."""

    def __init__(self, field: str) -> None:
        super().__init__()
        self.field = field

    def render(self, task: Task) -> Text:
        """Return the text of one task."""
        own = self.field == "description"
        return Text(printable(task.description if own else task.fields[self.field]))
