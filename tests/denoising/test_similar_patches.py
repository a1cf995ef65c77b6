"""Denoising by the similar patches of the image alone: no model, no clean image."""

import io

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from scipy.ndimage import gaussian_filter

import keras_dae as kd
from keras_dae.cli import main
from keras_dae.denoising import similar_patches
from keras_dae.denoising.similar_patches import SimilarPatches, learn
from keras_dae.images.estimates import noise_curves
from keras_dae.images.io.pictures import UnreadableError, page_of

BYTES = (0.0, 255.0)
SIGMA = 0.1


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
    noisy = np.float32(values / 255)
    found = psnr(learn(page_of(values), BYTES).denoise(noisy), clean)
    assert psnr(noisy, clean) == pytest.approx(20, abs=0.2)
    assert found > psnr(noisy, clean) + 10
    assert found > best_gaussian(noisy, clean) + 3


def test_an_image_without_noise_stays_as_it_is():
    values = np.rint(255 * picture(3)).astype(np.uint8)
    unit = np.float32(values / 255)
    answer = learn(page_of(values), BYTES).denoise(unit)
    assert np.abs(answer - unit).max() < 0.5 / 255


def test_the_noise_of_an_even_image_is_found():
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 200, 200, 2))
    one, other = noise_curves(np.float32(0.5 + noise * [1, 0.5]))
    np.testing.assert_allclose(np.sqrt(one.variances), 0.1, rtol=0.1)
    np.testing.assert_allclose(np.sqrt(other.variances), 0.05, rtol=0.1)


def test_the_noise_may_depend_on_the_brightness():
    """The variance of photon noise is the brightness divided by a number of photons."""
    clean = np.broadcast_to(np.linspace(0.1, 0.9, 400), (1, 400, 400))[..., None]
    noise = np.random.default_rng(0).normal(0, 1, clean.shape) * np.sqrt(clean / 1000)
    (curve,) = noise_curves(np.float32(clean + noise))
    levels = np.array([0.2, 0.5, 0.8])
    np.testing.assert_allclose(curve(levels), levels / 1000, rtol=0.2)


