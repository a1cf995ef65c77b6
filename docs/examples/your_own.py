"""
Your own noise, metric and model
================================

Train your own Keras model on your own noise, and evaluate it with your own metric.
"""

# %%
# **A noise** is a frozen dataclass. It is called with clean images in [0, 1] and a
# random generator, and returns noisy images. Here bright scratches cross the image.

from dataclasses import dataclass
from typing import ClassVar

import matplotlib.pyplot as plt
import numpy as np

import keras_dae as kd  # before keras, so that Keras runs on torch
import keras
from keras_dae.evaluation.metrics import METRICS, Metric


@dataclass(frozen=True)
class Scratches:
    """Columns become white, each with the probability `share`."""

    kind: ClassVar[str] = "scratches"
    share: float = 0.2
    clip: bool = True

    def __call__(self, clean, rng):
        count, _, width, _ = clean.shape
        scratched = rng.random((count, 1, width, 1)) < self.share
        return np.where(scratched, 1, clean).astype("float32")


# %%
# **A metric** takes clean and denoised images, (N, H, W, C), and returns one value per
# image. A row in ``METRICS`` adds a column to every table of results.


def worst_pixel(clean, denoised):
    """Return the largest absolute error of each image."""
    return np.abs(clean.astype("float64") - denoised).max(axis=(1, 2, 3))


METRICS["worst"] = Metric(worst_pixel, "WORST", digits=3, lower_is_better=True)

# %%
# **A model** is any Keras model that maps images to images of the same shape. This one
# has no bottleneck. It predicts a correction that is added to the noisy image.

noisy = keras.Input((28, 28, 1), name="noisy")
x = keras.layers.Conv2D(12, 5, padding="same", activation="relu")(noisy)
x = keras.layers.Conv2D(12, 3, padding="same", activation="relu")(x)
correction = keras.layers.Conv2D(1, 3, padding="same")(x)
model = keras.Model(noisy, keras.layers.Add()([noisy, correction]), name="wide")

data = kd.load_data("mnist5k")
denoiser = kd.Denoiser(model, noise=Scratches(0.2))
denoiser.fit(
    data.train[:1600],
    validation_data=data.validation,
    epochs=3,
    optimizer=keras.optimizers.Adam(0.003),
    verbose=0,
)

# %%
# ``compare`` also shows the new column.

print(kd.compare({"wide": denoiser}, data.test, noise=Scratches(0.2)))

# %%
# The model learns to fill the scratches from both sides.

clean = data.test[::200].astype("float32") / 255
scratched = Scratches(0.2)(clean, np.random.default_rng(0))
rows = {"clean": clean, "noisy": scratched, "answer": denoiser.denoise(scratched)}
figure, grid = plt.subplots(3, len(clean), figsize=(6, 3.8), layout="constrained")
for axes_of_row, (name, images) in zip(grid, rows.items(), strict=True):
    axes_of_row[0].set_ylabel(name)
    for axes, image in zip(axes_of_row, images, strict=True):
        axes.imshow(image[..., 0], cmap="gray", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
figure.suptitle("Scratches are filled from their neighbours")
plt.show()

# %%
# A row in ``NOISES`` gives the noise a name for the command line and for saved models.
# :doc:`/docs/extend` shows such rows for the tables of the package.
