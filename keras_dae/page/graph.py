"""Convert a Keras model to data that `kernels.js` can run; see `OPS`."""

import base64
import zlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_dae.errors import KerasDAEError, check
from keras_dae.models.files import inputs_and_outputs
from keras_dae.system.private import calls, without_tensorflow

ACTIVATIONS = ("linear", "relu", "sigmoid", "tanh")
TYPES = ("float16", "float32")
# Small arrays stay float32: the first, the last and the latent layer of a small model
# are the most sensitive to rounding, and take little space.
FEW = 4096
Fields = dict[str, Any]
# The fields of a node for a layer, and its weights in order.
Op = tuple[Fields, list[np.ndarray]]


def as_graph(model: keras.Model, type: str = "float16") -> Fields:
    """Return a model as JSON values.

    Args:
        model: a functional or sequential model of images, (H, W, C) with C 1 or 3, to
            images of the same shape.
        type: type of the weights, a row of `TYPES`.

    Returns:
        `nodes` in execution order, the names of the `input`, the `output` and the
        `latent` node (None without one), and `weights`: arrays of up to `few` values
        as float32 (`small`), and others (`large`) in the given type. Both are
        deflated bytes in base64, the first byte of each value before the second ones.

    Raises:
        KerasDAEError: the model is for other images, or has a layer that `OPS` lacks.
    """
    check(type in TYPES, f"weights must be one of {', '.join(TYPES)}.", weights=type)
    given, answer = inputs_and_outputs(model)
    _check_images(model)
    names = {id(given): "input"}
    nodes: list[Fields] = []
    weights: list[np.ndarray] = []
    for call in calls(keras.Model(given, answer)):
        fields, arrays = _op(model.name, call)
        name = f"{call.operation.name}"
        name = name if name not in names.values() else f"{name}_{len(nodes)}"
        names[id(call.outputs[0])] = name
        inputs = [names[id(tensor)] for tensor in call.input_tensors]
        nodes.append({"name": name, "inputs": inputs, "activation": "linear", **fields})
        weights += arrays
    return {
        "input": "input",
        "output": names[id(answer)],
        "latent": _latent(nodes),
        "nodes": nodes,
        "weights": {
            "few": FEW,
            "small": _packed([w for w in weights if w.size <= FEW], "float32"),
            "large": _packed([w for w in weights if w.size > FEW], type),
        },
    }


def _check_images(model: keras.Model) -> None:
    shape = model.input_shape
    images = isinstance(shape, tuple) and len(shape) == 4
    if not images or shape[-1] not in (1, 3) or model.output_shape != shape:
        raise KerasDAEError(
            "The page needs models from images of 1 or 3 channels to images of the "
            f"same shape; {model.name} maps {shape} to {model.output_shape}."
        )


def _op(model: str, call: Any) -> Op:
    """Return the node for a call of a layer."""
    layer = call.operation
    kind = type(layer).__name__
    if kind not in OPS:
        raise KerasDAEError(
            f"The page cannot run {model}: it has a layer of class {kind}. Supported: "
            f"{', '.join(OPS)}."
        )
    try:
        return OPS[kind](layer, call)
    except _UnsupportedError as error:
        raise KerasDAEError(
            f"The page cannot run {model}: its {kind} layer {layer.name} has {error}."
        ) from None


class _UnsupportedError(Exception):
    """A setting of a layer that the page does not support."""


def _only(layer: Any, **accepted: Any) -> None:
    """Raise an error for settings of a layer other than those accepted."""
    for name, value in accepted.items():
        found = getattr(layer, name, value)
        found = tuple(found) if isinstance(found, list) else found
        if found != value:
            raise _UnsupportedError(f"{name}={found!r}, not {value!r}")


def _activation(layer: Any) -> str:
    with without_tensorflow():
        name = keras.activations.serialize(layer.activation)
    if name not in ACTIVATIONS:
        raise _UnsupportedError(f"activation {name!r}, not {', '.join(ACTIVATIONS)}")
    return str(name)


def _array(variable: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable), np.float32)


