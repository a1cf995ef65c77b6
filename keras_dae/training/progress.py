"""Progress of long work on standard error: bars on a terminal, else lines."""

import sys
import time
from types import TracebackType
from typing import Any, Self

from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from keras_dae.system.terminal import Terminal, Words


def new_progress() -> Progress:
    """Return a progress display with bar, elapsed and remaining time."""
    return Progress(
        Words("description"),
        BarColumn(bar_width=10),  # leaves room for text in 80 columns
        TextColumn("{task.percentage:>3.0f} %"),
        Words("note"),
        TimeElapsedColumn(table_column=Column(min_width=7, no_wrap=True)),
        TextColumn("left"),
        TimeRemainingColumn(table_column=Column(min_width=7, no_wrap=True)),
        console=Terminal(error=True),
        disable=not sys.stderr.isatty(),
    )


class _Shown:
    """A display that exists within a context."""

    def __init__(self) -> None:
        self._display = new_progress()

    def __enter__(self) -> Self:
        self._display.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._display.stop()


class Steps(_Shown):
    """The progress of a measurement: a bar, or lines if there is no terminal.

    Call an instance with a description of the current step and the fraction done, from
    0 to 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self._task = self._display.add_task("", total=1, note="")
        self._said = ""

    def __call__(self, what: str, share: float) -> None:
        """Show `what` and the fraction done."""
        self._display.update(self._task, description=what, completed=share)
        if self._display.disable and what != self._said:
            print(what, file=sys.stderr, flush=True)
        self._said = what


class FitProgress(_Shown):
    """The progress of one training run: throughput, losses and remaining time.

    Without a terminal, one line per epoch is written instead of the bar.

    Args:
        label: the name of the run.
        epochs: number of epochs.
        images: images per epoch, with repetitions.
        quiet: show nothing.
    """

    def __init__(self, label: str, *, epochs: int, images: int, quiet: bool = False):
        super().__init__()
        self.label, self.epochs, self.images, self.quiet = label, epochs, images, quiet
        self._task: TaskID | None = None
        self._began = time.perf_counter()

    def __enter__(self) -> Self:
        if self.quiet:
            return self
        total = self.epochs * self.images
        self._task = self._display.add_task(self.label, total=total, note="")
        return super().__enter__()

    def batch(self, epoch: int, images: int) -> None:
        """Report that `images` of `epoch` (from 0) have been used."""
        if self._task is not None:
            self._display.update(self._task, completed=epoch * self.images + images)

    def say(self, line: str) -> None:
        """Print a line on standard error, above the bar if there is one."""
        if not self.quiet:
            self._display.console.print(f"{self.label}: {line}")

    def epoch(self, number: int, entry: dict[str, Any]) -> None:
        """Report epoch `number` (from 1), given its entry of the history."""
        rate = self.images / max(entry["seconds"], 1e-9)
        note = f"val {entry['val_loss']:.5f}  {rate:,.0f} images/s"
        if self._task is not None:
            self._display.update(self._task, completed=number * self.images, note=note)
        if not self.quiet and self._display.disable:
            spent = time.perf_counter() - self._began
            print(
                f"{self.label} epoch {number}/{self.epochs}  "
                f"loss {entry['loss']:.5f}  {note}  {spent:.0f} s",
                file=sys.stderr,
                flush=True,
            )
