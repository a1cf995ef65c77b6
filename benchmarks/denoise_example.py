"""Draw what a pretrained model does to digits, and what to a photograph.

    python -m benchmarks.denoise_example artifacts/denoise.png

A page of genuine digits (of MNIST's training set, with noise never seen) and the
cameraman of scikit-image, both with noise of the kind that the model was trained on.
"""

import sys
from pathlib import Path

import numpy as np
import skimage.data
from matplotlib.figure import Figure

import keras_dae as kd
from keras_dae.denoising.tile_model import TileModel
from keras_dae.system.storage import replacing

MODEL = "DAE_5_13"
ROWS, COLUMNS = 4, 6  # digits on the page


def digits_page() -> np.ndarray:
    """Return digits of mnist5k side by side: float32 in [0, 1]."""
    test = kd.load_data("mnist5k").test[..., 0] / np.float32(255)
    places = np.linspace(0, len(test) - 1, ROWS * COLUMNS).astype(
        int
    )  # they are sorted
    images = test[places]
    side = images.shape[1]
    page = images.reshape(ROWS, COLUMNS, side, side).swapaxes(1, 2)
    return page.reshape(ROWS * side, COLUMNS * side, 1)


def photograph() -> np.ndarray:
    """Return the middle of the photograph, of a page's size: float32 in [0, 1]."""
    image = skimage.data.camera()[60:284, 130:466].astype(np.float32) / 255
    return image.reshape(112, 2, 168, 2).mean(axis=(1, 3))[..., None]


def main(out: Path) -> int:
    """Draw clean, noisy and denoised of both, with the MSE of the last two."""
    model = TileModel(kd.load(MODEL))
    noise = kd.make_noise("gaussian", sigma=0.5)
    figure = Figure(figsize=(8.4, 4.3), dpi=130, layout="constrained")
    axes = figure.subplots(2, 3)
    for row, clean in zip(axes, (digits_page(), photograph()), strict=True):
        noisy = noise(clean[None], np.random.default_rng([0]))[0]
        denoised = kd.denoise_array(noisy, model, model.tile)
        for axis, (word, image) in zip(
            row,
            (("clean", clean), ("noisy", noisy), (MODEL, denoised)),
            strict=True,
        ):
            error = np.square(image - clean, dtype=float).mean()
            axis.imshow(image[..., 0], cmap="gray", vmin=0, vmax=1)
            axis.set_title(word if image is clean else f"{word}: MSE {error:.4f}")
            axis.set_axis_off()
    with replacing(out) as temporary:
        figure.savefig(temporary)
    print(out)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
