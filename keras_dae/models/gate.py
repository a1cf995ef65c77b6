"""Check the content of a `.keras` file before keras loads it.

A file is an archive of a configuration and weights. Every object that the configuration
names must be one of keras that holds no code (`CLASSES`, and operations on tensors),
and every array must be in the file. Memory and time are bounded by the process that
loads the model (`system/walls.py`).
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
from keras_dae.system.storage import (
    MAX_JSON,
    is_file,
    parse_json,
    parse_record,
    reason,
)
from keras_dae.system.walls import FILES, MODELS

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
OPEN_SIDE = 64  # side of test images in pixels if the input size is variable
CARD = "keras_dae.json"  # information on the training; keras ignores it
MEMBERS = {"metadata.json", CARD, CONFIG, WEIGHTS}
MOST_EXPANDED, SMALL = 4, 16 << 20  # keras does not compress
MOST_ARRAYS = 20_000
CONTAINERS = ("Functional", "Sequential")
# Layers that contain no code and read no files.
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
# Objects other than layers that a configuration can name; none contains code.
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
# Classes of this package (module, class, registered name); they hold numbers only.
OWN = {
    ("keras_dae.training.optimizers", name, f"keras_dae>{name}")
    for name in ("KernelMuon", "LinearDecay", "HeldRate")
} | {("keras_dae.training.losses", "LogMSE", "keras_dae>LogMSE")}
TENSOR = "__keras_tensor__"
_CLASS = re.compile(r"[A-Z][A-Za-z0-9]*")
_DAMAGE = (zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError)


def inspect(path: Path | str, *, compiled: bool = False) -> dict[str, Any]:
    """Return the configuration in a `.keras` file, or raise if it must not be loaded.

    Args:
        path: the file.
        compiled: also check loss, metrics and optimizer. Otherwise they are ignored.

    Raises:
        UsageError: there is no such file.
        KerasDAEError: the file is empty or damaged, or has objects that are not
            built in.
    """
    if not is_file(path):
        raise UsageError(f"There is no model file {path}.")
    config: dict[str, Any] = _within(path, look_into, compiled)
    return config


def try_out(path: Path | str, *, compiled: bool = False) -> None:
    """Load an untrusted model in a restricted process and denoise an image with it.

    Raises:
        KerasDAEError: it cannot be loaded, or exceeds the limits.
    """
    if not is_own(path):
        call_with_keras(path, "try_out", compiled)


def call_with_keras(path: Path | str, function: str, *arguments: Any) -> Any:
    """Call a function of `models.files` on a file, in a restricted process."""
    return MODELS.call(
        f"keras_dae.models.files:{function}",
        *(str(path), *arguments),
        bounds=bounds_of(path),
        refuse=lambda words: KerasDAEError(f"{path} {words}."),
    )


def look_at_onnx(path: Path) -> None:
    """Open an untrusted ONNX file in a restricted process, if onnxruntime is installed.

    Raises:
        KerasDAEError: it cannot be read, or exceeds the limits.
    """
    if all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime")):
        FILES.call(
            "keras_dae.evaluation.onnx_files:look",
            *(str(path), 1),
            bounds=bounds_of(path),
            refuse=lambda words: KerasDAEError(f"{path} {words}."),
        )


def holds_optimizer(path: Path) -> bool | None:
    """Return whether the file of a model holds an optimizer; None if it is no model."""
    held: bool | None = _within(path, optimizer_in)
    return held


def read_card(path: Path) -> dict[str, Any] | None:
    """Return the card of a `.keras` file; None if it has none.

    Raises:
        KerasDAEError: the card is not a JSON object, has another schema, or is too
            large.
    """
    card: dict[str, Any] | None = _within(path, card_in)
    return card


def _within(path: Path | str, function: Any, *arguments: Any) -> Any:
    """Call a function on a file, in a restricted process unless it is trusted."""
    if is_own(path):
        return function(str(path), *arguments)
    return FILES.call(
        f"{__name__}:{function.__name__}",
        *(str(path), *arguments),
        bounds=bounds_of(path),
        refuse=lambda words: KerasDAEError(f"{path} {words}."),
    )


def input_shape(config: dict[str, Any]) -> tuple[int | None, ...]:
    """Return the shape of the first input in a configuration, without the batch."""
    try:
        inner = config["config"]
        first = inner["layers"][0]["config"].get("batch_shape")
        return tuple((first or inner["build_input_shape"])[1:])
    except (LookupError, TypeError, AttributeError) as error:
        raise KerasDAEError(
            "The configuration of the model has no input shape."
        ) from error


def optimizer_in(path: str) -> bool | None:
    """Implementation of `holds_optimizer`, for any process."""
    try:
        with zipfile.ZipFile(path) as archive:
            model = parse_json(_member(archive, CONFIG))
    except (OSError, KeyError, ValueError, RuntimeError, *_DAMAGE):
        return None
    return bool(model.get("compile_config")) if isinstance(model, dict) else None


def card_in(path: str) -> dict[str, Any] | None:
    """Implementation of `read_card`, for any process."""
    try:
        with zipfile.ZipFile(path) as archive:
            if CARD not in archive.namelist():
                return None
            content = _member(archive, CARD)
    except KerasDAEError:
        raise
    except (OSError, ValueError, RuntimeError, NotImplementedError, *_DAMAGE):
        return None  # not a model; loading it raises an error
    card = parse_record(content, f"{CARD} in {path}")
    del card["schema"]
    return card


def look_into(path: str, compiled: bool) -> dict[str, Any]:
    """Implementation of `inspect`, for any process."""
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
        # Not a model, not JSON, encrypted, or compressed in an unknown way.
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
    """Refuse members that keras does not write, and those that expand too much."""
    names = archive.namelist()
    for info in archive.infolist():
        if info.filename not in MEMBERS or names.count(info.filename) > 1:
            raise KerasDAEError(
                f"{path} is an archive with members that keras does not write: "
                f"{info.filename[:80]!r}."
            )
        if info.file_size > max(SMALL, MOST_EXPANDED * info.compress_size):
            raise KerasDAEError(
                f"{info.filename} in {path} would expand to {info.file_size:,} bytes "
                f"from {info.compress_size:,}, more than in any model."
            )
    if archive.testzip() is not None:
        raise zipfile.BadZipFile


def _check_config(path: str, config: Any, compiled: bool) -> None:
    """Refuse a model that is not made of `CLASSES`."""
    name = config.get("class_name") if isinstance(config, dict) else None
    if name not in CONTAINERS:
        raise KerasDAEError(
            f"{path} holds {_cut(name)}, which is not a model that can be loaded."
        )
    # keras ignores these keys only in the outer model, so inner models are checked.
    unread = () if compiled else ("compile_config",)
    _check_objects(path, {key: config[key] for key in config if key not in unread})


def _check_objects(path: str, value: Any) -> None:
    """Refuse each object that keras does not define, at any depth."""
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
        f"{path} holds {_cut(shown)}{place}. Only layers, operations, initializers, "
        "losses, metrics and optimizers of Keras that contain no code are allowed. "
        "Build the model from these and save it again."
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
                        raise ValueError("a link points outside the file")
                    one = group[key]
                    if isinstance(one, h5py.Group):
                        waiting.append(one)
                    elif one.external or one.is_virtual:
                        raise ValueError("an array is stored outside the file")
                    elif one.dtype.kind not in "fiubV" or one.dtype.names:
                        raise ValueError(f"an array is of type {one.dtype}")
                    elif not 0 <= one.nbytes <= one.id.get_storage_size():
                        raise ValueError(f"an array of shape {one.shape} is incomplete")
                    if (seen := seen + 1) > MOST_ARRAYS:
                        raise ValueError(f"more than {MOST_ARRAYS:,} arrays")
    except MemoryError:
        raise
    except Exception as error:  # h5py raises many kinds of exceptions for damaged files
        why = f" ({error})" if type(error) is ValueError else ""
        raise KerasDAEError(f"The weights in {path} are damaged{why[:120]}.") from error
