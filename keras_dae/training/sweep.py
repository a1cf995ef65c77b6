"""Many runs, each in a process of its own with its fair share of the cores."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

from rich.progress import Progress, TaskID

from keras_dae import backend
from keras_dae.errors import KerasDAEError
from keras_dae.training.config import RunConfig, option_arguments
from keras_dae.training.progress import new_progress
from keras_dae.training.runs import RunFolder, run_name

_POLL_SECONDS = 0.3


@dataclass
class Job:
    """One run of a sweep, and how it went: waiting, running, done, skipped, failed."""

    config: RunConfig
    folder: RunFolder
    state: str = "waiting"
    seconds: float = 0.0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    log: IO[bytes] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.path.name

    @property
    def log_path(self) -> Path:
        """What the run printed."""
        return self.folder.path / "train.log"


def sweep(
    configs: list[RunConfig],
    out: Path,
    *,
    jobs: int | None = None,
    data_dir: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> list[Job]:
    """Train every configuration, `jobs` at a time, and return how each one went.

    A finished run is skipped, an interrupted one resumed; a failed one does not stop
    the others. Runs start in the order given.

    Args:
        configs: the runs; `data` must name a data set, not 'auto'.
        out: folder of the run folders.
        jobs: processes at a time, one a core by default; each gets its share of the
            cores as threads.
        data_dir: folder of the data set's files.
        device: what `backend.select` takes.
        threads: CPU threads of each process; by default its share of the cores.
    """
    jobs = jobs or backend.available_cores()
    waiting = [Job(c, RunFolder(out / run_name(c, c.data))) for c in configs]
    for job in waiting:
        if job.folder.config_path.exists() and job.folder.finished(job.config):
            job.state = "skipped"
    threads = threads or max(1, backend.available_cores() // jobs)
    arguments = ["--out", str(out), "--threads", str(threads), "--device", device]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if data_dir is not None:
        environment["KERAS_DAE_DATA"] = str(data_dir)
    start = partial(_start, arguments=arguments, environment=environment)
    with new_progress() as display:
        try:
            for _ in _run(waiting, jobs, start, display):
                time.sleep(_POLL_SECONDS)
        finally:
            _stop(waiting)
    return waiting


def _run(
    all_jobs: list[Job], jobs: int, start: Callable[[Job], None], display: Progress
) -> Iterator[None]:
    """Start and collect processes; yields while there is something to wait for."""
    epochs = sum(job.config.epochs for job in all_jobs)
    overall = display.add_task("all runs", total=epochs, note="")
    bars: dict[str, TaskID] = {}
    while True:
        running = [job for job in all_jobs if job.state == "running"]
        waiting = [job for job in all_jobs if job.state == "waiting"]
        for job in waiting[: max(0, jobs - len(running))]:
            start(job)
            bars[job.name] = display.add_task(
                job.name, total=job.config.epochs, note=""
            )
        for job in running:
            _collect(job, display, bars[job.name])
        states = [job.state for job in all_jobs]
        finished = sum(states.count(state) for state in ("done", "skipped", "failed"))
        display.update(
            overall,
            completed=sum(_epochs_done(job) for job in all_jobs),
            note=f"{finished} of {len(all_jobs)} runs",
        )
        if finished == len(all_jobs):
            return
        yield


def _start(job: Job, arguments: list[str], environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "keras_dae", "train", "--resume"]
    command += option_arguments(job.config) + arguments
    try:
        job.folder.path.mkdir(parents=True, exist_ok=True)
        job.log = job.log_path.open("ab")
    except OSError as error:
        raise KerasDAEError(
            f"Cannot write {job.log_path}: {error.strerror}."
        ) from error
    job.process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=job.log,
        stderr=subprocess.STDOUT,
        env=environment,
    )
    job.state, job.seconds = "running", time.monotonic()


def _collect(job: Job, display: Progress, bar: TaskID) -> None:
    assert job.process is not None  # a running job has one
    code = job.process.poll()
    display.update(bar, completed=_epochs_done(job))
    if code is None:
        return
    job.state = "done" if code == 0 else "failed"
    job.seconds = time.monotonic() - job.seconds
    display.remove_task(bar)
    _close(job)
    display.console.print(f"{job.name}: {job.state} after {job.seconds:.0f} s")


def _epochs_done(job: Job) -> int:
    try:
        return len(job.folder.history()["loss"])
    except KerasDAEError:
        return 0


def _stop(jobs: list[Job]) -> None:
    """End what still runs; each run stays resumable from its last epoch."""
    for job in jobs:
        if job.process is not None and job.process.poll() is None:
            job.process.terminate()
    for job in jobs:
        if job.process is not None:
            with suppress(subprocess.TimeoutExpired):
                job.process.wait(timeout=10)
            if job.process.poll() is None:
                job.process.kill()
        _close(job)


def _close(job: Job) -> None:
    if job.log is not None:
        job.log.close()
        job.log = None


def last_line(job: Job) -> str:
    """Return the last line that a run printed: why it failed."""
    try:
        lines = job.log_path.read_text(errors="replace").strip().splitlines()
    except OSError:
        return "no log"
    return lines[-1] if lines else "an empty log"


def job_rows(jobs: list[Job]) -> list[dict[str, Any]]:
    """Return a row for each run: name, state, seconds, and why it failed."""
    return [
        {
            "run": str(job.folder.path),
            "state": job.state,
            "seconds": round(job.seconds, 1),
            "reason": last_line(job) if job.state == "failed" else None,
        }
        for job in jobs
    ]