def _convolution(op: str) -> Callable[[Any, Any], Op]:
    def made(layer: Any, call: Any) -> Op:
        _only(layer, data_format="channels_last", dilation_rate=(1, 1), groups=1)
        extra = getattr(layer, "output_padding", None)
        if extra is not None and layer.padding == "same":
            raise _UnsupportedError("output_padding with padding 'same'")
        kernel = _array(layer.kernel)
        fields = {
            "op": op,
            "kernel": list(kernel.shape),
            "filters": layer.filters,
            "strides": list(layer.strides),
            "padding": layer.padding,
            "bias": bool(layer.use_bias),
            "activation": _activation(layer),
        }
        if op == "transpose":
            fields["output_padding"] = None if extra is None else list(extra)
        return fields, [kernel, *([_array(layer.bias)] if layer.use_bias else [])]

    return made


def _join(op: str) -> Callable[[Any, Any], Op]:
    def made(layer: Any, call: Any) -> Op:
        shapes = {tuple(tensor.shape[1:]) for tensor in call.input_tensors}
        if len(call.input_tensors) < 2 or len(shapes) > 1:
            raise _UnsupportedError("numbers or inputs of several shapes")
        return {"op": op}, []

    return made


def _concatenate(layer: Any, call: Any) -> Op:
    if layer.axis not in (-1, 3):
        raise _UnsupportedError(f"axis={layer.axis}, not -1")
    return {"op": "concatenate"}, []


def _pool(layer: Any, call: Any) -> Op:
    _only(layer, data_format="channels_last")
    sides = {"size": list(layer.pool_size), "strides": list(layer.strides)}
    return {"op": "pool", **sides, "padding": layer.padding}, []


def _enlarge(layer: Any, call: Any) -> Op:
    _only(layer, data_format="channels_last", interpolation="nearest")
    return {"op": "enlarge", "size": list(layer.size)}, []


def _same(layer: Any, call: Any) -> Op:
    """Layers that have an effect only in training."""
    return {"op": "activation"}, []


def _relu(layer: Any, call: Any) -> Op:
    _only(layer, max_value=None, threshold=0)
    slope = float(layer.negative_slope)
    return {"op": "activation", "activation": "leaky_relu", "slope": slope}, []


def _named(layer: Any, call: Any) -> Op:
    return {"op": "activation", "activation": _activation(layer)}, []


def _normalised(layer: Any, call: Any) -> Op:
    """Batch normalization after training: a factor and an offset per channel."""
    if layer.axis not in (-1, 3):
        raise _UnsupportedError(f"axis={layer.axis}, not -1")
    mean, variance = _array(layer.moving_mean), _array(layer.moving_variance)
    scale = 1 / np.sqrt(variance.astype(np.float64) + layer.epsilon)
    if layer.scale:
        scale = scale * _array(layer.gamma)
    shift = -mean * scale + (_array(layer.beta) if layer.center else 0)
    return {"op": "affine", "channels": len(mean)}, [scale, shift]


# Class of a layer (or operation) of Keras -> function that creates its node.
OPS: dict[str, Callable[[Any, Any], Op]] = {
    "Conv2D": _convolution("conv"),
    "Conv2DTranspose": _convolution("transpose"),
    "MaxPooling2D": _pool,
    "UpSampling2D": _enlarge,
    "Concatenate": _concatenate,
    "Add": _join("add"),
    "Subtract": _join("subtract"),
    "Activation": _named,
    "ReLU": _relu,
    "LeakyReLU": _relu,
    "BatchNormalization": _normalised,
    **dict.fromkeys(("Dropout", "SpatialDropout2D", "GaussianNoise"), _same),
}


def _latent(nodes: list[Fields]) -> str | None:
    """Return the node 'latent', if all later nodes depend on it alone."""
    names = [node["name"] for node in nodes]
    if "latent" not in names:
        return None
    position = names.index("latent")
    after = {"latent", *names[position + 1 :]}
    used = {name for node in nodes[position + 1 :] for name in node["inputs"]}
    return "latent" if used <= after else None


def _packed(weights: list[np.ndarray], type: str) -> Fields:
    flat = np.concatenate([np.zeros(0), *(w.ravel() for w in weights)])
    with np.errstate(over="ignore"):  # reported below
        values = flat.astype(f"<f{4 if type == 'float32' else 2}")
    if not np.isfinite(values).all():
        raise KerasDAEError(
            f"The weights do not fit {type}; the largest is {np.abs(flat).max():g}."
        )
    planes = values.view(np.uint8).reshape(-1, values.itemsize).T
    packed = zlib.compress(planes.tobytes(), 9)
    return {"type": type, "data": base64.b64encode(packed).decode()}
