"""Write `environment.json`: the properties of the machine that affect a run."""

from pathlib import Path
from typing import Any

import keras

from keras_dae.errors import check
from keras_dae.system import backend
from keras_dae.system.storage import read_json, write_json
from keras_dae.training.config import RunConfig


class MachineRecord(keras.callbacks.Callback):  # type: ignore[misc]  # keras is untyped
    """Callback that records the environment, and how steps are computed.

    The latter is known before the first step, and can change when a step is captured.
    """

    def __init__(self, path: Path, deterministic: bool, sha256: str) -> None:
        super().__init__()
        self.path, self.deterministic, self.sha256 = path, deterministic, sha256
        self._noted: dict[str, Any] = {}

    def note(self, model: keras.Model) -> None:
        """Write the environment if it is missing or the steps have changed."""
        steps = steps_of(model)
        if self.path.exists() and steps == (self._noted or steps):
            self._noted = steps
            return
        known = read_json(self.path) if self._noted else backend.environment()
        same_bits = self.deterministic or "cuda" not in backend.device()
        self._noted = steps
        write_json(
            self.path,
            {
                **known,
                "data_sha256": self.sha256,
                "steps": steps,
                "resumes_to_same_bits": same_bits,
            },
        )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Update the record of how steps are computed."""
        self.note(self.model)


def check_machine(config: RunConfig) -> None:
    """Raise an error if the backend does not support the configuration.

    Raises:
        UsageError: deterministic kernels are requested without torch.
    """
    check(
        backend.name() == "torch" or not config.deterministic,
        f"deterministic must be false on {backend.name()}; it needs torch.",
        deterministic=config.deterministic,
    )


def steps_of(model: keras.Model) -> dict[str, Any]:
    """Return how training steps are computed: `kind`, and `why` it is not a faster one.

    See `keras_dae.training.fast.steps.describe_steps`.
    """
    if backend.name() != "torch":
        why = f"The fast steps need torch. The backend is {backend.name()}."
        return {"kind": "keras", "why": why}
    from keras_dae.training.fast.steps import describe_steps

    return describe_steps(model)
