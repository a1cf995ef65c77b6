"""
Train without clean images
==========================

Train the same model from noisy images alone, in three ways, and measure what the lack
of clean images costs.
"""

# %%
# The noise is Gaussian with standard deviation 0.5, clipped to [0, 1]. Clipping makes
# black pixels brighter on average. A model that learns from such images without a
# correction learns grey instead of black. ``fit`` corrects its targets for this.
#
# - ``noisy`` has two noisy copies of each image (Noise2Noise).
# - ``blind-spot`` has one copy. It hides pixels and asks for them (Noise2Self).
# - ``split`` has one copy too, and makes an input and a target from it.

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
# All four are measured on the same noisy test images. The clean images are used here
# for the first time, to measure the error. One seed and a short training do not rank
# the three ways: they show that each of them works.

found = kd.compare(denoisers, data.test, noise="gaussian:0.5")
print(found)

# %%
# The answers to the same images:

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
# :doc:`/docs/without-clean-images` says which way fits which images.
