"""Tiles: windows add up to 1, no seams, bounds that hold, rows written in order."""

import keras
import numpy as np
import pytest

from keras_dae.denoising.tile_model import TileModel
from keras_dae.denoising.tiles import (
    denoise_array,
    denoise_rows,
    plan_axis,
    tile_count,
)
from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.images.io.pictures import pad_to, unpad

RNG = np.random.default_rng(0)
LENGTHS = [28, 29, 41, 42, 43, 100, 1000]


def identity(tiles):
    return tiles.copy()


@pytest.mark.parametrize("overlap", [0, 1, 9, 14, 20, 27])
@pytest.mark.parametrize("length", LENGTHS)
def test_the_weights_of_each_pixel_add_up_to_1(length, overlap):
    axis = plan_axis(length, 28, overlap)
    total = np.zeros(length)
    for start, weights in zip(axis.starts, axis.weights, strict=True):
        assert (weights >= 0).all()
        total[start : start + 28] += weights
    assert total == pytest.approx(np.ones(length), abs=1e-6)
    assert axis.starts[0] == 0
    assert axis.starts[-1] == length - 28
    assert len(axis.starts) == tile_count(28, length, (28, 28), overlap)


@pytest.mark.parametrize("margin", [1, 5, 7])
def test_a_margin_is_silent_where_a_neighbour_speaks(margin):
    axis = plan_axis(70, 28, 14, margin)
    assert axis.starts == (0, 14, 28, 42)
    assert (axis.weights[1, :margin] == 0).all()
    assert (axis.weights[1, -margin:] == 0).all()
    assert (axis.weights[0, :margin] == 1).all()  # nobody else sees the border
    assert axis.weights.sum() == pytest.approx(70, abs=1e-4)


@pytest.mark.parametrize(("length", "factor"), [(196, 1), (200, 2), (183, 2)])
def test_weights_change_smoothly(length, factor):
    """No step above a squared sine's; twice that where the last tile is moved back."""
    axis = plan_axis(length, 28, 14)
    steepest = factor * np.pi / 2 / 14
    assert np.abs(np.diff(axis.weights, axis=1)).max() < steepest
    assert axis.weights[:, 0][1:].max() < steepest  # and from 0 outside


@pytest.mark.parametrize(
    "values", [(28, 28, 28, 0), (28, 28, -1, 0), (27, 28, 9, 0), (99, 28, 14, 8)]
)
def test_bad_plans_are_refused(values):
    with pytest.raises(UsageError):
        plan_axis(*values)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (1, 90), (5, 28), (27, 29), (28, 28)])
@pytest.mark.parametrize("batch", [1, 7, 256])
def test_a_model_that_changes_nothing_changes_nothing(size, channels, batch):
    image = RNG.random((*size, channels), dtype=np.float32)
    answer = denoise_array(image, identity, (28, 28), batch=batch)
    assert answer.shape == image.shape
    assert answer == pytest.approx(image, abs=1e-6)


@pytest.mark.parametrize("size", [(61, 83), (28, 200), (200, 28)])
@pytest.mark.parametrize("batch", [1, 3, 64])
def test_rows_are_written_once_and_in_order(size, batch):
    image = RNG.random((*size, 1), dtype=np.float32)
    out, written, counted = np.full_like(image, np.nan), [], []

    def write(top, rows):
        written.append((top, len(rows)))
        out[top : top + len(rows)] = rows

    def read(low, high):
        assert not written or low >= sum(written[-1])  # nothing read after writing
        return image[low:high]

    denoise_rows(
        read,
        write,
        image.shape,
        identity,
        (28, 28),
        overlap=14,
        batch=batch,
        tick=counted.append,
    )
    assert out == pytest.approx(image, abs=1e-6)
    assert [top for top, _ in written] == list(
        np.cumsum([0, *(length for _, length in written[:-1])])
    )
    assert sum(counted) == tile_count(*size, (28, 28), 14)


def test_a_constant_image_stays_within_one_tiles_answer():
    """Blending adds nothing: the range is that of the model's answer to one tile."""
    pattern = RNG.random((28, 28, 1), dtype=np.float32)

    def model(tiles):
        return tiles * 0.5 + pattern * 0.1

    image = np.full((97, 131, 1), 0.4, np.float32)
    (tile,) = model(np.full((1, 28, 28, 1), 0.4, np.float32))
    answer = denoise_array(image, model, (28, 28))
    assert tile.min() - 1e-6 <= answer.min() <= answer.max() <= tile.max() + 1e-6
    flat = denoise_array(image, lambda tiles: tiles * 0.5, (28, 28))
    assert np.ptp(flat) < 1e-6


