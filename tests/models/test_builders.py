from dataclasses import replace

import keras
import numpy as np
import pytest

from keras_dae.errors import KerasDAEError
from keras_dae.images.frozen import TEST, frozen_arrays
from keras_dae.images.noise import Gaussian
from keras_dae.models.architectures import Conv, DAESpec, paper_specs, plan
from keras_dae.models.builders import build, decoder, encoder, output_bias
from keras_dae.models.counting import macs
from keras_dae.models.families import plan_family

NINE = paper_specs()
SPECS = [
    *NINE,
    plan(5, 16, (64, 64, 1), filters=4),
    plan(3, 8, (32, 32, 3), filters=4),
    plan(3, 32, (256, 256, 1), filters=2),
    plan(1, 28),
    plan(2, 1),
    DAESpec(8, 1, (Conv(3, 4, 2, "same"), Conv(4, 3, 1, "same"))),
]
each_spec = pytest.mark.parametrize(
    "spec", SPECS, ids=lambda spec: f"{spec.image_size}-{spec.name}"
)
each_of_nine = pytest.mark.parametrize("spec", NINE, ids=lambda spec: spec.name)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def answer(model, images):
    return model.predict(images, verbose=0)


@each_spec
def test_shapes_and_counts(spec):
    model = build(spec)
    assert model.output_shape == model.input_shape == (None, *spec.image_shape)
    assert model.get_layer("latent").output.shape[1:] == spec.latent_shape
    assert model.count_params() == spec.parameters
    assert model.name == spec.name


@each_of_nine
def test_layers(spec):
    first, *convs = build(spec).layers
    assert first.name == "noisy"
    depth = spec.depth
    assert [layer.name for layer in convs] == [
        *(f"encoder_{number}" for number in range(1, depth)),
        "latent",
        *(f"decoder_{number}" for number in range(1, depth)),
        "denoised",
    ]
    kinds = [type(layer).__name__ for layer in convs]
    assert kinds == ["Conv2D"] * depth + ["Conv2DTranspose"] * depth
    activations = [layer.activation.__name__ for layer in convs]
    assert activations == ["relu"] * (2 * depth - 1) + ["sigmoid"]
    for layer, mirror in zip(convs[:depth], reversed(convs[depth:]), strict=True):
        assert layer.kernel_size == mirror.kernel_size
        assert layer.strides == mirror.strides
        assert layer.padding == mirror.padding
        assert layer.input.shape == mirror.output.shape
        assert layer.data_format == mirror.data_format == "channels_last"
    for layer in (first, *convs):
        assert type(layer).__module__.partition(".")[0] == "keras"


# A literal answer, worked out on paper.


def test_literal_answer():
    model = build(DAESpec(3, 1, (Conv(1, 2),)))
    ramp = np.arange(4, dtype=np.float32).reshape(2, 2, 1, 1)
    model.set_weights([ramp, np.float32([-20]), ramp / 100, np.float32([-0.5])])
    image = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    # The kernel answers 19 25 37 43 at its four places; 20 off, and ReLU.
    latent = answer(encoder(model), image)[0, :, :, 0]
    np.testing.assert_allclose(latent, [[0, 5], [17, 23]], rtol=0, atol=1e-5)
    # Each latent value draws [[0, 1], [2, 3]] at its place, and these add up.
    drawn = np.array([[0, 0, 5], [0, 27, 38], [34, 97, 69]])
    denoised = answer(model, image)[0, :, :, 0]
    np.testing.assert_allclose(denoised, sigmoid(drawn / 100 - 0.5), atol=1e-6)
    np.testing.assert_allclose(
        denoised,
        [
            [0.377541, 0.377541, 0.389361],
            [0.377541, 0.442752, 0.470036],
            [0.460085, 0.615384, 0.547358],
        ],
        rtol=0,
        atol=1e-6,
    )


# The same networks written with loops, apart from keras.


def margins(size, smaller, row):
    """Rows before and after, so that `row` fits: none for 'valid'."""
    total = (smaller - 1) * row.strides + row.kernel_size - size
    return total // 2, total - total // 2


def loop_conv(x, kernel, bias, row):
    smaller = row.output_size(len(x))
    before, after = margins(len(x), smaller, row)
    x = np.pad(x, ((before, after), (before, after), (0, 0)))
    y = np.empty((smaller, smaller, len(bias)))
    for i in range(smaller):
        for j in range(smaller):
            top, left = i * row.strides, j * row.strides
            seen = x[top : top + row.kernel_size, left : left + row.kernel_size]
            for channel in range(len(bias)):
                y[i, j, channel] = (seen * kernel[..., channel]).sum() + bias[channel]
    return y


def loop_transpose(x, kernel, bias, row, size):
    before, after = margins(size, len(x), row)
    y = np.zeros((before + size + after, before + size + after, len(bias)))
    for i in range(len(x)):
        for j in range(len(x)):
            top, left = i * row.strides, j * row.strides
            for channel in range(x.shape[2]):
                y[top : top + row.kernel_size, left : left + row.kernel_size] += (
                    x[i, j, channel] * kernel[..., channel]
                )
    return y[before : before + size, before : before + size] + bias


