"""The page's JavaScript answers as keras does; Node runs the same files."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_dae as kd
from keras_dae.denoising.tile_model import TileModel
from keras_dae.denoising.trained import pretrained_cards
from keras_dae.models.ceiling_builders import build_ceiling
from keras_dae.models.ceilings import plan_ceiling
from keras_dae.models.counting import macs
from keras_dae.models.photo import PhotoSpec, build_photo
from keras_dae.models.reach import reach
from keras_dae.page.graph import as_graph
from tests.page.node import needs_node, run_node

pytestmark = needs_node
NINE = sorted(
    name
    for name, card in pretrained_cards().items()
    if card["image_shape"] == [28, 28, 1]
)
ANSWER = """
const model = await Kernels.prepare({ name: "model", ...given.model });
return given.images.map((x) => list(Kernels.answer(model, image(x)).answer));
"""


@pytest.fixture(scope="module")
def noisy(digits):
    """100 test images with noise of sigma 0.5."""
    clean = np.asarray(digits.test[:100], np.float32) / 255
    return kd.Gaussian(0.5)(clean, np.random.default_rng(1))


def answers(tmp_path, model, images, type="float32"):
    graph = as_graph(model, type)
    found = run_node(tmp_path, ANSWER, model=graph, images=images.tolist())
    return np.array(found).reshape(images.shape)


def predicted(model, images):
    return keras.ops.convert_to_numpy(model(images, training=False))


@pytest.mark.parametrize(("type", "most"), [("float32", 1e-5), ("float16", 2e-3)])
@pytest.mark.parametrize("name", NINE)
def test_the_nine_answer_as_in_keras(tmp_path, noisy, name, type, most):
    model = kd.load(name)
    wanted = predicted(model, noisy)
    assert wanted.std() > 0.1
    assert np.abs(answers(tmp_path, model, noisy, type) - wanted).max() <= most


def small(*made, shape=(12, 10, 3)):
    model = keras.Sequential([keras.Input(shape), *made])
    rng = np.random.default_rng(0)
    drawn = [rng.uniform(0.1, 1, w.shape) for w in model.get_weights()]
    model.set_weights([w - 0.55 * (w.ndim == 4) for w in drawn])
    return model


CONV = {"activation": "tanh", "padding": "same"}
UP = layers.Conv2DTranspose
MODELS = {
    "same, even kernel, stride 2": lambda: small(
        layers.Conv2D(5, 4, strides=2, **CONV), UP(3, 4, strides=2, **CONV)
    ),
    "same, one edge wider than the other": lambda: small(
        layers.Conv2D(5, 3, strides=2, **CONV), UP(3, 3, strides=2, **CONV)
    ),
    "same, even kernel": lambda: small(layers.Conv2D(5, 4, **CONV), UP(3, 4, **CONV)),
    "same, kernel below the stride": lambda: small(
        layers.Conv2D(5, 2, strides=2, padding="same"), UP(3, 1, strides=2, **CONV)
    ),
    "valid, kernel and stride not square": lambda: small(
        layers.Conv2D(5, (4, 3), strides=(2, 1)), UP(3, (4, 3), strides=(2, 1))
    ),
    "valid, kernel below the stride": lambda: small(
        layers.Conv2D(2, 1, strides=2), UP(3, 1, strides=2)
    ),
    "valid, output padding": lambda: small(
        layers.Conv2D(2, 3, strides=3), UP(3, 3, strides=3, output_padding=(0, 1))
    ),
    "one filter, no bias": lambda: small(
        layers.Conv2D(1, 3, use_bias=False, **CONV), layers.Conv2D(3, 1)
    ),
    "pooling and enlarging": lambda: small(
        layers.MaxPooling2D(2), layers.UpSampling2D(2)
    ),
    "pooling at the edges": lambda: small(
        layers.MaxPooling2D(3, 1, padding="same"),
        layers.MaxPooling2D(2, 1, padding="same"),
    ),
    "normalisation": lambda: small(
        layers.Conv2D(3, 1), layers.BatchNormalization(), layers.Dropout(0.5)
    ),
    "normalisation without scale": lambda: small(
        layers.BatchNormalization(scale=False, center=False)
    ),
    "activations": lambda: small(
        layers.LeakyReLU(negative_slope=0.3), layers.ReLU(), layers.Activation("tanh")
    ),
    "unet": lambda: build_ceiling(plan_ceiling("unet", (12, 12, 1), 3)),
    "dncnn": lambda: build_ceiling(plan_ceiling("dncnn", (12, 12, 1), 3)),
    "photo": lambda: build_photo(PhotoSpec(channels=3, blocks=2, filters=4)),
}


@pytest.mark.parametrize("name", MODELS)
def test_each_layer_answers_as_in_keras(tmp_path, name):
    model = MODELS[name]()
    shape = [side or 12 for side in model.input_shape[1:]]
    images = np.random.default_rng(2).random((2, *shape), dtype=np.float32)
    wanted = predicted(model, images)
    assert wanted.std() > 1e-3
    assert np.abs(answers(tmp_path, model, images) - wanted).max() <= 2e-5


def test_large_images_are_computed_in_parts(tmp_path):
    """Above a buffer's size, patches are made for some rows at a time."""
    model = small(layers.Conv2D(16, 5, **CONV), UP(3, 5, **CONV), shape=(150, 190, 3))
    images = np.random.default_rng(2).random((1, 150, 190, 3), dtype=np.float32)
    found = answers(tmp_path, model, images)
    assert np.abs(found - predicted(model, images)).max() <= 2e-5


