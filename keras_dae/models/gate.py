"""What a `.keras` file is, found out before keras sees it, or is even imported.

A file is an archive of three members. Their number, names and sizes are bounded first,
then every object that the configuration names is looked up in `CLASSES`, then the size
of the model is worked out, and last the weights are compared with it, unread.
"""

import io
import lzma
import zipfile
import zlib
from math import prod
from pathlib import Path
from typing import Any

from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.models.layers import LAYERS, OPERATIONS, MisfitError
from keras_dae.models.sizes import MODELS, Sizes, measure
from keras_dae.system.private import KERAS_FILE_MODULES
from keras_dae.system.storage import MAX_JSON, is_file, parse_json, reason

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
CARD = "keras_dae.json"  # what is known of the model's training; keras ignores it
# Each member of an archive, and the most bytes that it may hold.
MEMBERS = {"metadata.json": 1 << 16, CARD: 1 << 16, CONFIG: MAX_JSON, WEIGHTS: 1 << 33}
MOST_EXPANDED = 4  # keras compresses nothing, and weights hardly can be
SMALL = 16 << 20  # bytes; below it nothing is too expanded
MOST_OBJECTS = 20_000  # groups and arrays of the weights' file
# What a configuration may name beside layers; none of it holds code of its own.
CLASSES = {
    *MODELS, *LAYERS, "InputLayer", "DTypePolicy",
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
MODULES = {
    "keras",
    *(f"keras.{name}" for name in _PLACES),
    *KERAS_FILE_MODULES,
}
# This package's own (module, class, name it is registered by): plain numbers too.
OWN = {
    ("keras_dae.training.optimizers", name, f"keras_dae>{name}")
    for name in ("KernelMuon", "LinearDecay")
} | {("keras_dae.training.losses", "LogMSE", "keras_dae>LogMSE")}
TENSOR = "__keras_tensor__"


def inspect(path: Path | str, *, compiled: bool = False) -> dict[str, Any]:
    """Return the configuration in a `.keras` file, or say why it is not to be loaded.

    Args:
        path: the file.
        compiled: whether the loss, metrics and optimizer are to be loaded too. If
            not, they may be of any kind.

    Raises:
        UsageError: no such file.
        KerasDAEError: empty, damaged, not made of built-in objects, too large, or with
            weights other than those of its layers.
    """
    path = Path(path)
    if not is_file(path):
        raise UsageError(f"There is no model file {path}.")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_archive(path, archive)
            config = parse_json(archive.read(CONFIG))
            sizes = _check_config(path, config, compiled)
            _check_weights(path, archive, sizes)
    except KerasDAEError:
        raise  # a ValueError too, but it says all there is to say
    except OSError as error:
        raise KerasDAEError(f"Cannot read {path}: {reason(error)}.") from error
    except (zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError) as error:
        size = path.stat().st_size
        state = "is empty" if size == 0 else "is damaged or not a .keras file"
        raise KerasDAEError(f"{path} {state} ({size} bytes).") from error
    except (KeyError, ValueError, RuntimeError, NotImplementedError) as error:
        # No model, no JSON, encrypted, or compressed in an unknown way.
        raise KerasDAEError(
            f"{path} is an archive, but not a model that keras saved."
        ) from error
    return dict(config)


def holds_optimizer(path: Path) -> bool | None:
    """Tell whether a model's file holds an optimizer; None where it is no model."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(CONFIG).file_size > MEMBERS[CONFIG]:
                return None
            model = parse_json(archive.read(CONFIG))
    except (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile):
        return None
    except (EOFError, zlib.error, lzma.LZMAError):
        return None
    return bool(model.get("compile_config")) if isinstance(model, dict) else None


def read_card(path: Path) -> dict[str, Any] | None:
    """Return what a `.keras` file says of its model's training; None where it does not.

    Raises:
        KerasDAEError: what it holds is no JSON object, or too large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if CARD not in archive.namelist():
                return None
            if archive.getinfo(CARD).file_size > MEMBERS[CARD]:
                raise KerasDAEError(f"{CARD} in {path} is too large.")
            card = parse_json(archive.read(CARD))
    except KerasDAEError:
        raise
    except (OSError, ValueError, RuntimeError, NotImplementedError):
        return None  # no model, which is said when it is loaded
    except (EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError):
        return None
    if not isinstance(card, dict):
        raise KerasDAEError(f"{CARD} in {path} is not a JSON object.")
    return card


def _check_archive(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse other members than keras writes, and larger ones than they can be."""
    infos = archive.infolist()
    names = [info.filename for info in infos]
    for info in infos:
        most = MEMBERS.get(info.filename)
        if most is None or names.count(info.filename) > 1 or info.is_dir():
            raise KerasDAEError(
                f"{path} is an archive of other members than keras writes: "
                f"{info.filename[:80]!r}."
            )
        if info.filename == CONFIG and info.file_size > most:
            raise KerasDAEError(f"The configuration in {path} is too large.")
        expanded = info.file_size > max(SMALL, MOST_EXPANDED * info.compress_size)
        if info.file_size > most or expanded:
            raise KerasDAEError(
                f"{info.filename} in {path} would take {info.file_size:,} bytes from "
                f"{info.compress_size:,} in the file, more than a model does."
            )
    if {CONFIG, WEIGHTS} - set(names):
        raise KeyError(CONFIG)
    if archive.testzip() is not None:
        raise zipfile.BadZipFile


def _check_config(path: Path, config: Any, compiled: bool) -> Sizes:
    """Refuse whatever is not made of `CLASSES`, and of a sensible size."""
    name = config.get("class_name") if isinstance(config, dict) else None
    if not isinstance(name, str) or name not in MODELS:
        raise KerasDAEError(
            f"{path} holds {_cut(name)}, which is no model to load here."
        )
    _check_model(path, config)
    # Only the outer model's is left out by keras, so an inner one is looked at.
    unread = () if compiled else ("compile_config",)
    _check_objects(path, {key: config[key] for key in config if key not in unread})
    try:
        return measure(config)
    except MisfitError as error:
        raise KerasDAEError(
            f"{path} describes a model that is not built here: {error}."
        ) from error


def _check_model(path: Path, model: dict[str, Any]) -> None:
    """Refuse a model that is no list of layers."""
    inner = model.get("config")
    layers = inner.get("layers") if isinstance(inner, dict) else None
    if not isinstance(layers, list):
        raise KerasDAEError(f"{path} holds a model without a list of layers.")
    for layer in layers:
        found = layer.get("class_name") if isinstance(layer, dict) else None
        if isinstance(layer, dict) and _is_operation(layer):
            _check_operation(path, layer)
            continue
        if not isinstance(found, str) or found not in {*LAYERS, *MODELS, "InputLayer"}:
            raise KerasDAEError(
                f"{path} holds a layer of class {_cut(found)}. Accepted are layers of "
                "Keras without code of their own (Conv2D, BatchNormalization, Add, "
                "...), and its operations on tensors that work pixel by pixel (x - y, "
                "keras.ops.clip, ...)."
            )
        if not isinstance(layer.get("config"), dict):
            raise KerasDAEError(f"{path} holds a layer that is not described.")
        if found in MODELS:
            _check_model(path, layer)


def _is_operation(named: dict[str, Any]) -> bool:
    """Tell whether this names one of keras's operations on tensors."""
    name, module = named.get("class_name"), named.get("module")
    known = OPERATIONS.get(module, ()) if isinstance(module, str) else ()
    return name in known and named.get("registered_name") in (None, name)


def _check_operation(path: Path, layer: dict[str, Any]) -> None:
    """Refuse an operation on anything but tensors of the model and numbers."""
    calls = layer.get("inbound_nodes")
    for call in calls if isinstance(calls, list) else [None]:
        call = call if isinstance(call, dict) else {}
        given = call.get("args")
        numbers_only = isinstance(given, list) and all(
            type(one) in (int, float)
            or (isinstance(one, dict) and one.get("class_name") == TENSOR)
            for one in given
        )
        if not numbers_only or call.get("kwargs") or "config" not in layer:
            raise KerasDAEError(
                f"{path} holds the operation {_cut(layer.get('class_name'))} on other "
                "values than tensors of the model and numbers."
            )


def _check_objects(path: Path, value: Any) -> None:
    """Refuse each object that is not keras's own, wherever it stands."""
    for one in _dicts(value):
        if not {"class_name", "module", "registered_name"} & set(one):
            continue
        name, module = one.get("class_name"), one.get("module")
        registered = one.get("registered_name")
        if name == TENSOR or _is_own(module, name, registered) or _is_operation(one):
            continue
        known = isinstance(name, str) and name in CLASSES
        own = module is None or (isinstance(module, str) and module in MODULES)
        if not known or not own or registered not in (None, name):
            shown = one.get("config") if name == "function" else name
            raise KerasDAEError(
                f"{path} names {_cut(shown)}, of {_cut(module)}. Accepted are the "
                "layers, initializers, losses, metrics and optimizers of Keras itself."
            )


def _is_own(*named: Any) -> bool:
    return all(isinstance(one, str) for one in named) and named in OWN


def _dicts(value: Any) -> Any:
    """Yield every dict in JSON values, the outer ones first."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _cut(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def _check_weights(path: Path, archive: zipfile.ZipFile, sizes: Sizes) -> None:
    """Refuse weights that are not plain arrays, all there, as many as the layers'."""
    import h5py

    try:
        # From memory, where keras will have it too: the archive is slow to seek in.
        content = archive.read(WEIGHTS)
        with h5py.File(io.BytesIO(content), "r") as file:
            found = _count(file, len(content))
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        why = f" ({error})" if isinstance(error, MisfitError) else ""
        raise KerasDAEError(f"The weights in {path} are damaged{why}.") from error
    if found < sizes.weights:
        raise KerasDAEError(
            f"{path} is damaged: its layers take {sizes.weights:,} weights, and it "
            f"holds {found:,}."
        )


def _count(file: Any, size: int) -> int:
    """Return how many numbers the arrays of a weights' file hold, optimizer's apart."""
    import h5py

    count, seen = 0, 0
    waiting: list[tuple[str, Any]] = [("", file)]
    while waiting:
        name, group = waiting.pop()
        for key in group:
            seen += 1
            if seen > MOST_OBJECTS:
                raise MisfitError(f"more than {MOST_OBJECTS:,} arrays")
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise MisfitError("a link leads elsewhere")
            one = group[key]
            if isinstance(one, h5py.Group):
                waiting.append((f"{name}/{key}", one))
            elif name.startswith("/optimizer"):
                _check_array(one, size)
            else:
                count += _check_array(one, size)
    return count


def _check_array(array: Any, size: int) -> int:
    """Return the number of values of a plain array that is wholly in the file."""
    import h5py

    if not isinstance(array, h5py.Dataset) or array.shape is None:
        raise MisfitError("what should be an array is none")
    if array.external or array.is_virtual:
        raise MisfitError("an array lies elsewhere")
    if array.dtype.kind not in "fiubV" or array.dtype.itemsize > 8 or array.dtype.names:
        raise MisfitError(f"an array is of type {array.dtype}")
    count: int = prod(array.shape)
    needed = count * array.dtype.itemsize
    if needed > size or array.id.get_storage_size() < needed:
        raise MisfitError(f"an array of shape {array.shape} is not in the file")
    return count
