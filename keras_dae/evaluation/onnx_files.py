"""What an ONNX file is, found out before a runtime opens it.

A runtime takes the memory that the file asks for, follows names to other files and
unrolls what repeats; a denoiser needs none of these.
"""

from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Any

from keras_dae.errors import KerasDAEError, UsageError, short
from keras_dae.system.storage import is_file

MAX_BYTES = 1 << 30
MAX_NODES = 20_000
MAX_VALUES = 1 << 28  # of one tensor, batch and open sides counted as one


def inspect(path: Path) -> None:
    """Refuse an ONNX file that is not to be opened; reads the file and no other.

    Raises:
        UsageError: no such file.
        KerasDAEError: the package onnx is absent; damaged; a tensor that is not there
            as a whole, is absurdly large or lies outside the file's folder; functions
            or loops.
    """
    if not is_file(path):
        raise UsageError(f"There is no model file {path}.")
    try:
        import onnx
    except ImportError as error:
        raise KerasDAEError(
            f"{path} needs the package onnx, which is not installed; "
            'pip install "keras-dae[onnx]" brings it.'
        ) from error
    if path.stat().st_size > MAX_BYTES:
        raise KerasDAEError(f"{path} is larger than {MAX_BYTES >> 20} MiB.")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # the parser's exceptions share no class of their own
        raise KerasDAEError(f"{path} is not a readable ONNX model.") from error
    _check_graph(path, model)
    for tensor in _tensors(model.graph):
        _check_tensor(path, tensor)
    _check_sizes(path, model)


def _check_graph(path: Path, model: Any) -> None:
    """Refuse what is no graph of plain operations."""
    nodes = model.graph.node
    if not nodes or not model.graph.output:
        raise KerasDAEError(f"{path} is not a readable ONNX model.")
    if len(nodes) > MAX_NODES:
        raise KerasDAEError(f"{path} holds more than {MAX_NODES:,} operations.")
    repeated = [
        node.op_type
        for node in nodes
        if any(one.HasField("g") or one.graphs for one in node.attribute)
    ]
    if model.functions or repeated:
        what = short(repeated[0]) if repeated else "functions of its own"
        raise KerasDAEError(
            f"{path} holds {what}; ONNX models of plain operations are read."
        )


def _tensors(graph: Any) -> Iterable[Any]:
    """Yield every constant of a graph."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from attribute.tensors
            if attribute.HasField("t"):
                yield attribute.t


def _check_tensor(path: Path, tensor: Any) -> None:
    """Refuse a constant that is too large, or lies where it should not."""
    name, sides = short(tensor.name), list(tensor.dims)
    if any(side < 0 for side in sides) or prod(sides) > MAX_VALUES:
        raise KerasDAEError(f"{path} holds a tensor {name} of shape {short(sides)}.")
    if tensor.data_location != tensor.EXTERNAL:
        _check_content(path, tensor)
        return
    given = {entry.key: entry.value for entry in tensor.external_data}
    place = given.get("location", "")
    beside = path.parent / Path(place).name
    if place != Path(place).name or beside.is_symlink() or not beside.is_file():
        raise KerasDAEError(
            f"{path} keeps the tensor {name} in {short(place)}; a file beside it, by "
            "its name alone, is read."
        )
    try:
        start, length = int(given.get("offset", 0)), int(given.get("length", 0))
    except ValueError:
        start, length = -1, 0
    if min(start, length) < 0 or start + length > beside.stat().st_size:
        raise KerasDAEError(f"{path} is damaged: {beside} is too short for {name}.")


def _check_content(path: Path, tensor: Any) -> None:
    """Refuse a constant of other values than its shape takes."""
    from onnx import numpy_helper

    try:
        numpy_helper.to_array(tensor)
    except Exception as error:  # as above
        raise KerasDAEError(
            f"{path} is damaged: the values of its tensor {short(tensor.name)} are not "
            "those of its shape."
        ) from error


def _check_sizes(path: Path, model: Any) -> None:
    """Refuse a graph with a tensor of absurd size, as far as sizes are told."""
    import onnx

    try:
        known = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception as error:  # as above
        raise KerasDAEError(f"{path} is not a readable ONNX model.") from error
    for value in (*known.input, *known.value_info, *known.output):
        sides = [side.dim_value for side in value.type.tensor_type.shape.dim]
        if any(side < 0 for side in sides) or prod(s or 1 for s in sides) > MAX_VALUES:
            raise KerasDAEError(
                f"{path} would make a tensor {short(value.name)} of shape "
                f"{short(sides)}."
            )
