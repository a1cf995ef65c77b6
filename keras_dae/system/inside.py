"""Safe access to files in untrusted folders: symbolic links are not followed.

A folder of runs, of a study, of outputs or of a cache can come from anywhere. A link in
it could redirect reads and writes to other files of this machine, and a pipe or a
device could be read forever. Files are therefore opened relative to the folder that the
user named, one path component at a time. Only the path to that folder may contain
links.
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
_OTHER = "it is not a regular file, or it is a hard link"
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class InsideError(KerasDAEError):
    """A file in a folder is a link, or not a regular file."""


def named(folder: Path | str) -> None:
    """Register a folder that the user named; links below it are not followed."""
    _NAMED.add(Path.cwd() / folder)


def opened(path: Path | str, flags: int = os.O_RDONLY) -> int:
    """Open a regular file and return its descriptor; links are not followed.

    Folders from the outermost one registered by `named` on must not be links. If none
    was registered, the folder of the file counts as registered.

    Args:
        path: the file.
        flags: as in `os.open`.

    Raises:
        InsideError: the file or a folder of its path is a link, or the file is not
            regular.
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
        raise InsideError(f"Cannot read {legible(path)}: it is not a regular file.")
    return handle


def read(path: Path | str, most: int | None = None) -> bytes:
    """Return the content of a file, opened with `opened`.

    Args:
        path: the file.
        most: size limit in bytes; None for no limit.

    Raises:
        InsideError: the file is a link, not regular, or too large.
        OSError: it cannot be read.
    """
    with os.fdopen(opened(path), "rb") as file:
        content = file.read() if most is None else file.read(most + 1)
    if most is not None and len(content) > most:
        raise InsideError(f"{legible(path)} is larger than {most >> 20} MiB.")
    return content


def plain(path: Path) -> Path:
    """Return a path for a library that opens files by name, if it contains no link.

    Raises:
        InsideError: there is a link.
    """
    try:
        with _folder((Path.cwd() / path).parent) as folder:
            found = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return path  # it does not exist, which the caller reports
    if stat.S_ISLNK(found.st_mode):
        raise InsideError(_is_link(path))
    return path


def make_folder(path: Path | str) -> None:
    """Create a folder and its parents if they do not exist; links are not followed.

    Raises:
        InsideError: there is a link in the path below the named folder.
        OSError: it cannot be created.
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
    """Return the outermost registered folder on the path, or `path`."""
    return next((one for one in (*reversed(path.parents), path) if one in _NAMED), path)


@contextmanager
def _folder(path: Path) -> Iterator[int]:
    """Yield a descriptor of a folder that is reached without links."""
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
    """Return an error that says that `part` is a link, if it is one."""
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
        try:
            found = os.stat(part, dir_fd=folder, follow_symlinks=False)
        except OSError:
            return error
        if stat.S_ISLNK(found.st_mode):
            places = (path, *path.parents)
            return InsideError(_is_link(next(p for p in places if p.name == part)))
    if error.errno == errno.ENXIO:  # a pipe without a reader
        return InsideError(f"Cannot write {legible(path)}: it is not a regular file.")
    return error


def _is_link(path: Path) -> str:
    return (
        f"{legible(path)} is a link. Links in a folder of results are not followed. "
        "Put the file or folder itself there."
    )
