"""Milliseconds a training step on a device, in the ways that it can be computed."""

import time
from collections.abc import Callable
from typing import Any

from benchmarks.training import BATCH, digits
from keras_dae.models.architectures import DAESpec

Save = Callable[[Any], None]
# Way -> (noise on, graph): of `fit`, as the run of a study computes it.
WAYS = {
    "fit, NumPy noise": ("host", True),
    "fit, NumPy noise, no graph": ("host", False),
    "fit, device noise": ("device", True),
    "fit, device noise, no graph": ("device", False),
}


def synchronize() -> None:
    """Wait for what the GPU has been given to do."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def splits_of(images: int) -> Any:
    """Return splits of which so many digits train."""
    from keras_dae.images.datasets import Arrays, split

    x = digits(images * 5 // 4)[..., 0]
    return split("digits", Arrays(x, None, x[:10], None), "0" * 64, 0)


def fitting(
    spec: DAESpec,
    steps: int,
    *,
    graph: bool | None = None,
    fast: bool = True,
    **changes: Any,
) -> dict[str, float]:
    """Return milliseconds a step of `fit`, and what its first epoch took beside them.

    Args:
        spec: the model.
        steps: of an epoch.
        graph: as of `use_fast_steps`; None where that chooses.
        fast: False for keras's own step.
        changes: to the configuration.
    """
    import keras

    from keras_dae.images.pairs import EpochClock
    from keras_dae.models.builders import build
    from keras_dae.system.numerics import float32
    from keras_dae.training.config import make_config
    from keras_dae.training.feeding import training_data
    from keras_dae.training.loop import batches_at_once, use_fast_steps

    config = make_config({"batch_size": BATCH, **changes})
    splits = splits_of(steps * BATCH)
    exact = {"tf32": config.precision == "tf32", "deterministic": config.deterministic}
    seconds = []
    with float32(**exact):
        model = build(spec)
        model.compile(keras.optimizers.Adam(1e-3), loss="mse")
        lean = fast and use_fast_steps(model, config.precision, BATCH, graph)
        pairs = training_data(config, splits)
        pairs.at_once = batches_at_once(spec.macs * BATCH, lean)
        for epoch in range(3):
            chosen = {"initial_epoch": epoch, "epochs": epoch + 1}
            synchronize()
            began = time.perf_counter()
            model.fit(
                pairs,
                shuffle=False,
                verbose=0,
                callbacks=[EpochClock(pairs)],
                **chosen,
            )
            synchronize()
            seconds.append(time.perf_counter() - began)
    best = min(seconds[1:])
    return {
        "ms": 1000 * best / pairs.batches,
        "images_per_second": len(pairs.images) / best,
        "first_epoch_extra_s": seconds[0] - best,
    }


def plain(spec: DAESpec, steps: int, compiler: str | None = None) -> dict[str, float]:
    """Return milliseconds a step of the plain PyTorch loop, its noise on the device.

    Args:
        spec: the model.
        steps: of an epoch.
        compiler: what `torch.compile` compiles the network with; None leaves it eager.
    """
    import torch

    from benchmarks.plain_torch import device_of, network, train

    net = network(spec)
    device = device_of(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    images = torch.from_numpy(digits(steps * BATCH)).to(device)
    whole: Any = torch.compile(net, backend=compiler) if compiler else net
    seconds = []
    for _ in range(3):
        synchronize()
        began = time.perf_counter()
        train(whole, optimizer, images, BATCH)
        synchronize()
        seconds.append(time.perf_counter() - began)
    best = min(seconds[1:])
    return {
        "ms": 1000 * best / steps,
        "images_per_second": len(images) / best,
        "first_epoch_extra_s": seconds[0] - best,
    }


def step_rows(specs: list[DAESpec], steps: int, save: Save) -> None:
    """Measure each model in all ways beside the plain loop; save after each model."""
    rows: list[dict[str, Any]] = []
    for number, spec in enumerate(specs):
        eager = plain(spec, steps)
        row: dict[str, Any] = {"model": spec.name, "plain eager loop": eager}
        for way, (noise_on, graph) in WAYS.items():
            found: dict[str, Any] = fitting(
                spec, steps, noise_on=noise_on, graph=None if graph else False
            )
            row[way] = {**found, "ratio": found["ms"] / eager["ms"]}
        if number == 0:
            row["keras's own step"] = fitting(spec, max(10, steps // 4), fast=False)
        rows.append(row)
        save(rows)
