"""Tasks of one process for `export` and `parity`: write a format, or run images.

`process.Worker` calls these functions in a restricted process of one backend.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.errors import KerasDAEError
from keras_dae.interchange.formats import EXPORTS, Answer
from keras_dae.models.gate import OPEN_SIDE
from keras_dae.system.numerics import float32

BATCH = 64
MOST_SIDE = 65_536
NO_OPEN_SIDES = (
    "torch.export cannot keep the input size of this model variable, for example "
    "because of strides; the formats onnx, saved-model and litert can"
)


def prepare() -> None:
    """Import keras before the limits of a file apply."""
    import keras

    assert keras.backend.backend() == os.environ["KERAS_BACKEND"]


def export(model: str, name: str, out: str, card: dict[str, Any]) -> None:
    """Write the `.keras` file `model` to `out` in the format `name`, with its card.

    Raises:
        KerasDAEError: torch cannot keep the input size variable.
    """
    from keras_dae.models.files import open_model

    row, loaded = EXPORTS[name], open_model(Path(model))
    if row.write is not None:
        row.write(loaded, Path(out), card)
        return
    # keras exports only models that were called; variable sides stay variable.
    shape = [side or OPEN_SIDE for side in loaded.input_shape[1:]]
    loaded.predict_on_batch(np.zeros((2, *shape), np.float32))
    sides = loaded.input_shape[1:3]
    options = _options(name, sides)
    try:
        loaded.export(out, format=row.keras_name, verbose=False, **options)
    except Exception as error:
        if name == "torch" and None in sides:
            raise KerasDAEError(NO_OPEN_SIDES) from error
        raise
    row.describe(Path(out), card)


def _options(name: str, sides: tuple[int | None, ...]) -> dict[str, Any]:
    """Return options that keep the batch and variable sides variable."""
    if name != "torch":
        return {}
    from torch.export import Dim

    shapes = {0: Dim("batch", min=1, max=4096)}
    for axis, side in enumerate(sides, 1):
        if side is None:
            shapes[axis] = Dim(f"side_{axis}", min=1, max=MOST_SIDE)
    return {"dynamic_shapes": (shapes,)}


def answer(
    model: str, name: str, images: np.ndarray, threads: int, repeats: int
) -> tuple[np.ndarray, float]:
    """Run images through a file in the format `name`, one batch at a time.

    Returns:
        The outputs, float32, and the milliseconds per image in the fastest of `repeats`
        passes.
    """
    read: Callable[[Path, int], Answer] = _read_keras
    if name in EXPORTS:
        read = EXPORTS[name].reader
    reader = read(Path(model), threads)
    batches = [images[i : i + BATCH] for i in range(0, len(images), BATCH)]
    seconds = []
    for _ in range(1 + repeats):  # the first pass compiles
        began = time.perf_counter()
        answers = np.concatenate([reader(batch) for batch in batches])
        seconds.append(time.perf_counter() - began)
    return answers.astype(np.float32), 1000 * min(seconds[1:]) / len(images)


def _read_keras(path: Path, threads: int) -> Answer:
    import keras

    from keras_dae.models.files import open_model

    model = open_model(path)

    @float32()
    def predict(images: np.ndarray) -> np.ndarray:
        return np.asarray(keras.ops.convert_to_numpy(model.predict_on_batch(images)))

    return predict
