"""Coverage-guided fuzzing of the parsers, its executions added up in a file.

    python -m tests.hostile.fuzz npz --minutes 10

A finding is anything but a value or one sentence of the project's own: another
exception, more than 300 MB, or more than 5 s. It is kept, and fuzzing goes on.
"""

import os
import resource
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import click

CORPUS = Path(__file__).parent / "corpus"
COUNTS = Path(__file__).parent / "fuzzed.json"
BYTES, SECONDS, LARGEST = 300 << 20, 5.0, 20480
NAMES = ("noise", "config", "npz", "idx", "image", "json", "keras")


class TooMuchError(Exception):
    """A parser took more memory or time than it may."""


class Campaign:
    """One target run for so many CPU seconds; counts what it did."""

    def __init__(self, name: str, seconds: float, found: Path) -> None:
        from keras_dae.errors import KerasDAEError
        from tests.hostile.targets import TARGETS

        self.name, self.seconds, self.found = name, seconds, found
        self.target, self.refusal = TARGETS[name], KerasDAEError
        self.folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=_fast()))
        self.executions, self.findings = 0, set[str]()
        self.base, self.began = _peak(), time.process_time()

    def one(self, data: bytes) -> None:
        """Run the target once; keep the input of a new kind of finding."""
        began = time.process_time()
        try:
            checked(self.target.run, data, self.folder, self.refusal)
            if _peak() > self.base + BYTES:
                self.base = _peak()
                raise TooMuchError(f"{_peak() >> 20} MB")
            if time.process_time() - began > SECONDS:
                raise TooMuchError("seconds")
        except self.refusal:
            pass
        except Exception as error:
            self.keep(error, data)
        self.executions += 1
        if time.process_time() - self.began > self.seconds:
            self.end()

    def keep(self, error: Exception, data: bytes) -> None:
        """Write down a finding, one of each place that it comes from."""
        place = traceback.extract_tb(error.__traceback__)[-1]
        kind = f"{type(error).__name__}-{Path(place.filename).stem}-{place.lineno}"
        if kind in self.findings:
            return
        self.findings.add(kind)
        self.found.mkdir(parents=True, exist_ok=True)
        (self.found / f"{self.name}-{kind}").write_bytes(data)
        click.echo(f"FINDING {kind}: {error}", err=True)
        traceback.print_exception(error)

    def end(self) -> None:
        """Add the executions to those of before, and leave at once."""
        spent = time.process_time() - self.began
        count(self.name, spent, self.executions)
        click.echo(f"{self.name}: {self.executions:,} in {spent:.0f} s of CPU")
        os._exit(1 if self.findings else 0)


def checked(run: Any, data: bytes, folder: Path, refusal: type[Exception]) -> None:
    """Run a target; a refusal must be one sentence that can be printed."""
    try:
        run(data, folder)
    except refusal as error:
        text = str(error)
        if "\n" in text or not text.strip() or len(text) > 2000:
            raise AssertionError(f"no sentence: {text[:500]!r}") from error
        raise


def count(name: str, seconds: float, executions: int) -> None:
    """Add to the counts of a target."""
    import json  # both late, since what is imported before is not instrumented
    from importlib.metadata import version

    from filelock import FileLock

    packages = ("atheris", "numpy", "pillow", "tifffile", "imagecodecs", "h5py")
    with FileLock(f"{COUNTS}.lock"):
        kept = json.loads(COUNTS.read_text()) if COUNTS.exists() else {"targets": {}}
        row = kept["targets"].setdefault(
            name, {"cpu_seconds": 0, "executions": 0, "fixed": []}
        )
        row["cpu_seconds"] = round(row["cpu_seconds"] + seconds)
        row["executions"] += executions
        kept["python"] = sys.version.split()[0]
        kept["versions"] = {package: version(package) for package in packages}
        COUNTS.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


def _fast() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


@click.command()
@click.argument("name", type=click.Choice(NAMES))
@click.option("--minutes", default=10.0, show_default=True, help="Of CPU time.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="artifacts/fuzz",
    show_default=True,
    help="Folder of the growing corpus and of findings.",
)
def main(name: str, minutes: float, out: Path) -> None:
    """Fuzz the parser NAME; what was found before and is kept is where it starts."""
    import atheris

    with atheris.instrument_imports(
        include=["keras_dae", "json", "tomllib", "zipfile", "gzip", "PIL", "tifffile"]
    ):
        campaign = Campaign(name, 60 * minutes, out / "findings")
    grown = out / name
    grown.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(campaign.target.seeds()):
        (grown / f"seed-{number}").write_bytes(seed)
    words = out / f"{name}.dict"
    quoted = ["".join(f"\\x{b:02x}" for b in word) for word in campaign.target.words]
    words.write_text("".join(f'"{word}"\n' for word in quoted))
    kept = [str(CORPUS / name)] if (CORPUS / name).is_dir() else []
    arguments = [
        *(f"-max_len={LARGEST}", "-timeout=60", "-rss_limit_mb=4096"),
        *(f"-dict={words}", f"-artifact_prefix={out}/crash-{name}-"),
    ]
    atheris.Setup([sys.argv[0], *arguments, str(grown), *kept], campaign.one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
