"""How a process is asked to end: by Ctrl-C, SIGTERM, or the end of its parent."""

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
    """Whether this process was asked to end, and the original error hooks."""

    ever = False
    put_off = False  # whether an interrupt is deferred by `uninterrupted`
    pending = False
    hooks: tuple[Any, Any] | None = None


def listen() -> None:
    """Raise KeyboardInterrupt in the main thread on SIGTERM as on Ctrl-C.

    A library can lose an interrupt, for example in a destructor or in a callback of C
    code. It is therefore repeated every few seconds until `reset_interrupt`. If Ctrl-C
    is ignored, as in background jobs, it stays ignored. In other threads than the main
    one nothing is changed, since Python does not allow it.
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
    """Defer an interrupt until the end of the block.

    Use it for short operations that must be complete: for example, nobody would remove
    a file that was just created and is not yet known to the program. It has no effect
    if `listen` was not called, or in other threads.
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
        # Suppress messages of libraries about the interrupt.
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
    """Return whether this process was asked to end.

    A library may have turned the interrupt into another error while cleaning up, or
    lost it.
    """
    return _Asked.ever


def child_environment() -> dict[str, str]:
    """Return the environment for a child process that should end with this one."""
    return {**os.environ, _PARENT: str(os.getpid())}


def end_with_parent() -> None:
    """End this process when its parent ends, if `child_environment` was used.

    Otherwise a killed sweep would leave runs behind that nobody collects, and that a
    second call would find locked.
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
