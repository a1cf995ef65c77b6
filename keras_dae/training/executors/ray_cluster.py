"""Run a sweep on a Ray cluster, one task per run with its cores and GPUs.

The nodes of the cluster need the dependencies of this package. The code of the package,
and data that a node does not have, are sent to the nodes.
"""

import logging
import os
import signal
import socket
import sys
import threading
from contextlib import ExitStack, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

# Read when ray is imported: no telemetry, and longer timeouts for slow machines.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ.setdefault("RAY_raylet_start_wait_time_s", "300")
os.environ.setdefault("RAY_agent_register_timeout_ms", "300000")

import ray
from ray.cluster_utils import Cluster
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from keras_dae.errors import KerasDAEError, UsageError, check
from keras_dae.images import datasets
from keras_dae.system import backend
from keras_dae.system.inside import read
from keras_dae.system.private import ray_gpus
from keras_dae.system.storage import replacing
from keras_dae.training.executors import ray_worker
from keras_dae.training.jobs import Job, Request, epochs_done

_PACKAGE = Path(backend.__file__).parents[1]
# How often a run can be lost without a new epoch in between. Nodes fail, but a run that
# always kills its process must not be restarted forever.
_LOSSES = 3
# Ports of a node's helper processes. If they are given, ray does not wait for reports.
_PORTS = (
    *("metrics_export_port", "metrics_agent_port"),
    *("dashboard_agent_listen_port", "runtime_env_agent_port"),
)
_STATE_SECONDS = 30.0


@dataclass
class _Run:
    """A submitted job: its task and its state."""

    job: Job
    task: Any = None
    attempt: int = 0
    losses: int = 0
    epochs: int = 0


