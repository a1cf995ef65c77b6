"""Locks for one process at a time, and cleanup after dead processes.

Locks are those of the operating system, which releases them when a process ends in any
way. An unlocked file is therefore not in use.
"""

import hashlib
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from keras_dae.errors import KerasDAEError, reason
from keras_dae.system.inside import make_folder, opened, read
from keras_dae.system.lifeline import uninterrupted

LOCK = ".keras-dae.lock"
# Duration of the first try, since `tidy` holds a lock for an instant.
_INSTANT = 0.2
# The host name in temporary files, since several hosts can share a folder.
_NODE = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
_TEMPORARY = re.compile(r"\..*~([0-9a-f]{8})-([0-9]+)-.*", re.DOTALL)


@contextmanager
def temporary(path: Path, *, folder: bool = False) -> Iterator[Path]:
    """Yield a new empty file or folder next to `path`, which is removed afterwards.

    It keeps the suffix of `path` and is locked until then. Files that dead processes
    left in the same folder are removed first.

    Raises:
        OSError: the folder is not writable.
    """
    make_folder(path.parent)
    tidy(path.parent)
    made = None
    try:
        with uninterrupted():  # else an interrupt could leave the file behind
            made = place, handle = _made(path, folder)
        yield place
    finally:
        if made is not None:
            with uninterrupted():
                _remove(place)
                os.close(handle)


def _made(path: Path, folder: bool) -> tuple[Path, int]:
    """Return a new temporary path and the open handle that locks it."""
    prefix = f".{path.stem[:50]}~{_NODE}-{os.getpid()}-"
    while True:
        if folder:
            name = tempfile.mkdtemp(path.suffix, prefix, path.parent)
            handle = os.open(name, os.O_RDONLY)
        else:
            handle, name = tempfile.mkstemp(path.suffix, prefix, path.parent)
        with suppress(OSError, ImportError):  # a file system without locks
            _lock(handle)
        if Path(name).exists():  # else another process has just removed it
            return Path(name), handle
        os.close(handle)


def _lock(handle: int, *, at_once: bool = False) -> None:
    import fcntl  # not on Windows

    fcntl.flock(handle, fcntl.LOCK_EX | (fcntl.LOCK_NB if at_once else 0))


def tidy(folder: Path) -> None:
    """Remove temporary files and unused locks that dead processes left in a folder."""
    try:
        with os.scandir(folder) as inside:
            names = [one.name for one in inside if one.name.startswith(".")]
    except OSError:
        return
    for name in names:
        found = _TEMPORARY.fullmatch(name)
        if found:
            node, process = found.groups()
            _remove_unlocked(folder / name, node == _NODE and not _runs(int(process)))
        elif name.endswith(LOCK):
            _remove_unlocked(folder / name, False)


def _remove_unlocked(place: Path, dead: bool) -> None:
    """Remove a path that no process has locked, or whose process is dead."""
    try:
        handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return  # it is gone, a link, or owned by another user
    try:
        try:
            _lock(handle, at_once=True)
        except BlockingIOError:
            return
        except (OSError, ImportError):  # a file system without locks
            if not dead:
                return
        _remove(place)
    finally:
        os.close(handle)


def _remove(place: Path) -> None:
    if not place.is_dir() or place.is_symlink():
        with suppress(OSError):
            place.unlink(missing_ok=True)
        return
    for _ in range(20):  # a child of the dead process may still be ending
        shutil.rmtree(place, ignore_errors=True)
        if not place.exists():
            return
        time.sleep(0.05)


def _runs(process: int) -> bool:
    """Return whether there is a process with this number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # it belongs to another user
    return True


@contextmanager
def held(
    place: Path | str,
    what: str,
    *,
    beside: bool = False,
    wait: float = 0.0,
    tell: Callable[[str], None] = lambda line: None,
) -> Iterator[None]:
    """Lock a folder, or a file to be written, for one process at a time.

    Args:
        place: what to lock; a folder is created if necessary. The lock file contains
            the number of the holder and exists while it is held.
        what: description of the place, for messages.
        beside: whether the lock file is next to the place, not in it.
        wait: seconds to wait for another holder; infinity for no limit.
        tell: called with a message about the process that is waited for.

    Raises:
        KerasDAEError: another process holds the lock, or the lock file is a link or not
            a file.
    """
    from filelock import FileLock, Timeout

    path = Path(place) / LOCK
    if beside:
        path = Path(place).with_name(f".{Path(place).name}{LOCK}")
    lock = FileLock(path)
    busy = f"{what} {place} is in use by another process"
    try:
        make_folder(path.parent)
        with suppress(FileNotFoundError):
            os.close(opened(path, os.O_RDWR))  # raises if it is not a regular file
        try:
            lock.acquire(timeout=_INSTANT)
        except Timeout:
            if wait:
                tell(f"{busy}{_holder(path)}; waiting for it to end.")
            lock.acquire(timeout=-1 if wait == float("inf") else wait)
    except Timeout as error:
        raise KerasDAEError(
            f"{busy}{_holder(path)}. Wait for it to end, or use another path."
        ) from error
    except OSError as error:
        raise KerasDAEError(f"Cannot write {path}: {reason(error)}.") from error
    try:
        with (
            suppress(OSError),  # the number is only a hint
            os.fdopen(opened(path, os.O_WRONLY), "w") as file,
        ):
            # A dead process may have left a longer number. Opening does not shorten the
            # file, since `opened` must check it first.
            file.truncate()
            file.write(f"{os.getpid()}\n")
        tidy(path.parent)
        yield
    finally:
        # Remove the file before releasing the lock. A process that has opened it in the
        # meantime finds it gone and starts over (FileLock checks), so no lock is lost.
        with uninterrupted():
            with suppress(OSError):
                path.unlink()
            lock.release()


def _holder(path: Path) -> str:
    """Return the number in a lock file, if it can be read."""
    try:
        return f" (number {int(read(path, 32))})"
    except (OSError, ValueError):  # not a number, or a link
        return ""
