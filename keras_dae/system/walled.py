"""The process behind `walls.Room`, which runs functions within limits.

python -m keras_dae.system.walled DESCRIPTOR
"""

import os
import re
import resource
import signal
import socket
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from keras_dae.errors import KerasDAEError
from keras_dae.system import parcels
from keras_dae.system.lifeline import end_with_parent

_PAGE = os.sysconf("SC_PAGE_SIZE")
# Messages of torch, XLA and tensorflow, ONNX Runtime and C++ when memory is exhausted.
_NO_MEMORY = re.compile(
    "can't allocate memory|RESOURCE_EXHAUSTED|[Oo]ut of memory|[Ff]ailed to allocate"
    "|bad_?[Aa]lloc"
)
_WASTE = 1 << 30  # a process that keeps this many more bytes is replaced


def main() -> None:
    """Answer calls [function, bounds, arguments] with [state, result].

    `bounds` holds bytes, seconds and the working folder.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles it
    end_with_parent()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    link, before = socket.socket(fileno=int(sys.argv[1])), taken()
    while True:
        try:
            function, (memory, seconds, folder), arguments = parcels.receive(link)
        except EOFError:
            return
        module, _, name = function.partition(":")
        called = getattr(import_module(module), name)
        with suppress(OSError):
            os.chdir(folder)
        confine(memory, seconds)
        _reply(link, _answer(called, arguments))  # packing the result is limited too
        confine(None, None)
        if memory is None:
            before = taken()  # memory of the preparation does not count
        elif taken() > before + _WASTE:
            return


def _answer(called: Any, arguments: list[Any]) -> list[Any]:
    try:
        return ["done", called(*arguments)]
    except MemoryError:
        return ["memory", None]
    except KerasDAEError as error:
        known = type(error).__name__ in parcels.CARRIED
        return ["failed", error if known else KerasDAEError(str(error))]
    except Exception as error:  # an unexpected error of a library
        if _NO_MEMORY.search(str(error)):
            return ["memory", None]
        words = (str(error).strip().splitlines() or [""])[0][:120]
        return ["surprised", f"{type(error).__name__}: {words}"]


def _reply(link: socket.socket, answer: list[Any]) -> None:
    try:
        parcels.send(link, answer)
    except MemoryError:
        parcels.send(link, ["memory", None])
    except TypeError as error:
        parcels.send(link, ["surprised", str(error)])


def confine(memory: int | None, seconds: float | None) -> None:
    """Limit what this process can use from here on; None removes a limit.

    Memory is private and writable memory (RLIMIT_DATA), which only Linux enforces.
    Mapped files and address space reserved by CUDA do not count. Time is that of all
    cores.
    """
    _set(resource.RLIMIT_DATA, None if memory is None else taken() + memory)
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = used.ru_utime + used.ru_stime
    _set(resource.RLIMIT_CPU, None if seconds is None else int(spent + seconds) + 1)


def _set(what: int, bound: int | None) -> None:
    most = resource.getrlimit(what)[1]
    soft = most if bound is None else bound
    if most != resource.RLIM_INFINITY:
        soft = min(soft, most)
    resource.setrlimit(what, (soft, most))


def taken() -> int:
    """Return the private writable bytes of this process; 0 if unknown."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[5]) * _PAGE
    except OSError:
        return 0


if __name__ == "__main__":
    main()
