"""What happens on a node of a Ray cluster: one run, from an order to an answer.

The node may share no file system with the caller, so that a run comes and goes as
bytes; it is trained in a temporary folder of the node.
"""

import os
import platform
import sys
import tempfile
import traceback
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from keras_dae.errors import KerasDAEError
from keras_dae.images.datasets import Splits, load, split
from keras_dae.system import backend
from keras_dae.training.config import RunConfig, option_arguments
from keras_dae.training.progress import FitProgress
from keras_dae.training.runs import RunFolder, run_name

LOG = "train.log"
# A run's files in the order in which they are written: the model last, so that a
# folder that was written in part is never taken for a finished run.
FILES = (
    *("config.json", "environment.json", LOG, "history.json", "best.keras"),
    "model.keras",
)
# What follows a run in each epoch, however slowly its models travel.
_LIGHT = (LOG, "history.json")


@dataclass(frozen=True)
class Order:
    """One run as it is sent to a node.

    Attributes:
        config: what to train, and how.
        folder: the run folder of the caller, as messages name it.
        files: what that folder holds already: name -> content.
        attempt: counts how often the run was sent.
        backend: keras's backend.
        device: what `backend.select` takes.
        threads: CPU threads of the run.
        share: GPUs that the run was given; below 1 it shares one.
        data_dir: the caller's folder of data, tried on the node too.
        sha256: hash of the content that the data set must have.
        commit: commit of the code that is sent along.
    """

    config: RunConfig
    folder: str
    files: dict[str, bytes]
    attempt: int
    backend: str
    device: str
    threads: int
    share: float
    data_dir: str | None
    sha256: str
    commit: str | None


@dataclass(frozen=True)
class Answer:
    """How a run ended: 'done', 'failed' or 'no data', and its folder's files."""

    state: str
    files: dict[str, bytes]


class Post:
    """Keeps what runs hand over after their epochs until the caller takes it."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[int, dict[str, bytes]]] = {}

    def put(self, name: str, attempt: int, files: dict[str, bytes]) -> None:
        """Keep the files of a run; newer ones take the place of older ones."""
        held_attempt, held = self._held.get(name, (attempt, {}))
        kept = held if held_attempt == attempt else {}
        self._held[name] = attempt, {**kept, **files}

    def take(self) -> dict[str, tuple[int, dict[str, bytes]]]:
        """Return what is kept, by the run's name, and keep it no longer."""
        held, self._held = self._held, {}
        return held


class Reporter(FitProgress):
    """Writes a line an epoch and hands the resumable run over to the caller.

    The models travel while training goes on; where they take longer than an epoch,
    some epochs are left out.
    """

    def __init__(self, order: Order, folder: RunFolder, post: Any, **sizes: Any):
        super().__init__(**sizes)
        self._order, self._folder, self._post = order, folder, post
        self._sent: Any = None

    def epoch(self, number: int, entry: dict[str, Any]) -> None:
        """Say what epoch `number` (from 1) gave."""
        super().epoch(number, entry)
        if number == self.epochs:
            return  # the answer follows
        ready = self._sent is None or ray.wait([self._sent], timeout=0)[0]
        files = _read(self._folder, self._order, FILES if ready else _LIGHT)
        name = self._folder.path.name
        sent = self._post.put.remote(name, self._order.attempt, files)
        self._sent = sent if ready else self._sent


def train(order: Order, arrays: list[Any], post: Any) -> Answer:
    """Train a run as ordered and return its files.

    Args:
        order: the run.
        arrays: the data set's content as a Ray reference, or empty: then the node
            must find the data, and the answer is 'no data' where it does not.
        post: the actor of `Post`.
    """
    _settle(order)
    with tempfile.TemporaryDirectory(prefix="keras-dae-") as out:
        name = run_name(order.config, order.config.data)
        folder = RunFolder(Path(out) / name)
        folder.path.mkdir()
        for part, content in order.files.items():
            (folder.path / part).write_bytes(content)
        with (
            (folder.path / LOG).open("a", encoding="utf-8", buffering=1) as log,
            redirect_stdout(log),
            redirect_stderr(log),
        ):
            try:
                splits = _splits(order, arrays)
                if splits is None:
                    return Answer("no data", {})
                _fit(order, splits, folder, post)
                state = "done"
            except KerasDAEError as error:
                print(f"Error: {error}")
                state = "failed"
            except Exception:  # any other is the run's failure too, not the sweep's
                traceback.print_exc()
                state = "failed"
        return Answer(state, _read(folder, order, FILES))


def _settle(order: Order) -> None:
    """Make this process, which is used for one run, that of `keras-dae train`."""
    os.environ["KERAS_BACKEND"] = order.backend
    if order.commit is not None:
        os.environ["KERAS_DAE_COMMIT"] = order.commit
    if order.share < 1:
        # Those who share a GPU must not take all of its memory at once.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    sys.argv = ["keras-dae", "train", *option_arguments(order.config)]
    sys.argv += ["--out", str(Path(order.folder).parent)]
    sys.argv += ["--threads", str(order.threads), "--device", order.device]


def _splits(order: Order, arrays: list[Any]) -> Splits | None:
    """Return the data: that which was sent, else that of the node if it is the same."""
    config = order.config
    if arrays:
        return split(config.data, ray.get(arrays[0]), order.sha256, config.data_seed)
    there = order.data_dir is not None and Path(order.data_dir).is_dir()
    try:
        data_dir = order.data_dir if there else None
        cut = config.make_cut()
        found = load(config.data, data_dir, config.data_seed, seconds=0, cut=cut)
    except KerasDAEError:
        return None
    return found if found.sha256 == order.sha256 else None


def _fit(order: Order, splits: Splits, folder: RunFolder, post: Any) -> None:
    backend.select(order.device, order.threads)
    node = ray.get_runtime_context().get_node_id()
    print(f"{backend.summary()}; {platform.node()}, Ray node {node}")
    from keras_dae.training.fitting import fit

    config = order.config
    label = config.plan(splits.image_shape).name
    sizes = {"label": label, "epochs": config.epochs, "images": len(splits.train)}
    with Reporter(order, folder, post, **sizes) as progress:
        fit(config, splits, folder.path.parent, resume=True, progress=progress)


def _read(folder: RunFolder, order: Order, names: tuple[str, ...]) -> dict[str, bytes]:
    """Return the folder's files; the log names the caller's folder, not this one."""
    paths = [folder.path / name for name in names]
    files = {path.name: path.read_bytes() for path in paths if path.exists()}
    if LOG in files:
        files[LOG] = files[LOG].replace(
            str(folder.path).encode(), order.folder.encode()
        )
    return files
