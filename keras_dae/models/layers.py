"""The layers that a saved model may be made of, and how large each one is.

A row of `LAYERS` takes a layer's configuration and the shapes that it gets, and says
what shape it answers and how many weights it holds. Shapes are without the batch; a
side that is left open is None.
"""

from collections.abc import Callable
from math import prod
from typing import Any

from keras_dae.system.private import KERAS_ARRAY_OPERATIONS, KERAS_NN_OPERATIONS

Shape = tuple[int | None, ...]
Config = dict[str, Any]
Rule = Callable[[Config, list[Shape]], tuple[Shape, int]]
LARGEST = 1 << 31  # any number in a layer's configuration


class MisfitError(ValueError):
    """A configuration that keras could not build, or that must not be built."""


def whole(config: Config, key: str, default: int | None = None, low: int = 1) -> int:
    """Return a whole number of a layer's configuration.

    Raises:
        MisfitError: it is none, or absurd.
    """
    return number_of(config.get(key, default), key, low)


def number_of(value: Any, key: str, low: int) -> int:
    """Return a whole number from `low` on, or say that `key` is none."""
    if type(value) is not int or not low <= value <= LARGEST:
        raise MisfitError(f"a layer has {key}={short(value)}")
    return value


def pair(config: Config, key: str, default: Any = None, low: int = 1) -> list[int]:
    """Return two whole numbers; one stands for both."""
    value = config.get(key, default)
    both = value if isinstance(value, list) else [value, value]
    if len(both) != 2:
        raise MisfitError(f"a layer has {key}={short(value)}")
    return [number_of(one, key, low) for one in both]


