"""A small file system of the campaign's own, which can really be filled."""

import os
import resource
import subprocess
import sys
from pathlib import Path

MEGABYTES = 256
_INSIDE = "KERAS_DAE_FAULTS_INSIDE"
PAGE = 4096


def enter() -> None:
    """Start this program again where it may mount: in a mount namespace of its own.

    It needs no root where the system lets users make namespaces. What is mounted there
    is gone with the process. Returns where that is not to be had, or is done.
    """
    if _INSIDE in os.environ:
        return
    own = [] if os.geteuid() == 0 else ["--map-root-user"]
    command = ["unshare", *own, "--mount"]
    try:
        tried = subprocess.run([*command, "true"], capture_output=True, check=False)
    except OSError:
        return
    if tried.returncode == 0:
        words = [sys.executable, "-m", "benchmarks.faults", *sys.argv[1:]]
        os.environ[_INSIDE] = "1"
        os.execvp("unshare", [*command, *words])


class Disk:
    """A folder on a small tmpfs; without one, files that may not grow beyond a size.

    Attributes:
        kind: how it is filled, for the record.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kind = "a tmpfs filled to the last page (ENOSPC)"
        options = ["-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(folder)]
        inside = _INSIDE in os.environ
        done = inside and subprocess.run(["mount", *options], check=False)
        self._mounted = bool(done and done.returncode == 0)
        if not self._mounted:
            self.kind = "RLIMIT_FSIZE: no file may grow beyond a size (EFBIG)"
        self._ballast = folder.parent / "ballast"
        if self._mounted:
            self._ballast = folder / ".ballast"

    @property
    def used(self) -> int:
        """Bytes in use."""
        if self._mounted:
            found = os.statvfs(self.folder)
            return (found.f_blocks - found.f_bfree) * found.f_frsize
        sizes = (p.stat().st_size for p in self.folder.rglob("*") if p.is_file())
        return sum(-(-size // PAGE) * PAGE for size in sizes)

    def fill(self, free: int) -> None:
        """Leave `free` bytes; where nothing is mounted, `limit` does it instead."""
        if self._mounted:
            found = os.statvfs(self.folder)
            with self._ballast.open("wb") as file:
                size = found.f_bfree * found.f_frsize - free
                os.posix_fallocate(file.fileno(), 0, size)

    def limit(self, free: int) -> None:
        """Limit this process's files, where the disk cannot be filled."""
        if not self._mounted:
            resource.setrlimit(resource.RLIMIT_FSIZE, (free, free))

    def empty(self) -> None:
        """Make room again."""
        self._ballast.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of it."""
        if self._mounted:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=False)
