"""Standard input, output and error of the command line, however it was started."""

import os
import sys
import warnings

CLOSED: set[str] = set()  # the streams that this process was started without


def steady_streams() -> None:
    r"""Make the standard streams usable and able to write any text.

    A closed stream becomes the null device, so that no file opened later takes its
    place. Characters that the encoding lacks are escaped, as `\xe9`. Warnings of
    libraries never become errors, even if PYTHONWARNINGS says so.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            CLOSED.add(name)
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))
        if number:
            getattr(sys, name).reconfigure(errors="backslashreplace")
    if os.environ.pop("PYTHONWARNINGS", None) or sys.warnoptions:
        warnings.resetwarnings()
        warnings.simplefilter("ignore")


def discard_output() -> None:
    """Redirect the rest of standard output, which is broken, to the null device."""
    try:
        place = os.open(os.devnull, os.O_WRONLY)
        os.dup2(place, sys.stdout.fileno())
        os.close(place)
    except (OSError, ValueError):  # the stream has no descriptor
        return
