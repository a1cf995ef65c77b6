"""
Train without clean images
==========================

Train the same model on noisy images only, in three ways, and compare the error with
training on clean images.
"""

# %%
# The noise is Gaussian with standard deviation 0.5, clipped to [0, 1]. Clipping makes
# black pixels brighter on average. A model that is trained on such targets without a
# correction predicts grey instead of black. ``fit`` corrects its targets for this.
#
# - ``noisy`` uses two noisy copies of each image (Noise2Noise).
# - ``blind-spot`` uses one copy. It hides some pixels, and the model must predict them
#   (Noise2Self).
# - ``split`` also uses one copy. It makes an input and a target from it.

import matplotlib.pyplot as plt
import numpy as np

import keras_dae as kd  # before keras, so that Keras runs on torch

TARGETS = ("clean", "noisy", "blind-spot", "split")
data = kd.load_data("mnist5k")
denoisers = {}
for targets in TARGETS:
    denoiser = kd.Denoiser(kd.plan(depth=1, latent=8), noise="gaussian:0.5")
    denoiser.fit(data.train[:1600], targets=targets, epochs=3, verbose=0)
    denoisers[targets] = denoiser

# %%
# All four models are measured on the same noisy test images. The error is measured
# against the clean test images. One seed and a short training do not rank the three
# ways. They show that each of them works.

found = kd.compare(denoisers, data.test, noise="gaussian:0.5")
print(found)

# %%
# The outputs for the same images:

clean = data.test[::125, ..., 0].astype("float32") / 255
noisy = kd.parse_noise("gaussian:0.5")(clean, np.random.default_rng(0))
rows = {"truth": clean, "input": noisy}
rows |= {name: denoiser.denoise(noisy) for name, denoiser in denoisers.items()}
size = {"figsize": (8, 6.2), "layout": "constrained"}
figure, grid = plt.subplots(len(rows), len(clean), **size)
for axes_of_row, (name, images) in zip(grid, rows.items(), strict=True):
    axes_of_row[0].set_ylabel(name)
    for axes, image in zip(axes_of_row, images, strict=True):
        axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
figure.suptitle("Three ways to learn without clean images")
plt.show()

# %%
# If your images are noisy files on disk, use ``keras-dae train --noisy-files``.
# :doc:`/docs/without-clean-images` describes which way to use for which images.
