"""Standard input, output and errors of the command line, however it was started."""

import os
import sys
import warnings


def steady_streams() -> None:
    r"""Let the streams of this process take any text, and be there.

    A closed one becomes the null device, so that no file that is opened later takes its
    place; what an encoding lacks is written out, as `\xe9`. Warnings of libraries are
    never errors, as PYTHONWARNINGS can make them: they are not the user's.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))
        if number:
            getattr(sys, name).reconfigure(errors="backslashreplace")
    if os.environ.pop("PYTHONWARNINGS", None) or sys.warnoptions:
        warnings.resetwarnings()
        warnings.simplefilter("ignore")


def nowhere() -> None:
    """Send what is left of standard output to the null device: it takes no more."""
    try:
        place = os.open(os.devnull, os.O_WRONLY)
        os.dup2(place, sys.stdout.fileno())
        os.close(place)
    except (OSError, ValueError):  # it has no descriptor
        return
