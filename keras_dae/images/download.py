"""Downloads with a time limit. A file is moved into place once its hash matches."""

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from keras_dae.errors import KerasDAEError
from keras_dae.system.locks import held
from keras_dae.system.storage import replacing

CONNECT_SECONDS = 5.0
MOST_REDIRECTS = 5
MOST_BYTES = 1 << 28  # many times the largest of these files
_CHUNK = 1 << 16


class NotAvailableError(KerasDAEError):
    """A file is missing and could not be downloaded."""


class _FailedError(Exception):
    """A failed download, with a short reason."""


@dataclass(frozen=True)
class Download:
    """URL of a file, and the hash ('sha256:...' or 'md5:...') of its content."""

    url: str
    known_hash: str

    @property
    def filename(self) -> str:
        """Return the name of the file, the last part of its URL."""
        return self.url.rpartition("/")[2]

    def known(self, path: Path) -> bool:
        """Return whether a file has the known hash."""
        kind, _, digest = self.known_hash.partition(":")
        with path.open("rb") as file:
            return hashlib.file_digest(file, kind).hexdigest() == digest


def fetch(downloads: tuple[Download, ...], folder: Path, seconds: float) -> list[Path]:
    """Download the files that are missing in `folder` and return all paths.

    Args:
        downloads: the files.
        folder: target folder. A file appears there only if its hash matches. One
            process downloads at a time, and others wait for its files.
        seconds: time limit for all downloads, waiting included; 0 disables downloads.

    Raises:
        NotAvailableError: there is no network, the time is up, a hash does not match,
            or the folder cannot be written or is locked for too long.
    """
    missing = ", ".join(one.filename for one in downloads) + " is not on this machine"
    if seconds <= 0:
        raise NotAvailableError(f"{missing}.")
    deadline = time.monotonic() + seconds
    try:
        with held(folder, "The folder of downloads", wait=seconds):
            return [_fetch_one(one, folder, deadline, seconds) for one in downloads]
    except NotAvailableError:
        raise
    except KerasDAEError as error:
        raise NotAvailableError(f"{missing}. {error}") from error


def _fetch_one(
    download: Download, folder: Path, deadline: float, seconds: float
) -> Path:
    path = folder / download.filename
    if path.exists() and download.known(path):
        return path
    try:
        with replacing(path) as place:
            _within(deadline, lambda: _stream(download.url, place, deadline))
            if not download.known(place):
                raise _FailedError("its hash does not match")
    except _FailedError as error:
        why = str(error) or f"not finished within {seconds:g} seconds"
        raise NotAvailableError(
            f"{download.filename} is not on this machine and could not be "
            f"downloaded from {download.url} ({why}). Set KERAS_DAE_DATA or "
            "--data-dir to a folder that holds it."
        ) from error
    return path


def _within(deadline: float, work: Callable[[], None]) -> None:
    """Run `work` until the deadline, even if it blocks in a name lookup or handshake.

    Raises:
        _FailedError: the work failed; without a message if the time is up.
    """
    failures: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(max(0.0, deadline - time.monotonic()))
    if thread.is_alive():
        raise _FailedError
    for error in failures:
        if isinstance(error, _FailedError):
            raise error
        words = getattr(error, "strerror", None) or type(error).__name__
        raise _FailedError(words) from error


def _stream(url: str, place: Path, deadline: float) -> None:
    """Write the content of a URL to a file, following a few redirects."""
    import requests

    for _ in range(1 + MOST_REDIRECTS):
        if urlsplit(url).scheme not in ("http", "https"):
            raise _FailedError(f"it redirects to {url[:100]!r}, which is not http")
        left = max(0.1, deadline - time.monotonic())
        with requests.get(
            url, stream=True, timeout=(CONNECT_SECONDS, left), allow_redirects=False
        ) as answer:
            answer.raise_for_status()
            if not answer.is_redirect:
                return _keep(answer.raw, place, deadline)
            url = urljoin(url, answer.headers["location"])
    raise _FailedError(f"it redirects more than {MOST_REDIRECTS} times")


def _keep(raw: Any, place: Path, deadline: float) -> None:
    """Write the body of a response, up to the deadline and the size limit."""
    size = 0
    with place.open("r+b") as file:
        # read1 returns the bytes received so far, so that the deadline is checked even
        # if a server sends them slowly.
        while chunk := raw.read1(_CHUNK):
            size += len(chunk)
            if time.monotonic() > deadline:
                raise _FailedError
            if size > MOST_BYTES:
                raise _FailedError(f"it is larger than {MOST_BYTES >> 20} MiB")
            file.write(chunk)
