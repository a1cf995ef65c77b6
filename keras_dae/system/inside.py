"""Files in folders that a stranger may have filled: links in them are not followed.

A folder of runs, of a study, of outputs or of a cache may have come from anywhere. A
link in it would lead reads and writes to other files of this machine, and a pipe or a
device would be read for ever. So files are opened relative to the folder that the user
named, one step at a time; only the way to that folder may hold links.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from keras_dae.errors import KerasDAEError, legible

_NAMED: set[Path] = set()
_STEP = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", 0)
_OTHER = "it is no regular file, or a second name of one"
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class InsideError(KerasDAEError):
    """What stands in a folder is a link, or no regular file."""


def named(folder: Path | str) -> None:
    """Note a folder that the user named; links below it are not followed."""
    _NAMED.add(Path.cwd() / folder)


def opened(path: Path | str, flags: int = os.O_RDONLY) -> int:
    """Open a regular file and return its descriptor; no link is followed.

    The folders from the outermost one that was `named` on must be real ones; where
    none was, the file's own folder is taken as named.

    Args:
        path: the file.
        flags: of `os.open`.

    Raises:
        InsideError: the file or a folder on the way is a link, or no regular file.
        OSError: it cannot be opened.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     place = Path(folder) / "a.txt"
        ...     os.close(opened(place, os.O_WRONLY | os.O_CREAT))
    """
    path = Path.cwd() / path
    with _folder(path.parent) as folder:
        try:
            handle = os.open(path.name, flags | _FILE, 0o666, dir_fd=folder)
        except OSError as error:
            raise _explained(error, path, path.name, folder) from error
    found = os.fstat(handle)
    writes = flags & (os.O_WRONLY | os.O_RDWR)
    if not stat.S_ISREG(found.st_mode) or (writes and found.st_nlink > 1):
        os.close(handle)
        if writes:
            raise InsideError(f"Cannot write {legible(path)}: {_OTHER}.")
        raise InsideError(f"Cannot read {legible(path)}: it is no regular file.")
    return handle


def read(path: Path | str, most: int | None = None) -> bytes:
    """Return the content of a file, opened as by `opened`.

    Args:
        path: the file.
        most: bytes that it may have; None for any number.

    Raises:
        InsideError: a link, no regular file, or a larger one.
        OSError: it cannot be read.
    """
    with os.fdopen(opened(path), "rb") as file:
        content = file.read() if most is None else file.read(most + 1)
    if most is not None and len(content) > most:
        raise InsideError(f"{legible(path)} is larger than {most >> 20} MiB.")
    return content


def plain(path: Path) -> Path:
    """Return a path that a library is to open by its name, if no link is on the way.

    Raises:
        InsideError: there is a link.
    """
    try:
        with _folder((Path.cwd() / path).parent) as folder:
            found = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return path  # not there, which is for the reader to say
    if stat.S_ISLNK(found.st_mode):
        raise InsideError(_is_link(path))
    return path


def make_folder(path: Path | str) -> None:
    """Make a folder, with those above it, where there is none; follow no link.

    Raises:
        InsideError: a link stands in its place, or on the way from the named folder.
        OSError: it cannot be made.
    """
    path = Path.cwd() / path
    root = _root(path)
    root.mkdir(parents=True, exist_ok=True)
    for number in range(1, len(path.relative_to(root).parts) + 1):
        place = root.joinpath(*path.relative_to(root).parts[:number])
        with _folder(place.parent) as folder, suppress(FileExistsError):
            os.mkdir(place.name, dir_fd=folder)
        with _folder(place):
            pass


def _root(path: Path) -> Path:
    """Return the outermost folder on the way to `path` that was named, or `path`."""
    return next((one for one in (*reversed(path.parents), path) if one in _NAMED), path)


@contextmanager
def _folder(path: Path) -> Iterator[int]:
    """Yield a descriptor of a folder, reached without a link from the named one."""
    root = _root(path)
    handle = os.open(root, (_STEP | os.O_CLOEXEC) & ~os.O_NOFOLLOW)
    try:
        for part in path.relative_to(root).parts:
            try:
                step = os.open(part, _STEP, dir_fd=handle)
            except OSError as error:
                raise _explained(error, path, part, handle) from error
            os.close(handle)
            handle = step
        yield handle
    finally:
        os.close(handle)


def _explained(error: OSError, path: Path, part: str, folder: int) -> Exception:
    """Return the error that says that `part` is a link, where it is one."""
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
        try:
            found = os.stat(part, dir_fd=folder, follow_symlinks=False)
        except OSError:
            return error
        if stat.S_ISLNK(found.st_mode):
            places = (path, *path.parents)
            return InsideError(_is_link(next(p for p in places if p.name == part)))
    if error.errno == errno.ENXIO:  # a pipe without a reader
        return InsideError(f"Cannot write {legible(path)}: it is no regular file.")
    return error


def _is_link(path: Path) -> str:
    return (
        f"{legible(path)} is a link; links in a folder of results are not followed. "
        "Put the file or folder itself there."
    )
