"""Downloads: bounded in time, checked by hash, moved into place only when whole."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_dae.errors import KerasDAEError

CONNECT_SECONDS = 5.0
_CHUNK = 1 << 16


class NotAvailableError(KerasDAEError):
    """A file is not here and could not be fetched."""


@dataclass(frozen=True)
class Download:
    """Where a file lies, and the hash ('sha256:...' or 'md5:...') of its bytes."""

    url: str
    known_hash: str

    @property
    def filename(self) -> str:
        """Return the file's own name, the last part of its address."""
        return self.url.rpartition("/")[2]


def fetch(downloads: tuple[Download, ...], folder: Path, seconds: float) -> list[Path]:
    """Download what `folder` does not hold yet and return the paths.

    Args:
        downloads: the files.
        folder: where they go; a file appears there only when its hash is right.
        seconds: how long all of them may take together; 0 for no download at all.

    Raises:
        NotAvailableError: no network, too slow, or bytes of another hash.
    """
    if seconds <= 0:
        names = ", ".join(download.filename for download in downloads)
        raise NotAvailableError(f"{names} is not on this machine.")
    import pooch  # brings requests, which takes time to import
    import requests
    from urllib3.exceptions import HTTPError

    deadline = time.monotonic() + seconds

    def stream(url: str, output: str, _: Any) -> None:
        left = max(0.1, deadline - time.monotonic())
        with (
            requests.get(url, stream=True, timeout=(CONNECT_SECONDS, left)) as answer,
            open(output, "wb") as file,
        ):
            answer.raise_for_status()
            # read1 gives what has come so far, so that the clock is looked at even
            # where a server drips its bytes.
            while chunk := answer.raw.read1(_CHUNK):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not finished within {seconds:g} seconds")
                file.write(chunk)

    paths = []
    for download in downloads:
        try:
            path = pooch.retrieve(
                download.url,
                download.known_hash,
                fname=download.filename,
                path=folder,
                downloader=stream,
            )
        except (OSError, ValueError, HTTPError) as error:
            raise NotAvailableError(
                f"{download.filename} is not on this machine and could not be "
                f"downloaded from {download.url} ({_why(error)}); set KERAS_DAE_DATA "
                "or --data-dir to a folder that holds it."
            ) from error
        paths.append(Path(path))
    return paths


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return str(error)
    if type(error).__name__ == "ValueError":
        return "its bytes do not have the known hash"
    return type(error).__name__
