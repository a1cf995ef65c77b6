"""Batch sizes that bound the memory of a batch, whatever the size of the images."""

from math import prod

import keras

# float32 values, 128 MiB, of the widest tensor of a batch; a forward pass holds a few
# of them.
VALUES_AT_ONCE = 1 << 25


def images_at_once(values: int, most: int) -> int:
    """Return the batch size, so that memory does not grow with the image size.

    Args:
        values: most values per image that are in memory at once, including the widest
            activation.
        most: upper limit.

    Example:
        >>> images_at_once(128 * 128 * 64, most=500)
        32
    """
    return max(1, min(most, VALUES_AT_ONCE // max(1, values)))


def widest(model: keras.Model) -> int | None:
    """Return the size of the largest tensor of a model per image; None if unknown.

    Variable sides of the model make it depend on the images.
    """
    try:
        shapes = [
            tensor.shape[1:]
            for layer in model.layers
            for tensor in keras.tree.flatten(layer.output)
        ]
    except (AttributeError, ValueError):  # such as a shared layer
        return None
    if any(None in shape for shape in shapes):
        return None
    most: int = max(prod(shape) for shape in shapes)
    return most
