"""Errors that a user can act on, and the text of their messages.

A message says what is wrong, what is accepted and which value was received.
"""

import os
import re
from typing import Any

TRACEBACK = "KERAS_DAE_TRACEBACK"  # if set, unexpected errors are raised
LONGEST = 200  # characters of a value in a sentence
# Control characters, and characters that change the direction of text. Line breaks and
# tabs are allowed.
_TURNS = "\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069"
CONTROL = re.compile(rf"[\x00-\x08\x0b-\x1f\x7f-\x9f{_TURNS}]")


class KerasDAEError(ValueError):
    """A failure that the user can act on; the command line exits with 1."""

    exit_code = 1


class UsageError(KerasDAEError):
    """An invalid argument or configuration; the command line exits with 2."""

    exit_code = 2


def check(condition: bool, rule: str, **received: object) -> None:
    """Raise `UsageError` with the rule and the received values if it does not hold."""
    if not condition:
        values = ", ".join(f"{name}={short(value)}" for name, value in received.items())
        raise UsageError(f"{rule} Received: {values}.")


def is_a(value: object, kinds: Any) -> bool:
    """Return `isinstance(value, kinds)`, for values that may differ from their type."""
    return isinstance(value, kinds)


def reason(error: OSError) -> str:
    """Return the message of the operating system for `error`, without its number."""
    return error.strerror or str(error)


def unexpected(error: Exception) -> str:
    """Return a description of an unexpected exception, without a full stop.

    Raises:
        Exception: the same one, if the variable `TRACEBACK` is set.
    """
    if os.environ.get(TRACEBACK):
        raise error
    if isinstance(error, OSError) and error.strerror:
        return f"failed: {error.strerror}"
    words = (str(error).strip().splitlines() or [""])[0][:LONGEST].rstrip(".")
    said = f"{type(error).__name__}: {words}" if words else type(error).__name__
    return f"failed unexpectedly ({said}); {TRACEBACK}=1 shows the traceback"


def printable(text: str) -> str:
    r"""Return text with its control characters escaped, as in `\x1b[31m`."""
    return CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def one_line(text: str) -> str:
    r"""Return text as `printable` does, with line breaks and tabs escaped too."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def legible(text: object) -> str:
    r"""Return text or a path; bytes that are not UTF-8 are escaped, as in `\xff`."""
    content = str(text).encode("utf-8", "surrogateescape")
    return content.decode("utf-8", "backslashreplace")


def short(value: object) -> str:
    """Return the repr of a value for a message, truncated if it is long."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