def loop_answer(spec, weights, image):
    weights, x = iter(weights), image.astype(float)
    for row in spec.layers:
        x = np.maximum(0, loop_conv(x, next(weights), next(weights), row))
    sizes = reversed(spec.sizes[:-1])
    for left, row, size in zip(
        range(spec.depth, 0, -1), reversed(spec.layers), sizes, strict=True
    ):
        x = loop_transpose(x, next(weights), next(weights), row, size)
        x = np.maximum(0, x) if left > 1 else sigmoid(x)
    return x


@pytest.mark.parametrize(
    "spec",
    [
        DAESpec(6, 1, (Conv(2, 4, 2),)),
        DAESpec(7, 2, (Conv(3, 3, 2), Conv(4, 3, 1, "same"))),
        DAESpec(8, 1, (Conv(3, 4, 2, "same"), Conv(2, 2, 2))),
        DAESpec(9, 1, (Conv(2, 6, 3, "same"), Conv(4, 3, 1, "same"))),
        DAESpec(8, 1, (Conv(2, 2, 3),)),  # a kernel below its stride
    ],
    ids=str,
)
def test_equals_loops(spec):
    rng = np.random.default_rng(4)
    model = build(spec)
    weights = [rng.normal(0.1, 0.5, part.shape) for part in model.get_weights()]
    model.set_weights(weights)
    image = rng.random(spec.image_shape)
    expected = loop_answer(spec, weights, image)
    assert np.ptp(expected) > 0.1  # an answer that says something
    denoised = answer(model, image[None].astype(np.float32))[0]
    np.testing.assert_allclose(denoised, expected, rtol=0, atol=2e-6)


# Halves


@each_of_nine
def test_decoder_of_encoder_is_the_model(spec):
    model = build(spec, seed=2, latent_bias=0)
    images = np.random.default_rng(0).random((3, 28, 28, 1), dtype=np.float32)
    latent = answer(encoder(model), images)
    assert latent.shape == (3, *spec.latent_shape)
    assert latent.min() == 0
    again = answer(decoder(model), latent)
    np.testing.assert_array_equal(again, answer(model, images))


def test_halves_share_the_weights():
    model = build(plan(1, 13))
    halves = encoder(model), decoder(model)
    model.set_weights([np.full_like(part, 0.5) for part in model.get_weights()])
    for half in halves:
        for part in half.get_weights():
            assert (part == 0.5).all()


@pytest.mark.parametrize("half", [encoder, decoder])
def test_a_model_without_a_latent_has_no_halves(half):
    image = keras.Input((4, 4, 1))
    model = keras.Model(image, keras.layers.Conv2D(1, 3)(image))
    with pytest.raises(KerasDAEError, match="'latent'"):
        half(model)


@pytest.mark.parametrize("name", ["latent", "other"])
def test_encoder_of_a_sequential_model(name):
    conv = keras.layers.Conv2D(2, 3, name=name)
    model = keras.Sequential([keras.Input((4, 4, 1)), conv])
    if name == "latent":
        assert encoder(model).output_shape == (None, 2, 2, 2)
    else:
        with pytest.raises(KerasDAEError, match="'latent'"):
            encoder(model)


# Starting weights


def test_the_seed_decides_the_weights():
    one, again, other = (build(plan(3, 8), seed=s).get_weights() for s in (0, 0, 1))
    for left, right in zip(one, again, strict=True):
        np.testing.assert_array_equal(left, right)
    for left, right in zip(one, other, strict=True):
        assert left.ndim == 1 or not np.array_equal(left, right)


@each_of_nine
def test_every_kernel_is_centred(spec):
    """The weights to each output channel; a transpose keeps its inputs last."""
    for layer in build(spec).layers[1:]:
        kernel = layer.get_weights()[0]
        inputs = 3 if isinstance(layer, keras.layers.Conv2DTranspose) else 2
        means = kernel.mean(axis=(0, 1, inputs), dtype=float)
        assert kernel.std() > 0
        np.testing.assert_allclose(means, 0, atol=1e-6 * kernel.std())


@each_of_nine
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_all_latent_maps_start_alive(spec, seed, digits):
    noisy, _ = frozen_arrays(
        digits.train[:32], Gaussian(), seed=0, split=TEST, low=0, high=255
    )
    latent = answer(encoder(build(spec, seed=seed)), noisy)
    active = (latent > 0).mean(axis=(0, 1, 2))
    assert (active > 0.05).all()


@pytest.mark.parametrize(("depth", "of_depth"), [(1, 0.5), (3, 1), (12, 1)])
def test_the_latent_starts_from_its_bias(depth, of_depth):
    spec = plan(depth, 13)
    for given, bias in ((None, of_depth), (4.0, 4.0), (0.0, 0.0)):
        _, started = build(spec, latent_bias=given).get_layer("latent").get_weights()
        assert started.tolist() == [bias] * 4


