"""Each private name of another library does what it is used for, and has one home."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import keras_dae
from keras_dae.system import private

ROOT = Path(keras_dae.__file__).parents[1]
HOME = ROOT / "keras_dae" / "system" / "private.py"
SOURCES = [
    path
    for folder in ("keras_dae", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path != HOME
]
torch_only = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="names of torch, or of keras on torch"
)


def adam_after_a_step():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1, use_bias=False)])
    model.set_weights([np.zeros((2, 1), "float32")])
    model.compile(keras.optimizers.Adam(0.25), loss="mse")
    model.train_on_batch(np.array([[1.0, 2.0]]), np.array([[3.0]]))
    return model.optimizer


def test_adam_moments():
    """The gradient of (0 - 3)^2 is -6 by the inputs 1 and 2."""
    means, squares = private.adam_moments(adam_after_a_step())
    (mean,), (square,) = means, squares
    gradient = np.array([[-6.0], [-12.0]])
    given = [keras.ops.convert_to_numpy(one.value) for one in (mean, square)]
    np.testing.assert_allclose(given[0], 0.1 * gradient, rtol=1e-5)
    np.testing.assert_allclose(given[1], 0.001 * gradient**2, rtol=1e-5)


def test_learning_rate():
    rate = private.learning_rate(adam_after_a_step())
    assert float(rate) == 0.25
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 5)
    assert private.learning_rate(keras.optimizers.Adam(schedule)) is schedule


@pytest.mark.parametrize("there", [True, False])
def test_averages_in_model(there):
    """At an epoch's begin keras swaps the average out of the model, if it is there."""
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.5), "mse")
    for target in (1.0, 3.0):
        model.train_on_batch(np.ones((1, 1)), np.full((1, 1), target))
    # The weight goes to 1 and to 3; their average is 2.
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    swap.set_model(model)
    private.averages_in_model(swap, there)
    swap.on_epoch_begin(1)
    assert model.get_weights()[0].item() == (2 if there else 3)


def test_uses():
    image, shared = keras.Input((4, 4, 1)), layers.Conv2D(1, 3, padding="same")
    once = layers.Conv2D(1, 3)
    keras.Model(image, once(shared(shared(image))))
    assert (private.uses(once), private.uses(shared)) == (1, 2)


@torch_only
def test_torch_device():
    with keras.device("meta"):
        assert private.torch_device() == "meta"
    assert private.torch_device() == str(keras.ops.zeros(1).device)


@torch_only
@pytest.mark.parametrize(
    ("name", "arguments", "wanted"),
    [
        ("foreach_add_", ([3.0],), 4.0),
        ("foreach_mul_", (5.0,), 5.0),
        ("foreach_lerp_", ([3.0], 0.5), 2.0),
        ("foreach_addcmul_", ([3.0], [2.0], 0.5), 4.0),
        ("foreach_addcdiv_", ([3.0], [2.0], -2.0), -2.0),
    ],
)
def test_torch_lists_in_place(name, arguments, wanted):
    import torch

    (kept,) = values = [torch.tensor([1.0])]
    given = [
        [torch.tensor(one) for one in part] if isinstance(part, list) else part
        for part in arguments
    ]
    getattr(private.torch_lists(), name)(values, *given)
    assert kept.tolist() == [wanted]


@torch_only
def test_torch_lists_of_new_tensors():
    import torch

    lists, four = private.torch_lists(), [torch.tensor([4.0])]
    assert [one.tolist() for one in lists.foreach_sqrt(four)] == [[2.0]]
    halves = lists.foreach_div(four, [torch.tensor([8.0])])
    assert [one.tolist() for one in halves] == [[0.5]]
    lists.foreach_mul_(halves, torch.tensor(6.0))  # by one tensor for all
    assert [one.tolist() for one in halves] == [[3.0]]
    added = lists.foreach_add(four, [torch.tensor([3.0])], alpha=2.0)
    assert [one.tolist() for one in added] == [[10.0]]
    assert four[0].tolist() == [4.0]


@torch_only
def test_torch_fused_adam():
    """The first step moves each weight by the rate, against its gradient."""
    import torch

    weight, mean, square = torch.tensor([1.0]), torch.zeros(1), torch.zeros(1)
    private.torch_lists().fused_adam_(
        *([weight], [torch.tensor([2.0])], [mean], [square], [], [torch.tensor(1.0)]),
        lr=0.25,
        beta1=0.9,
        beta2=0.999,
        eps=0.0,
        weight_decay=0,
        amsgrad=False,
        maximize=False,
    )
    np.testing.assert_allclose([weight, mean, square], [[0.75], [0.2], [0.004]], 1e-5)


@torch_only
def test_each_of_the_lists_of_torch_is_there():
    names = vars(private.torch_lists())
    assert sorted(names) == sorted(private.TORCH_LISTS)


