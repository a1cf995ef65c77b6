"""How large a saved model is, worked out from its configuration alone.

The layers of a `.keras` file are walked through as keras would connect them, and each
tensor's shape and each layer's weights are counted before any memory is taken for
them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

from keras_dae.models.layers import (
    RULES,
    Config,
    MisfitError,
    Shape,
    number_of,
    short,
)

MAX_WEIGHTS = 1 << 28  # 1 GiB of float32, far beyond any model of this kind
MAX_VALUES = 1 << 24  # of one tensor of one image: 512x512 pixels of 64 channels
MAX_LAYERS = 1000
OPEN_SIDE = 256  # what stands for a side that the model leaves open
MODELS = ("Functional", "Sequential")


@dataclass
class Sizes:
    """What a model takes.

    Attributes:
        inputs: shapes of its inputs.
        outputs: shapes of its outputs.
        weights: how many numbers its layers hold.
        values: the most values in one tensor of one image.
    """

    inputs: list[Shape]
    outputs: list[Shape]
    weights: int = 0
    values: int = 0


def measure(model: Config, given: list[Shape] | None = None) -> Sizes:
    """Return the sizes of a model.

    Args:
        model: the configuration of a `Functional` or `Sequential` model, as keras saves
            it, of layers in `RULES`.
        given: shapes of its inputs, where it stands in another model.

    Raises:
        MisfitError: layers that do not fit together, or more of them, of their weights
            or of their values than the bounds here.
    """
    return _Walk().model(model, given)


class _Walk:
    """One walk through a model and those within it; holds what it has counted."""

    def __init__(self) -> None:
        self.weights, self.values, self.nodes = 0, 0, 0

    def model(self, model: Config, given: list[Shape] | None) -> Sizes:
        inner = model["config"]
        if model["class_name"] == "Sequential":
            inputs, outputs = self.chain(inner, given)
        else:
            inputs, outputs = self.graph(inner, given)
        return Sizes(inputs, outputs, self.weights, self.values)

    def chain(
        self, inner: Config, given: list[Shape] | None
    ) -> tuple[list[Shape], list[Shape]]:
        layers = list(inner["layers"])
        inputs = given
        if layers and layers[0]["class_name"] == "InputLayer":
            inputs = inputs or [_input_shape(layers[0])]
            layers = layers[1:]
        elif inputs is None:
            inputs = [_shape_of(inner.get("build_input_shape"))]
        shapes = inputs
        for layer in layers:
            shapes = self.call(layer, shapes, first=True)
        return inputs, shapes

    def graph(
        self, inner: Config, given: list[Shape] | None
    ) -> tuple[list[Shape], list[Shape]]:
        names = [place[0] for place in _places(inner.get("input_layers"))]
        known: dict[tuple[str, int], list[Shape]] = {}
        inputs = {
            layer.get("name"): [_input_shape(layer)]
            for layer in inner["layers"]
            if layer["class_name"] == "InputLayer"
        }
        if given is not None and len(given) == len(names):
            inputs |= {name: [shape] for name, shape in zip(names, given, strict=True)}
        known |= {(str(name), 0): shapes for name, shapes in inputs.items()}
        waiting = list(_nodes(inner["layers"]))
        if len(waiting) > MAX_LAYERS:
            raise MisfitError(f"there are more than {MAX_LAYERS:,} layers")
        while waiting:
            left = [node for node in waiting if not self.step(node, known)]
            if len(left) == len(waiting):
                raise MisfitError("a layer's inputs come from nowhere")
            waiting = left
        found = [self.at(known, place) for place in _places(inner.get("output_layers"))]
        return [shapes[0] for shapes in inputs.values()], found

    def step(
        self,
        node: tuple[Config, int, list[Any]],
        known: dict[tuple[str, int], list[Shape]],
    ) -> bool:
        """Work out one call of a layer, if what it takes is known."""
        layer, number, places = node
        if any((place[0], place[1]) not in known for place in places):
            return False
        shapes = [self.at(known, place) for place in places]
        known[str(layer.get("name")), number] = self.call(layer, shapes, number == 0)
        return True

    @staticmethod
    def at(known: dict[tuple[str, int], list[Shape]], place: Any) -> Shape:
        shapes = known.get((place[0], place[1]), [])
        if not 0 <= place[2] < len(shapes):
            raise MisfitError("a layer's inputs come from nowhere")
        found: Shape = shapes[place[2]]
        return found

    def call(self, layer: Config, shapes: list[Shape], first: bool) -> list[Shape]:
        """Count one call of a layer; its weights are there once."""
        self.nodes += 1
        if self.nodes > MAX_LAYERS:
            raise MisfitError(f"there are more than {MAX_LAYERS:,} layers")
        if layer["class_name"] in MODELS:
            before = self.weights
            found = self.model(layer, shapes).outputs
            self.weights = self.weights if first else before
        else:
            rule = RULES.get(layer["class_name"])
            if rule is None:
                raise MisfitError(f"a {layer['class_name']} layer is out of place")
            shape, weights = rule(layer["config"], shapes)
            self.weights += weights if first else 0
            found = [shape]
        self.bound(found)
        return found

    def bound(self, shapes: list[Shape]) -> None:
        """Refuse what is too large, or smaller than one value."""
        if self.weights > MAX_WEIGHTS:
            raise MisfitError(f"there are more than {MAX_WEIGHTS:,} weights")
        for shape in shapes:
            if any(side is not None and side < 1 for side in shape):
                raise MisfitError(f"a tensor would have the shape {short(shape)}")
            values = prod(OPEN_SIDE if side is None else side for side in shape)
            self.values = max(self.values, values)
        if self.values > MAX_VALUES:
            raise MisfitError(
                f"a tensor takes more than {MAX_VALUES:,} values an image"
            )


def _shape_of(value: Any) -> Shape:
    """Return a shape with its batch as one without."""
    if not isinstance(value, list) or len(value) < 2:
        raise MisfitError(f"an input has the shape {short(value)}")
    return tuple(
        None if side is None else number_of(side, "batch_shape", 1)
        for side in value[1:]
    )


def _input_shape(layer: Config) -> Shape:
    shape = _shape_of(layer["config"].get("batch_shape"))
    if prod(OPEN_SIDE if side is None else side for side in shape) > MAX_VALUES:
        raise MisfitError(f"an input takes more than {MAX_VALUES:,} values an image")
    return shape


def _nodes(layers: list[Config]) -> Iterator[tuple[Config, int, list[Any]]]:
    """Yield each call of each layer: layer, its number, where its tensors come from."""
    for layer in layers:
        calls = layer.get("inbound_nodes")
        if not isinstance(calls, list) or len(calls) > MAX_LAYERS:
            raise MisfitError("a layer is not connected")
        for number, call in enumerate(calls):
            places = list(_tensors(call))
            if layer["class_name"] != "InputLayer":
                yield layer, number, places


def _tensors(value: Any) -> Iterator[list[Any]]:
    """Yield the origins of the tensors that a call takes."""
    if isinstance(value, list):
        for one in value:
            yield from _tensors(one)
    elif isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            inner = value.get("config")
            origin = inner.get("keras_history") if isinstance(inner, dict) else None
            yield from _places(origin)
        else:
            for one in value.values():
                yield from _tensors(one)


def _places(value: Any) -> list[list[Any]]:
    """Return [layer, node, tensor], or a list of such, as a list of such."""
    places = [value] if isinstance(value, list) and _is_place(value) else value
    if isinstance(places, dict):
        places = list(places.values())
    if not isinstance(places, list) or not all(map(_is_place, places)):
        raise MisfitError(f"a tensor comes from {short(value)}")
    return places


def _is_place(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and isinstance(value[0], str)
        and all(type(number) is int for number in value[1:])
    )
