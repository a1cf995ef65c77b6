"""Initial weights from a pretrained model, a file or a run."""

import hashlib
import re
from typing import TYPE_CHECKING, Any

from keras_dae.errors import UsageError
from keras_dae.models.architectures import default_filters
from keras_dae.models.families import FAMILIES
from keras_dae.models.gate import inspect
from keras_dae.models.photo_spec import PHOTO
from keras_dae.system.storage import content_errors
from keras_dae.training.runs import find_model_file

if TYPE_CHECKING:
    import keras

BLOCK = re.compile(r"block_(\d+)_([ab])")
MEMBER = re.compile(r"([A-Z]+)_(\d{1,4})_(\d{1,4})")


def start_options(named: str) -> dict[str, Any]:
    """Return the options implied by the architecture of a start model.

    For models other than photo and the families, nothing is implied.

    Raises:
        UsageError, KerasDAEError: see `find_model_file`; or the file is not a model.
    """
    path, run = find_model_file(named)
    if run is not None:
        config = run.config().model_dump()
        kept = ("model", "depth", "latent", "filters", "blocks", "channels")
        return {key: config[key] for key in kept if config[key] is not None}
    with content_errors(path):
        return _of_file(inspect(path)["config"])


def _of_file(model: dict[str, Any]) -> dict[str, Any]:
    """Return what a Keras configuration implies; nothing for an unknown model."""
    name, found = str(model.get("name")), MEMBER.fullmatch(str(model.get("name")))
    if name == PHOTO:
        return _of_photo(model)
    families = {row.prefix: kind for kind, row in FAMILIES.items()}
    if found is None or found[1] not in families:
        return {}
    depth, latent = int(found[2]), int(found[3])
    options = {"model": families[found[1]], "depth": depth, "latent": latent}
    hidden = next(
        (
            layer["config"]["filters"]
            for layer in model["layers"]
            if layer["class_name"] == "Conv2D"
        ),
        None,
    )
    # With one convolution, its filters are the channels of the latent.
    if found[1] == "DAE" and depth > 1 and hidden != default_filters(depth, latent):
        options["filters"] = hidden
    return options


def start_sha256(named: str) -> str:
    """Return the hash of the file with the initial weights."""
    return hashlib.sha256(find_model_file(named)[0].read_bytes()).hexdigest()


def take_weights(model: "keras.Model", named: str) -> None:
    """Copy the weights of a start model to `model`, layer by layer.

    A block of photo that the start lacks starts as the identity: its last kernel is 0.

    Raises:
        UsageError: a layer has another shape, or the start lacks it.
    """
    from keras_dae.models.files import weights as weights_in

    source = weights_in(find_model_file(named)[0])
    for layer in model.layers:
        weights = layer.get_weights()
        given = source.pop(layer.name, None) if weights else []
        block = BLOCK.fullmatch(layer.name)
        if given is None and block is not None:
            given = [one * (block[2] == "a") for one in weights]
        _check_shapes(named, layer.name, weights, given)
        layer.set_weights(given)
    if source:
        _check_shapes(named, next(iter(source)), None, next(iter(source.values())))


def _check_shapes(named: str, layer: str, here: Any, there: Any) -> None:
    shapes = [
        None if part is None else [one.shape for one in part] for part in (here, there)
    ]
    if shapes[0] != shapes[1]:
        own, its = (part or "none" for part in shapes)
        raise UsageError(
            f"{named} has another architecture than the model to train: the weights "
            f"of the layer {layer} have the shapes {own} here and {its} there."
        )


def _of_photo(model: dict[str, Any]) -> dict[str, Any]:
    """Return model, channels, blocks and filters from the configuration of photo."""
    layers = {layer["config"]["name"]: layer["config"] for layer in model["layers"]}
    numbers = [int(found[1]) for name in layers if (found := BLOCK.fullmatch(name))]
    channels = int(layers["noisy"]["batch_shape"][-1])
    return {
        "model": PHOTO,
        "channels": channels,
        "blocks": max(numbers),
        "filters": int(layers["down"]["filters"]),
    }
