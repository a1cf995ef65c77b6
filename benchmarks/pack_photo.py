"""Pack a denoiser of photographs into keras_dae/presets.

    python -m benchmarks.pack_photo NAME WEIGHTS PHOTOGRAPHS

NAME is photo or photo-gray. WEIGHTS is an .npz file of the PyTorch program or a .keras
file. PHOTOGRAPHS holds val/ and SOURCES.tsv. Weights are rounded to `BITS` bits after
the leading one, which halves the file. The figures of a card come from the packed
file, on the middles of the validation photographs.
"""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.pack_pretrained import pack
from keras_dae.evaluation.metrics import mse, psnr, ssim
from keras_dae.models.files import load, save
from keras_dae.models.photo import PhotoSpec, build_photo, torch_weights
from keras_dae.system.own import PRESETS
from keras_dae.system.storage import read_json, write_json

MAX_BYTES = 2_000_000
# float16 keeps 10: its answers were up to 0.26 grey levels of 255 away, those of 12
# bits up to 0.07.
BITS = 12
SIDE = 512
SIGMAS = (15, 25, 50)
GREY = (0.299, 0.587, 0.114)
LIST = Path(__file__).parents[1] / "docs" / "photographs.tsv"
# What is shipped, and how the PyTorch program trained it.
SPECS = {"photo": PhotoSpec(3, blocks=6), "photo-gray": PhotoSpec(1, blocks=3)}
TRAINED: dict[str, dict[str, Any]] = {
    "photo": {
        "hardware": "one NVIDIA H100, then one NVIDIA H200 that other work used too",
        "seconds": 1900,
        "steps": 912_000,
        "stages": [
            "3 blocks, 990 s on the H100, 585,210 steps, learning rate 0.0015",
            "6 blocks, the new ones starting as the identity: 480 s on the H200, "
            "learning rate 0.0015; after an interruption 430 s, learning rate 0.001; "
            "together 327,000 steps",
        ],
        "fine_tuned": {
            "command": "keras-dae train --config configs/photo.toml --data "
            "folder:photographs --start photo-6.keras --blocks 6 --steps 2400 --lr "
            "1e-4 --precision bfloat16 --threads 2 --averaging 0.995",
            "hardware": "2 threads of an AMD EPYC",
            "seconds": 3489,
            "steps": 2400,
            "why": "it took thin coloured lines for noise; training images of finer "
            "detail were added",
        },
    },
    "photo-gray": {
        "hardware": "one NVIDIA H100",
        "seconds": 385,
        "steps": 223_200,
        "fine_tuned": None,
    },
}
LIMITS = (
    "Gaussian noise up to sigma 55 of 255 and camera noise like it, independent from "
    "pixel to pixel. It leaves in place JPEG blocks, blur, compressed noise and noise "
    "in patches. BM3D told the level is up to 0.4 dB better where noise is not "
    "clipped; much larger networks such as DRUNet and SwinIR are better still."
)
LICENCE = (
    "Model: MIT. Trained on 182 photographs with free licences; docs/photographs.tsv "
    "names author and licence of each."
)


def rounded(weights: np.ndarray) -> np.ndarray:
    """Return float32 weights rounded to `BITS` bits after the leading one."""
    mantissa, exponent = np.frexp(weights.astype(np.float64))
    scale = 2.0 ** (BITS + 1)
    return np.ldexp(np.rint(mantissa * scale) / scale, exponent).astype(np.float32)


def main(name: str, weights: Path, photographs: Path) -> int:
    """Pack one model; return 0 if both are small enough."""
    cards = read_json(PRESETS / "cards.json")["models"]
    model = build_photo(SPECS[name])
    model.set_weights([rounded(array) for array in weights_of(weights)])
    packed = PRESETS / f"{name}.keras"
    with tempfile.TemporaryDirectory() as folder:
        save(model, Path(folder) / packed.name)
        pack(Path(folder) / packed.name, packed)
    clean = validation(photographs / "val", SPECS[name].channels)
    cards[name] = card(name, packed, clean)
    print(name, *(f"{k}: {v}" for k, v in cards[name]["figures"].items()))
    write_json(PRESETS / "cards.json", {"models": cards})
    shutil.copyfile(photographs / "SOURCES.tsv", LIST)
    size = sum((PRESETS / f"{one}.keras").stat().st_size for one in SPECS)
    print(f"{size:,} bytes of {MAX_BYTES:,} allowed")
    return 0 if size <= MAX_BYTES else 1


