"""How a process is asked to end: by Ctrl-C, by SIGTERM, by the end of its parent."""

import os
import signal
import threading
import time
from typing import NoReturn

_PARENT = "KERAS_DAE_PARENT"
_SECONDS = 0.2
_GRACE_SECONDS = 10


_asked = threading.Event()


def listen() -> None:
    """Raise KeyboardInterrupt in the main thread on SIGTERM as on Ctrl-C.

    A Ctrl-C that is ignored, as in a job in the background, stays ignored.
    """
    _asked.clear()
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(*_: object) -> NoReturn:
    _asked.set()
    raise KeyboardInterrupt


def asked_to_end() -> bool:
    """Tell whether this process was asked to end.

    A library that was cleaning up may have turned the interrupt into an error of its
    own, or lost it.
    """
    return _asked.is_set()


def child_environment() -> dict[str, str]:
    """Return this process's environment with what ties a child to it."""
    return {**os.environ, _PARENT: str(os.getpid())}


def end_with_parent() -> None:
    """Ask this process to end once the one that `child_environment` named has gone.

    A killed sweep would otherwise leave runs behind that nobody collects, and that a
    second call would find in use. Does nothing in a process started otherwise.
    """
    parent = os.environ.pop(_PARENT, "")
    if parent.isdigit():
        threading.Thread(target=_watch, args=(int(parent),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_SECONDS)
    os._exit(1)
