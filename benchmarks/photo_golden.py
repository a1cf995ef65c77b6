"""Make tests/golden/photo.npz: what the PyTorch program answers to random images.

    python -m benchmarks.photo_golden PROGRAM

PROGRAM is the folder of train.py, photo.npz and photo-gray.npz. For each model the
file holds images, the answers with the weights as they were trained ("trained"), and
the answers with the weights rounded as the package ships them ("shipped"). Keras
computes nothing here.
"""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.pack_photo import rounded

GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "photo.npz"
ARCHITECTURE = "flat64"
SHAPES = {"photo": (2, 20, 26, 3), "photo-gray": (2, 24, 18, 1)}


def program(folder: Path) -> dict[str, Any]:
    """Return the names that train.py defines, without running its main."""
    os.environ |= {"PHOTOS": ".", "KODAK": ".", "CK": str(folder)}
    source = (folder / "train.py").read_text().rstrip().removesuffix("main()")
    names: dict[str, Any] = {"__name__": "train"}
    exec(compile(source, "train.py", "exec"), names)
    return names


def main(folder: Path) -> None:
    """Write the golden file."""
    architectures = program(folder)["ARCH"]
    found = {}
    for name, shape in SHAPES.items():
        images = np.random.default_rng(shape[1]).random(shape, dtype=np.float32)
        found[f"{name} images"] = images
        arrays = dict(np.load(folder / f"{name}.npz", allow_pickle=False))
        for kind, change in (("trained", np.asarray), ("shipped", rounded)):
            net = architectures[ARCHITECTURE](shape[3])
            net.load_state_dict(
                {key: torch.from_numpy(change(array)) for key, array in arrays.items()}
            )
            with torch.no_grad():
                answer = net(torch.from_numpy(images).permute(0, 3, 1, 2))
            found[f"{name} {kind}"] = answer.permute(0, 2, 3, 1).numpy()
    np.savez_compressed(GOLDEN, **found)
    print({key: value.shape for key, value in found.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