def test_the_decoder_answers_to_changed_maps(tmp_path, noisy):
    model = kd.load("DAE_3_5")
    latent = predicted(kd.encoder(model), noisy[:1])
    latent[..., 1] *= 2
    code = """
    const model = await Kernels.prepare({ name: "model", ...given.model });
    return list(Kernels.decode(model, image(given.latent)));
    """
    graph = as_graph(model, "float32")
    found = run_node(tmp_path, code, model=graph, latent=latent[0].tolist())
    wanted = predicted(kd.decoder(model), latent)
    assert np.abs(wanted - predicted(model, noisy[:1])).max() > 0.1
    assert np.abs(np.array(found) - wanted.ravel()).max() <= 1e-5


def test_the_nine_take_at_most_a_quarter_of_a_second(tmp_path, noisy):
    """Processor time of one image, the best of some rounds on a shared machine."""
    code = """
    const models = await Promise.all(given.models.map(Kernels.prepare));
    const times = [];
    for (let round = 0; round < 12; round++) {
      const before = process.cpuUsage();
      for (const model of models) Kernels.answer(model, image(given.image));
      const { user, system } = process.cpuUsage(before);
      times.push((user + system) / 1000);
    }
    return Math.min(...times);
    """
    loaded = [kd.load(name) for name in NINE]
    assert sum(map(macs, loaded)) > 1e7  # they are no smaller than they should be
    graphs = [{"name": model.name, **as_graph(model)} for model in loaded]
    assert run_node(tmp_path, code, models=graphs, image=noisy[0].tolist()) <= 250


TILED = """
const model = await Kernels.prepare({ name: "model", ...given.model });
const predict = (tile) => Kernels.answer(model, tile).answer;
const ticks = [];
const tick = (n, all) => ticks.push([n, all]) > 0;
const options = { most: given.most, atOnce: 3, tick };
const out = await Tiles.denoise(image(given.image), given.about, predict, options);
return { values: list(out), ticks };
"""


@pytest.mark.parametrize(
    ("name", "shape", "many"),
    [
        ("DAE_1_5", (28, 28, 1), False),
        ("DAE_1_5", (45, 70, 1), True),
        ("DAE_1_5", (20, 64, 3), True),
        ("photo", (130, 150, 3), True),
        ("photo", (31, 40, 3), False),
    ],
)
def test_images_of_any_size_are_answered_as_by_the_command(tmp_path, name, shape, many):
    """Within rounding: tiles of another size answer the same where reach is known."""
    model = kd.load(name)
    rng = np.random.default_rng(3)
    smooth = np.linspace(0, 1, shape[0] * shape[1] * shape[2]).reshape(shape)
    picture = (smooth + rng.normal(0, 0.1, shape)).clip(0, 1).astype(np.float32)
    *sides, channels = model.input_shape[1:]
    seen = reach(model) if None in sides else None
    about = {
        "sides": sides,
        "channels": channels,
        "reach": seen and {"pixels": seen.pixels, "period": seen.period},
    }
    graph = as_graph(model, "float32")
    given = {"model": graph, "about": about, "image": picture.tolist(), "most": 96}
    found = run_node(tmp_path, TILED, **given)
    wanted = TileModel(model).denoise(picture)
    assert np.abs(np.array(found["values"]) - wanted.ravel()).max() <= 2e-5
    count = len(found["ticks"])
    assert (count > 1) == many
    assert found["ticks"] == [[n + 1, count] for n in range(count)]


def test_half_precision_is_read_as_numpy_writes_it(tmp_path):
    bits = [*range(0, 1 << 16, 7), 0x8000, 0x7BFF, 0x0001, 0x0400, 0x7C00, 0xFC00]
    found = run_node(
        tmp_path,
        "return given.bits.map((b) => String(Weights.fromHalf(b)));",
        bits=bits,
    )
    wanted = np.array(bits, np.uint16).view(np.float16).astype(np.float64)
    np.testing.assert_array_equal([float(x) for x in found], wanted)
