"""A store of results, so that each measurement is made once."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae import __version__
from keras_dae.system import backend
from keras_dae.system.fingerprint import code_sha256
from keras_dae.system.inside import make_folder, opened, plain
from keras_dae.system.locks import held
from keras_dae.system.storage import dump_json, parse_json, replacing

FOLDER = "measured"


@dataclass(frozen=True)
class Result:
    """The result of a measurement.

    Attributes:
        figures: JSON values.
        arrays: name -> NumPy array, such as one error per image.
    """

    figures: Any
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


class Store:
    """A folder of results, one file each, named by what they depend on.

    The name of a file contains a hash of the dependencies, of the version of this
    package and of its code that measures. A result of other code, data or weights is
    therefore measured again. Files are written atomically. A damaged file is measured
    again.

    Args:
        folder: folder of the files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    @contextmanager
    def opened(cls, out: Path) -> Iterator["Store"]:
        """Yield the store in the folder of a study, for one process at a time.

        Raises:
            KerasDAEError: another process uses it.
        """
        folder = out / FOLDER
        with held(folder, "The folder of measurements"):
            yield cls(folder)

    def get(
        self,
        label: str,
        depends_on: Mapping[str, Any] | None,
        measure: Callable[[], Result],
        *,
        fresh: bool = False,
    ) -> Result:
        """Return the result stored for `depends_on`, or measure and store it.

        Args:
            label: prefix of the file name, for people.
            depends_on: JSON values that determine the result; None if they are not
                known, so that it is measured each time.
            measure: called if no result is stored.
            fresh: ignore a stored result.
        """
        if depends_on is None:
            return measure()
        path = self._path(label, ".npz", depends_on)
        kept = None if fresh else _read(path)
        return kept or _write(path, measure())

    def figures(
        self, label: str, depends_on: Mapping[str, Any], measure: Callable[[], Any]
    ) -> Any:
        """Return JSON values stored for `depends_on`, or measure and store them."""
        return self.get(label, depends_on, lambda: Result(measure())).figures

    def file(
        self,
        label: str,
        suffix: str,
        depends_on: Mapping[str, Any],
        make: Callable[[Path], None],
    ) -> Path:
        """Return the path of a file, which `make` writes if it does not exist."""
        path = self._path(label, suffix, depends_on)
        if not path.exists():
            make_folder(self.folder)
            make(path)
        return plain(path)

    def _path(self, label: str, suffix: str, depends_on: Mapping[str, Any]) -> Path:
        code = [__version__, code_sha256(), backend.versions()]
        safe = "".join(c if c.isalnum() or c in "-." else "_" for c in label)
        return self.folder / f"{safe[:60]}-{digest_of([depends_on, code])}{suffix}"


def digest_of(value: Any) -> str:
    """Return a hash of JSON values, 16 characters, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _write(path: Path, result: Result) -> Result:
    figures = np.frombuffer(dump_json(result.figures).encode(), np.uint8)
    arrays: dict[str, Any] = {"figures": figures, **result.arrays}
    with replacing(path) as temporary:
        np.savez(temporary, **arrays)
    return result


def _read(path: Path) -> Result | None:
    """Return a stored result; None if there is none or it is damaged."""
    try:
        # Opened here, since numpy does not close a damaged file.
        with (
            os.fdopen(opened(path), "rb") as file,
            np.load(file, allow_pickle=False) as kept,
        ):
            arrays = dict(kept)
        return Result(parse_json(arrays.pop("figures").tobytes()), arrays)
    except Exception:  # numpy raises many kinds of exceptions for damaged files
        return None
