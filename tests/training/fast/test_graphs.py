"""Steps that a CUDA graph replays: the numbers of the lean ones.

On the CPU the same code runs with a plain call in place of the graph: static batches
and rates, warm-up, the last batch of another size. `-m cuda` runs it with graphs.
"""

import numpy as np
import pytest

from tests.devices import DEVICES, ON_TORCH

if not ON_TORCH:
    pytest.skip("the lean steps are torch's", allow_module_level=True)


from keras_dae.images.noise import Gaussian
from keras_dae.images.pairs import NoisyCleanPairs
from keras_dae.models.architectures import plan
from keras_dae.models.files import load, save
from keras_dae.system.numerics import float32
from keras_dae.training.fast.graphs import WARM_STEPS, GraphSteps, Plain
from keras_dae.training.fast.steps import accelerate, describe_steps
from keras_dae.training.optimizers import OPTIMIZERS
from tests.training.fast.test_steps import compiled, digits_like, refused, trained

# 120 images in batches of 16: seven whole ones, of which the fourth is captured.
IMAGES = digits_like(120)


def pair_of_models(graph=True, batch_size=16, spec=None, **changes):
    models = [compiled(spec or plan(3, 8), 16, **changes) for _ in range(2)]
    assert accelerate(models[0], batch_size=batch_size, graph=False)
    assert accelerate(models[1], batch_size=batch_size, graph=graph)
    return models


def assert_same(models, histories, device):
    """To the bit on the CPU; a GPU chooses kernels by what it timed."""
    exact = device == "cpu"
    for key in ("loss", "val_loss"):
        one, other = (history[key] for history in histories)
        np.testing.assert_allclose(one, other, rtol=0, atol=0 if exact else 1e-5)
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        assert np.abs(one - other).max() <= (0 if exact else 2e-3)


def tensors(monkeypatch):
    """Count the tensors that the optimizer reads its rates from."""
    seen = []
    compute = GraphSteps.compute

    def counted(self, update, rates, *batch):
        seen.append(rates)
        return compute(self, update, rates, *batch)

    monkeypatch.setattr(GraphSteps, "compute", counted)
    return seen


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("at_once", [1, 3])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_static_step_is_the_lean_one(device, at_once, precision):
    models = [compiled(plan(3, 8), 16) for _ in range(2)]
    for model, graph in zip(models, (False, True), strict=True):
        assert accelerate(model, precision, 16, graph)
    with float32():
        histories = [trained(model, IMAGES, at_once=at_once) for model in models]
    assert describe_steps(models[1]) == {"kind": "graph", "why": None}
    assert describe_steps(models[0]) == {"kind": "lean", "why": None}
    assert int(models[1].optimizer.iterations) == 16
    if precision == "float32":
        assert_same(models, histories, device)
    else:
        one, other = (history["loss"] for history in histories)
        np.testing.assert_allclose(one, other, rtol=0 if device == "cpu" else 0.02)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_rates_are_read_from_tensors(device, optimizer, monkeypatch):
    """A number would be captured as it was at the first replay."""
    seen = tensors(monkeypatch)
    models = pair_of_models(optimizer=optimizer, bias_lr_ratio=1)
    with float32():
        histories = [trained(model, IMAGES) for model in models]
    whole = [rates for rates in seen if not isinstance(rates[0], float)]
    assert len(seen) - len(whole) == 2  # the last batch of each epoch
    assert len({rate.data_ptr() for rates in whole for rate in rates}) == len(whole[0])
    one, other = (history["loss"] for history in histories)
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
    for first, second in zip(*(m.get_weights() for m in models), strict=True):
        assert np.abs(first - second).max() < 2e-3


def test_weights_with_gaps_are_moved_by_tensors_too():
    """Adam then is a few operations on lists, of which none may take a number."""
    from tests.training.fast.test_steps import with_gaps

    models = pair_of_models()
    for model in models:
        for variable in model.trainable_variables:
            variable.value.data = with_gaps(variable.value.detach())
        steps = model.train_function.__self__
        steps.weights = [variable.value for variable in steps.variables]
    histories = [trained(model, IMAGES) for model in models]
    assert not models[1].train_function.__self__.update.dense
    np.testing.assert_allclose(
        histories[0]["loss"], histories[1]["loss"], rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("device", DEVICES)
def test_new_weights_reach_the_graph(device):
    """A graph reads the memory of the weights, and `set_weights` writes there."""
    models = pair_of_models()
    with float32():
        for model in models:
            trained(model, IMAGES)
            start = [np.full_like(one, 0.01) for one in model.get_weights()]
            model.set_weights(start)
        histories = [trained(model, IMAGES) for model in models]
    assert_same(models, histories, device)


@pytest.mark.parametrize("device", DEVICES)
def test_a_saved_model_goes_on_in_lean_steps(device, tmp_path):
    models = pair_of_models()
    with float32():
        for number, model in enumerate(models):
            trained(model, IMAGES)
            save(model, tmp_path / f"{number}.keras", optimizer=True)
        again = [load(tmp_path / f"{n}.keras", compiled=True) for n in (1, 0)]
        for model, graph in zip(again, (False, True), strict=True):
            assert accelerate(model, batch_size=16, graph=graph)
        histories = [trained(model, IMAGES) for model in again]
    assert_same(again, histories, device)


class Refusing(Plain):
    """A graph that cannot be captured."""

    def capture(self, body):
        raise RuntimeError("CUDA error: operation not permitted\nmore lines")


def test_a_capture_that_fails_leaves_the_lean_step_and_a_sentence():
    models = pair_of_models()
    models[1].train_function.__self__.graph = Refusing()
    histories = [trained(model, IMAGES) for model in models]
    assert_same(models, histories, "cpu")
    assert int(models[1].optimizer.iterations) == 16
    assert describe_steps(models[1]) == {
        "kind": "lean",
        "why": "The step could not be captured as a CUDA graph: CUDA error: operation "
        "not permitted",
    }


def test_too_few_steps_for_a_capture():
    models = pair_of_models()
    few = digits_like(16 * WARM_STEPS)
    histories = [trained(model, few, epochs=1) for model in models]
    assert_same(models, histories, "cpu")


def test_batches_of_unknown_size_are_captured_at_the_first_one():
    models = pair_of_models(batch_size=None)
    histories = [trained(model, IMAGES) for model in models]
    assert_same(models, histories, "cpu")


def test_a_model_of_keras_steps_says_why():
    model = refused("branches")
    assert not accelerate(model, graph=True)
    found = describe_steps(model)
    assert found["kind"] == "keras"
    assert found["why"].startswith("The fast steps do not compute a layer")


@pytest.mark.cuda
@pytest.mark.filterwarnings("ignore:.*Profiler clears events:UserWarning")
def test_replays_launch_nothing_else():
    """Ten steps are ten launches of a graph, and what fills its tensors."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    model = compiled(plan(1, 8), 100)
    assert accelerate(model, batch_size=16)
    pairs = NoisyCleanPairs(IMAGES, Gaussian(), batch_size=16, seed=0)
    batch = [torch.from_numpy(part).cuda() for part in pairs[0]]
    steps = model.train_function
    for _ in range(WARM_STEPS + 1):
        steps([tuple(batch)])
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        for _ in range(10):
            steps([tuple(batch)])
        torch.cuda.synchronize()
    names = [event.name for event in seen.events()]
    assert sum(name == "cudaGraphLaunch" for name in names) == 10
    assert sum(name == "cudaLaunchKernel" for name in names) <= 40
