"""The command `denoise` on photographs: which model, how strong, what stays."""

import json

import numpy as np
import pytest
import skimage.data
import tifffile
from click.testing import CliRunner
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

import keras_dae as kd
from keras_dae.cli import main
from keras_dae.denoising.choose import choose
from keras_dae.denoising.tile_model import TileModel
from keras_dae.errors import KerasDAEError

HEIGHT, WIDTH = 90, 131  # odd: padding is the program's


def run(*arguments, code=0):
    words = ["denoise", *(str(argument) for argument in arguments), "--threads", "1"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == code, result.output
    return result


def psnr(clean, array):
    error = np.mean(np.square(clean.astype(float) - array)) / 255**2
    return 10 * np.log10(1 / max(error, 1e-12))


def flat():
    return np.full((HEIGHT, WIDTH), 128.0)


def ramp():
    return np.linspace(0, 255, WIDTH)[None].repeat(HEIGHT, axis=0)


def text():
    image = Image.new("L", (WIDTH, HEIGHT), 255)
    for top in range(4, HEIGHT - 10, 13):
        ImageDraw.Draw(image).text((4, top), "Pack my box with five jugs", fill=0)
    return np.asarray(image, float)


def stars():
    rng = np.random.default_rng(3)
    field = np.zeros((HEIGHT, WIDTH))
    field[rng.integers(5, HEIGHT - 5, 25), rng.integers(5, WIDTH - 5, 25)] = 1
    field = gaussian_filter(field, 1)
    return 6 + 200 * field / field.max()


def scene():
    """Hills, a sharp edge and fine grass: what photographs are made of."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] / 20
    sky = 150 + 40 * np.sin(x) * np.cos(y / 2)
    grass = np.random.default_rng(4).standard_normal((HEIGHT, WIDTH))
    grass = 80 + 90 * gaussian_filter(grass, 1)
    return np.where(y > 2.5 + 0.5 * np.sin(2 * x), grass, sky)


SCENES = {"flat": flat, "ramp": ramp, "text": text, "stars": stars, "scene": scene}


def pixels(name, channels, sigma=0.0):
    clean = np.clip(SCENES[name](), 0, 255)
    if channels == 3:
        clean = np.stack([clean, 0.8 * clean, 0.9 * clean], axis=2)
    noise = sigma * np.random.default_rng(5).standard_normal(clean.shape)
    both = clean, clean + noise
    return tuple(np.rint(np.clip(a, 0, 255)).astype(np.uint8) for a in both)


def denoised(array, folder, *options):
    Image.fromarray(array).save(folder / "in.png")
    result = run(folder / "in.png", "-o", folder / "out.png", "--overwrite", *options)
    return np.asarray(Image.open(folder / "out.png")), result.stderr


# Which model


@pytest.mark.parametrize(("channels", "name"), [(3, "photo"), (1, "photo-gray")])
def test_auto_takes_the_model_of_the_colours_and_says_so_once(tmp_path, channels, name):
    for number in range(2):
        _, noisy = pixels("scene", channels, 20)
        Image.fromarray(noisy).save(tmp_path / f"{number}.png")
    result = run(tmp_path, "-o", tmp_path / "out", "--json")
    rows = json.loads(result.stdout)["images"]
    assert [row["model"] for row in rows] == [name, name]
    lines = [line for line in result.stderr.splitlines() if line.startswith("Model ")]
    assert len(lines) == 1
    assert f"Model {name}: {rows[0]['input']} is {rows[0]['why']}" in lines[0]
    told = float(lines[0].split("estimated noise ")[1].split()[0])
    assert told == pytest.approx(20, rel=0.15)
    assert "Warning" not in result.stderr


def noisy_page(digits, rows, sigma):
    tiles = digits.test[: rows * rows, ..., 0].reshape(rows, rows, 28, 28)
    page = tiles.transpose(0, 2, 1, 3).reshape(28 * rows, 28 * rows, 1) / 255
    drawn = np.random.default_rng(0).standard_normal(page.shape)
    return np.clip(page + sigma * drawn, 0, 1).astype(np.float32)


def test_auto_takes_the_model_of_digits_for_noisy_digits_alone(digits, tmp_path):
    for rows in (1, 6):
        assert choose(noisy_page(digits, rows, 0.5)).name == "DAE_5_13"
        assert choose(noisy_page(digits, rows, 0.0)).name == "photo-gray"
        assert choose(noisy_page(digits, rows, 0.1)).name == "photo-gray"
    noise = np.random.default_rng(1).normal(0, 0.5, (HEIGHT, WIDTH))
    dark = np.clip(scene() / 550 + noise, 0, 1)
    assert np.mean(dark == 0) > 0.3
    assert choose(dark[..., None].astype(np.float32)).name == "photo-gray"
    page = np.rint(255 * noisy_page(digits, 3, 0.5)[..., 0]).astype(np.uint8)
    by_auto, said = denoised(page, tmp_path)
    assert "Model DAE_5_13: " in said
    assert "like noisy digits" in said
    by_name, _ = denoised(page, tmp_path, "--model", "DAE_5_13")
    assert (by_auto == by_name).all()


# What it does to images


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", SCENES)
def test_a_clean_image_comes_back_and_a_noisy_one_is_better(name, channels, tmp_path):
    clean, _ = pixels(name, channels)
    answer, _ = denoised(clean, tmp_path)
    assert psnr(clean, answer) >= 45
    if name == "flat":
        assert (answer == clean).all()
    for sigma in (5, 25):
        clean, noisy = pixels(name, channels, sigma)
        answer, _ = denoised(noisy, tmp_path)
        # Thin strokes of text are hard to tell from noise: no loss is asked for.
        gain = 0 if name == "text" else 0.5 if sigma == 5 else 3
        assert psnr(clean, answer) > psnr(clean, noisy) + gain


@pytest.mark.parametrize("name", ["astronaut", "rocket", "coffee", "camera"])
def test_a_clean_photograph_comes_back(name, tmp_path):
    clean = getattr(skimage.data, name)()[:300, :300]
    answer, _ = denoised(clean, tmp_path)
    assert psnr(clean, answer) >= 45


def test_best_is_better_than_one_answer(tmp_path):
    clean, noisy = pixels("scene", 3, 30)
    one, _ = denoised(noisy, tmp_path)
    best, _ = denoised(noisy, tmp_path, "--best")
    assert psnr(clean, best) > psnr(clean, one) + 0.02


# How strong


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float64"])
def test_strength_blends_and_none_returns_the_values(kind, tmp_path):
    _, noisy = pixels("scene", 3, 25)
    array = noisy.astype(kind) * 257 if kind == "uint16" else noisy.astype(kind)
    array = array / 255 if kind == "float64" else array
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, array, photometric="rgb")
    answers = {}
    for strength in (0, 0.25, 1):
        out = tmp_path / f"{strength}.tif"
        run(path, "-o", out, "--strength", strength)
        answers[strength] = tifffile.imread(out)
    assert (answers[0] == array).all()
    expected = 0.75 * array.astype(float) + 0.25 * answers[1]
    steps = {"uint8": 1, "uint16": 1.01, "float64": 1e-6}[kind]
    assert np.abs(answers[0.25] - expected).max() <= steps
    assert np.abs(answers[1] - array.astype(float)).max() > 20 * steps


def test_told_sigma_bounds_what_is_removed(tmp_path):
    _, noisy = pixels("scene", 1, 25)
    free, _ = denoised(noisy, tmp_path)
    bounded, _ = denoised(noisy, tmp_path, "--sigma", 5 / 255)
    enough, _ = denoised(noisy, tmp_path, "--sigma", 0.5)
    none, _ = denoised(noisy, tmp_path, "--sigma", 0)
    removed = np.std(noisy.astype(float) - bounded)
    assert removed == pytest.approx(5, abs=0.1)
    assert np.std(noisy.astype(float) - free) > 15
    assert (enough == free).all()
    assert (none == noisy).all()


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--strength", "1.5", "1.5 is not in the range 0<=x<=1"),
        ("--sigma", "25", "takes auto or a number from 0 to 1, not '25'"),
        ("--sigma", "much", "takes auto or a number from 0 to 1, not 'much'"),
        ("--sigma", "nan", "takes auto or a number from 0 to 1, not 'nan'"),
    ],
)
def test_wrong_strengths_are_one_sentence(option, value, said, tmp_path):
    Image.fromarray(pixels("flat", 1)[0]).save(tmp_path / "a.png")
    out = tmp_path / "out"
    result = run(tmp_path / "a.png", "-o", out, option, value, code=2)
    assert said in result.output
    assert not out.exists()


# Tiles


@pytest.mark.parametrize("name", ["photo", "photo-gray"])
def test_tiles_answer_as_one_pass_does(name, monkeypatch):
    model = kd.load(name)
    shape = (180, 263, model.input_shape[3])
    image = np.random.default_rng(0).random(shape, dtype=np.float32)
    padded = np.pad(image, [(0, 0), (0, 1), (0, 0)], mode="reflect")
    whole = np.asarray(model.predict_on_batch(padded[None]))[0, :, :-1]
    monkeypatch.setattr("keras_dae.denoising.tile_model.MOST_TILE", 96)
    tiles = TileModel(model)
    assert max(tiles.tiling(*shape[:2]).tile) <= 96
    assert np.abs(tiles.denoise(image) - whole).max() < 1e-5
    cut = tiles.denoise(image, overlap=0)
    assert np.abs(cut - whole).max() > 1e-3  # what a seam would be


@pytest.mark.parametrize("noise", [0, 10])
def test_no_tile_shows_on_a_ramp(noise, tmp_path, monkeypatch):
    monkeypatch.setattr("keras_dae.denoising.tile_model.MOST_TILE", 96)
    ramp = np.linspace(20, 230, 420)[None].repeat(300, axis=0)
    drawn = np.random.default_rng(0).normal(0, noise, (300, 420, 3))
    noisy = np.rint((ramp[..., None] + drawn).clip(0, 255)).astype(np.uint8)
    answer, _ = denoised(noisy, tmp_path)
    rest = answer.astype(float) - ramp[..., None]
    for axis in (0, 1):
        # Steps from one row, or column, to the next: as large at any place.
        steps = np.abs(np.diff(rest.mean(axis=(1 - axis, 2))))
        assert steps.max() < max(0.5, 6 * np.median(steps))
    assert psnr(ramp[..., None], answer) >= (45 if noise == 0 else 40)


def test_a_model_gets_few_pixels_at_a_time_whatever_the_image(monkeypatch):
    model = TileModel(kd.load("photo"))
    seen = []

    def answer(tiles):
        seen.append(tiles.shape[0] * tiles.shape[1] * tiles.shape[2])
        return tiles

    monkeypatch.setattr(model, "_answer", answer)
    image = np.random.default_rng(0).random((1201, 2003, 3), dtype=np.float32)
    assert np.abs(model.denoise(image) - image).max() < 1e-6
    assert max(seen) <= 512 * 512
    assert sum(seen) < 1.25 * image[..., 0].size


# Grey images with three channels


def in_colour(grey, way):
    """Return a grey image as a file, or an array of uint8 with three channels."""
    rgb = np.stack([grey] * 3, axis=2)
    return rgb if way == "RGB" else np.dstack([rgb, np.full(grey.shape, 200, "uint8")])


@pytest.mark.parametrize("way", ["RGB", "RGBA", "P"])
def test_a_grey_image_in_colour_is_denoised_as_a_grey_one(way, tmp_path):
    clean, noisy = pixels("scene", 1, 25)
    if way == "P":
        image = Image.fromarray(noisy).convert("P")
    else:
        image = Image.fromarray(in_colour(noisy, way))
    image.save(tmp_path / "a.png")
    Image.fromarray(in_colour(clean, "RGB")).save(tmp_path / "clean.png")
    words = [tmp_path / "a.png", "-o", tmp_path / "b.png", "--json"]
    if way == "RGB":
        words += ["--clean", tmp_path / "clean.png"]
    row = json.loads(run(*words).stdout)["images"][0]
    assert row["model"] == "photo-gray"
    answer = np.asarray(Image.open(tmp_path / "b.png").convert("RGBA"))
    alone, _ = denoised(noisy, tmp_path)
    assert (answer[..., :3] == alone[..., None]).all()
    assert (answer[..., 3] == (200 if way == "RGBA" else 255)).all()
    if way == "RGB":
        gain = row["metrics"]["psnr"] - row["input_metrics"]["psnr"]
        assert gain > 3


def test_arrays_with_equal_channels_are_denoised_as_grey_ones():
    _, noisy = pixels("scene", 1, 25)
    denoiser, alone = kd.Denoiser.from_preset("photo-gray"), None
    alone = denoiser.denoise(noisy)
    for way in ("RGB", "RGBA"):
        answer = denoiser.denoise(in_colour(noisy, way))
        assert (answer[..., :3] == alone[..., None]).all()
        assert way == "RGB" or (answer[..., 3] == 200).all()
    itself = kd.denoise_by_itself(in_colour(noisy, "RGB"))
    assert (itself == kd.denoise_by_itself(noisy)[..., None]).all()
    _, colour = pixels("scene", 3, 25)
    batch = np.stack([colour, in_colour(noisy, "RGB")])
    both = denoiser.denoise(batch)
    assert (both[0] == denoiser.denoise(colour)).all()
    assert (both[1] == alone[..., None]).all()
    with pytest.raises(KerasDAEError, match=r"grey.*removes no noise.*photo-gray"):
        kd.Denoiser.from_preset("photo").denoise(batch)


def test_a_model_of_colour_refuses_a_grey_image(tmp_path):
    _, noisy = pixels("scene", 1, 25)
    for name, image in (("a", noisy), ("b", in_colour(noisy, "RGB"))):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
        words = [tmp_path / f"{name}.png", "-o", tmp_path / "out", "--model", "photo"]
        said = run(*words, code=1).stderr
        assert "is grey" in said
        assert "use photo-gray" in said
        assert ("in three equal channels" in said) == (name == "b")


def test_each_page_has_its_model(digits, tmp_path):
    """Noisy digits, a colour photograph and a grey one in the same file."""
    page = np.rint(255 * noisy_page(digits, 3, 0.5)[..., 0]).astype(np.uint8)
    (_, colour), (_, grey) = (pixels("scene", channels, 25) for channels in (3, 1))
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for image in (page, colour, grey):
            kind = "rgb" if image.ndim == 3 else "minisblack"
            writer.write(image, photometric=kind)
    done = run(tmp_path / "a.tif", "-o", tmp_path / "b.tif", "--json")
    row = json.loads(done.stdout)["images"][0]
    assert row["model"] == "DAE_5_13, photo, photo-gray"
    assert "in colour on page 2; grey, and unlike noisy digits on page 3" in row["why"]
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        answers = [page.asarray() for page in file.pages]
    for answer, image in zip(answers, (page, colour, grey), strict=True):
        alone, _ = denoised(image, tmp_path)
        assert (answer == alone).all()
