"""ONNX files, which are opened only in the process of `walls.FILES`."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.errors import KerasDAEError, short


def look(path: str, threads: int) -> tuple[int | None, ...]:
    """Open a file and return its input shape; a variable side is None."""
    shape: tuple[int | None, ...] = _opened(path, threads)[0]
    return shape


def answer(path: str, threads: int, images: np.ndarray) -> np.ndarray:
    """Return the outputs of the model in a file."""
    return np.asarray(_opened(path, threads)[1](images))


@cache
def _opened(name: str, threads: int) -> tuple[Any, Callable[[np.ndarray], Any]]:
    """Return the input shape of an ONNX file, and a function that runs it.

    Raises:
        KerasDAEError: the file is damaged, stores constants outside its folder, or does
            not have exactly one input.
    """
    path = Path(name)
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
        _check_places(path, model)
        session = onnx_session(path, threads)
    except (KerasDAEError, MemoryError):
        raise
    except Exception as error:  # its exceptions have no common class
        raise KerasDAEError(f"{path} is not a readable ONNX model.") from error
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise KerasDAEError(f"{path} has {len(inputs)} inputs instead of one.")
    shape = tuple(side if type(side) is int else None for side in inputs[0].shape)

    def run(images: np.ndarray) -> Any:
        return session.run(None, {inputs[0].name: images})[0]

    return shape, run


def onnx_session(path: Path, threads: int) -> Any:
    """Return an ONNX Runtime session for a file.

    Raises:
        Exception: onnxruntime cannot read the file.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # the caller reports errors
    return onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )


def _check_places(path: Path, model: Any) -> None:
    """Refuse a constant that is stored outside the folder of the file.

    All messages of the model are searched, including those in functions, loops and
    sparse tensors.
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
                            f"{path} stores a tensor in {short(place)}; only a file in "
                            "the same folder, given by its name alone, is allowed."
                        )
            elif field.message_type is not None:
                waiting += list(value) if hasattr(value, "__len__") else [value]
