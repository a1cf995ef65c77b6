"""Private names of keras, torch and ray: the only module that may use any.

A release of theirs may change each of them without notice, so each has a test in
`tests/system/test_private.py`. Nothing here imports a library before it is called.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

# Modules that `.keras` files name beside keras's public ones; an optimizer saved on
# torch is of a class of torch's own.
KERAS_FILE_MODULES = (
    "keras.src.models.functional",
    "keras.src.models.sequential",
    *(
        f"keras.src.backend.torch.optimizers.torch_{name}"
        for name in (
            *("adadelta", "adagrad", "adam", "adamax", "adamw", "lion", "nadam"),
            *("rmsprop", "sgd"),
        )
    ),
)
# Modules that `.keras` files name for operations on tensors, as in `x - conv(x)`; those
# of `core` that take functions get none, since a file may name no function.
KERAS_OPERATIONS = tuple(
    f"keras.src.ops.{name}" for name in ("numpy", "nn", "math", "image", "core")
)
# torch's operations on lists of tensors; in torch their names begin with "_".
TORCH_LISTS = (
    *("foreach_add", "foreach_add_", "foreach_div", "foreach_mul_", "foreach_sqrt"),
    *("foreach_lerp_", "foreach_addcmul_", "foreach_addcdiv_", "fused_adam_"),
)


def torch_lists() -> Any:
    """Return torch's operations of `TORCH_LISTS`, by those names."""
    import torch

    return SimpleNamespace(**{name: getattr(torch, f"_{name}") for name in TORCH_LISTS})


def torch_device() -> str:
    """Return the device that keras computes on with torch, as torch names it."""
    from keras.src.backend.torch.core import get_device

    return str(get_device())


def learning_rate(optimizer: Any) -> Any:
    """Return a keras optimizer's learning rate: its schedule, or its variable."""
    return optimizer._learning_rate


def adam_moments(optimizer: Any) -> tuple[list[Any], list[Any]]:
    """Return the first and second moments that keras's Adam keeps, as variables."""
    return optimizer._momentums, optimizer._velocities


def averages_in_model(swap: Any, there: bool) -> None:
    """Tell keras's `SwapEMAWeights` whether the model holds the averaged weights."""
    assert isinstance(swap._ema_weights_in_model, bool)
    swap._ema_weights_in_model = there


def functional() -> Any:
    """Return the class of models made by `keras.Model(inputs, outputs)`."""
    from keras.src.models.functional import Functional

    return Functional


def calls(model: Any) -> list[Any]:
    """Return the calls of layers and operations in a functional model, in order.

    Each has `operation`, `input_tensors`, `outputs` and `arguments`.
    """
    by_depth = model._nodes_by_depth
    nodes = [
        node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]
    ]
    return [node for node in nodes if not node.is_input]


def first_input(layer: Any) -> Any:
    """Return the tensor that a layer was first called with."""
    return layer._inbound_nodes[0].input_tensors[0]


def loss_weights(model: Any) -> Any:
    """Return the weights of losses that a model was compiled with, or None."""
    return model._compile_loss._user_loss_weights


def uses(layer: Any) -> int:
    """Return how often a keras layer is called in the models that hold it."""
    return len(layer._inbound_nodes)


@contextmanager
def without_tensorflow() -> Iterator[None]:
    """Keep keras from importing tensorflow, where that is installed, to save a model.

    On other backends it only asks whether an object is of a type of tensorflow's; the
    import takes some seconds of each process that saves.
    """
    import keras
    from keras.src.utils import module_utils

    lazy: Any = getattr(module_utils, "tensorflow", None)
    asked = lazy is None or getattr(lazy, "_available", True) is not None
    if asked or keras.backend.backend() == "tensorflow":
        yield
        return
    lazy._available = False
    try:
        yield
    finally:
        lazy._available = None


@contextmanager
def without_dynamo() -> Iterator[None]:
    """Keep keras from importing torch's compiler, which takes as long as torch itself.

    keras uses it to keep two functions out of what `torch.compile` compiles, and to
    forget what was compiled when a session is cleared: nothing in a process that
    compiles nothing. Whoever imports it later gets the real one.
    """
    name, parent = "torch._dynamo", sys.modules.get("torch")
    if parent is None or name in sys.modules:
        yield
        return
    stub: Any = ModuleType(name)
    stub.disable = lambda: lambda function: function
    stub.reset = lambda: None
    sys.modules[name] = stub
    try:
        yield
    finally:
        del sys.modules[name]
        if vars(parent).get("_dynamo") is stub:
            del parent._dynamo


def ray_gpus() -> int:
    """Return the NVIDIA GPUs that ray finds on this machine."""
    from ray._private.accelerators import NvidiaGPUAcceleratorManager

    return int(NvidiaGPUAcceleratorManager.get_current_node_num_accelerators())
