"""Images per batch, so that memory is bounded by values and not by images."""

from math import prod

import keras

# float32 values, 128 MiB, of the widest tensor of a batch; a pass holds a few such.
VALUES_AT_ONCE = 1 << 25


def images_at_once(values: int, most: int) -> int:
    """Return the images of a batch, so that its memory does not grow with their size.

    Args:
        values: the most values of an image that are held at once, those of the widest
            activation included.
        most: images at most.

    Example:
        >>> images_at_once(128 * 128 * 64, most=500)
        32
    """
    return max(1, min(most, VALUES_AT_ONCE // max(1, values)))


def widest(model: keras.Model) -> int | None:
    """Return the values of a model's widest tensor for one image; None if it is open.

    Sides that the model leaves open are those of the images that it gets.
    """
    try:
        shapes = [
            tensor.shape[1:]
            for layer in model.layers
            for tensor in keras.tree.flatten(layer.output)
        ]
    except (AttributeError, ValueError):  # a layer that is called more than once
        return None
    if any(None in shape for shape in shapes):
        return None
    most: int = max(prod(shape) for shape in shapes)
    return most
