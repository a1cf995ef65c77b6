"""Wall seconds of the nine models: `sweep` beside plain loops, one after the other.

    python -m benchmarks.study --images 60000 --epochs 6 --rounds 3 --out FILE

Ours trains a model on each core at a time, in processes that it starts and that load
keras first; it validates each epoch and writes history and models. The peer trains and
validates in one process that is there already, with all cores for each model, and keeps
nothing. They go on in turns of some seconds, one of them stopped while the other runs,
so that other work on the machine falls on both. What it costs to start weighs less the
more there is to train: `make bench` takes a third of the study's images and two of its
15 epochs.
"""

import argparse
import contextlib
import io
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.alternate import Worker, conditions, in_turns, row, write_results
from benchmarks.training import BATCH, digits
from keras_dae.models.architectures import DEPTHS, LATENTS, paper_specs
from keras_dae.system import backend

IMAGES, EPOCHS, ROUNDS = 20_000, 2, 1  # images of which a fifth validates
TURNS = 7.5, 10.0  # seconds of ours and of the peer


def ours(images: int, epochs: int) -> Callable[[], float]:
    """Return a call of the sweep: wall seconds."""
    from keras_dae.training.config import longest_first, make_config
    from keras_dae.training.sweep import sweep

    def run() -> float:
        began = time.perf_counter()
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
                for depth in DEPTHS
                for latent in LATENTS
            ]
            with contextlib.redirect_stderr(io.StringIO()):
                ordered = longest_first(configs, (28, 28, 1))
                jobs = sweep(ordered, Path(folder) / "runs", device="auto")
        failed = [job.name for job in jobs if job.state != "done"]
        if failed:
            raise RuntimeError(f"these runs failed: {failed}")
        return time.perf_counter() - began

    return run


def peer(images: int, epochs: int) -> Callable[[], float]:
    """Return a call of the nine plain loops: wall seconds."""
    import torch

    from benchmarks.plain_torch import denoise, device_of, network, train

    cut = images - images // 5
    data = torch.from_numpy(digits(images))
    held_out = (digits(images)[cut:] / 255).astype("float32")

    def run() -> float:
        began = time.perf_counter()
        for spec in paper_specs():
            net = network(spec)
            train_images = data[:cut].to(device_of(net))
            optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
            for _ in range(epochs):
                train(net, optimizer, train_images, BATCH)
                denoise(net, held_out, 128)
        return time.perf_counter() - began

    return run


def rows(
    images: int = IMAGES, epochs: int = EPOCHS, rounds: int = ROUNDS
) -> list[dict[str, Any]]:
    """Compare the two; by default it takes some three minutes on two cores."""
    work = {"images": images, "epochs": epochs}
    cores, pairs = backend.available_cores(), []
    for _ in range(rounds):
        with (
            Worker(ours, cores, warm_up=False, **work) as sweeping,
            Worker(peer, cores, warm_up=False, **work) as plain,
        ):
            own, others = in_turns(list(zip((sweeping, plain), TURNS, strict=True)))
        pairs.append((own, others))
    trained = images - images // 5
    return [row("study", f"all nine, {epochs} epochs of {trained:,} images", pairs)]


def main() -> None:
    """Compare the two at another size; write the row and what it was measured on."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("images", IMAGES), ("epochs", EPOCHS), ("rounds", ROUNDS)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    backend.set_default_backend()
    measured_on = conditions()
    found = rows(options.images, options.epochs, options.rounds)
    print(json.dumps(found, indent=1))
    write_results(options.out, found, measured_on)


if __name__ == "__main__":
    main()