def short(value: Any) -> str:
    """Return a value as a sentence shows it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def _image(config: Config, shapes: list[Shape]) -> tuple[list[int | None], int, bool]:
    """Return height and width, channels, and whether these come first."""
    shape = _only(shapes)
    if len(shape) != 3:
        raise MisfitError(f"a layer of images gets a tensor of {len(shape)} axes")
    first = config.get("data_format") == "channels_first"
    sides = list(shape[1:] if first else shape[:2])
    channels = shape[0] if first else shape[2]
    if channels is None:
        raise MisfitError("a layer gets an open number of channels")
    return sides, channels, first


def _only(shapes: list[Shape]) -> Shape:
    if len(shapes) != 1:
        raise MisfitError(f"a layer gets {len(shapes)} tensors in place of one")
    return shapes[0]


def _back(sides: list[int | None], channels: int, first: bool) -> Shape:
    return (channels, *sides) if first else (*sides, channels)


def _window(
    config: Config, sides: list[int | None], key: str, strides: Any = 1
) -> list[int | None]:
    """Return the sides after a window of `config[key]` has passed over them."""
    kernel = pair(config, key)
    steps = pair(config, "strides", strides)
    wide = pair(config, "dilation_rate", 1)
    found: list[int | None] = []
    for side, k, s, d in zip(sides, kernel, steps, wide, strict=True):
        if side is None or config.get("padding") == "same":
            found.append(None if side is None else -(-side // s))
        else:
            found.append((side - d * (k - 1) - 1) // s + 1)
    return found


def _bias(config: Config, count: int) -> int:
    return count if config.get("use_bias", True) else 0


def _conv(config: Config, shapes: list[Shape]) -> tuple[Shape, int]:
    sides, channels, first = _image(config, shapes)
    filters, groups = whole(config, "filters"), whole(config, "groups", 1)
    inputs = channels // groups
    weights = prod(pair(config, "kernel_size")) * inputs * filters
    shape = _back(_window(config, sides, "kernel_size"), filters, first)
    return shape, weights + _bias(config, filters)


def _transposed(config: Config, shapes: list[Shape]) -> tuple[Shape, int]:
    sides, channels, first = _image(config, shapes)
    filters = whole(config, "filters")
    kernel, steps = pair(config, "kernel_size"), pair(config, "strides", 1)
    wide = pair(config, "dilation_rate", 1)
    given = config.get("output_padding")
    added = None if given is None else pair(config, "output_padding", low=0)
    grown: list[int | None] = []
    for i, side in enumerate(sides):
        reach = wide[i] * (kernel[i] - 1) + 1
        if side is None:
            grown.append(None)
        elif added is not None:
            lost = 2 * (reach // 2) if config.get("padding") == "same" else 0
            grown.append((side - 1) * steps[i] + reach - lost + added[i])
        else:
            same = config.get("padding") == "same"
            grown.append(side * steps[i] + (0 if same else max(reach - steps[i], 0)))
    weights = prod(kernel) * channels * filters + _bias(config, filters)
    return _back(grown, filters, first), weights


def _depthwise(config: Config, shapes: list[Shape]) -> tuple[Shape, int]:
    sides, channels, first = _image(config, shapes)
    made = channels * whole(config, "depth_multiplier", 1)
    weights = prod(pair(config, "kernel_size")) * made
    shape = _back(_window(config, sides, "kernel_size"), made, first)
    return shape, weights + _bias(config, made)


def _separable(config: Config, shapes: list[Shape]) -> tuple[Shape, int]:
    sides, channels, first = _image(config, shapes)
    made = channels * whole(config, "depth_multiplier", 1)
    filters = whole(config, "filters")
    weights = prod(pair(config, "kernel_size")) * made + made * filters
    shape = _back(_window(config, sides, "kernel_size"), filters, first)
    return shape, weights + _bias(config, filters)


def _dense(config: Config, shapes: list[Shape]) -> tuple[Shape, int]:
    shape, units = _only(shapes), whole(config, "units")
    if not shape or shape[-1] is None:
        raise MisfitError("a Dense layer gets an open number of values")
    return (*shape[:-1], units), shape[-1] * units + _bias(config, units)


def _same(config: Config, shapes: list[Shape]) -> tuple[Shape, int]:
    return _only(shapes), 0


def _prelu(config: Config, shapes: list[Shape]) -> tuple[Shape, int]:
    shape, shared = _only(shapes), config.get("shared_axes") or []
    if not isinstance(shared, list):
        raise MisfitError(f"a PReLU layer has shared_axes={short(shared)}")
    own = [1 if i + 1 in shared else side for i, side in enumerate(shape)]
    if None in own:
        raise MisfitError("a PReLU layer gets an open number of values")
    return shape, prod(side for side in own if side is not None)


def _normalised(config: Config, shapes: list[Shape]) -> tuple[Shape, int]:
    shape, axis = _only(shapes), config.get("axis", -1)
    axes = axis if isinstance(axis, list) else [axis]
    count = 1
    for one in axes:
        place = number_of(one, "axis", -len(shape))
        # The first axis is the batch, unless it is counted from the end.
        side = shape[place if place < 0 else _inside(place - 1, shape)]
        if side is None:
            raise MisfitError("a normalisation is of an open number of values")
        count *= side
    kept = [bool(config.get(key, True)) for key in ("center", "scale")]
    return shape, count * sum(kept)


def _batch_normalised(config: Config, shapes: list[Shape]) -> tuple[Shape, int]:
    shape, weights = _normalised(config, shapes)
    _, each = _normalised({"axis": config.get("axis", -1), "center": False}, shapes)
    return shape, weights + 2 * each  # mean and variance too


def _inside(place: int, shape: Shape) -> int:
    if not 0 <= place < len(shape):
        raise MisfitError(f"a layer has axis={place + 1}")
    return place


def _merged(config: Config, shapes: list[Shape]) -> tuple[Shape, int]:
    if not shapes or len({len(shape) for shape in shapes}) != 1:
        raise MisfitError("a layer joins tensors that do not fit")
    sides = [max((s or 0 for s in axis), default=0) for axis in zip(*shapes)]  # noqa: B905
    open_ = [None in axis for axis in zip(*shapes)]  # noqa: B905
    merged = [None if o else s for s, o in zip(sides, open_, strict=True)]
    return tuple(merged), 0


def _concatenated(config: Config, shapes: list[Shape]) -> tuple[Shape, int]:
    shape, _ = _merged(config, shapes)
    axis = number_of(config.get("axis", -1), "axis", -len(shape))
    place = axis % len(shape) if axis < 0 else _inside(axis - 1, shape)
    along = [one[place] for one in shapes]
    joined = None if None in along else sum(side or 0 for side in along)
    return (*shape[:place], joined, *shape[place + 1 :]), 0


def _pooled(config: Config, shapes: list[Shape]) -> tuple[Shape, int]:
    sides, channels, first = _image(config, shapes)
    strides = config.get("strides") or config.get("pool_size")
    passed = _window({**config, "strides": strides}, sides, "pool_size")
    return _back(passed, channels, first), 0


def _averaged(config: Config, shapes: list[Shape]) -> tuple[Shape, int]:
    _, channels, first = _image(config, shapes)
    kept = bool(config.get("keepdims"))
    return (_back([1, 1], channels, first) if kept else (channels,)), 0


def _enlarged(config: Config, shapes: list[Shape]) -> tuple[Shape, int]:
    sides, channels, first = _image(config, shapes)
    size = pair(config, "size")
    grown = [side and side * by for side, by in zip(sides, size, strict=True)]
    return _back(grown, channels, first), 0


def _edged(sign: int, key: str) -> Rule:
    """Return the rule of a layer that adds to an image's edges, or cuts them off."""

    def rule(config: Config, shapes: list[Shape]) -> tuple[Shape, int]:
        sides, channels, first = _image(config, shapes)
        edges = config.get(key)
        both = edges if isinstance(edges, list) else [edges, edges]
        if len(both) != 2:
            raise MisfitError(f"a layer has {key}={short(edges)}")
        amounts = [sum(pair({key: edge}, key, low=0)) for edge in both]
        moved = [
            None if side is None else side + sign * amount
            for side, amount in zip(sides, amounts, strict=True)
        ]
        return _back(moved, channels, first), 0

    return rule