def weights_of(path: Path) -> list[np.ndarray]:
    """Return the weights of a .keras or an .npz file, in Keras's layout."""
    if path.suffix == ".keras":
        return list(load(path).get_weights())
    return torch_weights(dict(np.load(path, allow_pickle=False)))


def validation(folder: Path, channels: int) -> list[np.ndarray]:
    """Return the middle of each photograph: (H, W, C), float32 in [0, 1]."""
    crops = []
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            crop = middle(np.asarray(image.convert("RGB"), np.float32) / 255)
        if channels == 1:
            crop = (crop @ np.array(GREY, np.float32))[..., None]
        crops.append(crop)
    return crops


def middle(image: np.ndarray, most: int = SIDE) -> np.ndarray:
    """Return at most `most` x `most` pixels around the middle, with even sides."""
    height, width = (min(most, side // 2 * 2) for side in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def card(name: str, packed: Path, clean: list[np.ndarray]) -> dict[str, Any]:
    """Return what is to be known of a packed model."""
    model = load(packed)
    spec = SPECS[name]
    return {
        "data": "photographs",
        "images": {"train": 182, "validation": 18},
        "image_shape": [None, None, spec.channels],
        "noise": {"kind": "gaussian", "sigma": [0.0, 0.2157], "clip": False},
        "training": {
            "program": "A PyTorch program outside this package; Keras's layers hold "
            "its weights, rounded to 13 significant bits.",
            "noise": "sigma 0 to 55 of 255, blind; 30 % of the crops with a share that "
            "depends on the signal; half of them clipped and rounded to 8 bits",
            "batch": "32 crops of 128x128, turned and mirrored",
            "loss": "mean over crops of the logarithm of the MSE",
            "optimizer": "Adam, learning rate 0.0015 down a cosine of time, gradients "
            "clipped at norm 3, weights averaged",
            "precision": "bfloat16 for 80 % of the time, then TF32",
            **TRAINED[name],
        },
        "parameters": spec.parameters,
        "input": {"sigma": [0.0, 0.2157]},
        "figures": {
            f"photographs validation, sigma {sigma} of 255": measured(
                model, clean, sigma
            )
            for sigma in (25, 15, 50)
        },
        "limits": LIMITS,
        "licence": LICENCE,
    }


def measured(
    model: Any, clean: list[np.ndarray], sigma: int, *, clipped: bool = False
) -> dict[str, Any]:
    """Return MSE, PSNR and SSIM, means over photographs.

    Args:
        model: a denoiser of images of any size.
        clean: photographs of shape (H, W, C), float32 in [0, 1].
        sigma: of the Gaussian noise, on the scale of 0 to 255.
        clipped: whether noisy images are clipped and rounded to 8 bits.
    """
    rows = []
    for number, image in enumerate(clean):
        drawn = np.random.default_rng([number, sigma]).standard_normal(image.shape)
        noisy = image + np.float32(sigma / 255) * drawn.astype(np.float32)
        if clipped:
            noisy = np.rint(noisy.clip(0, 1) * 255) / np.float32(255)
        answer = np.asarray(model.predict_on_batch(noisy[None]))
        pair = image[None], np.clip(answer, 0, 1)
        rows.append([float(metric(*pair)[0]) for metric in (mse, psnr, ssim)])
    means = np.mean(rows, axis=0)
    names = ("mse", "psnr", "ssim")
    return {"images": len(clean), **dict(zip(names, means.tolist(), strict=True))}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
