"""Make tests/golden/photo.npz: what the PyTorch program answers to random images.

    python -m benchmarks.photo_golden PROGRAM

PROGRAM is the folder of train.py and of the weights, as benchmarks.pack_photo takes
them. For each model the file holds images, the answers with the weights as they were
trained ("trained"), and the answers with the weights rounded as the package ships them
("shipped"). Keras computes nothing here.
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


def names(kernels: int) -> list[str]:
    """Return the program's names of its kernels, in the order of the layers."""
    blocks = [f"enc.0.{n}.{part}" for n in range(kernels // 2 - 1) for part in "ab"]
    return [f"{name}.weight" for name in ("head", *blocks, "tail")]


def main(folder: Path) -> None:
    """Write the golden file."""
    architectures = program(folder)["ARCH"]
    found = {}
    for name, shape in SHAPES.items():
        images = np.random.default_rng(shape[1]).random(shape, dtype=np.float32)
        found[f"{name} images"] = images
        weights = weights_of(folder, name)
        for kind, change in (("trained", np.asarray), ("shipped", rounded)):
            net = architectures[ARCHITECTURES[name]](shape[3])
            net.load_state_dict(
                {
                    key: torch.from_numpy(change(kernel).transpose(3, 2, 0, 1).copy())
                    for key, kernel in zip(names(len(weights)), weights, strict=True)
                }
            )
            with torch.no_grad():
                answer = net(torch.from_numpy(images).permute(0, 3, 1, 2))
            found[f"{name} {kind}"] = answer.permute(0, 2, 3, 1).numpy()
    np.savez_compressed(GOLDEN, **found)
    print({key: value.shape for key, value in found.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
