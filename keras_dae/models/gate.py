"""What a `.keras` file is made of, found out before keras sees it.

A file is an archive of a configuration and weights. Every object that the configuration
names must be one of keras's own that hold no code (`CLASSES`, and operations on
tensors), and every array must lie in the file. How large the model is, and how long it
takes, is bounded by the process that loads it (`system/walls.py`).
"""

import importlib.util
import io
import lzma
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.system.limits import bounds_of
from keras_dae.system.own import is_own
from keras_dae.system.private import KERAS_FILE_MODULES, KERAS_OPERATIONS
from keras_dae.system.storage import MAX_JSON, is_file, parse_json, reason
from keras_dae.system.walls import FILES, MODELS

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
CARD = "keras_dae.json"  # what is known of the model's training; keras ignores it
MEMBERS = {"metadata.json", CARD, CONFIG, WEIGHTS}
MOST_EXPANDED, SMALL = 4, 16 << 20  # keras compresses nothing
MOST_ARRAYS = 20_000
CONTAINERS = ("Functional", "Sequential")
# Layers without code of their own, and without files.
LAYERS = {
    *("InputLayer", "Identity", "Dense", "EinsumDense", "Embedding", "Masking"),
    *(f"Conv{n}D" for n in (1, 2, 3)), *(f"Conv{n}DTranspose" for n in (1, 2, 3)),
    *(f"{kind}{n}D" for kind in ("SeparableConv", "DepthwiseConv") for n in (1, 2)),
    *(f"{kind}Pooling{n}D" for kind in ("Max", "Average", "GlobalMax", "GlobalAverage")
      for n in (1, 2, 3)),
    *(f"{kind}{n}D" for kind in ("UpSampling", "ZeroPadding", "Cropping",
      "SpatialDropout") for n in (1, 2, 3)),
    *("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax"),
    *("BatchNormalization", "LayerNormalization", "GroupNormalization"),
    *("RMSNormalization", "UnitNormalization", "SpectralNormalization"),
    *("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"),
    *("Dot", "Flatten", "Reshape", "Permute", "RepeatVector", "Rescaling", "Resizing"),
    *("Normalization", "CenterCrop", "Dropout", "AlphaDropout", "GaussianNoise"),
    *("GaussianDropout", "ActivityRegularization", "Attention", "AdditiveAttention"),
    *("MultiHeadAttention", "GroupQueryAttention", "TimeDistributed"),
}  # fmt: skip
# What a configuration may name beside layers; none of it holds code of its own.
CLASSES = {
    *CONTAINERS, *LAYERS, "DTypePolicy",
    "Zeros", "Ones", "Constant", "RandomNormal", "RandomUniform", "TruncatedNormal",
    "VarianceScaling", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform",
    "LecunNormal", "LecunUniform", "Orthogonal", "Identity",
    "L1", "L2", "L1L2", "OrthogonalRegularizer",
    "MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm",
    "SGD", "RMSprop", "Adam", "AdamW", "Adadelta", "Adagrad", "Adamax", "Adafactor",
    "Nadam", "Ftrl", "Lion", "Lamb", "Muon",
    "CosineDecay", "CosineDecayRestarts", "ExponentialDecay", "InverseTimeDecay",
    "PiecewiseConstantDecay", "PolynomialDecay",
    "MeanSquaredError", "MeanAbsoluteError", "MeanAbsolutePercentageError",
    "MeanSquaredLogarithmicError", "RootMeanSquaredError", "BinaryCrossentropy",
    "CategoricalCrossentropy", "SparseCategoricalCrossentropy", "Huber", "LogCosh",
    "Accuracy", "BinaryAccuracy", "CategoricalAccuracy", "SparseCategoricalAccuracy",
    "Mean",
}  # fmt: skip
_PLACES = (
    *("activations", "constraints", "dtype_policies", "initializers", "layers"),
    *("losses", "metrics", "models", "optimizers", "regularizers"),
    "optimizers.schedules",
)
MODULES = {"keras", *(f"keras.{name}" for name in _PLACES), *KERAS_FILE_MODULES}
# This package's own (module, class, name it is registered by): plain numbers too.
OWN = {
    ("keras_dae.training.optimizers", name, f"keras_dae>{name}")
    for name in ("KernelMuon", "LinearDecay", "HeldRate")
} | {("keras_dae.training.losses", "LogMSE", "keras_dae>LogMSE")}
TENSOR = "__keras_tensor__"
_CLASS = re.compile(r"[A-Z][A-Za-z0-9]*")
_DAMAGE = (zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError)


