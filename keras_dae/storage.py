"""Files: written whole or not at all, read with one clear sentence when damaged."""

import csv
import glob
import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.errors import KerasDAEError

SCHEMA = 1
LOCK = ".lock"
_HASHED_BYTES = 2**24
# Which machine a temporary file is of, where several share a folder.
_NODE = hashlib.sha256(platform.node().encode()).hexdigest()[:8]


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it there only if the block succeeds.

    The temporary file keeps the suffix, since several writers choose their format
    by it. On any error, an interrupt included, it is removed and `path` is untouched.
    What a killed process left beside `path` is removed by the next one to write it.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_behind(path)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem}~{_NODE}-{os.getpid()}-",
            suffix=path.suffix,
            dir=path.parent,
        )
        os.close(handle)
    except OSError as error:
        raise KerasDAEError(f"Cannot write {path}: {reason(error)}.") from error
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise KerasDAEError(f"Cannot write {path}: {reason(error)}.") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _remove_left_behind(path: Path) -> None:
    """Remove temporary files for `path` whose process on this machine has ended."""
    start = f".{path.stem}~{_NODE}-"
    for other in path.parent.glob(f"{glob.escape(start)}*{glob.escape(path.suffix)}"):
        process = other.name.removeprefix(start).partition("-")[0]
        if process.isdigit() and not _runs(int(process)):
            other.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    """Tell whether there is a process of this number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # another user's
    return True


@contextmanager
def held(folder: Path | str, what: str) -> Iterator[None]:
    """Hold a folder for one process at a time; made if it is not there.

    The operating system lets go of it when the process ends, however it ends, so a
    lock that a dead process left behind holds nobody up.

    Args:
        folder: what is held; it holds the file `LOCK`, with the holder's number,
            as long as it is.
        what: what the folder is, for the sentence.

    Raises:
        KerasDAEError: another process holds it; says which, and what may be done.
    """
    from filelock import FileLock, Timeout

    path = Path(folder) / LOCK
    lock = FileLock(path, timeout=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise KerasDAEError(
            f"{what} {folder} is in use by another process{_holder(path)}; wait for "
            "it to end, or take another folder."
        ) from error
    except OSError as error:
        raise KerasDAEError(f"Cannot write {path}: {reason(error)}.") from error
    try:
        with suppress(OSError):  # who holds it is a hint, no more
            path.write_text(f"{os.getpid()}\n")
        yield
    finally:
        # Before it is let go: who opened the file meanwhile finds it gone and starts
        # afresh (FileLock looks), and no second holder can lose its own.
        with suppress(OSError):
            path.unlink()
        lock.release()


def _holder(path: Path) -> str:
    """Return the number in a lock's file, as far as it can be read."""
    try:
        return f" (number {int(path.read_text())})"
    except (OSError, ValueError):
        return ""


def reason(error: OSError) -> str:
    """Return the operating system's words for `error`, without its number."""
    return error.strerror or str(error)


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
