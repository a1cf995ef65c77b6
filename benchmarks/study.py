"""Wall seconds of the nine models: `sweep` beside plain loops, one after the other.

Ours starts a process for each run, on every core at a time, validates each epoch and
writes history and models; the peer trains and validates in one process, with all cores
for each model, and keeps nothing. Nine processes that start and load keras are most of
what a short study costs, so an epoch is measured too: what two more of them take.
"""

import contextlib
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.alternate import Worker, row
from benchmarks.training import BATCH, digits
from keras_dae import backend
from keras_dae.models.architectures import DEPTHS, LATENTS, paper_specs

IMAGES, EPOCHS = 20_000, (1, 3)  # images of which a fifth validates


def ours(images: int, epochs: int) -> float:
    """Return the wall seconds of the sweep."""
    from keras_dae.training.config import make_config
    from keras_dae.training.sweep import sweep

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits.npz"
        x = digits(images)[..., 0]
        np.savez(path, x_train=x, x_test=x[:10])
        configs = [
            make_config(
                {
                    **{"data": f"npz:{path}", "depth": depth, "latent": latent},
                    **{"epochs": epochs, "batch_size": BATCH},
                }
            )
            for depth in reversed(DEPTHS)
            for latent in LATENTS
        ]
        began = time.perf_counter()
        with contextlib.redirect_stderr(io.StringIO()):
            jobs = sweep(configs, Path(folder) / "runs", device="auto")
        wall = time.perf_counter() - began
    failed = [job.name for job in jobs if job.state != "done"]
    if failed:
        raise RuntimeError(f"these runs failed: {failed}")
    return wall


def peer(images: int, epochs: int) -> Callable[[], float]:
    """Return a call of the nine plain loops: wall seconds."""
    import torch

    from benchmarks.plain_torch import denoise, network, train

    cut = images - images // 5
    data = torch.from_numpy(digits(images))
    held_out = (data[cut:].numpy() / 255).astype("float32")

    def run() -> float:
        began = time.perf_counter()
        for spec in paper_specs():
            net = network(spec)
            optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
            for _ in range(epochs):
                train(net, optimizer, data[:cut], BATCH)
                denoise(net, held_out, 128)
        return time.perf_counter() - began

    return run


def rows() -> list[dict[str, Any]]:
    """Compare the two, once; it takes some seven minutes on two cores."""
    pairs = []
    for epochs in EPOCHS:
        arguments = {"images": IMAGES, "epochs": epochs}
        with Worker(
            peer, backend.available_cores(), warm_up=False, **arguments
        ) as plain:
            pairs.append((ours(**arguments), plain.run()))
    (few, many), more = EPOCHS, len(range(*EPOCHS))
    an_epoch = tuple((b - a) / more for a, b in zip(*pairs, strict=True))
    return [
        row("study", f"all nine, {many} epochs", pairs[1:]),
        row("study", f"an epoch after {few}", [an_epoch]),
    ]
