"""
How sure is it?
===============

Compute an interval for each denoised pixel, and check how many clean pixels lie in it.
"""

# %%
# First train a model. Two epochs are enough here: the intervals are also valid for a
# bad model, but wider.

import warnings

import matplotlib.pyplot as plt
import numpy as np

import keras_dae as kd  # before keras, so that Keras runs on torch

data = kd.load_data("mnist5k")
denoiser = kd.Denoiser(kd.plan(depth=3, latent=8), noise="gaussian:0.5")
denoiser.fit(data.train, epochs=2, verbose=0)

# %%
# ``calibrate`` learns from training images how large the error of a pixel may be. It
# then sets the width of the intervals on validation images, which the model has never
# seen. The guarantee is that at least 90 % of an image's pixels lie in their interval,
# on average over images like these. The guarantee holds with probability 0.9.

facts = denoiser.calibrate(data.train[:800], data.validation, level=0.9)
print(facts["images"])

# %%
# With ``return_interval``, ``denoise`` returns the denoised images and both ends of the
# intervals. It warns about images that differ from the validation images. A few images
# of the same kind get this warning too.

clean = data.test[:300, ..., 0].astype("float32") / 255
noisy = kd.parse_noise("gaussian:0.5")(clean, np.random.default_rng(0))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("ignore")
    warnings.simplefilter("always", UserWarning)
    answer, lower, upper = denoiser.denoise(noisy, return_interval=True)
for warning in caught:
    print(warning.message)
covered = (lower <= clean) & (clean <= upper)
print(f"{covered.mean():.1%} of the test pixels lie in their interval")

# %%
# The width of the intervals shows where the model is uncertain. It is largest at the
# edges of strokes. The last row marks the clean pixels outside their interval, about
# one in ten.

width = upper - lower
rows = {
    "clean": clean,
    "noisy": noisy,
    "answer": answer,
    "width": width,
    "outside": ~covered,
}
chosen = np.arange(0, len(clean), len(clean) // 7)[:7]
figure, grid = plt.subplots(5, 7, figsize=(7.5, 5.6), layout="constrained")
for axes_of_row, (name, images) in zip(grid, rows.items(), strict=True):
    axes_of_row[0].set_ylabel(name)
    for axes, image in zip(axes_of_row, images[chosen], strict=True):
        axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
figure.suptitle("The intervals are wide where the answer is uncertain")
plt.show()

# %%
# A width is useful only if wide intervals go with large errors. Sort the pixels by
# width, and plot the mean error of each tenth.

order = np.argsort(width, axis=None)
errors = np.abs(answer - clean).ravel()[order]
tenths = [part.mean() for part in np.array_split(errors, 10)]
figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
axes.bar(np.arange(1, 11), tenths)
axes.set(
    title="Pixels with wider intervals have larger errors",
    xlabel="tenth of the pixels, from narrow to wide intervals",
    ylabel="mean absolute error",
    xticks=np.arange(1, 11),
)
plt.show()

# %%
# :doc:`/docs/uncertainty` describes the conditions and the limits of the guarantee.