@torch_only
def test_keras_asks_for_no_tensorflow():
    from keras.src.utils import module_utils

    lazy = module_utils.tensorflow
    if lazy._available is not None:
        pytest.skip("tensorflow was asked for before in this process")
    with private.without_tensorflow():
        assert not lazy.available
    assert lazy._available is None


@pytest.mark.parametrize("name", private.KERAS_FILE_MODULES)
def test_modules_of_files_are_those_of_keras(name):
    """As keras writes them: a model, and an optimizer on torch."""
    kind = name.rpartition(".")[2]
    if not kind.startswith("torch_"):
        image = keras.Input((2,))
        made = {
            "functional": keras.Model(image, layers.Dense(1)(image)),
            "sequential": keras.Sequential([layers.Dense(1)]),
        }[kind]
        assert type(made).__module__ == name
        return
    if keras.backend.backend() != "torch":
        pytest.skip("a class of keras on torch")
    public = {one.lower(): one for one in dir(keras.optimizers)}
    made = getattr(keras.optimizers, public[kind.removeprefix("torch_")])()
    assert type(made).__module__ == name


def test_ray_gpus():
    pytest.importorskip("ray")
    assert private.ray_gpus() >= 0


def names_defined(tree):
    """Return the names that a file gives to what is its own."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self":
            found.add(node.attr)
    return found


def private_names(source):
    """Return what of a file's names are private to another library."""
    tree = ast.parse(source)
    own, found = names_defined(tree) | {"_exit"}, []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name, known = node.attr, own
            if name.startswith("_") and not name.startswith("__") and name not in known:
                found.append(ast.unparse(node))
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [one.name for one in node.names]
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            words = ".".join([*modules, *names]).split(".")
            private_word = any(w.startswith("_") and w[:2] != "__" for w in words)
            if "src" in words or (private_word and "keras_dae" not in words):
                found.append(ast.unparse(node))
        if isinstance(node, ast.Constant) and "keras.src" in str(node.value):
            found.append(str(node.value))
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_other_file_has_a_private_name(path):
    assert private_names(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "from keras.src.utils import module_utils",
        "import keras.src",
        "from ray._private import accelerators",
        "torch._foreach_add([], [])",
        "optimizer._velocities",
        "made = f'keras.src.{name}'",
    ],
)
def test_a_private_name_is_found(source):
    assert private_names(source)


def test_the_home_of_private_names_imports_no_library_itself():
    tree = ast.parse(HOME.read_text())
    modules = {
        name.split(".")[0]
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None) or node.names[0].name]
    }
    assert modules <= sys.stdlib_module_names


def test_functional_models_and_their_calls():
    image, shared = keras.Input((4, 4, 1)), layers.Conv2D(1, 3, padding="same")
    last = layers.ReLU()
    model = keras.Model(image, last(shared(image)))
    assert type(model) is private.functional()
    assert type(keras.Sequential([image])) is not private.functional()
    assert [call.operation for call in private.calls(model)] == [shared, last]
    (first, second) = private.calls(model)
    assert first.input_tensors[0] is image
    assert second.outputs[0] is model.outputs[0]
    assert private.first_input(last) is first.outputs[0]


def test_loss_weights():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    for given in (None, [2.0]):
        model.compile("sgd", "mse", loss_weights=given)
        model.train_on_batch(np.zeros((1, 2)), np.zeros((1, 1)))
        assert private.loss_weights(model) == given


def test_operations_name_their_modules_in_files():
    image = keras.Input((4, 4, 1))
    model = keras.Model(image, keras.ops.relu(image - layers.ReLU()(image)))
    named = {one["module"] for one in model.get_config()["layers"]}
    assert set(private.KERAS_OPERATIONS[:2]) <= named


CHOSEN = """
import sys
from keras_dae.system import backend
backend.select("cpu", 1)
import keras, numpy, torch
assert backend.name() == "torch"
print("torch._dynamo" in sys.modules, "sympy" in sys.modules)
from keras_dae.commands.worker import _forget
_forget()
noise = keras.random.normal((1000,), seed=1)
print("torch._dynamo" in sys.modules, bool(abs(float(noise.mean())) < 0.2))
import torch._dynamo as real
print(hasattr(real, "optimize"), torch._dynamo is real)
compiled = torch.compile(lambda x: x + 1, backend="eager")
print(float(compiled(torch.zeros(()))))
"""


@torch_only
def test_torchs_compiler_is_imported_by_whoever_asks_for_it_alone():
    """A command does without, in its own process; what is imported later is real."""
    done = subprocess.run(
        [sys.executable, "-c", CHOSEN],
        env={**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": "torch"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        *("False", "False"),
        *("False", "True"),
        *("True", "True"),
        "1.0",
    ]


def test_a_compiler_that_is_there_stays():
    """As where a program uses `torch.compile` beside this package."""
    import torch
    import torch._dynamo as before

    with private.without_dynamo():
        assert sys.modules["torch._dynamo"] is before
    assert torch._dynamo is before
