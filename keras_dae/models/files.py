"""`.keras` files: written whole, and looked at before keras builds anything."""

import importlib
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_dae.errors import KerasDAEError, UsageError, check
from keras_dae.models import gate
from keras_dae.models.gate import CARD, inspect
from keras_dae.system.numerics import float32
from keras_dae.system.own import forget, is_own, remember
from keras_dae.system.private import functional, without_tensorflow
from keras_dae.system.storage import dump_json, replacing

__all__ = ["ends", "inspect", "load", "save", "weights"]

OPEN_SIDE = 64  # pixels, where a model takes images of any size


def save(
    model: keras.Model,
    path: Path | str,
    *,
    optimizer: bool = False,
    card: dict[str, Any] | None = None,
) -> None:
    """Save `model` to a `.keras` file, whole or not at all.

    Args:
        model: a functional or sequential Keras model that is built.
        path: the file; what was there is replaced only by a complete one.
        optimizer: whether training can go on exactly from the file, at three times
            its size.
        card: what is known of the model's training, as JSON values; kept in the file,
            where keras does not look for it.

    Raises:
        UsageError: a name that does not end in `.keras`, or a model of another class,
            whose file could not be loaded without its code.
        KerasDAEError: the file cannot be written.
    """
    check(
        Path(path).suffix == ".keras",
        "The name of a model's file must end in .keras.",
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
        # A new model over the same layers has no optimizer to save; keras's own
        # include_optimizer is ignored for .keras files.
        saved = keras.Model(*ends(model), name=model.name)
    forget(path)
    with replacing(path) as temporary:
        try:
            with without_tensorflow():
                keras.saving.save_model(saved, temporary)
            if card is not None:
                with zipfile.ZipFile(temporary, "a") as archive:
                    archive.writestr(CARD, dump_json(card))
        except Exception as error:
            raise _cause(error) from None
    remember(path)


def _cause(error: BaseException) -> BaseException:
    """Return the OSError behind an error, where a library put its own before it."""
    behind: BaseException | None = error
    while behind is not None and not isinstance(behind, OSError):
        behind = behind.__cause__ or behind.__context__
    return behind or error


def ends(model: keras.Model) -> tuple[Any, Any]:
    """Return input and output of any model, bare where there is only one of them."""
    both = model.inputs, model.outputs
    return tuple(part[0] if len(part) == 1 else part for part in both)


@float32()
def load(path: Path | str, *, compiled: bool = False) -> keras.Model:
    """Load a `.keras` file saved on any backend.

    Args:
        path: the file.
        compiled: whether to restore optimizer and loss too, so as to train on;
            otherwise the file may name any loss, which is not looked at.

    Raises:
        UsageError: no such file.
        KerasDAEError: empty, truncated, damaged, or made of layers other than the
            built-in ones; never runs code from the file.
    """
    path = Path(path)
    inspect(path, compiled=compiled)
    gate.try_out(path, compiled=compiled)  # as here, but within walls
    return open_model(path, compiled)


def weights(path: Path | str) -> dict[str, list[np.ndarray]]:
    """Return the arrays of each layer in a `.keras` file, by the layer's name.

    Those of a stranger's file are read within walls. Raises as `load` does.
    """
    inspect(path)
    if is_own(path):
        return weights_in(str(path))
    found: dict[str, list[np.ndarray]] = gate.call_with_keras(path, "weights_in")
    return found


def weights_in(path: str) -> dict[str, list[np.ndarray]]:
    """Do what `weights` says, in a process of any kind."""
    layers = open_model(Path(path)).layers
    return {one.name: kept for one in layers if (kept := one.get_weights())}


def _first_line(error: Exception) -> str:
    words = str(error).strip("\"' ").splitlines() or [""]
    return words[0].rstrip(".")[:120]


def try_out(path: str, compiled: bool) -> None:
    """Load a model and let it answer one image, wherever that leads."""
    model = open_model(Path(path), compiled)
    given = [
        np.zeros((1, *(side or OPEN_SIDE for side in tensor.shape[1:])), tensor.dtype)
        for tensor in model.inputs
    ]
    model.predict_on_batch(given[0] if len(given) == 1 else given)


def open_model(path: Path, compiled: bool = False) -> keras.Model:
    """Load a model that `inspect` has looked into; raises as `load` does."""
    if compiled:  # it may name this package's own classes, registered on import
        for module in {module for module, _, _ in gate.OWN}:
            importlib.import_module(module)
    try:
        return keras.saving.load_model(
            path,
            # A file saved on torch names torch's own Adam, which the others lack.
            custom_objects={"Adam": keras.optimizers.Adam},
            compile=compiled,
            safe_mode=True,
        )
    except MemoryError:
        raise
    except Exception as error:  # damage shows as almost any exception in keras
        raise KerasDAEError(
            f"{path} cannot be loaded: it is damaged, or its layers do not fit "
            f"together or its weights ({type(error).__name__}: {_first_line(error)})."
        ) from error
