"""The peer: what a user would write by hand in PyTorch for the same network.

An `nn.Sequential` in channels_last, torch's own noise and Adam, images uint8 until a
batch is drawn. No framework, no callbacks, no files.
"""

import numpy as np
import torch
import torch.nn.functional as torch_nn
from torch import Tensor, nn

from keras_dae.models.architectures import DAESpec


def network(spec: DAESpec) -> nn.Sequential:
    """Return the network of `spec`, its output bias at which it learns.

    It is on a GPU where there is one.
    """
    steps: list[nn.Module] = []
    for row, given in zip(spec.layers, spec.widths[:-1], strict=True):
        same = 0 if row.padding == "valid" else (row.kernel_size - row.strides) // 2
        shape = (row.kernel_size, row.strides, same)
        steps += [nn.Conv2d(given, row.filters, *shape), nn.ReLU(inplace=True)]
    for row, made in zip(reversed(spec.layers), spec.widths[-2::-1], strict=True):
        same = 0 if row.padding == "valid" else (row.kernel_size - row.strides) // 2
        shape = (row.kernel_size, row.strides, same)
        steps += [nn.ConvTranspose2d(row.filters, made, *shape), nn.ReLU(inplace=True)]
    steps[-1] = nn.Sigmoid()
    nn.init.constant_(steps[-2].bias, -2.0)  # type: ignore[arg-type]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return nn.Sequential(*steps).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def device_of(net: nn.Sequential) -> torch.device:
    """Return the device that a network is on."""
    return next(net.parameters()).device


def train(
    net: nn.Sequential,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    batch_size: int,
    sigma: float = 0.5,
) -> None:
    """Train one epoch on uint8 images of shape (N, H, W, C), on their device."""
    for rows in torch.randperm(len(images), device=images.device).split(batch_size):
        clean = images[rows].permute(0, 3, 1, 2).float().div_(255)
        noisy = torch.randn_like(clean).mul_(sigma).add_(clean).clamp_(0, 1)
        loss = torch_nn.mse_loss(net(noisy), clean)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def denoise(net: nn.Sequential, noisy: np.ndarray, batch_size: int) -> np.ndarray:
    """Answer float32 images (N, H, W, C), on the network's device."""
    device, answers = device_of(net), []
    with torch.inference_mode():
        for part in torch.from_numpy(noisy).split(batch_size):
            image = part.to(device).permute(0, 3, 1, 2)
            answers.append(net(image).permute(0, 2, 3, 1).cpu())
    return torch.cat(answers).numpy()
