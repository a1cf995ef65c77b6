"""Values between processes that do not trust each other: JSON, and plain arrays.

Nothing here is pickled, so what a process receives runs no code. Arrays and bytes go
through shared memory, which the sender can no longer change once it is read; all other
values are JSON, with tuples, types and the classes of `CARRIED` marked as such.
"""

import dataclasses
import fcntl
import json
import mmap
import os
import socket
import struct
import tempfile
from math import prod
from typing import Any, TypeVar

import numpy as np

from keras_dae.errors import KerasDAEError, UsageError

MOST_WORDS = 1 << 28  # bytes of JSON in one parcel
_LENGTH = struct.Struct("<QQ")  # of the JSON, and of the shared memory
_ALIGNED = 64
_KINDS = "biufc"
_Class = TypeVar("_Class", bound=type)
# Dataclasses that may be sent, and errors, by name.
CARRIED: dict[str, Any] = {"KerasDAEError": KerasDAEError, "UsageError": UsageError}


def carried(kind: _Class) -> _Class:
    """Allow a dataclass, or an error of one text, to be sent; a decorator."""
    CARRIED[kind.__name__] = kind
    return kind


def send(link: socket.socket, value: Any) -> None:
    """Send a value of None, numbers, text, bytes, arrays, containers and `CARRIED`.

    Raises:
        TypeError: another value.
        OSError: nobody receives.
    """
    held = _Held()
    words = json.dumps(_packed(value, held)).encode()
    shared = _shared(held.parts) if held.parts else None
    try:
        head = _LENGTH.pack(len(words), held.size)
        if shared is None:
            link.sendall(head)
        else:
            socket.send_fds(link, [head], [shared])
        link.sendall(words)
    finally:
        if shared is not None:
            os.close(shared)


def receive(link: socket.socket) -> Any:
    """Return what was sent; arrays may be written to.

    Raises:
        EOFError: the other side has ended.
        ValueError: it sent what is no parcel.
    """
    head, handles, *_ = socket.recv_fds(link, _LENGTH.size, 1)
    try:
        length, size = _LENGTH.unpack(head + _exactly(link, _LENGTH.size - len(head)))
        if length > MOST_WORDS:
            raise ValueError("a parcel of too many words")
        words = json.loads(_exactly(link, length))
        memory = _mapped(handles[0], size) if handles else memoryview(b"")
        return _unpacked(words, memory)
    except (KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise ValueError("no parcel") from error
    finally:
        for handle in handles:
            os.close(handle)


def _exactly(link: socket.socket, length: int) -> bytes:
    parts, left = [], length
    while left:
        part = link.recv(min(left, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _up(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED


def _shared(held: list[memoryview]) -> int:
    """Return a descriptor of memory that holds these bytes one after the other."""
    if hasattr(os, "memfd_create"):
        shared = os.memfd_create("keras-dae", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    else:  # macOS
        with tempfile.TemporaryFile() as file:
            shared = os.dup(file.fileno())
    place = 0
    for part in held:
        left = part
        while left.nbytes:
            left = left[os.pwrite(shared, left, place + part.nbytes - left.nbytes) :]
        place += _up(part.nbytes)
    os.ftruncate(shared, place)
    return shared


def _mapped(shared: int, size: int) -> memoryview:
    """Return shared memory as this process's own; later changes do not reach it."""
    if hasattr(fcntl, "F_ADD_SEALS"):
        # Without a mapping that writes, the sender can have none from here on.
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
        fcntl.fcntl(shared, fcntl.F_ADD_SEALS, seals)
        kept = mmap.MAP_PRIVATE
        if os.fstat(shared).st_size < size or not size:
            raise ValueError("less memory than was said")
        return memoryview(
            mmap.mmap(shared, size, kept, mmap.PROT_READ | mmap.PROT_WRITE)
        )
    content = bytearray(size)
    if os.preadv(shared, [content], 0) != size:
        raise ValueError("less memory than was said")
    return memoryview(content)


@dataclasses.dataclass
class _Held:
    """What is to be shared: parts, and the bytes that all of them take."""

    parts: list[memoryview] = dataclasses.field(default_factory=list)
    size: int = 0

    def add(self, data: Any) -> list[int]:
        """Add bytes to those that are shared; return where they lie, and how many."""
        whole = memoryview(data)
        flat = whole.cast("B") if whole.nbytes else memoryview(b"")
        start = self.size
        self.parts.append(flat)
        self.size += _up(flat.nbytes)
        return [start, flat.nbytes]


def _packed(value: Any, held: _Held) -> Any:
    """Return a value as JSON, with what is shared put aside."""
    if value is None or isinstance(value, bool | str | float):
        return value
    if isinstance(value, int):
        return int(value)  # of an enumeration too
    if isinstance(value, np.generic):
        return _packed(value.item(), held)
    if isinstance(value, list):
        return [_packed(one, held) for one in value]
    if isinstance(value, bytes):
        return {"bytes": held.add(value)}
    if isinstance(value, np.dtype):
        return {"type": value.str}
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in _KINDS:
            raise TypeError(f"an array of {value.dtype} is not sent")
        place = held.add(np.ascontiguousarray(value).reshape(-1).view(np.uint8))
        return {"array": [*place, value.dtype.str, list(value.shape)]}
    if isinstance(value, tuple):
        return {"tuple": [_packed(one, held) for one in value]}
    if isinstance(value, dict):
        pairs = value.items()
        return {"dict": [[_packed(k, held), _packed(v, held)] for k, v in pairs]}
    if dataclasses.is_dataclass(value) and type(value).__name__ in CARRIED:
        names = [field.name for field in dataclasses.fields(value)]
        fields = {name: _packed(getattr(value, name), held) for name in names}
        return {"made": [type(value).__name__, fields]}
    if isinstance(value, Exception) and type(value).__name__ in CARRIED:
        return {"error": [type(value).__name__, str(value), vars(value)]}
    raise TypeError(f"a {type(value).__name__} is not sent")


def _unpacked(value: Any, memory: memoryview) -> Any:
    if isinstance(value, list):
        return [_unpacked(one, memory) for one in value]
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = value.items()
    if kind == "array":
        start, length, name, shape = inner
        dtype = np.dtype(name)
        if dtype.kind not in _KINDS or prod(shape) * dtype.itemsize != length:
            raise ValueError("an array of another length")
        part = memory[start : start + length]
        return (
            np.frombuffer(part, dtype).reshape(shape)
            if length
            else np.zeros(shape, dtype)
        )
    if kind == "bytes":
        start, length = inner
        return bytes(memory[start : start + length])
    if kind == "tuple":
        return tuple(_unpacked(one, memory) for one in inner)
    if kind == "dict":
        return {_unpacked(k, memory): _unpacked(v, memory) for k, v in inner}
    if kind == "type":
        return np.dtype(str(inner))
    name, *rest = inner
    if kind == "error":
        error = CARRIED[name](rest[0])
        vars(error).update({key: str(words) for key, words in rest[1].items()})
        return error
    return CARRIED[name](**{k: _unpacked(v, memory) for k, v in rest[0].items()})
