"""Uncertainty as JSON values, for the card of a model and for `uncertainty.json`.

A card can be untrusted, so each number is checked before it is used.
"""

import base64
import binascii
from typing import Any, Literal

import keras
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from keras_dae.errors import KerasDAEError
from keras_dae.system.storage import array_sha256, dump_json
from keras_dae.uncertainty.calibrate import Uncertainty
from keras_dae.uncertainty.groups import MOST_GROUPS, Groups
from keras_dae.uncertainty.intervals import Intervals
from keras_dae.uncertainty.spread import ENTRIES, shapes, with_weights

KEY = "uncertainty"  # key in a card
# Limits beyond any calibration, to prevent overflow.
MOST_LOGARITHM, MOST_FACTOR, MOST_WEIGHT = 100.0, 1e13, 1e4
DAMAGED = "The calibration of the model is damaged: {}. Calibrate it again."


class _Record(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
    model: str
    level: float = Field(gt=0, lt=1)
    confidence: float = Field(gt=0, lt=1)
    certified: float = Field(gt=0, le=1)
    channels: Literal[1, 3]
    table: tuple[list[float], list[float]]
    weights: str = Field(max_length=1 << 16)
    dark: list[float] = Field(max_length=MOST_GROUPS)
    bright: list[float] = Field(max_length=MOST_GROUPS)
    factors: list[float] = Field(max_length=2 * MOST_GROUPS)
    usual: dict[Literal["sigma", "mean", "std"], tuple[float, float]]
    facts: dict[str, Any]


def weights_sha256(model: keras.Model) -> str:
    """Return a hash of a model's weights, 16 characters."""
    return array_sha256(*map(np.asarray, model.get_weights()))[:16]


def to_json(found: Uncertainty, model: keras.Model) -> dict[str, Any]:
    """Return the uncertainty of a model as JSON values."""
    groups, intervals = found.intervals.groups, found.intervals
    weights = [
        one.astype("<f4").tobytes() for one in found.spread.network.get_weights()
    ]
    return {
        "model": weights_sha256(model),
        "level": found.level,
        "confidence": found.confidence,
        "certified": intervals.certified,
        "channels": found.spread.channels,
        "table": [row.tolist() for row in found.spread.table],
        "weights": base64.b64encode(b"".join(weights)).decode("ascii"),
        "dark": groups.dark.tolist(),
        "bright": groups.bright.tolist(),
        "factors": intervals.factors.tolist(),
        "usual": {key: list(ends) for key, ends in found.usual.items()},
        "facts": found.facts,
    }


def from_json(record: Any, model: keras.Model) -> Uncertainty:
    """Return the uncertainty of a model from the result of `to_json`.

    Raises:
        KerasDAEError: the record is damaged, or belongs to other weights.
    """
    try:
        if isinstance(record, dict):  # a separate file also has a schema
            record = {key: record[key] for key in record if key != "schema"}
        read = _Record.model_validate_json(dump_json(record))
    except (ValidationError, ValueError) as error:
        raise KerasDAEError(DAMAGED.format(_first(error))) from error
    if read.model != weights_sha256(model):
        raise KerasDAEError(
            f"The intervals of {model.name} were calibrated with other weights. "
            "Calibrate it again."
        )
    groups = Groups(_ascending(read.dark), _ascending(read.bright))
    places, logarithms = read.table
    factors = np.array(read.factors)
    sound = (
        0 < len(places) == len(logarithms) <= ENTRIES
        and max(map(abs, places + logarithms)) <= MOST_LOGARITHM
        and len(factors) == len(groups)
        and bool(((factors >= 0) & (factors <= MOST_FACTOR)).all())
    )
    if not sound or set(read.usual) not in (set(), {"sigma", "mean", "std"}):
        raise KerasDAEError(DAMAGED.format("its lists are inconsistent"))
    table = np.array([_ascending(places), logarithms])
    return Uncertainty(
        with_weights(table, _weights(read), read.channels),
        Intervals(groups, factors, read.certified),
        read.level,
        read.confidence,
        {str(key): ends for key, ends in read.usual.items()},
        read.facts,
    )


def _weights(read: _Record) -> list[np.ndarray]:
    """Return the weights of the network, in the shapes of its layers."""
    try:
        content = base64.b64decode(read.weights, validate=True)
    except (binascii.Error, ValueError) as error:
        raise KerasDAEError(DAMAGED.format("its weights are not base64")) from error
    wanted = shapes(read.channels)
    sizes = [int(np.prod(shape)) for shape in wanted]
    if len(content) != 4 * sum(sizes):
        raise KerasDAEError(DAMAGED.format("its weights have another size"))
    flat = np.frombuffer(content, "<f4")
    if not np.abs(flat).max() <= MOST_WEIGHT:
        raise KerasDAEError(DAMAGED.format("its weights are not finite or too large"))
    parts = np.split(flat, np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, wanted, strict=True)]


def _ascending(values: list[float]) -> np.ndarray:
    found = np.array(values, np.float64)
    if not (np.diff(found) > 0).all():
        raise KerasDAEError(DAMAGED.format("a list is not ascending"))
    return found


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error)
