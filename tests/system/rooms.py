"""What the tests call within walls."""

import ctypes
import os
import time
from pathlib import Path

import numpy as np

from keras_dae.errors import UsageError
from keras_dae.images.io import pictures  # noqa: F401 (its classes may be sent)


def back(*values):
    """Return what was sent."""
    return values


def pid():
    """Return the process."""
    return os.getpid()


def folder():
    """Return the working folder."""
    return (str(Path.cwd()),)


def eat(count):
    """Take memory."""
    return np.ones(count, np.uint8)


def spin():
    """Compute for ever."""
    while True:
        pass


def sleep():
    """Wait for ever."""
    time.sleep(1000)


def crash():
    """Read where there is nothing."""
    ctypes.string_at(8)


def fail(kind):
    """Raise."""
    raise {
        "usage": UsageError("a mistake"),
        "other": RuntimeError("a\nsurprise"),
        "memory": RuntimeError("in a layer\nCPUAllocator: can't allocate memory"),
    }[kind]


def odd():
    """Return what cannot be sent."""
    return object()


def many(count):
    """Return more parts than can be packed in time."""
    return [bytes(1)] * count
