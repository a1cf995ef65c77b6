"""
Denoise a photograph
====================

Denoise a grey photograph with a pretrained model of the package, and compare the output
with the clean photograph.
"""

# %%
# The photograph is ``camera`` of scikit-image (512x512, uint8, CC0). The model
# was not trained on it. To measure the error, start from a clean photograph and add the
# noise yourself.

import matplotlib.pyplot as plt
import numpy as np
from skimage import data

import keras_dae as kd

clean = data.camera()
rng = np.random.default_rng(0)
noisy = clean + rng.normal(0, 25, clean.shape)
noisy = noisy.clip(0, 255).round().astype("uint8")

# %%
# ``photo-gray`` is for grey photographs, ``photo`` is for photographs in colour. They
# accept images of any size and do not need the noise level. The output has the shape
# and the dtype of the input.

denoiser = kd.Denoiser.from_preset("photo-gray")
answer = denoiser.denoise(noisy)
print(answer.shape, answer.dtype)


def psnr(image):
    """Return the PSNR of an image of 0 to 255, in dB."""
    error = np.mean((image.astype(float) - clean) ** 2)
    return 10 * np.log10(255**2 / error)


print(f"noisy: {psnr(noisy):.2f} dB, denoised: {psnr(answer):.2f} dB")

# %%
# Look at a part of the photograph. The last picture shows what the model removed. It
# should look like noise. If it contains edges, the model removed detail.

part = np.s_[90:250, 180:340]
removed = noisy.astype(float) - answer
shown = {
    "clean": clean[part],
    f"noisy, {psnr(noisy):.1f} dB": noisy[part],
    f"denoised, {psnr(answer):.1f} dB": answer[part],
    "removed (grey is 0)": removed[part] + 128,
}
figure, grid = plt.subplots(1, 4, figsize=(11, 3.2), layout="constrained")
for axes, (title, image) in zip(grid, shown.items(), strict=True):
    axes.imshow(image, cmap="gray", vmin=0, vmax=255)
    axes.set_title(title)
    axes.set_axis_off()
plt.show()

# %%
# A ``strength`` below 1 keeps a part of what the model would remove. Here the best PSNR
# is at about 0.9, because a little detail is kept together with the noise.

strengths = np.linspace(0, 1, 11)
values = [psnr(denoiser.denoise(noisy, strength=s)) for s in strengths]
figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
axes.plot(strengths, values, marker="o")
axes.set(
    title="A little less than the full strength is best",
    xlabel="strength",
    ylabel="PSNR, dB",
)
plt.show()

# %%
# The command line does the same for files:
# ``keras-dae denoise scan.png -o out --strength 0.8``.
