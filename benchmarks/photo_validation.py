"""Measure colour denoisers of photographs on the validation photographs.

    python -m benchmarks.photo_validation PHOTOGRAPHS OUT.json MODEL.keras...

PHOTOGRAPHS holds val/. Each model is measured on the middles of its photographs, with
Gaussian noise as it is and clipped and rounded to 8 bits. It says which of two models
is the better one without a look at the test photographs.
"""

import sys
from pathlib import Path

from benchmarks.pack_photo import SIGMAS, measured, validation
from keras_dae.models.files import load
from keras_dae.system import backend
from keras_dae.system.storage import write_json


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
        print(row, flush=True)
        models.append(row)
    hardware = backend.hardware()
    write_json(out, {"images": len(clean), "hardware": hardware, "psnr": models})
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), [*map(Path, sys.argv[3:])]))