@each_of_nine
def test_the_first_answer_is_about_the_mean_pixel(spec, digits):
    """Left at a bias of 0, it would be 0.5."""
    mean = 0.13
    noisy, _ = frozen_arrays(
        digits.train[:32], Gaussian(), seed=0, split=TEST, low=0, high=255
    )
    first = answer(build(spec, output_bias=output_bias(mean)), noisy)
    assert abs(first.mean() - mean) < 0.02


@pytest.mark.parametrize(
    ("mean", "bias"),
    [
        (0.5, 0),
        (0.1, -2.1972246),  # ln(1 / 9)
        (0.9, 2.1972246),
        (0.0, -4.5951199),  # ln(1 / 99): no nearer than 0.01 to either end
        (1.0, 4.5951199),
    ],
)
def test_output_bias(mean, bias):
    assert output_bias(mean) == pytest.approx(bias, abs=1e-7)
    assert build(plan(1, 5), output_bias=bias).get_weights()[-1] == np.float32([bias])


# Residual blocks


RESIDUAL = [
    plan_family("residual", depth, 5, (28, 28, 1), 6) for depth in (2, 3, 5, 6, 9)
]
each_residual = pytest.mark.parametrize("spec", RESIDUAL, ids=lambda spec: spec.name)


@each_residual
def test_residual_blocks_change_neither_shapes_nor_counts(spec):
    model, plain = build(spec), replace(spec, residual=False)
    assert model.count_params() == spec.parameters == plain.parameters
    assert macs(model) == spec.macs == plain.macs
    assert spec.receptive_field == plain.receptive_field
    assert [w.shape for w in model.get_weights()] == [
        w.shape for w in build(plain).get_weights()
    ]
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds.count("Add") == kinds.count("Activation") == 2 * len(spec.blocks)


def test_a_residual_block_starts_as_the_identity():
    """So a deep model starts as the shallow one of its other layers."""
    deep, flat = (
        build(plan_family("residual", depth, 5, (28, 28, 1), 6)) for depth in (9, 3)
    )
    for mine, its in (
        *(("encoder_1", "encoder_1"), ("encoder_2", "encoder_2")),
        *(("latent", "latent"), ("decoder_1", "decoder_1")),
        *(("decoder_8", "decoder_2"), ("denoised", "denoised")),
    ):
        flat.get_layer(its).set_weights(deep.get_layer(mine).get_weights())
    images = np.random.default_rng(0).random((3, 28, 28, 1), dtype=np.float32)
    np.testing.assert_allclose(
        answer(deep, images), answer(flat, images), rtol=0, atol=1e-6
    )
    for name in ("encoder_4", "encoder_8", "decoder_3", "decoder_7"):
        kernel = deep.get_layer(name).get_weights()[0]
        assert not kernel.any(), name
    assert deep.get_layer("encoder_3").get_weights()[0].any()


@pytest.mark.parametrize("depth", [5, 6])
def test_residual_blocks_equal_loops(depth):
    spec = plan_family("residual", depth, 5, (28, 28, 1), 2)
    rng = np.random.default_rng(1)
    model = build(spec)
    drawn = [rng.normal(0.05, 0.3, part.shape) for part in model.get_weights()]
    model.set_weights(drawn)
    image, weights = rng.random(spec.image_shape), iter(drawn)
    expected, taken = image.astype(float), None
    for place, row in enumerate(spec.layers):
        taken = expected if place in spec.blocks else taken
        expected = loop_conv(expected, next(weights), next(weights), row)
        expected += taken if place - 1 in spec.blocks else 0
        expected = np.maximum(0, expected)
    for place in reversed(range(depth)):
        size, row = spec.sizes[place], spec.layers[place]
        taken = expected if place - 1 in spec.blocks else taken
        expected = loop_transpose(expected, next(weights), next(weights), row, size)
        expected += taken if place in spec.blocks else 0
        expected = np.maximum(0, expected) if place else sigmoid(expected)
    assert np.ptp(expected) > 0.1
    denoised = answer(model, image[None].astype(np.float32))[0]
    np.testing.assert_allclose(denoised, expected, rtol=0, atol=2e-6)


@each_residual
def test_nothing_passes_by_the_latent(spec):
    """A latent of zeros gives one answer, whatever the image shows."""
    model = build(spec)
    kernel, bias = model.get_layer("latent").get_weights()
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.3, w.shape) for w in model.get_weights()])
    model.get_layer("latent").set_weights([0 * kernel, 0 * bias - 1])
    one, other = answer(model, rng.random((2, 28, 28, 1), dtype=np.float32))
    np.testing.assert_array_equal(one, other)
    assert np.ptp(one) > 0


@each_residual
def test_residual_halves_are_the_model(spec):
    model = build(spec)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.3, w.shape) for w in model.get_weights()])
    images = rng.random((3, 28, 28, 1), dtype=np.float32)
    for _ in range(2):  # halves can be taken more than once
        again = answer(decoder(model), answer(encoder(model), images))
        np.testing.assert_array_equal(again, answer(model, images))