def test_the_noise_of_a_large_page_is_estimated_on_blocks(monkeypatch):
    monkeypatch.setattr(similar_patches, "SAMPLE", 20)
    values = np.arange(100 * 130).reshape(100, 130, 1)
    blocks = list(similar_patches._samples(values))
    assert {block.shape for block in blocks} == {(20, 20, 1)}
    corners = {(block[0, 0, 0] // 130, block[0, 0, 0] % 130) for block in blocks}
    wanted = {(y, x) for y in (0, 26, 53, 80) for x in (0, 36, 73, 110)}
    assert corners == wanted


def test_weights_of_one_patch_are_those_of_stein_and_of_wiener():
    patch = np.float32([[[3, 4]]])  # squares: 25
    noise = np.float32([[5]])
    unknown = similar_patches._weights(patch, noise, None)
    assert unknown.item() == pytest.approx(1 - 5 / 25, rel=1e-3)
    known = similar_patches._weights(patch, noise, patch)
    assert known.item() == pytest.approx(25 / (25 + 5), rel=1e-6)


def test_weights_of_equal_patches_are_a_mean():
    patches = np.ones((1, 4, 9), np.float32)
    weights = similar_patches._weights(
        patches, np.full((1, 4), 0.01, np.float32), patches
    )
    np.testing.assert_allclose(weights, 0.25, rtol=1e-3)


def test_weights_have_the_smallest_expected_error():
    """Moved in any direction, they are worse over many draws of the noise."""
    rng = np.random.default_rng(0)
    clean = rng.random((1, 3, 6)).astype(np.float32)
    sigmas = np.array([0.1, 0.3, 0.2])
    noise = np.float32(6 * sigmas**2)[None]
    best = similar_patches._weights(clean, noise, clean)[0]
    draws = clean[0] + rng.normal(0, 1, (20_000, 3, 6)) * sigmas[:, None]

    def error(weights):
        return np.mean((np.einsum("ij,nif->njf", weights, draws) - clean[0]) ** 2)

    lowest = error(best)
    for row, column in np.ndindex(3, 3):
        for step in (-0.1, 0.1):
            moved = best.copy()
            moved[row, column] += step
            assert error(moved) > lowest


def test_distances_are_those_of_each_pair_of_patches():
    guide = np.random.default_rng(0).random((30, 34, 2)).astype(np.float32)
    rows, columns, side = np.array([0, 9, 25]), np.array([0, 13, 29]), 5
    found = similar_patches._distances(guide, rows, columns, side)
    shifts = [(y, x) for y in range(-12, 13) for x in range(-12, 13)]
    for place, (row, column) in enumerate((r, c) for r in rows for c in columns):
        here = guide[row : row + side, column : column + side]
        for number, (down, right) in enumerate(shifts):
            y, x = row + down, column + right
            inside = 0 <= y <= 30 - side and 0 <= x <= 34 - side
            there = guide[y : y + side, x : x + side] if inside else np.inf
            wanted = np.square(here - there).sum()
            assert found[place, number] == pytest.approx(wanted, rel=1e-4, abs=1e-5)


def test_the_most_similar_patches_are_the_copies_of_a_patch():
    tile = np.random.default_rng(0).random((8, 8, 1)).astype(np.float32)
    guide = np.tile(tile, (5, 5, 1))
    stack = similar_patches.Stack(4, 4)
    for corners in similar_patches._similar(guide, stack):
        # Within 12 pixels a patch has itself and three copies, or more of both.
        rows, columns = corners // 40, corners % 40
        assert set(np.unique((rows - rows[:, :1]) % 8)) == {0}
        assert set(np.unique((columns - columns[:, :1]) % 8)) == {0}


def test_tiles_do_not_show(monkeypatch):
    clean = picture(1, 200)
    noisy = np.float32(noisy_bytes(clean) / 255)
    model = SimilarPatches(noise_curves(noisy[None]))
    whole = model.denoise(noisy)
    monkeypatch.setattr(similar_patches, "MOST_TILE", 140)
    assert model.tiling(200, 200).tile == (129, 129)
    parts = model.denoise(noisy)
    # The grids of the tiles have other positions, which changes little.
    assert np.sqrt(np.mean((parts - whole) ** 2)) < 0.1 * SIGMA
    assert psnr(parts, clean) == pytest.approx(psnr(whole, clean), abs=0.1)


@pytest.mark.parametrize("shape", [(16, 16, 1), (16, 70, 3), (600, 17, 1), (40, 30, 2)])
def test_small_and_narrow_images_keep_their_shape(shape):
    noisy = np.random.default_rng(0).random(shape).astype(np.float32)
    answer = SimilarPatches(noise_curves(noisy[None])).denoise(noisy)
    assert answer.shape == shape
    assert np.isfinite(answer).all()
    assert answer.std() < 0.5 * noisy.std()


def test_an_image_that_is_too_small_is_refused():
    with pytest.raises(UnreadableError, match="15x20 pixels; --self needs 16x16"):
        learn(page_of(np.zeros((20, 15), np.uint8)), BYTES)


def test_an_array_and_its_file_give_the_same(tmp_path):
    values = noisy_bytes(picture(3))
    Image.fromarray(values).save(tmp_path / "a.png")
    answer = kd.denoise_by_itself(values)
    assert (answer.shape, answer.dtype) == (values.shape, values.dtype)
    assert np.array_equal(kd.denoise_by_itself(tmp_path / "a.png"), answer)
    assert run("--self", tmp_path / "a.png", "-o", tmp_path / "b.png").exit_code == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), answer)
    half = kd.denoise_by_itself(values / 255, strength=0.5)
    np.testing.assert_allclose(255 * half, (answer / 2 + values / 2), atol=0.6)


def test_a_batch_has_the_noise_of_all_its_images():
    images = np.random.default_rng(0).normal(0.5, 0.1, (2, 40, 44))
    answer = kd.denoise_by_itself(images)
    assert answer.shape == images.shape
    assert (answer.std(axis=(1, 2)) < 0.5 * images.std(axis=(1, 2))).all()
    with pytest.raises(kd.UsageError, match="at least 16 pixels"):
        kd.denoise_by_itself(images[:, :15])


# The command


def run(*words):
    return CliRunner().invoke(main, ["denoise", "--threads", "1", *map(str, words)])


@pytest.fixture
def file(tmp_path):
    """A noisy RGB image of a width that is odd."""
    path = tmp_path / "noisy.png"
    Image.fromarray(noisy_bytes(picture(3))[:, :93]).save(path)
    return path


def test_denoise_self_needs_no_model(file, tmp_path):
    before = file.read_bytes()
    result = run("--self", file, "-o", tmp_path / "out.png")
    assert result.exit_code == 0, result.output
    assert "model learned from each image itself" in result.stderr
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
        (("--overlap", "512"), "overlap must be from 0 to 511 for tiles of 512x512"),
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
