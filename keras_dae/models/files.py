"""Save `.keras` files atomically, and check them before keras loads them."""

import importlib
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_dae.errors import KerasDAEError, UsageError, check
from keras_dae.models import gate
from keras_dae.models.gate import CARD, OPEN_SIDE, inspect
from keras_dae.system.numerics import float32
from keras_dae.system.own import forget, is_own, remember
from keras_dae.system.private import functional, without_tensorflow
from keras_dae.system.storage import SCHEMA, dump_json, replacing

__all__ = ["inputs_and_outputs", "inspect", "load", "save", "weights"]


def save(
    model: keras.Model,
    path: Path | str,
    *,
    optimizer: bool = False,
    card: dict[str, Any] | None = None,
) -> None:
    """Save `model` to a `.keras` file. The file is written atomically.

    Args:
        model: a functional or sequential Keras model that is built.
        path: the file. An existing file is replaced only by a complete one.
        optimizer: also save the optimizer, so that training can continue exactly; the
            file is then three times as large.
        card: information on the training, as JSON values. It is stored in the file and
            ignored by keras.

    Raises:
        UsageError: the path does not end in `.keras`, or the model is of another class,
            which could not be loaded without its code.
        KerasDAEError: the file cannot be written.
    """
    check(
        Path(path).suffix == ".keras",
        "The path of a model must end in .keras.",
        path=str(path),
    )
    if type(model) not in (functional(), keras.Sequential) or not model.built:
        raise UsageError(
            "Only a functional or sequential model that is built can be saved. "
            f"Received: {model.name}, of class {type(model).__name__}, "
            f"{'built' if model.built else 'not built'}."
        )
    saved = model
    if not optimizer:
        # A new model with the same layers has no optimizer. keras ignores its own
        # option include_optimizer for .keras files.
        saved = keras.Model(*inputs_and_outputs(model), name=model.name)
    forget(path)
    with replacing(path) as temporary:
        try:
            with without_tensorflow():
                keras.saving.save_model(saved, temporary)
            if card is not None:
                with zipfile.ZipFile(temporary, "a") as archive:
                    archive.writestr(CARD, dump_json({"schema": SCHEMA, **card}))
        except Exception as error:
            raise _cause(error) from None
    remember(path)


def _cause(error: BaseException) -> BaseException:
    """Return the OSError that caused an error of a library, if there is one."""
    behind: BaseException | None = error
    while behind is not None and not isinstance(behind, OSError):
        behind = behind.__cause__ or behind.__context__
    return behind or error


def inputs_and_outputs(model: keras.Model) -> tuple[Any, Any]:
    """Return inputs and outputs of a model, without the list if there is only one."""
    both = model.inputs, model.outputs
    return tuple(part[0] if len(part) == 1 else part for part in both)


@float32()
def load(path: Path | str, *, compiled: bool = False) -> keras.Model:
    """Load a `.keras` file saved on any backend.

    Args:
        path: the file.
        compiled: also restore optimizer and loss, to continue training. Otherwise they
            are ignored.

    Raises:
        UsageError: there is no such file.
        KerasDAEError: the file is empty, truncated or damaged, or has layers other than
            built-in ones. No code from the file is run.
    """
    path = Path(path)
    inspect(path, compiled=compiled)
    gate.try_out(path, compiled=compiled)  # the same in a restricted process
    return open_model(path, compiled)


def weights(path: Path | str) -> dict[str, list[np.ndarray]]:
    """Return the weights of each layer in a `.keras` file, by the name of the layer.

    Untrusted files are read in a restricted process. For errors see `load`.
    """
    inspect(path)
    if is_own(path):
        return weights_in(str(path))
    found: dict[str, list[np.ndarray]] = gate.call_with_keras(path, "weights_in")
    return found


def weights_in(path: str) -> dict[str, list[np.ndarray]]:
    """Implementation of `weights`, for any process."""
    layers = open_model(Path(path)).layers
    return {one.name: kept for one in layers if (kept := one.get_weights())}


def _first_line(error: Exception) -> str:
    words = str(error).strip("\"' ").splitlines() or [""]
    return words[0].rstrip(".")[:120]


def try_out(path: str, compiled: bool) -> None:
    """Load a model and denoise one image with it."""
    model = open_model(Path(path), compiled)
    given = [
        np.zeros((1, *(side or OPEN_SIDE for side in tensor.shape[1:])), tensor.dtype)
        for tensor in model.inputs
    ]
    model.predict_on_batch(given[0] if len(given) == 1 else given)


def open_model(path: Path, compiled: bool = False) -> keras.Model:
    """Load a model that `inspect` has accepted; for errors see `load`."""
    if compiled:  # registers classes of this package
        for module in {module for module, _, _ in gate.OWN}:
            importlib.import_module(module)
    try:
        return keras.saving.load_model(
            path,
            # A file saved on torch names torch's Adam, which other backends lack.
            custom_objects={"Adam": keras.optimizers.Adam},
            compile=compiled,
            safe_mode=True,
        )
    except MemoryError:
        raise
    except Exception as error:  # damaged files raise many kinds of exceptions
        raise KerasDAEError(
            f"{path} could not be loaded: it is damaged, or its layers and weights "
            f"do not match ({type(error).__name__}: {_first_line(error)})."
        ) from error
