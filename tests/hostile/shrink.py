"""Keep of a grown corpus the fewest, smallest inputs that reach all that it reaches.

python -m tests.hostile.shrink npz --grown artifacts/fuzz
"""

import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import click

from keras_dae.errors import KerasDAEError
from tests.hostile.fuzz import CORPUS, NAMES
from tests.hostile.targets import TARGETS, Target

LOOKED_AT = ("keras_dae", "zipfile", "tomllib", "gzip", "PIL", "tifffile", "json")
LARGEST = 12288  # bytes of one kept input
Place = tuple[CodeType, int, int]


def reached(target: Target, data: bytes, folder: Path) -> set[Place]:
    """Return the steps from line to line that an input makes the parsers take."""
    found: set[Place] = set()

    def watch(frame: FrameType, event: str, _: Any) -> Any:
        if not any(f"/{word}" in frame.f_code.co_filename for word in LOOKED_AT):
            return None
        last = 0

        def step(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal last
            found.add((frame.f_code, last, frame.f_lineno))
            last = frame.f_lineno
            return step

        return step

    sys.settrace(watch)
    try:
        with suppress(KerasDAEError):
            target.run(data, folder)
    finally:
        sys.settrace(None)
    return found


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES), required=True)
@click.option(
    "--grown",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default="artifacts/fuzz",
    show_default=True,
    help="Folder of what fuzzing found, beside what is kept already.",
)
def main(names: tuple[str, ...], grown: Path) -> None:
    """Write the corpus of each parser NAMES anew."""
    for name in names:
        places = [grown / name, CORPUS / name]
        inputs = {
            path.read_bytes()
            for place in places
            if place.is_dir()
            for path in place.iterdir()
            if path.name[:5] != "seed-" and path.stat().st_size <= LARGEST
        }
        inputs |= {path.read_bytes() for path in (grown / "findings").glob(f"{name}-*")}
        kept = chosen(TARGETS[name], inputs)
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        for number, data in enumerate(kept):
            (folder / f"{number:03}").write_bytes(data)
        size = sum(map(len, kept))
        click.echo(f"{name}: {len(kept)} of {len(inputs)} inputs, {size:,} bytes")


def chosen(target: Target, inputs: set[bytes]) -> list[bytes]:
    """Return inputs, each with a step that no smaller one takes."""
    known: set[Place] = set()
    kept = []
    with tempfile.TemporaryDirectory() as place:
        for data in sorted(inputs, key=lambda data: (len(data), data)):
            new = reached(target, data, Path(place)) - known
            if new:
                kept.append(data)
                known |= new
    return kept


if __name__ == "__main__":
    main()
