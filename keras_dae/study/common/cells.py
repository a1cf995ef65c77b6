"""Measured figures kept in a file as they come, so that long work can be resumed."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_dae import __version__
from keras_dae.errors import KerasDAEError
from keras_dae.system.fingerprint import code_sha256
from keras_dae.system.storage import read_json, write_json

# Raised when a measurement changes, so that none of before is taken for one of now.
MEASURES = 1


def digest_of(value: Any) -> str:
    """Return a hash of JSON values, 16 characters, the same in any order of keys."""
    text = json.dumps(value, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tuned_cells(out: Path) -> "Cells":
    """Return where a study's folder keeps the parameters chosen for filters."""
    return Cells(out / "tuned.json")


class Cells:
    """Figures by what they depend on, in one JSON file that is always whole.

    A figure is measured once: asked for again with equal dependencies, by this process
    or a later one, it comes from the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept: dict[str, Any] = {}
        if path.exists():
            self._kept = read_json(path).get("cells", {})
            if not isinstance(self._kept, dict):
                raise KerasDAEError(f"{path} holds no figures; remove it.")

    def get(self, depends_on: dict[str, Any], measure: Callable[[], Any]) -> Any:
        """Return the figure kept for `depends_on`, or measure and keep it.

        Args:
            depends_on: JSON values that name everything that the figure depends on.
            measure: returns the figure as JSON values.
        """
        key = self._key(depends_on)
        if key not in self._kept:
            self._kept[key] = measure()
            write_json(self.path, {"cells": self._kept})
        return self._kept[key]

    def holds(self, depends_on: dict[str, Any]) -> bool:
        """Tell whether the figure for `depends_on` is kept already."""
        return self._key(depends_on) in self._kept

    def _key(self, depends_on: dict[str, Any]) -> str:
        code = [__version__, code_sha256()]
        return digest_of({**depends_on, "measures": MEASURES, "code": code})