def inspect(path: Path | str, *, compiled: bool = False) -> dict[str, Any]:
    """Return the configuration in a `.keras` file, or say why it is not to be loaded.

    Args:
        path: the file.
        compiled: whether the loss, metrics and optimizer are to be loaded too. If
            not, they may be of any kind.

    Raises:
        UsageError: no such file.
        KerasDAEError: empty, damaged, or not made of built-in objects.
    """
    if not is_file(path):
        raise UsageError(f"There is no model file {path}.")
    config: dict[str, Any] = _within(path, look_into, compiled)
    return config


def try_out(path: Path | str, *, compiled: bool = False) -> None:
    """Load a stranger's model within walls and let it answer an image.

    Raises:
        KerasDAEError: it cannot be loaded, or takes more than the bounds.
    """
    if not is_own(path):
        call_with_keras(path, "try_out", compiled)


def call_with_keras(path: Path | str, function: str, *arguments: Any) -> Any:
    """Call a function of `models.files` on a file, within walls."""
    return MODELS.call(
        f"keras_dae.models.files:{function}",
        *(str(path), *arguments),
        bounds=bounds_of(path),
        refuse=lambda words: KerasDAEError(f"{path} {words}."),
    )


def look_at_onnx(path: Path) -> None:
    """Open a stranger's ONNX file within walls, where onnxruntime is there.

    Raises:
        KerasDAEError: it cannot be read, or takes more than the bounds.
    """
    if all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime")):
        FILES.call(
            "keras_dae.evaluation.onnx_files:look",
            *(str(path), 1),
            bounds=bounds_of(path),
            refuse=lambda words: KerasDAEError(f"{path} {words}."),
        )


def holds_optimizer(path: Path) -> bool | None:
    """Tell whether a model's file holds an optimizer; None where it is no model."""
    held: bool | None = _within(path, optimizer_in)
    return held


def read_card(path: Path) -> dict[str, Any] | None:
    """Return what a `.keras` file says of its model's training; None where it does not.

    Raises:
        KerasDAEError: what it holds is no JSON object, or too large.
    """
    card: dict[str, Any] | None = _within(path, card_in)
    return card


def _within(path: Path | str, function: Any, *arguments: Any) -> Any:
    """Call a function on a file: within walls, unless the file is the user's own."""
    if is_own(path):
        return function(str(path), *arguments)
    return FILES.call(
        f"{__name__}:{function.__name__}",
        *(str(path), *arguments),
        bounds=bounds_of(path),
        refuse=lambda words: KerasDAEError(f"{path} {words}."),
    )


def input_shape(config: dict[str, Any]) -> tuple[int | None, ...]:
    """Return the shape of the first input that a configuration names, without batch."""
    try:
        inner = config["config"]
        first = inner["layers"][0]["config"].get("batch_shape")
        return tuple((first or inner["build_input_shape"])[1:])
    except (LookupError, TypeError, AttributeError) as error:
        raise KerasDAEError("The model does not say what shape it takes.") from error


def optimizer_in(path: str) -> bool | None:
    """Do what `holds_optimizer` says, in a process of any kind."""
    try:
        with zipfile.ZipFile(path) as archive:
            model = parse_json(_member(archive, CONFIG))
    except (OSError, KeyError, ValueError, RuntimeError, *_DAMAGE):
        return None
    return bool(model.get("compile_config")) if isinstance(model, dict) else None


def card_in(path: str) -> dict[str, Any] | None:
    """Do what `read_card` says, in a process of any kind."""
    try:
        with zipfile.ZipFile(path) as archive:
            if CARD not in archive.namelist():
                return None
            content = _member(archive, CARD)
    except KerasDAEError:
        raise
    except (OSError, ValueError, RuntimeError, NotImplementedError, *_DAMAGE):
        return None  # no model, which is said when it is loaded
    try:
        card = parse_json(content)
    except ValueError as error:
        raise KerasDAEError(f"{CARD} in {path} is not valid JSON.") from error
    if not isinstance(card, dict):
        raise KerasDAEError(f"{CARD} in {path} is not a JSON object.")
    return card