def test_tiles_that_disagree_meet_without_a_seam():
    """Each tile answers its own constant; neighbours then differ by a little only."""

    def model(tiles):
        values = np.arange(len(tiles), dtype=np.float32) % 2  # 0, 1, 0, 1, ...
        return np.broadcast_to(values[:, None, None, None], tiles.shape)

    answer = denoise_array(np.zeros((28, 140, 1), np.float32), model, (28, 28))
    steps = np.abs(np.diff(answer[14, :, 0]))
    assert np.ptp(answer) == pytest.approx(1, abs=0.02)  # they do disagree
    assert steps.max() < np.pi / 2 / 14 * 1.01
    hard = denoise_array(np.zeros((28, 140, 1), np.float32), model, (28, 28), overlap=0)
    assert np.abs(np.diff(hard[14, :, 0])).max() == 1  # what a seam would be


def convolutional(size, kernels=(3, 3)):
    """Return a model of random 3x3 convolutions for any or one size of images."""
    keras.utils.set_random_seed(0)
    image = keras.Input((size, size, 1))
    x = keras.layers.Conv2D(4, kernels[0], padding="same", activation="relu")(image)
    x = keras.layers.Conv2D(1, kernels[1], padding="same", activation="sigmoid")(x)
    return keras.Model(image, x)


def test_tiled_is_untiled_where_the_margin_covers_what_the_model_sees():
    """Two 3x3 layers see 2 pixels: with a margin of 2 both passes are the same."""
    model = convolutional(None)
    image = RNG.random((75, 90, 1), dtype=np.float32)
    whole = np.asarray(model.predict(image[None], verbose=0))[0]
    tiles = TileModel(model)
    assert tiles.tile == (512, 512)
    answer = denoise_array(image, tiles, (28, 28), overlap=14, margin=2)
    assert answer == pytest.approx(whole, abs=1e-6)
    assert np.ptp(whole) > 0.01
    # Without a margin the difference is at most the largest within a tile.
    blended = denoise_array(image, tiles, (28, 28), overlap=14)
    axes = [plan_axis(length, 28, 14).starts for length in image.shape[:2]]
    within = max(
        np.abs(
            tiles(image[None, y : y + 28, x : x + 28])[0]
            - whole[y : y + 28, x : x + 28]
        ).max()
        for y in axes[0]
        for x in axes[1]
    )
    assert 1e-6 < np.abs(blended - whole).max() <= within + 1e-6


def test_padding_mirrors_and_is_undone():
    image = np.arange(6, dtype=np.float32).reshape(2, 3, 1)
    padded = pad_to(image, (4, 5))
    assert padded[..., 0].tolist() == [
        [4, 3, 4, 5, 4],
        [1, 0, 1, 2, 1],
        [4, 3, 4, 5, 4],
        [1, 0, 1, 2, 1],
    ]
    assert (unpad(padded, image.shape) == image).all()
    assert pad_to(image, (2, 3)) is image


@pytest.mark.parametrize(("own", "given"), [(1, 1), (1, 3), (3, 3)])
def test_colours_and_models_of_either_kind(own, given):
    image = keras.Input((28, 28, own))
    model = keras.Model(image, keras.layers.Rescaling(0.5)(image))
    tiles = RNG.random((5, 28, 28, given), dtype=np.float32)
    answer = TileModel(model)(tiles)
    assert answer == pytest.approx(tiles * 0.5, abs=1e-6)


def test_a_grey_image_is_refused_by_a_model_of_colour_images():
    image = keras.Input((28, 28, 3))
    model = TileModel(keras.Model(image, keras.layers.Rescaling(0.5)(image)))
    with pytest.raises(KerasDAEError, match=r"grey.*photo-gray"):
        model(np.zeros((5, 28, 28, 1), np.float32))


def test_what_denoises_no_images_is_refused():
    image = keras.Input((28, 28, 1))
    for model in (
        keras.Model(image, keras.layers.Flatten()(image)),
        keras.Model(image, keras.layers.Conv2D(1, 3)(image)),
    ):
        with pytest.raises(KerasDAEError, match="same shape"):
            TileModel(model)


def test_a_model_that_answers_nan_is_told_of():
    image = keras.Input((28, 28, 1))
    model = keras.Model(image, keras.layers.Rescaling(float("nan"))(image))
    with pytest.raises(KerasDAEError, match="not finite"):
        TileModel(model)(np.zeros((1, 28, 28, 1), np.float32))
