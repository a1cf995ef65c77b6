"""Train many runs in parallel on an executor; one row of `EXECUTORS` each."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import cache
from importlib import import_module
from pathlib import Path

from rich.progress import Progress, TaskID

from keras_dae.errors import UsageError, check
from keras_dae.images.datasets import load
from keras_dae.system.inside import named
from keras_dae.system.locks import held, tidy
from keras_dae.training.config import RunConfig
from keras_dae.training.jobs import (
    Executor,
    Job,
    Request,
    epochs_done,
    job_rows,
    last_lines,
)
from keras_dae.training.progress import new_progress
from keras_dae.training.records import check_same_data
from keras_dae.training.runs import RunFolder, run_name

__all__ = ["EXECUTORS", "Job", "job_rows", "sweep"]

_POLL_SECONDS = 0.1
# Name -> module and class, imported on request: ray is an optional package.
EXECUTORS = {
    "processes": "keras_dae.training.executors.processes:Processes",
    "ray": "keras_dae.training.executors.ray_cluster:RayCluster",
}


def sweep(
    configs: list[RunConfig],
    out: Path,
    *,
    jobs: int | None = None,
    data_dir: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    executor: str = "processes",
    address: str | None = None,
    gpus_per_run: float | None = None,
) -> list[Job]:
    """Train every configuration, `jobs` in parallel, and return the jobs.

    Finished runs are skipped and interrupted ones are resumed. A failed run does not
    stop the others. Runs start in the given order. The results do not depend on the
    executor, only on backend, hardware and threads.

    Args:
        configs: the runs; `data` must name a data set, not 'auto'.
        out: parent folder of the run folders.
        jobs: runs in parallel. The default is one per core (of this machine or of the
            cluster), and up to three per GPU of this machine, as its free memory
            allows. Each run gets its share of the cores as threads.
        data_dir: folder with the files of the data set.
        device: as in `backend.select`.
        threads: CPU threads per run; the default is its share of the cores.
        executor: a row of `EXECUTORS`: 'processes' on this machine, or 'ray'.
        address: the Ray cluster to join, 'host:port'. The default is the environment
            variable RAY_ADDRESS; if it is unset, a local cluster is started and shut
            down at the end. Only for 'ray'.
        gpus_per_run: GPUs per run; 0.5 for half of one. The default is 1 if the cluster
            has GPUs and `device` is not 'cpu'. Only for 'ray'.

    Raises:
        UsageError: two configurations belong to the same run or have steps instead of
            epochs, the executor is unknown or its package is missing, or no node is
            large enough for a run.
        KerasDAEError: the folder cannot be written or is used by another sweep, or the
            cluster cannot be reached.
    """
    for config in configs:
        check(
            config.steps is None,
            "A sweep takes epochs; `length.by_epochs` converts steps to epochs.",
            steps=config.steps,
        )
        check(
            not config.noisy_files or config.tells_sigma(),
            "A sweep of noisy files needs sigma; see `noisy_files.with_sigma`.",
            noisy_files=config.noisy_files,
        )
    named(out)
    request = Request(out, jobs, threads, device, data_dir, address, gpus_per_run)
    runner = _executor(executor)(request)
    waiting = [Job(c, RunFolder(out / run_name(c, c.data))) for c in configs]
    for name, times in Counter(job.name for job in waiting).items():
        check(
            times == 1, "Two configurations must not belong to the same run.", run=name
        )
    loaded = cache(load)
    for job in waiting:
        if job.folder.config_path.exists() and job.folder.finished(job.config):
            one = job.config
            check_same_data(
                job.folder,
                loaded(one.data, data_dir, one.data_seed, cut=one.make_cut()),
            )
            job.state = "skipped"
            tidy(job.folder.path)
    needed = any(job.state == "waiting" for job in waiting)
    tidy(out)
    holding = held(out, "The folder of runs") if needed else nullcontext()
    with new_progress() as display, holding, runner if needed else nullcontext():
        for _ in _run(waiting, runner, display):
            time.sleep(_POLL_SECONDS)
    return waiting


def _executor(name: str) -> Callable[[Request], Executor]:
    check(
        name in EXECUTORS,
        f"executor must be one of {', '.join(EXECUTORS)}.",
        executor=name,
    )
    module, _, attribute = EXECUTORS[name].partition(":")
    try:
        executor: Callable[[Request], Executor] = getattr(
            import_module(module), attribute
        )
        return executor
    except ImportError as error:
        if error.name != name:
            raise
        raise UsageError(
            f"--executor {name} needs the package {name}, which is not installed. "
            f'Run: pip install "keras-dae[{name}]"'
        ) from error


def _run(all_jobs: list[Job], runner: Executor, display: Progress) -> Iterator[None]:
    """Start and collect jobs; yield while waiting."""
    epochs = sum(job.config.epochs for job in all_jobs)
    overall = display.add_task("all runs", total=epochs, note="")
    bars: dict[str, TaskID] = {}
    # Only the histories of running jobs change, so only these are read again.
    done = {job.name: epochs_done(job) for job in all_jobs}
    while True:
        running = [job for job in all_jobs if job.state == "running"]
        waiting = [job for job in all_jobs if job.state == "waiting"]
        room = max(0, runner.jobs - len(running)) if waiting else 0
        for job in waiting[:room]:
            runner.start(job)
            job.state, job.seconds = "running", time.monotonic()
            bars[job.name] = display.add_task(
                job.name, total=job.config.epochs, note=""
            )
        for job in running:
            done[job.name] = _collect(job, runner, display, bars[job.name])
        states = [job.state for job in all_jobs]
        finished = sum(states.count(state) for state in ("done", "skipped", "failed"))
        display.update(
            overall,
            completed=sum(done.values()),
            note=f"{finished} of {len(all_jobs)} runs",
        )
        if finished == len(all_jobs):
            return
        yield


def _collect(job: Job, runner: Executor, display: Progress, bar: TaskID) -> int:
    """Show the progress of a running job, and its end; return its finished epochs."""
    state = runner.poll(job)
    done = epochs_done(job)
    display.update(bar, completed=done)
    if state is None:
        return done
    job.state = state
    job.seconds = time.monotonic() - job.seconds
    display.remove_task(bar)
    display.console.print(f"{job.name}: {job.state} after {job.seconds:.0f} s")
    if state == "failed":
        tail = "\n".join(f"  {line}" for line in last_lines(job))
        display.console.print(
            f"{job.log_path} ends with\n{tail}", markup=False, soft_wrap=True
        )
    return done