def look_into(path: str, compiled: bool) -> dict[str, Any]:
    """Do what `inspect` says, in a process of any kind."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check_archive(path, archive)
            config = parse_json(_member(archive, CONFIG))
            _check_config(path, config, compiled)
            _check_weights(path, archive.read(WEIGHTS))
    except (KerasDAEError, MemoryError):
        raise
    except OSError as error:
        raise KerasDAEError(f"Cannot read {path}: {reason(error)}.") from error
    except _DAMAGE as error:
        size = Path(path).stat().st_size
        state = "is empty" if size == 0 else "is damaged or not a .keras file"
        raise KerasDAEError(f"{path} {state} ({size} bytes).") from error
    except (LookupError, ValueError, RuntimeError, NotImplementedError) as error:
        # No model, no JSON, encrypted, or compressed in an unknown way.
        raise KerasDAEError(
            f"{path} is an archive, but not a model that keras saved."
        ) from error
    return dict(config)


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as file:
        content = file.read(MAX_JSON + 1)
    if len(content) > MAX_JSON:
        what = "The configuration" if name == CONFIG else name
        raise KerasDAEError(f"{what} in {archive.filename} is too large.")
    return content


def _check_archive(path: str, archive: zipfile.ZipFile) -> None:
    """Refuse other members than keras writes, and those that are far larger inside."""
    names = archive.namelist()
    for info in archive.infolist():
        if info.filename not in MEMBERS or names.count(info.filename) > 1:
            raise KerasDAEError(
                f"{path} is an archive of other members than keras writes: "
                f"{info.filename[:80]!r}."
            )
        if info.file_size > max(SMALL, MOST_EXPANDED * info.compress_size):
            raise KerasDAEError(
                f"{info.filename} in {path} would take {info.file_size:,} bytes from "
                f"{info.compress_size:,} in the file, more than a model does."
            )
    if archive.testzip() is not None:
        raise zipfile.BadZipFile


def _check_config(path: str, config: Any, compiled: bool) -> None:
    """Refuse whatever is not made of `CLASSES`."""
    name = config.get("class_name") if isinstance(config, dict) else None
    if name not in CONTAINERS:
        raise KerasDAEError(
            f"{path} holds {_cut(name)}, which is no model to load here."
        )
    # Only the outer model's is left out by keras, so an inner one is looked at.
    unread = () if compiled else ("compile_config",)
    _check_objects(path, {key: config[key] for key in config if key not in unread})


def _check_objects(path: str, value: Any) -> None:
    """Refuse each object that is not keras's own, wherever it stands."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        if not isinstance(one, dict):
            continue
        waiting += one.values()
        if {"class_name", "module", "registered_name"} & set(one):
            _check_object(path, one)


def _check_object(path: str, one: dict[str, Any]) -> None:
    name, module = one.get("class_name"), one.get("module")
    registered = one.get("registered_name")
    if isinstance(name, str) and isinstance(module, str | None):
        if name == TENSOR or (module, name, str(registered)) in OWN:
            return
        operation = module in KERAS_OPERATIONS and _CLASS.fullmatch(name)
        built_in = name in CLASSES and (module is None or module in MODULES)
        if registered in (None, name) and (operation or built_in):
            return
    shown = one.get("config") if name == "function" else name
    place = "" if module is None else f", of {_cut(module)}"
    raise KerasDAEError(
        f"{path} holds {_cut(shown)}{place}. A file may name the layers, operations, "
        "initializers, losses, metrics and optimizers of Keras itself that hold no "
        "code; build the model of these and save it again."
    )


def _cut(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def _check_weights(path: str, content: bytes) -> None:
    """Refuse weights that are not plain arrays in this file."""
    import h5py

    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            waiting, seen = [file], 0
            while waiting:
                group = waiting.pop()
                for key in group:
                    if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                        raise ValueError("a link leads elsewhere")
                    one = group[key]
                    if isinstance(one, h5py.Group):
                        waiting.append(one)
                    elif one.external or one.is_virtual:
                        raise ValueError("an array lies elsewhere")
                    elif one.dtype.kind not in "fiubV" or one.dtype.names:
                        raise ValueError(f"an array is of type {one.dtype}")
                    elif not 0 <= one.nbytes <= one.id.get_storage_size():
                        raise ValueError(f"{one.shape} values are not in the file")
                    if (seen := seen + 1) > MOST_ARRAYS:
                        raise ValueError(f"more than {MOST_ARRAYS:,} arrays")
    except MemoryError:
        raise
    except Exception as error:  # damage shows as almost any exception in h5py
        why = f" ({error})" if type(error) is ValueError else ""
        raise KerasDAEError(f"The weights in {path} are damaged{why[:120]}.") from error
