"""Make tests/golden/photo.npz: what the PyTorch program answers to random images.

    python -m benchmarks.photo_golden PROGRAM PHOTO PHOTO_GRAY

PROGRAM is the folder of train.py; PHOTO and PHOTO_GRAY are the files of the weights
before they were rounded, .keras or .npz. For each model the golden file holds images,
the answers with the weights as they were trained ("trained"), and the answers with the
weights rounded as the package ships them ("shipped"). Keras computes no answer here.
"""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.pack_photo import rounded, weights_of

GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "photo.npz"
ARCHITECTURES = {"photo": "flat64x6", "photo-gray": "flat64"}
SHAPES = {"photo": (2, 20, 26, 3), "photo-gray": (2, 24, 18, 1)}


def program(folder: Path) -> dict[str, Any]:
    """Return the names that train.py defines, without running its main."""
    os.environ |= {"PHOTOS": ".", "KODAK": ".", "CK": str(folder)}
    source = (folder / "train.py").read_text().rstrip().removesuffix("main()")
    names: dict[str, Any] = {"__name__": "train"}
    exec(compile(source, "train.py", "exec"), names)
    return names


def main(folder: Path, *files: Path) -> None:
    """Write the golden file."""
    architectures = program(folder)["ARCH"]
    found = {}
    for (name, shape), file in zip(SHAPES.items(), files, strict=True):
        images = np.random.default_rng(shape[1]).random(shape, dtype=np.float32)
        found[f"{name} images"] = images
        for kind, change in (("trained", np.asarray), ("shipped", rounded)):
            net = architectures[ARCHITECTURES[name]](shape[3])
            kernels = [change(one).transpose(3, 2, 0, 1) for one in weights_of(file)]
            # The layers are defined in the order of the data, except for the last.
            order = sorted(net.state_dict(), key=lambda key: key == "tail.weight")
            arrays = map(torch.from_numpy, kernels)
            net.load_state_dict(dict(zip(order, arrays, strict=True)))
            with torch.no_grad():
                answer = net(torch.from_numpy(images).permute(0, 3, 1, 2))
            found[f"{name} {kind}"] = answer.permute(0, 2, 3, 1).numpy()
    np.savez_compressed(GOLDEN, **found)
    print({key: value.shape for key, value in found.items()})


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
