"""Compute in float32, whatever the global settings of keras and the backend are."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any


@contextmanager
def float32(*, tf32: bool = False, deterministic: bool | None = None) -> Iterator[None]:
    """Run the block in float32 with the default settings of keras, then restore them.

    A program, or the file `keras.json`, can change the dtype policy, `floatx`,
    `epsilon` and data format of keras. On CUDA, torch and tensorflow round the inputs
    of convolutions to TF32 (ten bits), and jax those of matrix products.

    Args:
        tf32: whether the backend may round to TF32 on CUDA.
        deterministic: for torch on CUDA: True selects reproducible kernels, False those
            that were fastest at their first use, None keeps the setting of torch. CPUs
            are always reproducible.

    Example:
        >>> import keras
        >>> with float32():
        ...     keras.config.floatx()
        'float32'
    """
    import keras

    config, kept = keras.config, ExitStack()
    settings: tuple[tuple[Any, Any, Any], ...] = (
        (config.set_dtype_policy, config.dtype_policy(), "float32"),
        (config.set_floatx, config.floatx(), "float32"),
        (config.set_epsilon, config.epsilon(), 1e-7),
        (config.set_image_data_format, config.image_data_format(), "channels_last"),
    )
    with kept:
        for change, before, wanted in settings:
            kept.callback(change, before)
            change(wanted)
        TF32[keras.backend.backend()](kept, tf32)
        if deterministic is not None and keras.backend.backend() == "torch":
            _kernels(kept, deterministic)
        yield


def _torch(kept: ExitStack, tf32: bool) -> None:
    from torch import backends

    for place in (backends.cudnn, backends.cuda.matmul):
        # torch 2.9 has a new interface and refuses a mixture with the old one.
        part = getattr(place, "conv", place)
        name = "fp32_precision" if hasattr(part, "fp32_precision") else "allow_tf32"
        wanted = ("ieee", "tf32") if name == "fp32_precision" else (False, True)
        kept.callback(setattr, part, name, getattr(part, name))
        setattr(part, name, wanted[tf32])


def _kernels(kept: ExitStack, deterministic: bool) -> None:
    """Let torch choose reproducible kernels, or the fastest ones."""
    import torch

    cudnn, memory = torch.backends.cudnn, torch.utils.deterministic
    wanted: list[tuple[Any, str, bool]] = [
        (cudnn, "deterministic", deterministic),
        (cudnn, "benchmark", not deterministic),
    ]
    if deterministic:
        # Required by cuBLAS, which reads it at its first use in a process.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        kept.callback(
            torch.use_deterministic_algorithms,
            torch.are_deterministic_algorithms_enabled(),
            warn_only=torch.is_deterministic_algorithms_warn_only_enabled(),
        )
        torch.use_deterministic_algorithms(True)
        # Filling each new tensor is not needed, since none is read before it is
        # written.
        wanted.append((memory, "fill_uninitialized_memory", False))
    for place, name, value in wanted:
        kept.callback(setattr, place, name, getattr(place, name))
        setattr(place, name, value)


def _jax(kept: ExitStack, tf32: bool) -> None:
    import jax

    if jax.default_backend() == "gpu":
        wanted = "tensorfloat32" if tf32 else "highest"
        kept.enter_context(jax.default_matmul_precision(wanted))


def _tensorflow(kept: ExitStack, tf32: bool) -> None:
    import tensorflow

    options = tensorflow.config.experimental
    before = options.tensor_float_32_execution_enabled()
    kept.callback(options.enable_tensor_float_32_execution, before)
    options.enable_tensor_float_32_execution(tf32)


def _neither(kept: ExitStack, tf32: bool) -> None:
    """Do nothing: numpy and openvino compute on the CPU."""


TF32 = {
    "torch": _torch,
    "jax": _jax,
    "tensorflow": _tensorflow,
    "numpy": _neither,
    "openvino": _neither,
}
