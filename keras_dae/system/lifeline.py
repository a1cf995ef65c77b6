"""How a process is asked to end: by Ctrl-C, by SIGTERM, by the end of its parent."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_PARENT = "KERAS_DAE_PARENT"
_SECONDS = 0.2
_GRACE_SECONDS = 10
_REMIND_SECONDS = 5.0


class _Asked:
    """Whether this process was asked to end, and what printed lost errors before."""

    ever = False
    put_off = False  # whether an interrupt waits for the end of `uninterrupted`
    pending = False
    hooks: tuple[Any, Any] | None = None


def listen() -> None:
    """Raise KeyboardInterrupt in the main thread on SIGTERM as on Ctrl-C.

    A library may lose an interrupt: one that comes within a destructor or a callback
    of C code goes nowhere. So it comes again every few seconds until
    `reset_interrupt`. A Ctrl-C that is ignored, as in a job in the background, stays
    ignored. In another thread than the main one signals stay as they are: Python lets
    no other set them.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    reset_interrupt()
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGALRM, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put off an interrupt that comes within the block until the block has ended.

    For what must be done as a whole and takes an instant: a file that has been made
    and has no name yet in the program is one that nobody removes. Where `listen` was
    not called, or in another thread, interrupts come as ever.
    """
    if _Asked.put_off or threading.current_thread() is not threading.main_thread():
        yield
        return
    _Asked.put_off, _Asked.pending = True, False
    try:
        yield
    finally:
        _Asked.put_off = False
        if _Asked.pending:
            raise KeyboardInterrupt


def _interrupt(*_: object) -> None:
    if not _Asked.ever:
        _Asked.ever = True
        _Asked.hooks = sys.excepthook, sys.unraisablehook
        # What a library prints of an interrupt that it could not hand on.
        sys.excepthook = lambda *_: None
        sys.unraisablehook = lambda *_: None
        signal.setitimer(signal.ITIMER_REAL, _REMIND_SECONDS, _REMIND_SECONDS)
    if _Asked.put_off:
        _Asked.pending = True
        return
    raise KeyboardInterrupt


def reset_interrupt() -> None:
    """Clear the pending interrupt; the caller has reported it."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    _Asked.ever = False
    if _Asked.hooks is not None:
        sys.excepthook, sys.unraisablehook = _Asked.hooks
        _Asked.hooks = None


def asked_to_end() -> bool:
    """Tell whether this process was asked to end.

    A library that was cleaning up may have turned the interrupt into an error of its
    own, or lost it.
    """
    return _Asked.ever


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
