"""ONNX files, which are opened in the process of `walls.FILES` alone."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.errors import KerasDAEError, short


def look(path: str, threads: int) -> tuple[int | None, ...]:
    """Open a file and return the shape that it takes; an open side is None."""
    shape: tuple[int | None, ...] = _opened(path, threads)[0]
    return shape


def answer(path: str, threads: int, images: np.ndarray) -> np.ndarray:
    """Return what a file's model answers."""
    return np.asarray(_opened(path, threads)[1](images))


@cache
def _opened(name: str, threads: int) -> tuple[Any, Callable[[np.ndarray], Any]]:
    """Return the shape that an ONNX file takes, and what it answers.

    Raises:
        KerasDAEError: a damaged file, constants that lie outside
            the file's folder, or other than one input.
    """
    path = Path(name)
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
        _check_places(path, model)
        session = onnx_session(path, threads)
    except (KerasDAEError, MemoryError):
        raise
    except Exception as error:  # its exceptions share no class of their own
        raise KerasDAEError(f"{path} is not a readable ONNX model.") from error
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise KerasDAEError(f"{path} takes {len(inputs)} inputs in place of one.")
    shape = tuple(side if type(side) is int else None for side in inputs[0].shape)

    def run(images: np.ndarray) -> Any:
        return session.run(None, {inputs[0].name: images})[0]

    return shape, run


def onnx_session(path: Path, threads: int) -> Any:
    """Return ONNX Runtime's session of a file.

    Raises:
        Exception: of onnxruntime's own, where it cannot read the file.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what is wrong is said in one sentence
    return onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )


def _check_places(path: Path, model: Any) -> None:
    """Refuse a constant that lies outside the file's folder.

    Every message of the model is looked through, so that none hides in a function, a
    loop or a sparse tensor.
    """
    waiting = [model]
    while waiting:
        message = waiting.pop()
        for field, value in message.ListFields():
            if field.name == "external_data":
                places = [entry.value for entry in value if entry.key == "location"]
                for place in places:
                    beside = path.parent / Path(place).name
                    if place != Path(place).name or beside.is_symlink():
                        raise KerasDAEError(
                            f"{path} keeps a tensor in {short(place)}; a file beside "
                            "it, by its name alone, is read."
                        )
            elif field.message_type is not None:
                waiting += list(value) if hasattr(value, "__len__") else [value]
