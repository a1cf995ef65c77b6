"""A process of one keras backend that does one task of `worker` after the other."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_dae.errors import KerasDAEError
from keras_dae.system.limits import UNBOUNDED, Bounds, bounds_of
from keras_dae.system.own import is_own
from keras_dae.system.walls import Room

# How much more a task may take than opening the file.
MEMORY_TIMES, TIME_TIMES = 4, 12


class Worker(Room):
    """A process with walls, of one backend, on the CPU; started by its first task.

    Importing a backend takes longer than most tasks, so tasks of one backend share it.
    A task that kills the process fails alone: the next one starts another.

    Args:
        backend: what KERAS_BACKEND is there.
        threads: CPU threads.
    """

    def __init__(self, backend: str, threads: int = 1) -> None:
        count = str(threads)
        environment = {
            "KERAS_BACKEND": backend,
            "KERAS_TORCH_DEVICE": "cpu",
            "JAX_PLATFORMS": "cpu",
            "CUDA_VISIBLE_DEVICES": "-1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "OMP_NUM_THREADS": count,
            "TF_NUM_INTRAOP_THREADS": count,
            "TF_NUM_INTEROP_THREADS": count,
        }
        super().__init__("keras_dae.interchange.worker:prepare", environment)
        self.backend, self.threads = backend, threads

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def do(
        self, task: str, bounds: Bounds, model: Path, name: str, *arguments: Any
    ) -> Any:
        """Do one task and return its result.

        Args:
            task: a function of `worker`.
            bounds: what it may take; see `bounds_for`.
            model: the file that it begins with.
            name: the format that it writes or reads.
            arguments: what else it takes.

        Raises:
            KerasDAEError: it failed, or took more than the bounds.
        """
        try:
            return self.call(
                f"keras_dae.interchange.worker:{task}",
                *(str(model), name, *arguments),
                bounds=replace(bounds, threads=self.threads),
                refuse=lambda words: KerasDAEError(f"{model} {words}."),
            )
        except KerasDAEError as error:
            what = f"{name} on {self.backend} failed to {task}"
            raise KerasDAEError(f"{what}: {error}") from None


def bounds_for(model: Path) -> Bounds:
    """Return what each task of a model may take; the user's own is not bounded."""
    if is_own(model):
        return UNBOUNDED
    opening = bounds_of(model)
    return Bounds(MEMORY_TIMES * opening.memory, TIME_TIMES * opening.seconds)
