"""What one process does for `export` and `parity`: write a format, or answer images.

    echo '{"do": "answer", ...}' | python -m keras_dae.interchange.worker

Takes tasks, one line of JSON each, until its input ends; `process.Worker` talks to it.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.interchange.formats import EXPORTS, Answer
from keras_dae.system.lifeline import end_with_parent
from keras_dae.system.numerics import float32

BATCH = 64
OPEN_SIDE = 28  # pixels, where a model takes images of any size
MOST_SIDE = 65_536
NO_OPEN_SIDES = (
    "torch.export cannot keep the sides of this model open, as of one with strides; "
    "the formats onnx, saved-model and litert can"
)


def export(task: dict[str, Any]) -> dict[str, Any]:
    """Write `task["model"]` to `task["out"]` in `task["format"]`, with its card."""
    from keras_dae.models.files import load

    row, out = EXPORTS[task["format"]], Path(task["out"])
    model = load(Path(task["model"]))
    if row.write is not None:
        row.write(model, out, task["card"])
        return {}
    # keras exports what was called before; an open side stays open.
    shape = [side or OPEN_SIDE for side in model.input_shape[1:]]
    model.predict_on_batch(np.zeros((2, *shape), np.float32))
    sides = model.input_shape[1:3]
    options = _options(task["format"], sides)
    try:
        model.export(str(out), format=row.keras_name, verbose=False, **options)
    except Exception as error:
        if task["format"] == "torch" and None in sides:
            raise RuntimeError(NO_OPEN_SIDES) from error
        raise
    row.describe(out, task["card"])
    return {}


def _options(name: str, sides: tuple[int | None, ...]) -> dict[str, Any]:
    """Return what keeps batch and open sides of any size where keras fixes them."""
    if name != "torch":
        return {}
    from torch.export import Dim

    shapes = {0: Dim("batch", min=1, max=4096)}
    for axis, side in enumerate(sides, 1):
        if side is None:
            shapes[axis] = Dim(f"side_{axis}", min=1, max=MOST_SIDE)
    return {"dynamic_shapes": (shapes,)}


def answer(task: dict[str, Any]) -> dict[str, Any]:
    """Answer the images of a file, one batch at a time, and time the fastest pass."""
    reader = _reader(task)
    images = np.load(task["images"])
    batches = [images[i : i + BATCH] for i in range(0, len(images), BATCH)]
    seconds = []
    for _ in range(1 + task["repeats"]):  # the first pass compiles
        began = time.perf_counter()
        answers = np.concatenate([reader(batch) for batch in batches])
        seconds.append(time.perf_counter() - began)
    np.save(task["answers"], answers.astype(np.float32))
    return {"milliseconds_per_image": 1000 * min(seconds[1:]) / len(images)}


def _reader(task: dict[str, Any]) -> Answer:
    path = Path(task["model"])
    if task["format"] in EXPORTS:
        return EXPORTS[task["format"]].reader(path, task["threads"])
    import keras

    from keras_dae.models.files import load

    model = load(path)

    @float32()
    def predict(images: np.ndarray) -> np.ndarray:
        return np.asarray(keras.ops.convert_to_numpy(model.predict_on_batch(images)))

    return predict


DO = {"export": export, "answer": answer}


def main() -> None:
    """Do the tasks that standard input holds, one line of JSON each.

    Prints one line for each: its result, or `{"error": sentence}`. What libraries
    print meanwhile goes to standard error.
    """
    end_with_parent()
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        task = json.loads(line)
        try:
            result = DO[task["do"]](task)
        except Exception as error:
            words = str(error).strip().splitlines() or [""]
            result = {"error": f"{type(error).__name__}: {words[-1]}"}
        print(json.dumps(result), file=results, flush=True)


if __name__ == "__main__":
    main()
