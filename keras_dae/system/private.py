"""Private names of keras, torch and ray. No other module uses any.

A new release can change them without notice, so each one has a test in
`tests/system/test_private.py`. Libraries are imported only when a function is called.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

# Modules in `.keras` files in addition to the public ones of keras; an optimizer saved
# on torch has a class specific to torch.
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
# Modules in `.keras` files for operations on tensors, as in `x - conv(x)`. Operations
# of `core` with function arguments are useless, since a file cannot contain functions.
KERAS_OPERATIONS = tuple(
    f"keras.src.ops.{name}" for name in ("numpy", "nn", "math", "image", "core")
)
# Operations of torch on lists of tensors; their names in torch begin with "_".
TORCH_LISTS = (
    *("foreach_add", "foreach_add_", "foreach_div", "foreach_mul_", "foreach_sqrt"),
    *("foreach_lerp_", "foreach_addcmul_", "foreach_addcdiv_", "fused_adam_"),
)


def torch_lists() -> Any:
    """Return the operations of torch in `TORCH_LISTS`, by these names."""
    import torch

    return SimpleNamespace(**{name: getattr(torch, f"_{name}") for name in TORCH_LISTS})


def torch_device() -> str:
    """Return the device that keras uses with torch, by torch's name."""
    from keras.src.backend.torch.core import get_device

    return str(get_device())


def learning_rate(optimizer: Any) -> Any:
    """Return the learning rate of a keras optimizer: its schedule, or its variable."""
    return optimizer._learning_rate


def adam_moments(optimizer: Any) -> tuple[list[Any], list[Any]]:
    """Return the first and second moments of Adam, as variables."""
    return optimizer._momentums, optimizer._velocities


def averages_in_model(swap: Any, there: bool) -> None:
    """Set whether the model holds averaged weights, for keras's `SwapEMAWeights`."""
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
    """Return the loss weights that a model was compiled with, or None."""
    return model._compile_loss._user_loss_weights


def uses(layer: Any) -> int:
    """Return how often a keras layer is called in its models."""
    return len(layer._inbound_nodes)


@contextmanager
def without_tensorflow() -> Iterator[None]:
    """Prevent keras from importing tensorflow, if it is installed, to save a model.

    On other backends keras only checks whether an object has a type of tensorflow. The
    import would take seconds in each process that saves.
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
    """Prevent keras from importing torch's compiler, which takes as long as torch.

    keras uses it to exclude two functions from `torch.compile`, and to reset the
    compiler when a session is cleared. Neither matters if nothing is compiled. Later
    imports get the real compiler.
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
    """Return the number of NVIDIA GPUs that ray finds on this machine."""
    from ray._private.accelerators import NvidiaGPUAcceleratorManager

    return int(NvidiaGPUAcceleratorManager.get_current_node_num_accelerators())
