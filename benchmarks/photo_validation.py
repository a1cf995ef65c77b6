"""Measure colour denoisers of photographs on the validation photographs.

    python -m benchmarks.photo_validation PHOTOGRAPHS OUT.json MODEL.keras...

PHOTOGRAPHS holds val/. Each model is measured on the middles of its photographs, with
Gaussian noise as it is and clipped and rounded to 8 bits. It is also measured on clean
images of finer detail, made of them by `augment.fine`, which it should not change. This
says which of two models is the better one without a look at the test photographs.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pack_photo import SIGMAS, measured, validation
from keras_dae.evaluation.metrics import psnr
from keras_dae.images.augment import fine
from keras_dae.models.files import load
from keras_dae.system import backend
from keras_dae.system.storage import write_json

FINE = 5  # clean images of finer detail per photograph
KEPT = 45  # dB between a clean image and the answer to it, at least


def main(photographs: Path, out: Path, paths: list[Path]) -> int:
    """Measure each model and write what was found."""
    clean = validation(photographs / "val", 3)
    models = []
    for path in paths:
        model = load(path)
        row = {"model": path.name, "parameters": model.count_params()}
        for kind, clipped in (("unclipped", False), ("8 bits", True)):
            for sigma in SIGMAS:
                found = measured(model, clean, sigma, clipped=clipped)
                row[f"{kind}, sigma {sigma}"] = round(found["psnr"], 3)
        row |= unchanged(model, clean)
        print(row, flush=True)
        models.append(row)
    hardware = backend.hardware()
    write_json(out, {"images": len(clean), "hardware": hardware, "psnr": models})
    return 0


def unchanged(model: Any, clean: list[np.ndarray]) -> dict[str, Any]:
    """Return how well clean images of fine detail come back, in 8 bits."""
    found = []
    for number, image in enumerate(clean):
        for copy in range(FINE):
            given = fine(image, np.random.default_rng([number, copy]))
            given = np.rint(given * 255) / np.float32(255)
            answer = np.asarray(model.predict_on_batch(given[None])).clip(0, 1)
            answer = np.rint(answer * 255) / np.float32(255)
            found.append(float(psnr(given[None], answer)[0]))
    return {
        "fine images, clean": len(found),
        "lowest PSNR": round(min(found), 2),
        f"below {KEPT} dB": sum(one < KEPT for one in found),
    }


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), [*map(Path, sys.argv[3:])]))
