"""A network trained on the one image that it denoises: no model, no clean image."""

import io

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from scipy.ndimage import gaussian_filter

from keras_dae.cli import main
from keras_dae.denoising import self_supervised
from keras_dae.denoising.self_supervised import Crops, build, halves, learn
from keras_dae.images.io.pictures import UnreadableError, page_of

BYTES = (0.0, 255.0)
SIGMA, STEPS = 0.1, 160


def picture(channels=1, side=96):
    """A clean picture of flat shapes with sharp edges, in [0, 1]."""
    rows, columns = np.indices((side, side)) / side
    image = np.full((side, side, channels), 0.3)
    image[(rows - 0.35) ** 2 + (columns - 0.35) ** 2 < 0.06] = 0.75
    image[(rows > 0.6) & (columns > 0.2) & (columns < 0.8)] = 0.5
    image[np.abs(rows + columns - 1.3) < 0.05] = np.linspace(0.2, 0.8, channels + 1)[1:]
    return image


def noisy_bytes(clean, seed=0):
    noise = np.random.default_rng(seed).normal(0, SIGMA, clean.shape)
    return np.rint(255 * np.clip(clean + noise, 0, 1)).astype(np.uint8)


def psnr(image, clean):
    return -10 * np.log10(np.mean((np.asarray(image, float) - clean) ** 2))


def best_gaussian(noisy, clean):
    """The PSNR of the Gaussian filter that suits the clean image best."""
    widths = np.arange(0.4, 2.01, 0.1)
    return max(psnr(gaussian_filter(noisy, (s, s, 0)), clean) for s in widths)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_is_better_than_noisy_and_than_any_gaussian_filter(channels):
    clean = picture(channels)
    values = noisy_bytes(clean)
    noisy = values / 255
    model = learn(page_of(values), BYTES, steps=STEPS)
    found = psnr(model.predict(np.float32(noisy[None]), verbose=0)[0], clean)
    assert psnr(noisy, clean) == pytest.approx(20, abs=0.2)
    assert found > psnr(noisy, clean) + 6
    assert found > best_gaussian(noisy, clean) + 0.2


def test_the_halves_are_the_means_of_the_diagonals():
    image = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    one, other = halves(image)
    # Of the block 0 1 / 4 5: (1 + 4) / 2 and (0 + 5) / 2.
    expected = [[2.5, 4.5], [10.5, 12.5]]
    np.testing.assert_array_equal(one[0, ..., 0], expected)
    np.testing.assert_array_equal(other[0, ..., 0], expected)
    noise = np.random.default_rng(0).standard_normal((1, 200, 200, 1))
    one, other = halves(noise)
    # Their noise is independent, and half of it in variance.
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.04
    assert one.var() == pytest.approx(0.5, rel=0.05)


def test_the_errors_are_zero_for_what_all_agree_on():
    """A model that changes nothing is wrong by the difference of the halves alone."""
    model = build(1)
    model.get_layer("noise").set_weights(
        [np.zeros((1, 1, 48, 1), np.float32), np.zeros(1, np.float32)]
    )
    noise = np.random.default_rng(0).random((2, 8, 8, 1), dtype=np.float32)
    one, other = halves(noise)
    errors = self_supervised._trainer(model).predict(noise, verbose=0)
    np.testing.assert_allclose(errors[..., :1], one - other, atol=1e-6)
    np.testing.assert_allclose(errors[..., 1:2], other - one, atol=1e-6)
    np.testing.assert_allclose(errors[..., 2:], 0, atol=1e-6)


def test_crops_depend_on_seed_and_step_alone():
    page = page_of(noisy_bytes(picture(3)))
    one, other = (Crops(page, BYTES, 5, 6) for _ in range(2))
    drawn = [one[index][0] for index in range(6)]
    for index in reversed(range(6)):
        assert other[index][0].tobytes() == drawn[index].tobytes()
    assert len({crops.tobytes() for crops in drawn}) == 6
    assert {crops.shape for crops in drawn} == {(4, 48, 48, 3)}
    assert Crops(page, BYTES, 6, 6)[0][0].tobytes() != drawn[0].tobytes()


def test_the_same_seed_learns_the_same_model():
    page = page_of(noisy_bytes(picture(1, 17)))
    one, same, other = (learn(page, BYTES, seed=s, steps=3) for s in (0, 0, 1))
    first, second, third = (model.get_weights()[0] for model in (one, same, other))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)


def test_an_image_that_is_too_small_is_refused():
    with pytest.raises(UnreadableError, match="15x20 pixels; --self needs 16x16"):
        learn(page_of(np.zeros((20, 15), np.uint8)), BYTES)


# The command


def run(*words):
    return CliRunner().invoke(main, ["denoise", "--threads", "1", *map(str, words)])


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A noisy RGB image of a width that is odd; few steps."""
    monkeypatch.setattr(
        self_supervised.learn, "__kwdefaults__", {"seed": 0, "steps": 3}
    )
    path = tmp_path / "noisy.png"
    Image.fromarray(noisy_bytes(picture(3))[:, :93]).save(path)
    return path


def test_denoise_self_needs_no_model(file, tmp_path):
    before = file.read_bytes()
    result = run("--self", file, "-o", tmp_path / "out.png")
    assert result.exit_code == 0, result.output
    assert "model trained on each image itself" in result.stderr
    made = Image.open(tmp_path / "out.png")
    assert (made.mode, made.size) == ("RGB", (93, 96))
    assert not np.array_equal(np.asarray(made), np.asarray(Image.open(file)))
    assert file.read_bytes() == before
    shown = run("--self", file, "-o", "-")
    assert Image.open(io.BytesIO(shown.stdout_bytes)).size == (93, 96)
    assert shown.stdout_bytes == (tmp_path / "out.png").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--model", "DAE_1_5"), "cannot be combined"),
        (("--engine", "onnx"), "--self needs --engine keras"),
    ],
)
def test_what_does_not_go_with_it_is_a_usage_error(file, tmp_path, words, message):
    result = run("--self", file, "-o", tmp_path / "out", *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_a_small_file_fails_in_one_sentence(file, tmp_path):
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(file)
    result = run("--self", file, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "is 9x9 pixels; --self needs 16x16 or more" in result.stderr
