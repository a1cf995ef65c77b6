"""The store of results: what was measured once is read from a file the next time."""

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
from keras_dae.system.fingerprint import code_sha256
from keras_dae.system.inside import make_folder, opened, plain
from keras_dae.system.locks import held
from keras_dae.system.storage import dump_json, parse_json, replacing

FOLDER = "measured"


@dataclass(frozen=True)
class Result:
    """What a measurement returns.

    Attributes:
        figures: JSON values.
        arrays: name -> NumPy array, such as one error per image.
    """

    figures: Any
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


class Store:
    """Results by what they depend on, one file each, in a folder.

    The name of a file holds a hash of the dependencies, of this package's version and
    of its code that measures. So a result of other code, data or weights is measured
    again. Files are written whole or not at all; a damaged one is measured again.

    Args:
        folder: where the files are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    @contextmanager
    def opened(cls, out: Path) -> Iterator["Store"]:
        """Yield the store of a study's folder, for one process at a time.

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
        """Return the result kept for `depends_on`, or measure and keep it.

        Args:
            label: begins the file's name, for people.
            depends_on: JSON values that name everything that the result depends on;
                None where that is not known, so that it is measured each time.
            measure: called where nothing is kept.
            fresh: measure again what is kept.
        """
        if depends_on is None:
            return measure()
        path = self._path(label, ".npz", depends_on)
        kept = None if fresh else _read(path)
        return kept or _write(path, measure())

    def figures(
        self, label: str, depends_on: Mapping[str, Any], measure: Callable[[], Any]
    ) -> Any:
        """Return JSON values kept for `depends_on`, or measure and keep them."""
        return self.get(label, depends_on, lambda: Result(measure())).figures

    def file(
        self,
        label: str,
        suffix: str,
        depends_on: Mapping[str, Any],
        make: Callable[[Path], None],
    ) -> Path:
        """Return the path of a file, which `make` writes if it is not there."""
        path = self._path(label, suffix, depends_on)
        if not path.exists():
            make_folder(self.folder)
            make(path)
        return plain(path)

    def _path(self, label: str, suffix: str, depends_on: Mapping[str, Any]) -> Path:
        code = [__version__, code_sha256()]
        safe = "".join(c if c.isalnum() or c in "-." else "_" for c in label)
        return self.folder / f"{safe[:60]}-{digest_of([depends_on, code])}{suffix}"


def digest_of(value: Any) -> str:
    """Return a hash of JSON values, 16 characters, the same in any order of keys."""
    text = json.dumps(value, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _write(path: Path, result: Result) -> Result:
    figures = np.frombuffer(dump_json(result.figures).encode(), np.uint8)
    arrays: dict[str, Any] = {"figures": figures, **result.arrays}
    with replacing(path) as temporary:
        np.savez(temporary, **arrays)
    return result


def _read(path: Path) -> Result | None:
    """Return a kept result, None where there is none or it is damaged."""
    try:
        # Opened here, since numpy leaves a damaged file open.
        with (
            os.fdopen(opened(path), "rb") as file,
            np.load(file, allow_pickle=False) as kept,
        ):
            arrays = dict(kept)
        return Result(parse_json(arrays.pop("figures").tobytes()), arrays)
    except Exception:  # numpy reports damage as almost any exception
        return None
