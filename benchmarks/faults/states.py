"""What a file holds, as one short text: bits of weights and figures, no clock readings.

Two files of one state may differ in bytes: a `.keras` file holds the time at which it
was saved, a history the seconds of each epoch. All else counts to the last bit.
"""

import hashlib
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

# Keys that hold clock readings, or the words of the call, and say nothing of the state.
CLOCK = {"seconds", "val_seconds", "seconds_per_image", "milliseconds_per_image"}
# The words of the call, what keras numbers by addresses in memory, and how many cores
# the process was let use, which others may change.
WORDS = {"command", "shared_object_id", "hardware"}
DAMAGED = "damaged"
PNG_END = b"IEND\xaeB`\x82"


def state_of(path: Path) -> str:
    """Return a digest of what a file holds, or `DAMAGED` and why."""
    read = READERS.get(path.suffix, Path.read_bytes)
    try:
        return hashlib.sha256(read(path)).hexdigest()[:16]
    except Exception as error:  # whatever is wrong with it, it is not whole
        return f"{DAMAGED}: {type(error).__name__}: {error}"


def states(folder: Path) -> dict[str, str]:
    """Return the state of every file below a folder that carries a final name."""
    return {
        str(path.relative_to(folder)): state_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not hidden(path, folder) and path.suffix != ".log"
    }


def hidden(path: Path, folder: Path) -> bool:
    """Tell whether a path is a temporary one, or lies in one."""
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def left_over(folder: Path) -> list[str]:
    """Return the temporary files, folders and locks below a folder."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if hidden(path, folder)
    )


def json_state(text: str | bytes) -> bytes:
    """Return JSON in one form, without clock readings."""
    return json.dumps(_timeless(json.loads(text)), sort_keys=True).encode()


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: one for key, one in value.items() if key not in CLOCK | WORDS}
        return {key: _timeless(one) for key, one in kept.items()}
    return [_timeless(one) for one in value] if isinstance(value, list) else value


def _json(path: Path) -> bytes:
    return json_state(path.read_bytes())


def _keras(path: Path) -> bytes:
    """Return architecture, weights and the optimizer's state of a `.keras` file."""
    with zipfile.ZipFile(path) as archive:
        parts = [json_state(archive.read("config.json"))]
        weights = archive.read("model.weights.h5")
    found: list[tuple[str, Any]] = []
    with h5py.File(io.BytesIO(weights)) as file:
        file.visititems(lambda name, item: found.append((name, item)))
        for name, item in sorted(found, key=lambda pair: pair[0]):
            if isinstance(item, h5py.Dataset):
                parts += [name.encode(), np.asarray(item).tobytes()]
    return b"\0".join(parts)


def _png(path: Path) -> bytes:
    content = path.read_bytes()
    if not content.endswith(PNG_END):
        raise ValueError("no end of a PNG")
    return content


def _report(path: Path) -> bytes:
    """Return a report without its numbers, some of which are of the clock."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".html" and not text.rstrip().endswith("</html>"):
        raise ValueError("no end of the page")
    return re.sub(r"[0-9]+", "#", text).encode()


def _archive(path: Path) -> bytes:
    """Return the members of a zip, each checked against its own checksum."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(archive.namelist())
        return b"\0".join(name.encode() + archive.read(name) for name in names)


READERS = {
    ".json": _json,
    ".keras": _keras,
    ".png": _png,
    ".md": _report,
    ".html": _report,
    ".pt2": _archive,
}
