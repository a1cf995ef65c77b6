"""A worker process of a sweep, which runs several commands one after the other.

Importing keras and its backend takes longer than an epoch of a small model, so each
process is reused. A job is a line of JSON on standard input: `{"arguments": [...],
"log": path}`, with the command line of `keras-dae` and the file for its output. The
worker writes the exit code as a line to standard output. It ends at the end of its
input, and after the first command that fails.
"""

import json
import os
import sys
import traceback
from typing import Any, TextIO

from keras_dae.cli import main
from keras_dae.system.inside import opened
from keras_dae.system.lifeline import end_with_parent
from keras_dae.system.private import without_dynamo


def serve(orders: TextIO, answers: TextIO) -> int:
    """Run one job after the other; return the exit code of the last one."""
    code = 0
    for line in orders:
        order = json.loads(line)
        code = run(order["arguments"], order["log"])
        print(code, file=answers, flush=True)
        if code != 0:
            break
    return code


def run(arguments: list[str], log: str) -> int:
    """Run a command line of `keras-dae` and return its exit code.

    Args:
        arguments: the command line without the name of the program.
        log: the file to append standard output and standard error to.
    """
    _write_to(log)
    sys.argv = ["keras-dae", *arguments]
    code: Any = 0
    try:
        main(arguments, prog_name="keras-dae")
    except SystemExit as end:
        code = end.code
    except BaseException:  # any error must end this run only
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    _forget()
    return code if isinstance(code, int) else int(code is not None)


def _write_to(log: str) -> None:
    descriptor = opened(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for standard in (sys.stdout, sys.stderr):
        os.dup2(descriptor, standard.fileno())
    os.close(descriptor)


def _forget() -> None:
    """Reset the global state of keras: name counters, models and what they hold."""
    if keras := sys.modules.get("keras"):
        with without_dynamo():
            keras.utils.clear_session()


if __name__ == "__main__":
    end_with_parent()
    asked, told = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(nowhere, descriptor)
    try:
        sys.exit(serve(asked, told))
    except KeyboardInterrupt:  # while waiting for a job
        sys.exit(130)
