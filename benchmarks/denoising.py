"""Seconds to denoise 10,000 images: `evaluate` beside a plain forward pass."""

import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from benchmarks.alternate import Side, compare
from benchmarks.training import digits
from keras_dae.models.architectures import DAESpec, paper_specs
from keras_dae.system import backend

IMAGES = 10_000


def ours(spec: DAESpec, images: int, engine: str = "keras") -> Callable[[], float]:
    """Return a call that answers as `evaluate` does: seconds."""
    import numpy as np

    from keras_dae.evaluation.engines import BATCH, model_denoiser
    from keras_dae.models.builders import build

    denoise = model_denoiser(build(spec), engine)
    noisy = digits(images).astype(np.float32) / 255

    def run() -> float:
        began = time.perf_counter()
        parts = [denoise(noisy[at : at + BATCH]) for at in range(0, images, BATCH)]
        np.concatenate(parts)
        return time.perf_counter() - began

    return run


def peer(spec: DAESpec, images: int) -> Callable[[], float]:
    """Return a call of the plain forward pass in the same batches: seconds."""
    import numpy as np

    from benchmarks.plain_torch import denoise, network
    from keras_dae.evaluation.engines import BATCH

    net = network(spec)
    noisy = digits(images).astype(np.float32) / 255

    def run() -> float:
        began = time.perf_counter()
        denoise(net, noisy, BATCH)
        return time.perf_counter() - began

    return run


def by_onnx(spec: DAESpec, images: int) -> Callable[[], float]:
    """Return a call that answers as `evaluate --engine onnx` does: seconds."""
    return ours(spec, images, "onnx")


def engine_rows(rounds: int = 5) -> list[dict[str, Any]]:
    """Compare ONNX Runtime with the backend at each depth, on all cores.

    Without ONNX Runtime there is nothing to compare.
    """
    if find_spec("onnxruntime") is None or find_spec("onnxscript") is None:
        return []
    specs = [spec for spec in paper_specs() if spec.latent_shape[0] == 8]
    return [_row("engine", spec, by_onnx, ours, rounds) for spec in specs]


def rows(rounds: int = 5) -> list[dict[str, Any]]:
    """Compare the two at each of the nine, on all cores."""
    return [_row("denoising", spec, ours, peer, rounds) for spec in paper_specs()]


def _row(
    bench: str, spec: DAESpec, one: Side, other: Side, rounds: int
) -> dict[str, Any]:
    return compare(
        *(bench, spec.name, one, other),
        arguments={"spec": spec, "images": IMAGES},
        threads=backend.available_cores(),
        rounds=rounds if spec.depth < 5 else max(3, rounds // 2),
    )
