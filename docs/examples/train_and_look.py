"""
Train a model and look at its output
====================================

Train a convolutional autoencoder on noisy digits, plot its loss, and show its output
beside the clean images.
"""

# %%
# The data are 5,000 MNIST digits that need no download. They have three parts, for
# training, validation and one final test.

import matplotlib.pyplot as plt
import numpy as np

import keras_dae as kd  # before keras, so that Keras runs on torch

data = kd.load_data("mnist5k")
for part in ("train", "validation", "test"):
    images = getattr(data, part)
    print(f"{part}: {images.shape}, {images.dtype}")

# %%
# The model has three convolutions in the encoder. Its latent has four maps of 8x8
# values. ``fit`` takes the clean images and adds new noise in each epoch. The noise of
# the validation images stays the same.

denoiser = kd.Denoiser(kd.plan(depth=3, latent=8), noise="gaussian:0.5")
history = denoiser.fit(
    data.train, validation_data=data.validation, epochs=4, verbose=0
).history
print(denoiser)

# %%
# The loss is the mean squared error (MSE), which is 0 for a perfect output. While the
# two curves fall together, the model does not overfit.

epochs = np.arange(1, len(history["loss"]) + 1)
figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
axes.plot(epochs, history["loss"], marker="o", label="training")
axes.plot(epochs, history["val_loss"], marker="o", label="validation")
axes.set(
    title="Training and validation loss fall together",
    xlabel="epoch",
    ylabel="MSE per pixel",
    yscale="log",
)
axes.legend()
plt.show()

# %%
# The test images have not been used so far. ``compare`` uses the same noisy images for
# every denoiser. A median filter shows what is possible without training.

print(kd.compare({"trained here": denoiser}, data.test, noise="gaussian:0.5"))

# %%
# A number can hide a blurred output, so look at the images too: the clean image, the
# noisy image, the output, and the absolute error.

clean = data.test[::125, ..., 0].astype("float32") / 255
noisy = kd.parse_noise("gaussian:0.5")(clean, np.random.default_rng(0))
answer = denoiser.denoise(noisy)
rows = {
    "clean": clean,
    "noisy": noisy,
    "answer": answer,
    "error": np.abs(answer - clean),
}
figure, grid = plt.subplots(4, len(clean), figsize=(8, 4.4), layout="constrained")
for axes_of_row, (name, images) in zip(grid, rows.items(), strict=True):
    axes_of_row[0].set_ylabel(name)
    for axes, image in zip(axes_of_row, images, strict=True):
        axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
figure.suptitle("Errors are largest at the edges of the strokes")
plt.show()

# %%
# ``denoiser.save("digits.keras")`` writes one file, which plain Keras can load too.
# ``kd.Denoiser.from_preset("digits.keras")`` loads it, with its noise and its value
# range.
