"""What changes a whole process is done by the commands, never by a library call."""

import ctypes
import gc
import sys
from threading import Event

import pytest

from keras_dae.system import backend
from keras_dae.training.config import make_config
from keras_dae.training.fitting import fit

CONFIG = {
    **{"depth": 1, "latent": 13, "epochs": 1, "batch_size": 8, "warmup_steps": 2},
    **{"train_images": 24, "validation_images": 6},
}


def test_fit_leaves_the_process_as_it_is(digits, tmp_path, monkeypatch):
    """Memory, the garbage collector and what may be imported are the user's."""
    libraries = []
    library = ctypes.CDLL
    monkeypatch.setattr(
        ctypes, "CDLL", lambda name, *more: libraries.append(name) or library(name)
    )
    monkeypatch.setattr(gc, "freeze", lambda: libraries.append("freeze"))
    hidden = {name for name, module in sys.modules.items() if module is None}
    fit(make_config(CONFIG), digits, tmp_path)
    assert [name for name in libraries if name in ("libc.so.6", "freeze")] == []
    assert {name for name, module in sys.modules.items() if module is None} <= hidden


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's setting")
def test_a_command_keeps_freed_memory(monkeypatch):
    asked = Event()
    monkeypatch.setattr(backend, "name", lambda: "torch")
    monkeypatch.setattr(backend, "import_keras", lambda chosen: None)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: asked.set() or object())
    backend.select()
    assert asked.is_set()
