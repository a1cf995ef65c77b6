"""One run's configuration: TOML and options in, checked values out."""

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.images.noise import PAPER_SIGMA, Noise, make_noise
from keras_dae.models.architectures import DAESpec, plan
from keras_dae.storage import reason


class RunConfig(BaseModel):
    """All that a run's numbers depend on, beside backend and hardware.

    Fields stand in the order of `configs/paper.toml`, whose comments give reasons.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    data: str = "auto"
    depth: int = Field(5, ge=1, le=64)
    latent: int = Field(13, ge=1)
    filters: int | None = Field(None, ge=1, le=1024)
    noise: str = "gaussian"
    sigma: float = Field(PAPER_SIGMA, ge=0)
    clip: bool = True
    epochs: int = Field(15, ge=1)
    batch_size: int = Field(64, ge=1)
    learning_rate: float = Field(3e-3, gt=0)
    schedule: Literal["cosine", "constant"] = "cosine"
    seed: int = Field(0, ge=0)
    data_seed: int = Field(0, ge=0)

    def make_noise(self) -> Noise:
        """Return the noise that training and evaluation add."""
        return make_noise(self.noise, sigma=self.sigma, clip=self.clip)

    def plan(self, image_shape: tuple[int, int, int]) -> DAESpec:
        """Return the architecture for images of this shape."""
        return plan(self.depth, self.latent, image_shape, self.filters)


def make_config(*layers: dict[str, Any]) -> RunConfig:
    """Return the configuration in which later layers win over earlier ones.

    Raises:
        UsageError: an unknown key or a value out of range, in one sentence.
    """
    merged = {key: value for layer in layers for key, value in layer.items()}
    try:
        config = RunConfig(**merged)
        config.make_noise()
    except ValidationError as error:
        raise UsageError(_sentence(error)) from error
    return config


def read_toml(path: Path | str) -> dict[str, Any]:
    """Read a TOML file of `RunConfig` keys.

    Raises:
        KerasDAEError: unreadable or not TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise KerasDAEError(f"Cannot read {path}: {reason(error)}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise KerasDAEError(f"{path} is not valid TOML: {error}.") from error


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = ", ".join(RunConfig.model_fields)
        return f"Unknown configuration key {key}. Known keys: {known}."
    rule = first["msg"].removeprefix("Input should be ")
    return f"{key} should be {rule}. Received: {key}={first['input']!r}."
