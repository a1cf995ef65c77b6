"""Restricted processes: limited memory and time to open untrusted files.

Decoders, keras or runtimes open untrusted files only in a process that the operating
system ends at its limits. This gives an error for that file; the next file gets a new
process. Results are plain values (`parcels`), so no code of the file runs here.

The limits are those of `limits`.
"""

import atexit
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from keras_dae.errors import KerasDAEError
from keras_dae.system import parcels
from keras_dae.system.lifeline import child_environment
from keras_dae.system.limits import Bounds, bounds_of

START_SECONDS = 120.0
# Wall time per second of CPU time, since a busy machine needs more. A process that is
# neither computing nor blocked in the system is ended sooner.
PATIENCE, STEP_SECONDS, IDLE_STEPS = 10.0, 2.0, 3
LONGEST = 1e8  # limit of wall time in seconds


class Room:
    """A process that runs functions of this package, one at a time, within limits.

    It is started by its first call, and again after a call that killed it.

    Args:
        prepare: "module:name" of a function to run at its start, without limits.
        environment: additional environment variables.
    """

    def __init__(
        self, prepare: str = "", environment: Mapping[str, str] | None = None
    ) -> None:
        self._prepare, self._environment = prepare, dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self._owner, self._lock = os.getpid(), threading.RLock()
        self._waiting = False

    def call(
        self,
        function: str,
        *arguments: Any,
        bounds: Bounds | None = None,
        refuse: Callable[[str], Exception] = KerasDAEError,
    ) -> Any:
        """Run a function in the process and return its result.

        Args:
            function: "module:name", of this package.
            arguments: values that `parcels` can send.
            bounds: limits of the call.
            refuse: creates an error from the reason why the process ended, a sentence
                without the name of the file, such as "takes more than 12 s to read".

        Raises:
            Exception: an error of `parcels.CARRIED` that the function raised; or the
                result of `refuse`.
        """
        bounds = bounds or bounds_of()
        within = [bounds.memory, bounds.seconds * bounds.threads, _folder()]
        with self._lock:
            self.start()
            for attempt in range(2):
                assert self._link is not None
                try:
                    parcels.send(self._link, [function, within, list(arguments)])
                    break
                except OSError:  # it was killed while idle
                    self.close()
                    self.start()
                    if attempt:
                        raise refuse("cannot be opened: no process starts") from None
            try:
                self._prepared(refuse)
                state, result = self._answer(bounds)
            except (OSError, EOFError, ValueError) as error:
                late = isinstance(error, TimeoutError)
                raise refuse(_why(self.close(), late, bounds)) from None
            except BaseException:  # an interrupt; drop the pending result
                self.close()
                raise
        if state == "memory":
            raise refuse(_why(-signal.SIGKILL, False, bounds))
        if state == "surprised":
            raise refuse(f"cannot be read ({result.rstrip('.')})")
        if isinstance(result, Exception):
            raise result
        return result

    def start(self) -> None:
        """Start the process if it is not running; return at once."""
        here = self._owner == os.getpid()
        if here and self._process is not None and self._process.poll() is None:
            return
        self.close()
        self._owner = os.getpid()
        ours, there = socket.socketpair()
        with there:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "keras_dae.system.walled", str(there.fileno())],
                pass_fds=[there.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**child_environment(), **self._environment},
            )
        atexit.register(self.close)
        self._link, self._waiting = ours, bool(self._prepare)
        if self._prepare:
            with suppress(OSError):
                parcels.send(ours, [self._prepare, [None, None, ""], []])

    def _prepared(self, refuse: Callable[[str], Exception]) -> None:
        """Wait until a new process has finished its preparation."""
        if not self._waiting:
            return
        assert self._link is not None
        self._waiting = False
        self._link.settimeout(START_SECONDS)
        state, result = parcels.receive(self._link)
        if state != "done":
            self.close()
            raise refuse(f"cannot be opened: {result}")

    def _answer(self, bounds: Bounds) -> Any:
        """Wait for a result as long as the process is computing within its limits."""
        assert self._link is not None
        assert self._process is not None
        idle, before = 0, _threads(self._process.pid)
        patience = min(PATIENCE * bounds.seconds, LONGEST)
        end = time.monotonic() + patience
        while not select.select([self._link], [], [], STEP_SECONDS)[0]:
            now = _threads(self._process.pid)
            asleep = {state for state, *_ in now} == {"S"}
            idle = idle + 1 if now == before and asleep else 0
            if idle == IDLE_STEPS or time.monotonic() > end:
                raise TimeoutError
            before = now
        self._link.settimeout(patience)
        return parcels.receive(self._link)

    def close(self) -> int:
        """End the process if it is running; return its exit code."""
        if self._link is not None:
            self._link.close()
            self._link = None
        code = 0
        atexit.unregister(self.close)
        if self._owner != os.getpid():  # this is a forked copy
            self._process = None
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                code = self._process.wait(timeout=0.2)
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._process = None
        return code


def _folder() -> str:
    """Return the working folder, for relative paths; empty if it is gone."""
    try:
        return str(Path.cwd())
    except OSError:
        return ""


def _threads(pid: int) -> list[list[str]]:
    """Return state and CPU time of each thread of a process; empty if unknown.

    The main thread may sleep while another one waits for a core of a busy machine.
    """
    try:
        found = [
            (task / "stat").read_text().rpartition(")")[2].split()
            for task in sorted(Path(f"/proc/{pid}/task").iterdir())
        ]
    except OSError:
        return []
    return [[words[0], *words[11:13]] for words in found]


def _why(code: int, late: bool, bounds: Bounds) -> str:
    """Return the reason why the process ended, to follow the name of a file."""
    if late or code == -signal.SIGXCPU:
        return (
            f"takes more than {bounds.seconds:,.0f} s to read; --time-limit allows more"
        )
    if code == -signal.SIGKILL:
        return (
            f"takes more than {bounds.memory >> 20:,} MiB of memory to read; "
            "--memory-limit allows more"
        )
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return (
        f"ends the process that reads it ({name}): it is damaged, or takes more than "
        f"{bounds.memory >> 20:,} MiB of memory"
    )


FILES = Room()  # for images and arrays, without a backend
MODELS = Room("keras_dae.system.backend:prepare")