class RayCluster:
    """Trains each job as one Ray task, on any node with enough resources.

    The run is sent back after each epoch, so that it can continue elsewhere if its node
    fails. A cluster that was started here ends with the context.

    Args:
        request: `jobs` defaults to one per core of the cluster, `threads` to the share
            of the cores. A task reserves `threads` cores.
    """

    def __init__(self, request: Request) -> None:
        share = request.gpus_per_run
        check(
            share is None or (share > 0 and (share <= 1 or share == int(share))),
            "--gpus-per-run must be at most 1 or a whole number.",
            gpus_per_run=share,
        )
        check(
            share is None or request.device != "cpu",
            "--gpus-per-run and --device cpu contradict each other.",
            gpus_per_run=share,
        )
        self.jobs = 0
        self._request = request
        self._runs: dict[str, _Run] = {}
        self._data: dict[tuple[str, Any], list[Any]] = {}
        self._sha256: dict[tuple[str, Any], str] = {}
        self._letters: Any = None
        self._leaving = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._connect()
            self._plan()
        except BaseException:
            self._leaving.close()
            raise
        return self

    def _connect(self) -> None:
        """Join a cluster or start one, and register how to leave it.

        Raises:
            KerasDAEError: it cannot be reached or started.
        """
        if ray.is_initialized():
            return  # the code that joined it also leaves it
        address = self._request.address or os.environ.get("RAY_ADDRESS")
        in_main = threading.current_thread() is threading.main_thread()
        handler = signal.getsignal(signal.SIGTERM) if in_main else None
        try:
            sent = {"py_modules": [str(_PACKAGE)]} if address else None
            ray.init(
                address=address or self._start_local(),
                runtime_env=sent,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except Exception as error:  # ray raises many kinds of exceptions
            what = f"join the Ray cluster at {address}" if address else "start Ray"
            first = str(error).strip().partition("\n")[0]
            raise KerasDAEError(f"Cannot {what}: {first}") from error
        finally:
            if in_main:  # ray replaces the handler
                signal.signal(signal.SIGTERM, handler)
        # Ray reports dead nodes on standard output, which is reserved for results. It
        # also does so while disconnecting, so the redirection ends after that.
        self._leaving.enter_context(redirect_stdout(sys.stderr))
        self._leaving.callback(_leave)

    def _start_local(self) -> str:
        """Start a cluster of one node on this machine and return its address."""
        cores = backend.available_cores()
        jobs = self._request.jobs or cores
        threads = self._request.threads or max(1, cores // jobs)
        gpus = 0
        if self._request.device != "cpu":
            gpus = ray_gpus()
        node = {
            "num_cpus": max(cores, jobs * threads),
            "num_gpus": gpus,
            **free_ports(),
        }
        cluster = Cluster(
            initialize_head=True,
            head_node_args={**node, "include_dashboard": False},
        )
        self._leaving.callback(cluster.head_node.kill_all_processes, check_alive=False)
        return str(cluster.address)

    def _plan(self) -> None:
        """Divide the cluster among the runs, according to the request.

        Raises:
            UsageError: no node is large enough for a run.
        """
        request = self._request
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        cores = [int(node.get("CPU", 0)) for node in nodes]
        has_gpus = any(node.get("GPU", 0) > 0 for node in nodes)
        if not has_gpus and (request.device == "cuda" or request.gpus_per_run):
            raise UsageError("GPUs were requested, but the Ray cluster has none.")
        with_gpus = has_gpus and request.device != "cpu"
        self._share = (request.gpus_per_run or 1.0) if with_gpus else 0.0
        self.jobs = request.jobs or max(1, sum(cores))
        fair = min(sum(cores) // self.jobs, max(cores))
        self._threads = request.threads or max(1, fair)
        if not any(
            node.get("CPU", 0) >= self._threads and node.get("GPU", 0) >= self._share
            for node in nodes
        ):
            raise UsageError(
                f"No node of the Ray cluster has the {self._threads} cores and "
                f"{self._share:g} GPUs that each run needs. Change --threads or "
                "--gpus-per-run."
            )
        self._task = ray.remote(
            num_cpus=self._threads,
            num_gpus=self._share,
            max_calls=1,  # a new process each: threads and device are set only once
            max_retries=0,  # a lost run is resubmitted here, with its last epoch
            scheduling_strategy="SPREAD",
        )(ray_worker.train)
        here = ray.get_runtime_context().get_node_id()
        self._post = ray.remote(
            num_cpus=0,
            max_restarts=-1,
            scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=True),
        )(ray_worker.Post).remote()

    def start(self, job: Job) -> None:
        """Submit a job with the content of its folder.

        Raises:
            KerasDAEError: the folder or the data cannot be read or written.
        """
        run = self._runs[job.name] = _Run(job, epochs=epochs_done(job))
        self._send(run)

    def _send(self, run: _Run) -> None:
        job, request = run.job, self._request
        data = _data_of(job)
        if data not in self._sha256:
            self._sha256[data] = self._content(job)[2]
        run.attempt += 1
        order = ray_worker.Order(
            config=job.config,
            folder=str(job.folder.path),
            files=_read(job),
            attempt=run.attempt,
            backend=backend.name(),
            device=request.device,
            threads=self._threads,
            share=self._share,
            data_dir=str(request.data_dir) if request.data_dir else None,
            sha256=self._sha256[data],
            commit=backend.commit(),
        )
        run.task = self._task.remote(order, self._data.get(data, []), self._post)

    def _content(self, job: Job) -> Any:
        config = job.config
        return datasets.read(config.data, self._request.data_dir, cut=config.make_cut())

    def poll(self, job: Job) -> str | None:
        """Return 'done' or 'failed' once a job has ended, else None.

        Raises:
            KerasDAEError: its files cannot be written.
        """
        self._open_letters()
        run = self._runs[job.name]
        if run.task is None or not ray.wait([run.task], timeout=0)[0]:
            return None
        try:
            answer = ray.get(run.task)
        except (
            RayTaskError
        ) as error:  # before the run itself, such as a missing package
            return self._fail(run, str(error).strip().splitlines()[-1])
        except RayError as error:
            return self._lost(run, error)
        if answer.state == "no data":
            data = _data_of(job)
            if data not in self._data:
                self._data[data] = [ray.put(self._content(job)[1])]
            self._send(run)
            return None
        _write(job, answer.files)
        return self._end(run, answer.state)

    def _lost(self, run: _Run, error: RayError) -> str | None:
        """Resubmit a run whose node or process failed, from its last epoch."""
        self._open_letters(wait=True)
        done = epochs_done(run.job)
        run.losses = run.losses + 1 if done <= run.epochs else 1
        run.epochs = done
        if run.losses >= _LOSSES:
            kind = type(error).__name__
            return self._fail(run, f"Error: lost {_LOSSES} times in one epoch ({kind})")
        _note(run.job, f"Lost with its node or process after {done} epochs; restarted.")
        self._send(run)
        return None

    def _fail(self, run: _Run, reason: str) -> str:
        _note(run.job, reason)
        return self._end(run, "failed")

    def _end(self, run: _Run, state: str) -> str:
        run.task = None
        return state

    def _open_letters(self, wait: bool = False) -> None:
        """Write what runs have reported; at most one request is pending."""
        if self._letters is None:
            self._letters = self._post.take.remote()
        if not ray.wait([self._letters], timeout=_STATE_SECONDS if wait else 0)[0]:
            return
        letters, self._letters = self._letters, None
        with suppress(RayError):  # the node of the actor failed; it restarts empty
            for name, (attempt, files) in ray.get(letters).items():
                run = self._runs[name]
                if run.task is not None and run.attempt == attempt:
                    _write(run.job, files)
        if wait:  # reports after that request
            self._letters = self._post.take.remote()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._leaving, suppress(RayError):
            running = [run for run in self._runs.values() if run.task is not None]
            for run in running:
                ray.cancel(run.task, force=True)
            if running:
                self._open_letters(wait=True)
                self._open_letters(wait=True)
            ray.kill(self._post)


def free_ports() -> dict[str, int]:
    """Return free ports for the helper processes of a node, by their names.

    A node without given ports waits up to 15 seconds for its helpers to report theirs,
    and fails if a busy machine takes longer.
    """
    with ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in _PORTS]
        for one in found:
            one.bind(("", 0))
        return dict(zip(_PORTS, (one.getsockname()[1] for one in found), strict=True))


def _leave() -> None:
    """Disconnect; errors of ray must not keep a local cluster alive."""
    with suppress(Exception):
        ray.shutdown()


def _data_of(job: Job) -> tuple[str, Any]:
    """Return a key that identifies the data of a job."""
    return job.config.data, job.config.make_cut()


def _read(job: Job) -> dict[str, bytes]:
    paths = [job.folder.path / name for name in ray_worker.FILES]
    try:
        return {path.name: read(path) for path in paths if path.exists()}
    except OSError as error:
        raise KerasDAEError(
            f"Cannot read {job.folder.path}: {error.strerror}."
        ) from error


def _write(job: Job, files: dict[str, bytes]) -> None:
    """Write the files of a run, each one atomically, in the order of `FILES`."""
    for name in ray_worker.FILES:
        if name in files:
            with replacing(job.folder.path / name) as temporary:
                temporary.write_bytes(files[name])


def _note(job: Job, line: str) -> None:
    log = read(job.log_path) if job.log_path.exists() else b""
    _write(job, {ray_worker.LOG: log + line.encode() + b"\n"})
