"""Files: written whole or not at all, read with one clear sentence when damaged."""

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.errors import KerasDAEError
from keras_dae.errors import reason as reason
from keras_dae.locks import temporary

SCHEMA = 1
_HASHED_BYTES = 2**24


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it there only if the block succeeds.

    The temporary file keeps the suffix, since several writers choose their format
    by it. On any error, an interrupt included, it is removed and `path` is untouched.
    What killed processes left in the folder is removed first.
    """
    path = Path(path)
    try:
        with temporary(path) as place:
            yield place
            with place.open("rb") as written:
                os.fsync(written.fileno())
            place.chmod(0o666 & ~_umask())
            place.replace(path)
    except OSError as error:
        raise KerasDAEError(f"Cannot write {path}: {reason(error)}.") from error


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def write_text(path: Path | str, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: dict[str, Any]) -> None:
    """Write `value` to `path` as JSON with `schema` as its first key."""
    write_text(path, dump_json({"schema": SCHEMA, **value}))


def write_csv(path: Path | str, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows of equal keys to `path` as CSV (UTF-8); None is an empty cell."""
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = None
        for row in rows:
            if writer is None:
                writer = csv.DictWriter(file, list(row), lineterminator="\n")
                writer.writeheader()
            writer.writerow(row)


def dump_json(value: Any) -> str:
    """Return `value` as indented JSON; NaN and infinity are refused, not written."""
    return json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def read_json(path: Path | str) -> dict[str, Any]:
    """Read a JSON object that `write_json` wrote.

    Raises:
        KerasDAEError: unreadable, not JSON, not an object, or of another schema.
    """
    path = Path(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except OSError as error:
        raise KerasDAEError(f"Cannot read {path}: {reason(error)}.") from error
    except (ValueError, RecursionError) as error:
        raise KerasDAEError(f"{path} is not valid JSON; it may be damaged.") from error
    if not isinstance(value, dict):
        raise KerasDAEError(f"{path} holds no JSON object.")
    if value.get("schema") != SCHEMA:
        raise KerasDAEError(
            f"{path} has schema {value.get('schema')!r}; "
            f"this version of keras_dae reads schema {SCHEMA}."
        )
    return value


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def array_sha256(*arrays: Any) -> str:
    """Return the sha256 over dtype, shape and bytes of each array, in order.

    The hash is of the content, so it does not depend on the file that held it, nor on
    whether the array is in memory: it is taken block by block along the first axis.
    """
    digest = hashlib.sha256()
    for array in arrays:
        itemsize = array.dtype.itemsize
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        rows = array.shape[0] if array.shape else 1
        step = max(1, _HASHED_BYTES // max(1, array.size // max(1, rows) * itemsize))
        for start in range(0, rows, step):
            block = array[start : start + step] if array.shape else array
            digest.update(np.ascontiguousarray(block).data)
    return digest.hexdigest()
