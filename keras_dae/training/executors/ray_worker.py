"""The task that trains one run on a node of a Ray cluster.

The node may share no file system with the caller, so that a run is sent and returned as
bytes. It is trained in a temporary folder of the node.
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
# The files of a run in the order in which they are written. The model is last, so that
# a partly written folder is never mistaken for a finished run.
FILES = (
    *("config.json", "environment.json", LOG, "history.json", "best.keras"),
    "model.keras",
)
# Files that are reported after each epoch, even if models are transferred slowly.
_LIGHT = (LOG, "history.json")


@dataclass(frozen=True)
class Order:
    """One run as it is sent to a node.

    Attributes:
        config: what to train, and how.
        folder: the run folder of the caller, for messages.
        files: content of that folder: name -> content.
        attempt: how often the run was submitted.
        backend: the backend of keras.
        device: as in `backend.select`.
        threads: CPU threads of the run.
        share: GPUs of the run; below 1 it shares one.
        data_dir: data folder of the caller, which is also tried on the node.
        sha256: required hash of the data set.
        commit: commit of the code that is sent.
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
    """The end of a run: 'done', 'failed' or 'no data', and the files of its folder."""

    state: str
    files: dict[str, bytes]


class Post:
    """Stores what runs report after their epochs until the caller fetches it."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[int, dict[str, bytes]]] = {}

    def put(self, name: str, attempt: int, files: dict[str, bytes]) -> None:
        """Store the files of a run; newer ones replace older ones."""
        held_attempt, held = self._held.get(name, (attempt, {}))
        kept = held if held_attempt == attempt else {}
        self._held[name] = attempt, {**kept, **files}

    def take(self) -> dict[str, tuple[int, dict[str, bytes]]]:
        """Return and remove the stored files, by the name of the run."""
        held, self._held = self._held, {}
        return held


class Reporter(FitProgress):
    """Writes a line per epoch and reports the resumable run to the caller.

    Models are transferred while training continues. If a transfer takes longer than an
    epoch, some epochs are skipped.
    """

    def __init__(self, order: Order, folder: RunFolder, post: Any, **sizes: Any):
        super().__init__(**sizes)
        self._order, self._folder, self._post = order, folder, post
        self._sent: Any = None

    def epoch(self, number: int, entry: dict[str, Any]) -> None:
        """Report epoch `number` (from 1)."""
        super().epoch(number, entry)
        if number == self.epochs:
            return  # the result follows
        ready = self._sent is None or ray.wait([self._sent], timeout=0)[0]
        files = _read(self._folder, self._order, FILES if ready else _LIGHT)
        name = self._folder.path.name
        sent = self._post.put.remote(name, self._order.attempt, files)
        self._sent = sent if ready else self._sent


def train(order: Order, arrays: list[Any], post: Any) -> Answer:
    """Train a run and return its files.

    Args:
        order: the run.
        arrays: the content of the data set as a Ray reference, or empty. If it is empty
            and the node does not have the data, the result is 'no data'.
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
            except Exception:  # any other error fails this run, not the sweep
                traceback.print_exc()
                state = "failed"
        return Answer(state, _read(folder, order, FILES))


def _settle(order: Order) -> None:
    """Configure this process, which runs one task, like `keras-dae train`."""
    os.environ["KERAS_BACKEND"] = order.backend
    if order.commit is not None:
        os.environ["KERAS_DAE_COMMIT"] = order.commit
    if order.share < 1:
        # Processes that share a GPU must not allocate all of its memory.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    sys.argv = ["keras-dae", "train", *option_arguments(order.config)]
    sys.argv += ["--out", str(Path(order.folder).parent)]
    sys.argv += ["--threads", str(order.threads), "--device", order.device]


def _splits(order: Order, arrays: list[Any]) -> Splits | None:
    """Return the data that were sent, else those of the node if they are the same."""
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
    images = config.epoch_images(len(splits.train))
    sizes = {"label": label, "epochs": config.epochs, "images": images}
    with Reporter(order, folder, post, **sizes) as progress:
        fit(config, splits, folder.path.parent, resume=True, progress=progress)


def _read(folder: RunFolder, order: Order, names: tuple[str, ...]) -> dict[str, bytes]:
    """Return the files of the folder; the log refers to the folder of the caller."""
    paths = [folder.path / name for name in names]
    files = {path.name: path.read_bytes() for path in paths if path.exists()}
    if LOG in files:
        files[LOG] = files[LOG].replace(
            str(folder.path).encode(), order.folder.encode()
        )
    return files
