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
    model.export(
        str(out), format=row.keras_name, verbose=False, **_options(task["format"])
    )
    row.describe(out, task["card"])
    return {}


def _options(name: str) -> dict[str, Any]:
    """Return what makes the batch of any size where keras fixes it at 1."""
    if name != "torch":
        return {}
    import torch

    return {"dynamic_shapes": ({0: torch.export.Dim("batch", min=1, max=4096)},)}


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