def _flat(config: Config, shapes: list[Shape]) -> tuple[Shape, int]:
    shape = _only(shapes)
    closed = [side for side in shape if side is not None]
    return ((prod(closed) if len(closed) == len(shape) else None),), 0


def _reshaped(config: Config, shapes: list[Shape]) -> tuple[Shape, int]:
    (total,), _ = _flat(config, shapes)
    wanted = config.get("target_shape")
    if not isinstance(wanted, list):
        raise MisfitError(f"a Reshape layer has target_shape={short(wanted)}")
    sides = [number_of(side, "target_shape", -1) for side in wanted]
    known = prod(side for side in sides if side != -1)
    free = sides.count(-1)
    if free > 1 or (total is not None and (total % known if free else total != known)):
        raise MisfitError(f"a Reshape layer has target_shape={short(wanted)}")
    rest = None if total is None else total // known
    return tuple(rest if side == -1 else side for side in sides), 0


def _permuted(config: Config, shapes: list[Shape]) -> tuple[Shape, int]:
    shape, order = _only(shapes), config.get("dims")
    axes = range(1, len(shape) + 1)
    if not isinstance(order, list) or [n for n in axes if n in order] != list(axes):
        raise MisfitError(f"a Permute layer has dims={short(order)}")
    return tuple(shape[_inside(place - 1, shape)] for place in order), 0


# What a file may be made of: built-in layers without code of their own.
LAYERS: dict[str, Rule] = {
    "Conv2D": _conv,
    "Conv2DTranspose": _transposed,
    "SeparableConv2D": _separable,
    "DepthwiseConv2D": _depthwise,
    "Dense": _dense,
    "PReLU": _prelu,
    "BatchNormalization": _batch_normalised,
    "LayerNormalization": _normalised,
    "GroupNormalization": _normalised,
    "Concatenate": _concatenated,
    "MaxPooling2D": _pooled,
    "AveragePooling2D": _pooled,
    "GlobalAveragePooling2D": _averaged,
    "UpSampling2D": _enlarged,
    "ZeroPadding2D": _edged(1, "padding"),
    "Cropping2D": _edged(-1, "cropping"),
    "Flatten": _flat,
    "Reshape": _reshaped,
    "Permute": _permuted,
    **dict.fromkeys(("Add", "Subtract", "Multiply", "Average", "Maximum"), _merged),
    **dict.fromkeys(("Activation", "ReLU", "LeakyReLU", "ELU", "Softmax"), _same),
    **dict.fromkeys(("Rescaling", "Dropout", "SpatialDropout2D"), _same),
    **dict.fromkeys(("GaussianNoise", "GaussianDropout"), _same),
}

# Operations on tensors, as in `x - conv(x)`, by the module that a file names: those
# that work value by value, on tensors of the model and on numbers.
_ON_VALUES = {
    KERAS_ARRAY_OPERATIONS: (
        *("Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Power", "Negative"),
        *("Maximum", "Minimum", "Clip", "Abs", "Absolute", "Square", "Sqrt", "Exp"),
        *("Log", "Log1p", "Expm1", "Tanh"),
    ),
    KERAS_NN_OPERATIONS: (
        *("Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Gelu", "Silu", "Sigmoid"),
        *("HardSigmoid", "Softplus", "Softsign"),
    ),
}
OPERATIONS = {module: frozenset(names) for module, names in _ON_VALUES.items()}
# By class: an operation that a layer shares its name with has the same rule.
RULES = {name: _merged for names in _ON_VALUES.values() for name in names} | LAYERS
