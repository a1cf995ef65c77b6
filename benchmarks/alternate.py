"""Two ways of doing one thing, each in a process of its own, timed in turn.

Other work on the machine then falls on both alike, and what one sets in its process
(threads, memory) does not touch the other. A ratio is taken in each round; the row
gives their median and quartiles. What takes minutes goes on a few seconds at a time,
while the other side is stopped (`in_turns`).
"""

import importlib
import multiprocessing
import os
import signal
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

# A side prepares a measurement. It returns a function that runs the measurement once
# and returns its seconds.
Side = Callable[..., Callable[[], float]]


class Worker:
    """A process in which one side is prepared and then timed, again and again.

    It has its own process group, which includes the processes that it starts.
    """

    def __init__(
        self, side: Side, threads: int, *, warm_up: bool = True, **arguments: Any
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        where = (side.__module__, side.__qualname__)
        self.process = context.Process(
            target=_serve,
            args=(theirs, where, threads, warm_up, arguments),
            daemon=True,
        )
        self.process.start()
        theirs.close()
        self.pipe.recv()  # it is ready

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.pipe.close()
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)
        self.process.join()

    def send(self, sent: signal.Signals) -> None:
        """Send a signal to the process and those that it started."""
        assert self.process.pid is not None
        os.killpg(self.process.pid, sent)

    def run(self) -> float:
        """Return what the side measures in one go."""
        self.pipe.send(True)
        return float(self.pipe.recv())


def in_turns(turns: Sequence[tuple[Worker, float]]) -> list[float]:
    """Return the wall seconds of one go of each worker, one of them at a time.

    Each goes on for so many seconds and is then stopped, until it is the next one's
    turn again. Its own clock does not stop: what counts is measured here.

    Args:
        turns: workers, and the seconds of their turns. In proportion to what they take
            altogether, they end at about the same time.
    """
    spent = [0.0] * len(turns)
    waiting = list(range(len(turns)))
    for worker, _ in turns:
        worker.send(signal.SIGSTOP)
        worker.pipe.send(True)
    while waiting:
        for place in tuple(waiting):
            worker, seconds = turns[place]
            began = time.perf_counter()
            worker.send(signal.SIGCONT)
            if worker.pipe.poll(seconds):
                worker.pipe.recv()
                waiting.remove(place)
            else:
                worker.send(signal.SIGSTOP)
            spent[place] += time.perf_counter() - began
    return spent


def _serve(
    pipe: Connection,
    where: tuple[str, str],
    threads: int,
    warm_up: bool,
    arguments: Any,
) -> None:
    os.setpgid(0, 0)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    from keras_dae.system import backend

    backend.select("auto", threads)
    run = getattr(importlib.import_module(where[0]), where[1])(**arguments)
    if warm_up:
        run()
    pipe.send("ready")
    while True:
        try:
            pipe.recv()
        except EOFError:
            return
        pipe.send(run())


def compare(
    bench: str,
    model: str,
    ours: Side,
    peer: Side,
    *,
    arguments: Mapping[str, Any],
    threads: int | tuple[int, int],
    rounds: int,
) -> dict[str, Any]:
    """Return a row: medians of both sides, and of the ratio with its quartiles.

    `threads` are those of either side, or of ours and of the peer.
    """
    own, others = threads if isinstance(threads, tuple) else (threads, threads)
    with (
        Worker(ours, own, **arguments) as one,
        Worker(peer, others, **arguments) as other,
    ):
        pairs = [(one.run(), other.run()) for _ in range(rounds)]
    return row(bench, model, pairs)


def compare_within(
    bench: str,
    model: str,
    both: Side,
    *,
    arguments: Mapping[str, Any],
    threads: int,
    rounds: int,
    starts: int,
) -> dict[str, Any]:
    """Return a row of two sides that alternate within one process, ours first.

    Use it for differences that are smaller than those between two identical processes,
    which differ by a few per cent because of their placement in memory. Several
    `starts`, each with `rounds` rounds, average this out.
    """
    pairs = []
    for _ in range(starts):
        with Worker(both, threads, **arguments) as worker:
            worker.run()  # the peer's warm-up; ours is behind
            pairs += [(worker.run(), worker.run()) for _ in range(rounds)]
    return row(bench, model, pairs)


def row(bench: str, model: str, pairs: list[tuple[float, float]]) -> dict[str, Any]:
    """Return the row of rounds of (ours, peer)."""
    ratios = [ours / peer for ours, peer in pairs]
    low, middle, high = (
        statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    )
    return {
        "bench": bench,
        "model": model,
        "ours": statistics.median(ours for ours, _ in pairs),
        "peer": statistics.median(peer for _, peer in pairs),
        "ratio": middle,
        "low": low,
        "high": high,
        "rounds": len(pairs),
    }


def conditions() -> dict[str, Any]:
    """Return the versions, the hardware and the commit that rows are measured on."""
    from keras_dae.system import backend

    environment = backend.environment()
    kept = ("versions", "backend", "device", "hardware", "commit")
    return {key: environment[key] for key in kept}


def write_results(
    path: Path, rows: list[dict[str, Any]], measured_on: dict[str, Any]
) -> None:
    """Write rows with the `conditions` that they were measured on.

    These are to be asked for before anything is written: a file written is a change,
    and the commit would say so.
    """
    from keras_dae.system.storage import write_json

    write_json(path, {**measured_on, "rows": rows})
