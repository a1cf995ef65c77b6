"""One process at a time in a place, and nothing left there of a dead one.

Locks are the operating system's: it lets go of them when a process ends, however it
ends, so that a file that is not locked is one that nobody works on.
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
# The first try; a lock that is looked at by `tidy` is busy for an instant.
_INSTANT = 0.2
# Which machine a temporary file is of, where several share a folder.
_NODE = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
_TEMPORARY = re.compile(r"\..*~([0-9a-f]{8})-([0-9]+)-.*", re.DOTALL)


@contextmanager
def temporary(path: Path, *, folder: bool = False) -> Iterator[Path]:
    """Yield a new empty file, or folder, beside `path`; it is gone afterwards.

    It keeps the suffix of `path` and is locked until then. What dead processes left
    in the same folder is removed first.

    Raises:
        OSError: there is no writing there.
    """
    make_folder(path.parent)
    tidy(path.parent)
    made = None
    try:
        with uninterrupted():  # else an interrupt may leave a file that has no holder
            made = place, handle = _made(path, folder)
        yield place
    finally:
        if made is not None:
            with uninterrupted():
                _remove(place)
                os.close(handle)


def _made(path: Path, folder: bool) -> tuple[Path, int]:
    """Return a new temporary place and the open handle that keeps it locked."""
    prefix = f".{path.stem[:50]}~{_NODE}-{os.getpid()}-"
    while True:
        if folder:
            name = tempfile.mkdtemp(path.suffix, prefix, path.parent)
            handle = os.open(name, os.O_RDONLY)
        else:
            handle, name = tempfile.mkstemp(path.suffix, prefix, path.parent)
        with suppress(OSError, ImportError):  # a file system without locks
            _lock(handle)
        if Path(name).exists():  # else another process tidied up just before
            return Path(name), handle
        os.close(handle)


def _lock(handle: int, *, at_once: bool = False) -> None:
    import fcntl  # not on Windows

    fcntl.flock(handle, fcntl.LOCK_EX | (fcntl.LOCK_NB if at_once else 0))


def tidy(folder: Path) -> None:
    """Remove what dead processes left in a folder: temporary files, idle locks."""
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
    """Remove a place that no process has locked, or whose process is known dead."""
    try:
        handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return  # gone, a link, or another user's
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
    for _ in range(20):  # a child of the dead process may take a moment to end too
        shutil.rmtree(place, ignore_errors=True)
        if not place.exists():
            return
        time.sleep(0.05)


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
def held(
    place: Path | str,
    what: str,
    *,
    beside: bool = False,
    wait: float = 0.0,
    tell: Callable[[str], None] = lambda line: None,
) -> Iterator[None]:
    """Hold a folder, or a file that is to be made, for one process at a time.

    Args:
        place: what is held; a folder is made if it is not there. The lock's file, with
            the holder's number, is there as long as it is held.
        what: what the place is, for the sentence.
        beside: whether the lock's file stands beside the place, not in it.
        wait: seconds to wait for another holder; infinity for as long as it takes.
        tell: told who is waited for.

    Raises:
        KerasDAEError: another process holds it; says which, and what may be done. Or
            the lock's file is a link, or no file.
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
            os.close(opened(path, os.O_RDWR))  # a lock's file, and nothing else
        try:
            lock.acquire(timeout=_INSTANT)
        except Timeout:
            if wait:
                tell(f"{busy}{_holder(path)}; waiting for it to end.")
            lock.acquire(timeout=-1 if wait == float("inf") else wait)
    except Timeout as error:
        raise KerasDAEError(
            f"{busy}{_holder(path)}; wait for it to end, or take another place."
        ) from error
    except OSError as error:
        raise KerasDAEError(f"Cannot write {path}: {reason(error)}.") from error
    try:
        with (
            suppress(OSError),  # who holds it is a hint, no more
            os.fdopen(opened(path, os.O_WRONLY), "w") as file,
        ):
            file.write(f"{os.getpid()}\n")
        tidy(path.parent)
        yield
    finally:
        # Before it is let go: who opened the file meanwhile finds it gone and starts
        # afresh (FileLock looks), and no second holder can lose its own.
        with uninterrupted():
            with suppress(OSError):
                path.unlink()
            lock.release()


def _holder(path: Path) -> str:
    """Return the number in a lock's file, as far as it can be read."""
    try:
        return f" (number {int(read(path, 32))})"
    except (OSError, ValueError):  # no number, or a link
        return ""
