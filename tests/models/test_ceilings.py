"""Ceilings: counted from their nodes, built as counted, loaded by the same gate."""

import numpy as np
import pytest

from keras_dae.errors import UsageError
from keras_dae.models.ceiling_builders import build_ceiling, ceiling_weights
from keras_dae.models.ceilings import CEILINGS, plan_ceiling
from keras_dae.models.counting import macs
from keras_dae.models.files import load, save

SHAPE = (8, 8, 1)
# Of width 2 at 8x8, by hand; a row is pixels, kernel, channels in, channels out.
UNET_ROWS = [
    *((64, 9, 1, 2), (64, 9, 2, 2)),
    *((16, 9, 2, 4), (16, 9, 4, 4)),
    *((4, 9, 4, 8), (4, 9, 8, 8)),
    *((4, 4, 8, 4), (16, 9, 8, 4), (16, 9, 4, 4)),
    *((16, 4, 4, 2), (64, 9, 4, 2), (64, 9, 2, 2)),
    (64, 1, 2, 1),
]
DNCNN_ROWS = [(64, 9, 1, 2), *[(64, 9, 2, 2)] * 6, (64, 9, 2, 1)]


@pytest.mark.parametrize(("name", "rows"), [("unet", UNET_ROWS), ("dncnn", DNCNN_ROWS)])
def test_counts_by_hand(name, rows):
    spec = plan_ceiling(name, SHAPE, filters=2)
    assert spec.macs == sum(p * k * given * made for p, k, given, made in rows)
    assert spec.parameters == sum((k * given + 1) * made for _, k, given, made in rows)


def test_default_sizes():
    assert plan_ceiling("unet").parameters == 116_753
    assert plan_ceiling("dncnn").parameters == 320 + 6 * 9_248 + 289 == 56_097


@pytest.mark.parametrize("name", CEILINGS)
@pytest.mark.parametrize("shape", [SHAPE, (12, 8, 3)])
def test_built_as_counted_and_loaded_again(tmp_path, name, shape):
    spec = plan_ceiling(name, shape, filters=2)
    model = build_ceiling(spec, seed=1)
    assert model.output_shape == model.input_shape == (None, *shape)
    assert model.count_params() == spec.parameters
    assert macs(model) == spec.macs
    save(model, tmp_path / "ceiling.keras")
    again = load(tmp_path / "ceiling.keras")
    noisy = np.random.default_rng(0).random((3, *shape), dtype=np.float32)
    answers = [np.asarray(one.predict(noisy, verbose=0)) for one in (model, again)]
    np.testing.assert_array_equal(*answers)
    assert answers[0].min() > 0
    assert answers[0].max() < 1


@pytest.mark.parametrize("name", CEILINGS)
def test_a_black_image_starts_at_the_mean_pixel(name):
    model = build_ceiling(plan_ceiling(name, SHAPE), output_bias=np.log(0.2 / 0.8))
    answer = np.asarray(model.predict(np.zeros((1, *SHAPE), "float32"), verbose=0))
    np.testing.assert_allclose(answer, 0.2, rtol=0, atol=1e-6)


def test_weights_follow_the_seed_alone():
    spec = plan_ceiling("unet", SHAPE)
    one, same = (ceiling_weights(spec, seed, -2) for seed in (3, 3))
    other = ceiling_weights(spec, 4, -2)
    for name, weights in one.items():
        np.testing.assert_array_equal(weights[0], same[name][0])
        assert not np.array_equal(weights[0], other[name][0])
    assert one["denoised"][1].tolist() == [-2]


@pytest.mark.parametrize("shape", [(30, 28, 1), (28, 30, 1)])
def test_a_size_that_cannot_be_halved_twice_is_named(shape):
    with pytest.raises(UsageError, match=rf"multiples of 4.*{shape[0]}x{shape[1]}"):
        plan_ceiling("unet", shape)
    assert plan_ceiling("dncnn", shape).shapes["denoised"] == shape


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(("vgg",), "model='vgg'"), (("unet", SHAPE, 0), "filters=0")],
)
def test_bad_values_are_named(arguments, named):
    with pytest.raises(UsageError, match=named):
        plan_ceiling(*arguments)
