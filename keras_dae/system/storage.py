"""Read and write files: writes are atomic, and damaged files give a clear message."""

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.errors import KerasDAEError
from keras_dae.errors import reason as reason
from keras_dae.system.inside import read
from keras_dae.system.locks import temporary

SCHEMA = 1
MAX_JSON = 4 << 20  # in memory it can be 30 times as large
MAX_DEPTH = 64
_HASHED_BYTES = 2**24
FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # first characters of spreadsheet formulas


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path next to `path`; move it there only if the block succeeds.

    The temporary file keeps the suffix, since several writers choose their format by
    it. On any error, including an interrupt, it is removed and `path` is not changed.
    Files that killed processes left in the folder are removed first.
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


def is_file(path: Path | str) -> bool:
    """Return whether there is a file; an invalid name is not an error."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # too long, with a NUL, or in a folder without access
        return False


def is_dir(path: Path | str) -> bool:
    """Return whether there is a folder; see `is_file`."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def write_text(path: Path | str, text: str) -> None:
    """Write `text` to `path` as UTF-8, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: dict[str, Any]) -> None:
    """Write `value` to `path` as JSON with `schema` as its first key.

    Raises:
        KerasDAEError: the file would be too large for `read_json`; nothing is written.
    """
    text = dump_json({"schema": SCHEMA, **value})
    content = text.encode("utf-8", "surrogatepass")
    if len(content) > MAX_JSON:
        raise KerasDAEError(
            f"{path} would take {len(content):,} bytes; a JSON file can have at most "
            f"{MAX_JSON:,}."
        )
    try:
        parse_json(content)
    except ValueError as error:
        raise KerasDAEError(f"Cannot write {path}: {error}.") from error
    write_text(path, text)


def write_csv(path: Path | str, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows with equal keys to `path` as CSV (UTF-8); None is an empty cell."""
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = None
        for row in rows:
            if writer is None:
                writer = csv.DictWriter(file, list(row), lineterminator="\n")
                writer.writeheader()
            writer.writerow({key: _cell(value) for key, value in row.items()})


def _cell(value: Any) -> Any:
    """Return a table value; text never becomes a spreadsheet formula."""
    if isinstance(value, str) and value.startswith(FORMULAS):
        return f"'{value}"
    return value


def dump_json(value: Any) -> str:
    """Return `value` as indented JSON; NaN and infinity raise an error."""
    return json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def read_json(path: Path | str) -> dict[str, Any]:
    """Read a JSON object that `write_json` wrote.

    Raises:
        KerasDAEError: the file is a link, unreadable, not a JSON object, or has another
            schema.
    """
    path = Path(path)
    try:
        content = read(path, MAX_JSON)
    except OSError as error:
        raise KerasDAEError(f"Cannot read {path}: {reason(error)}.") from error
    return parse_record(content, str(path))


def parse_record(content: bytes, source: str) -> dict[str, Any]:
    """Parse a JSON object with a schema, such as `write_json` writes.

    Args:
        content: the JSON text.
        source: where it comes from, for messages.

    Raises:
        KerasDAEError: it is not a JSON object, or has another schema.
    """
    try:
        value = parse_json(content)
    except KerasDAEError:
        raise  # also a ValueError, but its message is complete
    except ValueError as error:
        raise KerasDAEError(
            f"{source} is not valid JSON; it may be damaged."
        ) from error
    if not isinstance(value, dict):
        raise KerasDAEError(f"{source} is not a JSON object.")
    if type(value.get("schema")) is not int or value["schema"] != SCHEMA:
        raise KerasDAEError(
            f"{source} has schema {repr(value.get('schema'))[:40]}; "
            f"this version of keras_dae reads schema {SCHEMA}."
        )
    return value


@contextmanager
def content_errors(path: Path | str) -> Iterator[None]:
    """Turn errors about the content of a file into one message.

    This is for files with many fields, which are checked by being used: a field can be
    missing, have another type, or contradict others.

    Raises:
        KerasDAEError: such an error came out of the block.
    """
    try:
        yield
    except KerasDAEError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as e:
        words = (str(e).strip().splitlines() or [""])[0][:120]
        raise KerasDAEError(
            f"{path} has unexpected content ({type(e).__name__}: {words}); it may be "
            "damaged."
        ) from e


def parse_json(content: bytes) -> Any:
    """Return the JSON value in `content`, with the restrictions for written files.

    Raises:
        ValueError: it is not UTF-8, not JSON, nested deeper than `MAX_DEPTH`, or has
            values that other programs cannot read: NaN, infinity, integers beyond 64
            bits, unpaired surrogates.
    """
    try:
        value = json.loads(content.decode("utf-8"), parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    # Iterators instead of lists, since a file of many small values is large in memory.
    open_ = [iter((value,))]
    while open_:
        for one in open_[-1]:
            if isinstance(one, dict | list):
                if len(open_) > MAX_DEPTH:
                    raise ValueError("nested too deeply")
                open_.append(iter(one) if isinstance(one, list) else _parts(one))
                break
            if isinstance(one, str):
                one.encode("utf-8")
            elif isinstance(one, int) and not -(2**63) <= one < 2**64:
                raise ValueError("an integer has more than 64 bits")
            elif isinstance(one, float) and not isfinite(one):
                raise ValueError(f"{one} is too large")
        else:
            open_.pop()
    return value


def _parts(value: dict[str, Any]) -> Iterator[Any]:
    yield from value
    yield from value.values()


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def array_sha256(*arrays: Any) -> str:
    """Return the sha256 over type, shape and bytes of each array, in order.

    It depends only on the content, not on the file or on whether the array is in
    memory. Arrays are read block by block along the first axis.
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
