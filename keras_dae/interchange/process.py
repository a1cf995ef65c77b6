"""A process of one keras backend that runs tasks of `worker` one after the other."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_dae.errors import KerasDAEError
from keras_dae.system.limits import UNBOUNDED, Bounds, bounds_of
from keras_dae.system.own import is_own
from keras_dae.system.walls import Room

# Extra memory and time of a task, compared with opening the file.
MEMORY_TIMES, TIME_TIMES = 4, 12


class Worker(Room):
    """A restricted CPU process of one backend, started by its first task.

    Importing a backend takes longer than most tasks, so tasks of one backend share it.
    A task that kills the process fails alone: the next one starts another.

    Args:
        backend: value of KERAS_BACKEND in the process.
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
        """Run one task and return its result.

        Args:
            task: a function of `worker`.
            bounds: limits; see `bounds_for`.
            model: the file, the first argument of the task.
            name: the format to write or read.
            arguments: further arguments.

        Raises:
            KerasDAEError: it failed, or exceeded the limits.
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
    """Return the limits for tasks on a model; trusted files have none."""
    if is_own(model):
        return UNBOUNDED
    opening = bounds_of(model)
    return Bounds(MEMORY_TIMES * opening.memory, TIME_TIMES * opening.seconds)
