"""Run a sweep in local processes that share the cores evenly."""

import json
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from keras_dae.errors import KerasDAEError, check
from keras_dae.system import backend
from keras_dae.system.gpus import Gpu, find_gpus
from keras_dae.system.inside import make_folder, opened
from keras_dae.system.lifeline import child_environment
from keras_dae.training.config import option_arguments
from keras_dae.training.jobs import Job, Request

_GRACE_SECONDS = 10
# Runs that share a GPU, if so much memory (MiB) is free for each. Several runs hide
# each other's start-up and file writes (docs/gpu.md).
RUNS_PER_GPU, RUN_MEMORY = 3, 2048


def _end(code: int) -> str:
    """Return the message for a process that ended without one."""
    if code >= 0:
        return f"The process ended with exit code {code}."
    sent = signal.Signals(-code)
    why = "; the system does this if memory runs out" if sent == signal.SIGKILL else ""
    return f"The process was ended by {sent.name}{why}."


def _gpus_of(device: str) -> list[Gpu]:
    """Return the GPUs for runs on `device`."""
    elsewhere = os.environ.get("KERAS_TORCH_DEVICE", "cuda") != "cuda"
    if device not in ("auto", "cuda") or (device == "auto" and elsewhere):
        return []
    return find_gpus()


def _usual_jobs(gpus: list[Gpu]) -> int:
    """Return the default number of parallel runs: by GPU memory, else by cores."""
    cores = backend.available_cores()
    if not gpus:
        return cores
    room = sum(min(RUNS_PER_GPU, gpu.free // RUN_MEMORY) for gpu in gpus)
    return max(1, min(room, cores))


class Worker:
    """A process that runs one command of `keras-dae` after the other.

    Args:
        environment: environment variables of the process.
        log: receives its output before the first command, such as start-up errors.
        gpu: the GPU that it may use; None for no restriction.
    """

    def __init__(
        self, environment: dict[str, str], log: IO[bytes], gpu: str | None = None
    ) -> None:
        self.gpu = gpu
        if gpu is not None:
            environment = {**environment, "CUDA_VISIBLE_DEVICES": gpu}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "keras_dae.commands.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
        )

    def order(self, arguments: list[str], log: Path) -> bool:
        """Send a command; return whether the process accepted it."""
        assert self.process.stdin is not None
        try:
            line = json.dumps({"arguments": arguments, "log": str(log)})
            self.process.stdin.write(f"{line}\n".encode())
            self.process.stdin.flush()
        except OSError:
            return False
        return True

    def answer(self) -> tuple[int, bool] | None:
        """Return the exit code of the command once it has ended, else None.

        The second value is False if the process itself ended before reporting.
        """
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], 0)[0]:
            return None
        line = self.process.stdout.readline()
        return (int(line), True) if line else (self.process.wait(), False)

    def let_go(self) -> None:
        """Let the process end after its current command."""
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.close()

    def join(self) -> None:
        """Wait for the process to end, and stop it if it does not."""
        self.let_go()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=_GRACE_SECONDS)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


class Processes:
    """Trains each job with `keras-dae train --resume` in one of `jobs` processes.

    Processes are reused, since starting one takes seconds of CPU time. A process ends
    after a failed run, and another one replaces it.

    Args:
        request: `jobs` defaults to one per core, or at most `RUNS_PER_GPU` per GPU;
            `threads` defaults to the share of the cores.
    """

    def __init__(self, request: Request) -> None:
        check(
            request.address is None and request.gpus_per_run is None,
            "--address and --gpus-per-run need --executor ray.",
            address=request.address,
            gpus_per_run=request.gpus_per_run,
        )
        self._gpus = _gpus_of(request.device)
        self.jobs = request.jobs or _usual_jobs(self._gpus)
        threads = request.threads or max(1, backend.available_cores() // self.jobs)
        self._arguments = ["--out", str(request.out), "--threads", str(threads)]
        self._arguments += ["--device", request.device]
        self._environment = {**child_environment(), "PYTHONUNBUFFERED": "1"}
        if request.data_dir is not None:
            self._environment["KERAS_DAE_DATA"] = str(request.data_dir)
        self._busy: dict[str, tuple[Worker, IO[bytes]]] = {}
        self._idle: list[Worker] = []

    def __enter__(self) -> Self:
        return self

    def start(self, job: Job) -> None:
        """Pass the job to a process, whose output goes to the log of the job.

        Raises:
            KerasDAEError: the log cannot be written.
        """
        arguments = ["train", "--resume", *option_arguments(job.config)]
        arguments += self._arguments
        try:
            make_folder(job.folder.path)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            log = os.fdopen(opened(job.log_path, flags), "ab", buffering=0)
        except OSError as error:
            raise KerasDAEError(
                f"Cannot write {job.log_path}: {error.strerror}."
            ) from error
        self._busy[job.name] = self._ordered(arguments, job.log_path, log), log

    def _ordered(self, arguments: list[str], path: Path, log: IO[bytes]) -> Worker:
        """Return the process that got the command, a new one if necessary."""
        while self._idle:
            worker = self._idle.pop()
            if worker.order(arguments, path):
                return worker
            worker.join()  # it was killed while idle
        worker = Worker(self._environment, log, self._free_gpu())
        worker.order(arguments, path)  # if it fails, the end of the process is noticed
        return worker

    def _free_gpu(self) -> str | None:
        """Return the GPU with the fewest processes, if there are several."""
        if len(self._gpus) < 2:
            return None
        workers = [*(worker for worker, _ in self._busy.values()), *self._idle]
        taken = [worker.gpu for worker in workers]
        return min((gpu.name for gpu in self._gpus), key=taken.count)

    def poll(self, job: Job) -> str | None:
        """Return 'done' or 'failed' once the job has ended, else None."""
        worker, log = self._busy[job.name]
        answer = worker.answer()
        if answer is None:
            return None
        code, spoken = answer
        if not spoken:
            with suppress(OSError):
                log.write(f"{_end(code)}\n".encode())
        log.close()
        del self._busy[job.name]
        if (code, spoken) == (0, True):
            self._idle.append(worker)
            return "done"
        worker.join()
        return "failed"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        busy = list(self._busy.values())
        for worker, _ in busy:
            worker.process.terminate()
        workers = [*(worker for worker, _ in busy), *self._idle]
        for worker in workers:
            worker.let_go()
        for worker in workers:
            worker.join()
        for _, log in busy:
            log.close()
