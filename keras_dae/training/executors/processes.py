"""Runs on this machine, each in a process with its fair share of the cores."""

import signal
import subprocess
import sys
from contextlib import suppress
from types import TracebackType
from typing import IO, Self

from keras_dae import backend
from keras_dae.errors import KerasDAEError, check
from keras_dae.lifeline import child_environment
from keras_dae.training.config import option_arguments
from keras_dae.training.jobs import Job, Request

# Exit codes of a command that has said why it ended.
_SPOKEN = (0, 1, 2, 130)


def _end(code: int) -> str:
    """Return the sentence for a process that could not say why it ended."""
    if code > 0:
        return f"The process ended with exit code {code}."
    sent = signal.Signals(-code)
    why = "; the system does so where memory runs out" if sent == signal.SIGKILL else ""
    return f"The process was ended by {sent.name}{why}."


class Processes:
    """Trains each job by `keras-dae train --resume` in a process of its own.

    Args:
        request: `jobs` is one a core by default, `threads` each one's share of them.
    """

    def __init__(self, request: Request) -> None:
        check(
            request.address is None and request.gpus_per_run is None,
            "--address and --gpus-per-run are for --executor ray alone.",
            address=request.address,
            gpus_per_run=request.gpus_per_run,
        )
        self.jobs = request.jobs or backend.available_cores()
        threads = request.threads or max(1, backend.available_cores() // self.jobs)
        self._arguments = ["--out", str(request.out), "--threads", str(threads)]
        self._arguments += ["--device", request.device]
        self._environment = {**child_environment(), "PYTHONUNBUFFERED": "1"}
        if request.data_dir is not None:
            self._environment["KERAS_DAE_DATA"] = str(request.data_dir)
        self._started: dict[str, tuple[subprocess.Popen[bytes], IO[bytes]]] = {}

    def __enter__(self) -> Self:
        return self

    def start(self, job: Job) -> None:
        """Start the job's process; what it prints goes to the job's log.

        Raises:
            KerasDAEError: the log cannot be written.
        """
        command = [sys.executable, "-m", "keras_dae", "train", "--resume"]
        command += option_arguments(job.config) + self._arguments
        try:
            job.folder.path.mkdir(parents=True, exist_ok=True)
            log = job.log_path.open("ab", buffering=0)
        except OSError as error:
            raise KerasDAEError(
                f"Cannot write {job.log_path}: {error.strerror}."
            ) from error
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=self._environment,
        )
        self._started[job.name] = process, log

    def poll(self, job: Job) -> str | None:
        """Return 'done' or 'failed' once the job's process has ended, else None."""
        process, log = self._started[job.name]
        code = process.poll()
        if code is None:
            return None
        if code not in _SPOKEN:
            with suppress(OSError):
                log.write(f"{_end(code)}\n".encode())
        log.close()
        return "done" if code == 0 else "failed"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process, _ in self._started.values():
            if process.poll() is None:
                process.terminate()
        for process, log in self._started.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            if process.poll() is None:
                process.kill()
            log.close()
