"""`.keras` files: written whole, and looked at before keras builds anything."""

import json
import lzma
import zipfile
import zlib
from pathlib import Path
from typing import Any

import keras

from keras_dae.errors import KerasDAEError, UsageError, check
from keras_dae.storage import reason, replacing

MAX_CONFIG_BYTES = 8 << 20
MAX_WEIGHTS = 1 << 28  # 1 GiB of float32, far beyond any model of this kind
# What a file may be made of: the functional model and built-in layers without code.
MODEL_CLASSES = ("Functional", "Sequential")
LAYER_CLASSES = {
    "InputLayer",
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

    Raises:
        UsageError: a name that does not end in `.keras`.
        KerasDAEError: the file cannot be written.
    """
    check(
        Path(path).suffix == ".keras",
        "The name of a model's file must end in .keras.",
        path=str(path),
    )
    saved = model
    if not optimizer:
        # A new model over the same layers has no optimizer to save; keras's own
        # include_optimizer is ignored for .keras files.
        saved = keras.Model(*ends(model), name=model.name)
    with replacing(path) as temporary:
        try:
            keras.saving.save_model(saved, temporary)
        except Exception as error:
            raise _cause(error) from None


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
            f"{path} cannot be loaded: its weights do not fit its architecture, or it "
            f"holds more than built-in layers ({type(error).__name__})."
        ) from error


def inspect(path: Path) -> dict[str, Any]:
    """Return the configuration in a `.keras` file, or say why it is not one."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                raise zipfile.BadZipFile
            if archive.getinfo("config.json").file_size > MAX_CONFIG_BYTES:
                raise zipfile.LargeZipFile
            config = json.loads(archive.read("config.json"))
            archive.getinfo("model.weights.h5")
    except zipfile.LargeZipFile as error:
        raise KerasDAEError(f"The configuration in {path} is too large.") from error
    except OSError as error:
        raise KerasDAEError(f"Cannot read {path}: {reason(error)}.") from error
    except (zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError) as error:
        size = path.stat().st_size
        state = "is empty" if size == 0 else "is damaged or not a .keras file"
        raise KerasDAEError(f"{path} {state} ({size} bytes).") from error
    except (
        KeyError,
        ValueError,
        RuntimeError,
    ) as error:  # no model, no JSON, encrypted
        raise KerasDAEError(
            f"{path} is an archive, but not a model that keras saved."
        ) from error
    _check_classes(path, config)
    return dict(config)


def _check_classes(path: Path, config: Any) -> None:
    """Refuse whatever is not made of `LAYER_CLASSES` of a sensible size."""
    name = config.get("class_name") if isinstance(config, dict) else None
    inner = config.get("config") if isinstance(config, dict) else None
    if not isinstance(inner, dict) or name not in MODEL_CLASSES:
        raise KerasDAEError(f"{path} holds {name!r}, which is no model to load here.")
    layers = inner.get("layers")
    if not isinstance(layers, list):
        raise KerasDAEError(f"{path} holds a model without a list of layers.")
    for layer in layers:
        found = layer.get("class_name") if isinstance(layer, dict) else None
        if found in MODEL_CLASSES:
            _check_classes(path, layer)
        elif not isinstance(found, str) or found not in LAYER_CLASSES:
            raise KerasDAEError(
                f"{path} holds a layer of class {found!r}; only built-in layers "
                "without code of their own are loaded."
            )
    if _most_weights(layers) > MAX_WEIGHTS:
        raise KerasDAEError(
            f"{path} describes layers of more than {MAX_WEIGHTS:,} weights together."
        )


def _most_weights(layers: list[Any]) -> int:
    """Return an upper bound of the weights that keras would make room for."""
    configs = [layer.get("config") for layer in layers]
    sizes = [config for config in configs if isinstance(config, dict)]
    wide = max((_largest(config, ("filters", "units")) for config in sizes), default=1)
    return sum(
        _largest(config, ("filters", "units"))
        * max(wide, _largest(config, ("batch_shape",)))
        * _largest(config, ("kernel_size", "pool_size")) ** 2
        for config in sizes
    )


def _largest(config: dict[str, Any], keys: tuple[str, ...]) -> int:
    """Return the largest whole number under these keys, 1 if there is none."""
    values = [config.get(key) for key in keys]
    flat = [
        number
        for value in values
        for number in (value if isinstance(value, list) else [value])
    ]
    return max((n for n in flat if isinstance(n, int) and n > 0), default=1)
