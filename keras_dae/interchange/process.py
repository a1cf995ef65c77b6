"""A process of one keras backend that does one task of `worker` after the other."""

import json
import subprocess
import sys
import tempfile
from typing import Any

from keras_dae.errors import KerasDAEError
from keras_dae.system.lifeline import child_environment


class Worker:
    """A process of one backend, on the CPU; started by its first task.

    Importing a backend takes longer than most tasks, so tasks of one backend share it.
    A task that kills the process fails alone: the next one starts another.

    Args:
        backend: what KERAS_BACKEND is there.
        threads: CPU threads.
    """

    def __init__(self, backend: str, threads: int = 1) -> None:
        self.backend, self.threads = backend, threads
        self._process: subprocess.Popen[str] | None = None
        self._words = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by close)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
        self._words.close()

    def do(self, task: dict[str, Any]) -> dict[str, Any]:
        """Do one task and return its result.

        Raises:
            KerasDAEError: it failed; the last line of what it said.
        """
        process = self._process or self._start()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(task) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:  # it died before it read
            line = ""
        if not line:
            process.communicate()  # which closes its pipes too
            code, self._process = process.returncode, None
            self._words.seek(0)
            said = self._words.read().strip().splitlines()
            raise self._failure(task, said[-1] if said else f"exit code {code}")
        result: dict[str, Any] = json.loads(line)
        if "error" in result:
            raise self._failure(task, result["error"])
        return result

    def _failure(self, task: dict[str, Any], why: str) -> KerasDAEError:
        what = f"{task['format']} on {self.backend} failed to {task['do']}"
        return KerasDAEError(f"{what}: {why[:300]}")

    def _start(self) -> "subprocess.Popen[str]":
        count = str(self.threads)
        environment = {
            **child_environment(),
            "KERAS_BACKEND": self.backend,
            "KERAS_TORCH_DEVICE": "cpu",
            "JAX_PLATFORMS": "cpu",
            "CUDA_VISIBLE_DEVICES": "-1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "OMP_NUM_THREADS": count,
            "TF_NUM_INTRAOP_THREADS": count,
            "TF_NUM_INTEROP_THREADS": count,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "keras_dae.interchange.worker"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            text=True,
        )
        return self._process
