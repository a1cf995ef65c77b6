"""Files: written whole or not at all, read with one clear sentence when damaged."""

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
MAX_JSON = 4 << 20  # what it becomes in memory is up to 30 times as large
MAX_DEPTH = 64
_HASHED_BYTES = 2**24
FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # how a spreadsheet's formula begins


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


def is_file(path: Path | str) -> bool:
    """Tell whether there is a file; a name that none can have is not an error."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # too long, a NUL, or in a folder that is closed
        return False


def is_dir(path: Path | str) -> bool:
    """Tell whether there is a folder, as `is_file` does."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def write_text(path: Path | str, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: dict[str, Any]) -> None:
    """Write `value` to `path` as JSON with `schema` as its first key.

    Raises:
        KerasDAEError: `read_json` could not read the file, so none is written.
    """
    text = dump_json({"schema": SCHEMA, **value})
    content = text.encode("utf-8", "surrogatepass")
    if len(content) > MAX_JSON:
        raise KerasDAEError(
            f"{path} would take {len(content):,} bytes; a JSON file may have at most "
            f"{MAX_JSON:,}."
        )
    try:
        parse_json(content)
    except ValueError as error:
        raise KerasDAEError(f"Cannot write {path}: {error}.") from error
    write_text(path, text)


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
            writer.writerow({key: _cell(value) for key, value in row.items()})


def _cell(value: Any) -> Any:
    """Return a value of a table; a text is never one that a spreadsheet computes."""
    if isinstance(value, str) and value.startswith(FORMULAS):
        return f"'{value}"
    return value


def dump_json(value: Any) -> str:
    """Return `value` as indented JSON; NaN and infinity are refused, not written."""
    return json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def read_json(path: Path | str) -> dict[str, Any]:
    """Read a JSON object that `write_json` wrote.

    Raises:
        KerasDAEError: a link, unreadable, not JSON, not an object, or of another
            schema.
    """
    path = Path(path)
    try:
        value = parse_json(read(path, MAX_JSON))
    except OSError as error:
        raise KerasDAEError(f"Cannot read {path}: {reason(error)}.") from error
    except KerasDAEError:
        raise  # a ValueError too, but it says all there is to say
    except ValueError as error:
        raise KerasDAEError(f"{path} is not valid JSON; it may be damaged.") from error
    if not isinstance(value, dict):
        raise KerasDAEError(f"{path} holds no JSON object.")
    if type(value.get("schema")) is not int or value["schema"] != SCHEMA:
        raise KerasDAEError(
            f"{path} has schema {repr(value.get('schema'))[:40]}; "
            f"this version of keras_dae reads schema {SCHEMA}."
        )
    return value


@contextmanager
def believed(path: Path | str) -> Iterator[None]:
    """Turn what goes wrong with the content of a file into one sentence about it.

    For files of many fields, whose use is their check: what is missing, of another
    type, or at odds with the rest of it.

    Raises:
        KerasDAEError: an exception of that kind came out of the block.
    """
    try:
        yield
    except KerasDAEError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as e:
        words = (str(e).strip().splitlines() or [""])[0][:120]
        raise KerasDAEError(
            f"{path} does not hold what it should ({type(e).__name__}: {words}); it "
            "may be damaged."
        ) from e


def parse_json(content: bytes) -> Any:
    """Return the JSON value in `content`, as strict as what is written here.

    Raises:
        ValueError: not UTF-8, not JSON, nested deeper than `MAX_DEPTH`, or with numbers
            or characters that other programs could not take: NaN, infinity, whole
            numbers beyond 64 bits, halves of pairs of code units.
    """
    try:
        value = json.loads(content.decode("utf-8"), parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    # Iterators, not lists of what is to come: a file of many small values is large.
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
                raise ValueError("a whole number has more than 64 bits")
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
