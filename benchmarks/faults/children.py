"""Commands in children forked from a process that has imported keras, and their end.

A fork saves the seconds that importing takes. The child calls the command line's own
`main`, as `python -m keras_dae` does, with the signals' handlers of a new process; what
it starts by `[python, -m, module]` is a fork as well, with the pipes, environment and
process number that `subprocess` gives it. Some moments go to real processes besides.
"""

import mmap
import os
import runpy
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.faults.states import state_of
from keras_dae.system import walls

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate"}
TICKS = os.sysconf("SC_CLK_TCK")
_real_popen = subprocess.Popen


@dataclass(frozen=True)
class End:
    """How a command ended: exit code or minus a signal's number, and what it printed.

    Attributes:
        struck: whether the fault came before the command had ended.
    """

    code: int
    out: str
    err: str
    seconds: float
    struck: bool = False


@dataclass(frozen=True)
class Moment:
    """When a signal is sent: after so much processor time, or at a file operation."""

    sent: int
    seconds: float | None = None
    event: int | None = None


class Counter:
    """A number that a process and its children share."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 8)

    def add(self) -> int:
        """Count one more and return the sum."""
        value = int.from_bytes(self._shared[:8], "little") + 1
        self._shared[:8] = value.to_bytes(8, "little")
        return value

    @property
    def value(self) -> int:
        """The sum."""
        return int.from_bytes(self._shared[:8], "little")


def watch(folder: Path, counter: Counter, act: Callable[[int, str, Any], None]) -> None:
    """Call `act(number, event, arguments)` at each writing file operation in a folder.

    The hook cannot be taken away again: for children alone.
    """
    start = str(folder)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            if not isinstance(arguments[2], int) or not arguments[2] & WRITES:
                return
        elif event not in EVENTS:
            return
        try:
            place = os.path.abspath(os.fsdecode(arguments[0]))  # noqa: PTH100
        except TypeError:  # a descriptor
            return
        if place.startswith(start):
            act(counter.add(), event, arguments)

    sys.addaudithook(hook)


class Forked(_real_popen):  # type: ignore[type-arg]
    """`subprocess.Popen`, which runs `[python, -m, module, ...]` without an exec."""

    def __init__(self, args: Any, **options: Any) -> None:
        if list(args[:2]) == [sys.executable, "-m"]:
            environment = options.get("env") or dict(os.environ)

            kept = options.get("pass_fds", ())

            def run() -> None:
                for room in (walls.FILES, walls.MODELS):
                    room.close()  # a new process has none
                for number in set(range(3, 1024)) - set(kept):
                    with suppress(OSError):
                        os.close(number)
                os.environ.clear()
                os.environ.update(environment)
                be_new()
                _leave(args[2], list(args[3:]))

            options["preexec_fn"] = run
        super().__init__(args, **options)


def be_new() -> None:
    """Handle signals and standard streams as a new process does."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)


def _leave(module: str, arguments: list[str]) -> None:
    """Run a module as `python -m` does, and end the process as it would."""
    code: Any = 0
    try:
        if module == "keras_dae":
            from keras_dae.cli import main

            sys.argv = ["keras-dae", *arguments]
            main(arguments, prog_name="keras-dae")
        else:
            sys.argv = [module, *arguments]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    except BaseException as error:
        traceback.print_exc()
        code = 130 if isinstance(error, KeyboardInterrupt) else 1
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code if isinstance(code, int) else 1 if code else 0)


def spent(process: int) -> float:
    """Return the processor seconds of a process and of all below it, dead or alive."""
    total, found = 0.0, [process]
    for number in found:
        place = Path(f"/proc/{number}")
        try:
            fields = (place / "stat").read_text().rpartition(")")[2].split()
            children = (place / "task" / str(number) / "children").read_text()
        except OSError:
            continue
        total += sum(map(int, fields[11:15])) / TICKS
        found += map(int, children.split())
    return total


def run(
    arguments: list[str],
    folder: Path,
    scratch: Path,
    *,
    moment: Moment | None = None,
    known: Path | None = None,
    counter: Counter | None = None,
    prepare: Callable[[], None] = lambda: None,
) -> End:
    """Run a command in a forked child.

    Args:
        arguments: the command line.
        folder: where it works.
        scratch: a folder for what it prints.
        moment: when it is struck, and by what.
        known: a file to which each state is added that a final name gets.
        counter: counts its file operations.
        prepare: done in the child before the command.
    """
    counter = counter or Counter()
    began = time.monotonic()
    process = os.fork()
    if process == 0:
        try:
            os.setpgid(0, 0)
            os.chdir(folder)
            for number, name in ((1, "out"), (2, "err")):
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
                os.dup2(os.open(scratch / name, flags), number)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            be_new()
            subprocess.Popen = Forked  # type: ignore[misc]
            watch(folder, counter, _actor(folder, moment, known))
            prepare()
            _leave("keras_dae", arguments)
        finally:
            os._exit(99)
    return _wait(process, scratch, moment, counter, began)


def _actor(
    folder: Path, moment: Moment | None, known: Path | None
) -> Callable[[int, str, Any], None]:
    """Return what a child does at a file operation: note a state, or strike."""
    command = os.getpid()

    def act(number: int, event: str, arguments: Any) -> None:
        if known is not None and event == "os.rename":
            target = Path(os.path.abspath(os.fsdecode(arguments[1])))  # noqa: PTH100
            state = state_of(Path(os.fsdecode(arguments[0])))
            with known.open("a") as file:
                file.write(f"{target.relative_to(folder)}\t{state}\n")
        if moment is not None and moment.event == number:
            strike(command, moment.sent)

    return act


def strike(process: int, sent: int) -> None:
    """Send a signal; Ctrl-C goes to all processes of a terminal's foreground."""
    if sent == signal.SIGINT:
        os.killpg(process, sent)
    else:
        os.kill(process, sent)


def _wait(
    process: int, scratch: Path, moment: Moment | None, counter: Counter, began: float
) -> End:
    """Wait for a child's end, and strike it when its time has come."""
    struck = False
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            break
        due = moment is not None and moment.seconds is not None and not struck
        if due and spent(process) >= moment.seconds:
            strike(process, moment.sent)
            struck = True
        time.sleep(0.005)
    code = os.waitstatus_to_exitcode(status)
    if moment is not None and moment.event is not None:
        struck = counter.value >= moment.event
    said = [(scratch / name).read_text(errors="replace") for name in ("out", "err")]
    return End(code, said[0], said[1], time.monotonic() - began, struck)


def run_fresh(
    arguments: list[str],
    folder: Path,
    scratch: Path,
    *,
    moment: Moment | None = None,
) -> End:
    """Run a command in a new process of its own, imports and all."""
    began = time.monotonic()
    with open(scratch / "out", "w") as out, open(scratch / "err", "w") as err:
        child = _real_popen(
            [sys.executable, "-m", "keras_dae", *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            process_group=0,
            restore_signals=True,
        )
        return _wait(child.pid, scratch, moment, Counter(), began)
