"""The runs of a sweep as jobs, and the interface of executors."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from keras_dae.errors import KerasDAEError
from keras_dae.system.inside import read
from keras_dae.training.config import RunConfig, table_order
from keras_dae.training.patience import has_ended
from keras_dae.training.runs import RunFolder


@dataclass
class Job:
    """One run of a sweep with its state: waiting, running, done, skipped or failed."""

    config: RunConfig
    folder: RunFolder
    state: str = "waiting"
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """The name of the run folder."""
        return self.folder.path.name

    @property
    def log_path(self) -> Path:
        """The output of the run."""
        return self.folder.path / "train.log"


@dataclass(frozen=True)
class Request:
    """The settings of a sweep for its executor; see `sweep.sweep`."""

    out: Path
    jobs: int | None = None
    threads: int | None = None
    device: str = "auto"
    data_dir: Path | None = None
    address: str | None = None
    gpus_per_run: float | None = None


class Executor(Protocol):
    """Trains jobs, each in a run folder of the caller.

    It is a context manager that holds the resources. Leaving it stops running jobs,
    which can be resumed from their last epoch.

    Attributes:
        jobs: runs in parallel; known inside the context.
    """

    jobs: int

    def __enter__(self) -> Self:
        """Acquire the resources."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop running jobs and release the resources."""

    def start(self, job: Job) -> None:
        """Start a job, or resume the run in its folder."""

    def poll(self, job: Job) -> str | None:
        """Return 'done' or 'failed' once a started job has ended, else None."""


def epochs_done(job: Job) -> int:
    """Return the finished epochs of a job; all of them if patience ended it."""
    try:
        losses = job.folder.history()["val_loss"]
    except KerasDAEError:
        return 0
    config = job.config
    ended = has_ended(losses, config.epochs, config.patience)
    return config.epochs if config.patience and ended else len(losses)


def last_lines(job: Job, count: int = 5) -> list[str]:
    """Return the last lines of a run's log."""
    try:
        lines = read(job.log_path).decode(errors="replace").strip().splitlines()
    except (OSError, KerasDAEError):
        return ["no log"]
    return lines[-count:] or ["an empty log"]


def last_line(job: Job) -> str:
    """Return the last line of a run's output, which says why it failed."""
    return last_lines(job, 1)[0]


def check_done(jobs: list[Job]) -> None:
    """Raise a `KerasDAEError` that names failed runs, if any, and the reasons."""
    failed = [job for job in jobs if job.state == "failed"]
    if failed:
        reasons = "; ".join(f"{job.name} ({last_line(job)})" for job in failed)
        raise KerasDAEError(
            f"{len(failed)} runs failed, the others are saved: {reasons}"
        )


def job_rows(jobs: list[Job]) -> list[dict[str, Any]]:
    """Return a row per run: name, state, seconds, and the reason of a failure.

    The order is that of the tables, not of the start.
    """
    return [
        {
            "run": str(job.folder.path),
            "state": job.state,
            "seconds": round(job.seconds, 1),
            "reason": last_line(job) if job.state == "failed" else None,
        }
        for job in sorted(jobs, key=lambda job: table_order(job.config))
    ]
