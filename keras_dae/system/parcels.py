"""Exchange values between processes that do not trust each other.

Nothing is pickled, so received data cannot run code. Arrays and bytes go through shared
memory, which the sender can no longer change once it is read. All other values are
JSON, with markers for tuples, types and the classes of `CARRIED`.
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

MOST_WORDS = 1 << 28  # bytes of JSON per message
_LENGTH = struct.Struct("<QQ")  # lengths of the JSON and of the shared memory
_ALIGNED = 64
_KINDS = "biufc"
_Class = TypeVar("_Class", bound=type)
# Dataclasses and errors that may be sent, by name.
CARRIED: dict[str, Any] = {"KerasDAEError": KerasDAEError, "UsageError": UsageError}


def carried(kind: _Class) -> _Class:
    """Allow a dataclass, or an error with one text, to be sent; a decorator."""
    CARRIED[kind.__name__] = kind
    return kind


def send(link: socket.socket, value: Any) -> None:
    """Send None, numbers, text, bytes, arrays, containers or values of `CARRIED`.

    Raises:
        TypeError: the value has another type.
        OSError: the receiver has ended.
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
    """Return the received value; its arrays are writable.

    Raises:
        EOFError: the sender has ended.
        ValueError: the message is not valid.
    """
    head, handles, *_ = socket.recv_fds(link, _LENGTH.size, 1)
    try:
        length, size = _LENGTH.unpack(head + _exactly(link, _LENGTH.size - len(head)))
        if length > MOST_WORDS:
            raise ValueError("a message that is too long")
        words = json.loads(_exactly(link, length))
        memory = _mapped(handles[0], size) if handles else memoryview(b"")
        return _unpacked(words, memory)
    except (KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise ValueError("not a valid message") from error
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
    """Return a descriptor of shared memory that contains these bytes consecutively."""
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
    """Return a private copy of shared memory; later changes do not affect it."""
    if hasattr(fcntl, "F_ADD_SEALS"):
        # Sealing it against writes fails if the sender still has a writable mapping.
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
        fcntl.fcntl(shared, fcntl.F_ADD_SEALS, seals)
        kept = mmap.MAP_PRIVATE
        if os.fstat(shared).st_size < size or not size:
            raise ValueError("less memory than stated")
        return memoryview(
            mmap.mmap(shared, size, kept, mmap.PROT_READ | mmap.PROT_WRITE)
        )
    content = bytearray(size)
    if os.preadv(shared, [content], 0) != size:
        raise ValueError("less memory than stated")
    return memoryview(content)


@dataclasses.dataclass
class _Held:
    """The parts to share, and their total size."""

    parts: list[memoryview] = dataclasses.field(default_factory=list)
    size: int = 0

    def add(self, data: Any) -> list[int]:
        """Add bytes to share; return their offset and length."""
        whole = memoryview(data)
        flat = whole.cast("B") if whole.nbytes else memoryview(b"")
        start = self.size
        self.parts.append(flat)
        self.size += _up(flat.nbytes)
        return [start, flat.nbytes]


def _packed(value: Any, held: _Held) -> Any:
    """Return a value as JSON; shared parts are added to `held`."""
    if value is None or isinstance(value, bool | str | float):
        return value
    if isinstance(value, int):
        return int(value)  # also for enumerations
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
            raise TypeError(f"an array of {value.dtype} cannot be sent")
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
    raise TypeError(f"a {type(value).__name__} cannot be sent")


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
            raise ValueError("an array of the wrong length")
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
