"""`.keras` files: written whole, and looked at before keras builds anything."""

import json
import zipfile
from pathlib import Path
from typing import Any

import keras

from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.storage import replacing

MAX_CONFIG_BYTES = 8 << 20
# What a file may be made of: the functional model and built-in layers without code.
ALLOWED_CLASSES = {
    "Functional", "Sequential", "InputLayer",
    "Conv2D", "Conv2DTranspose", "SeparableConv2D", "DepthwiseConv2D", "Dense",
    "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax",
    "BatchNormalization", "LayerNormalization", "GroupNormalization",
    "Add", "Subtract", "Multiply", "Average", "Maximum", "Concatenate",
    "MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D", "UpSampling2D",
    "ZeroPadding2D", "Cropping2D", "Flatten", "Reshape", "Permute", "Rescaling",
    "Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout",
}  # fmt: skip


def save(model: keras.Model, path: Path | str, *, optimizer: bool = False) -> None:
    """Save `model` to a `.keras` file, whole or not at all.

    Args:
        model: any Keras model.
        path: the file; what was there is replaced only by a complete one.
        optimizer: whether training can go on exactly from the file, at three times
            its size.
    """
    # A new model over the same layers has no optimizer to save; keras's own
    # include_optimizer is ignored for .keras files.
    saved = (
        model if optimizer else keras.Model(model.input, model.output, name=model.name)
    )
    with replacing(path) as temporary:
        keras.saving.save_model(saved, temporary)


def load(path: Path | str, *, compiled: bool = False) -> keras.Model:
    """Load a `.keras` file saved on any backend.

    Args:
        path: the file.
        compiled: whether to restore optimizer and loss too, so as to train on.

    Raises:
        UsageError: no such file.
        KerasDAEError: empty, truncated, damaged, or made of layers other than the
            built-in ones; never runs code from the file.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"There is no model file {path}.")
    inspect(path)
    try:
        return keras.saving.load_model(
            path,
            # A file saved on torch names torch's own Adam, which the others lack.
            custom_objects={"Adam": keras.optimizers.Adam},
            compile=compiled,
            safe_mode=True,
        )
    except Exception as error:  # damage shows as almost any exception in keras
        raise KerasDAEError(
            f"{path} is damaged: its weights do not fit its architecture "
            f"({type(error).__name__})."
        ) from error


def inspect(path: Path) -> dict[str, Any]:
    """Return the configuration in a `.keras` file, or say why it is not one."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                raise zipfile.BadZipFile
            if archive.getinfo("config.json").file_size > MAX_CONFIG_BYTES:
                raise KerasDAEError(f"The configuration in {path} is too large.")
            config = json.loads(archive.read("config.json"))
            archive.getinfo("model.weights.h5")
    except OSError as error:
        raise KerasDAEError(f"Cannot read {path}: {error.strerror}.") from error
    except (zipfile.BadZipFile, EOFError) as error:
        size = path.stat().st_size
        state = "is empty" if size == 0 else "is damaged or not a .keras file"
        raise KerasDAEError(f"{path} {state} ({size} bytes).") from error
    except (KeyError, ValueError, RecursionError, NotImplementedError) as error:
        raise KerasDAEError(
            f"{path} is an archive, but not a model that keras saved."
        ) from error
    _check_classes(path, config)
    return dict(config)


def _check_classes(path: Path, config: Any) -> None:
    name = config.get("class_name") if isinstance(config, dict) else None
    inner = config.get("config") if isinstance(config, dict) else None
    if not isinstance(inner, dict) or name not in ALLOWED_CLASSES:
        raise KerasDAEError(f"{path} holds {name!r}, which is no model to load here.")
    for layer in inner.get("layers", []):
        found = layer.get("class_name") if isinstance(layer, dict) else None
        if found not in ALLOWED_CLASSES:
            raise KerasDAEError(
                f"{path} holds a layer of class {found!r}; only built-in layers "
                "without code of their own are loaded."
            )
        if found in ("Functional", "Sequential"):
            _check_classes(path, layer)
