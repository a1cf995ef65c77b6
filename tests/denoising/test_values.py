"""Values as instruments write them: what the command makes of them and says."""

import json

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from PIL import Image

import keras_dae as kd
from keras_dae.cli import main
from keras_dae.images.noise import make_noise


def denoise(*words, code=0, model="DAE_5_13"):
    fixed = ["--model", str(model), "--threads", "1", "--json"]
    result = CliRunner().invoke(main, ["denoise", *fixed, *map(str, words)])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)["images"]


@pytest.fixture
def page(digits):
    """A page of 4 x 5 noisy digits, and what is below the noise; about 0 to 1."""
    clean = digits.test[:20].astype(np.float32) / 255
    noisy = make_noise("gaussian", sigma=0.5)(clean, np.random.default_rng(1))

    def laid(images):
        return images.reshape(4, 5, 28, 28).transpose(0, 2, 1, 3).reshape(112, 140)

    return laid(noisy), laid(clean)


SCALES = {
    "uint8": (0, 255),
    "12 bits": ("uint16", 0, 4095),
    "uint16": (0, 65535),
    "int16": (-1000, 1000),
    "int32": (-500_000, 500_000),
    "uint32": (1_000_000, 1_900_000),
    "counts": ("float32", 200, 1700),
    "float32": (0, 1),
}


@pytest.mark.parametrize("name", SCALES)
def test_a_digit_is_denoised_on_any_scale(tmp_path, page, name):
    noisy, clean = page
    *kind, low, high = SCALES[name]
    kind = np.dtype(kind[0] if kind else name)
    values = low + noisy * (high - low)
    values = np.rint(values) if kind.kind in "iu" else values
    tifffile.imwrite(tmp_path / "a.tif", values.astype(kind))
    (row,) = denoise(tmp_path / "a.tif", "-o", tmp_path / "out.tif")
    found = tifffile.imread(tmp_path / "out.tif")
    assert found.dtype == kind
    unit = (found.astype(float) - low) / (high - low)
    assert np.mean((unit - clean) ** 2) < np.mean((noisy - clean) ** 2) / 4
    of_type = name in ("uint8", "uint16", "float32")
    assert (row["note"] is None) == of_type
    assert of_type or "percentiles 0.1 and 99.9" in row["note"]
    assert row["range"] == pytest.approx([low, high], abs=0.02 * (high - low))
    # What is told counts, and nothing needs to be said of it.
    words = ["--range", f"{low}..{high}", "-o", tmp_path / "told.tif"]
    (row,) = denoise(tmp_path / "a.tif", *words)
    assert row["range"] == [low, high]
    assert row["note"] is None


def test_flat_grey_stays(tmp_path):
    for kind, value in (("uint8", 128), ("uint16", 1234), ("int16", -7)):
        array = np.full((90, 70), value, kind)
        tifffile.imwrite(tmp_path / f"{kind}.tif", array)
        denoise(tmp_path / f"{kind}.tif", "-o", tmp_path / "out")
        found = tifffile.imread(tmp_path / "out" / f"{kind}.denoised.tif")
        assert (found == array).all()
        assert found.dtype == kind


def test_an_isolated_gap_stays_and_its_neighbours_are_denoised(tmp_path, page):
    noisy, _ = page
    values = noisy.astype(np.float32)
    values[40, 50] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", values)
    tifffile.imwrite(tmp_path / "b.tif", noisy.astype(np.float32))
    for name in ("a", "b"):
        (row,) = denoise(tmp_path / f"{name}.tif", "-o", tmp_path / "out")
        assert ("kept: 1" in (row["note"] or "")) == (name == "a")
    a, b = (tifffile.imread(tmp_path / "out" / f"{n}.denoised.tif") for n in "ab")
    assert np.argwhere(np.isnan(a)).tolist() == [[40, 50]]
    apart = np.abs(np.nan_to_num(a - b))
    assert apart[:12].max() == 0  # a tile does not see so far
    assert np.mean(apart) < 0.01


def test_a_second_channel_is_denoised_like_the_first(tmp_path, page):
    noisy, clean = page
    both = np.rint(np.stack([noisy, noisy[::-1, ::-1]], -1) * 65535).astype("uint16")
    options = {"photometric": "minisblack", "planarconfig": "contig"}
    tifffile.imwrite(tmp_path / "a.tif", both, **options)
    (row,) = denoise(tmp_path / "a.tif", "-o", tmp_path / "out.tif")
    assert row["note"] == "channel 2 is read as an image"
    found = tifffile.imread(tmp_path / "out.tif") / 65535
    for channel, truth in enumerate((clean, clean[::-1, ::-1])):
        before = np.mean((both[..., channel] / 65535 - truth) ** 2)
        assert np.mean((found[..., channel] - truth) ** 2) < before / 3


def test_four_slices_are_four_pages(tmp_path, page):
    noisy, clean = page
    stack = np.rint(np.stack([noisy] * 4) * 65535).astype("uint16")
    with pytest.warns(DeprecationWarning):
        tifffile.imwrite(tmp_path / "a.tif", stack)
    (row,) = denoise(tmp_path / "a.tif", "-o", tmp_path / "out.tif")
    assert (row["pages"], row["channels"]) == (4, "grey")
    assert "4 planes are read as pages" in row["note"]
    found = tifffile.imread(tmp_path / "out.tif")
    assert found.shape == stack.shape
    for image in found:
        assert np.mean((image / 65535 - clean) ** 2) < 0.03


def test_a_value_for_missing_ones_is_a_gap(tmp_path, page):
    noisy, _ = page
    values = (1000 * noisy).astype(np.float32)
    values[:5] = np.finfo(np.float32).min
    tifffile.imwrite(tmp_path / "a.tif", values)
    (row,) = denoise(tmp_path / "a.tif", "-o", tmp_path / "b.tif")
    found = tifffile.imread(tmp_path / "b.tif")
    assert (found[:5] == values[:5]).all()
    assert 0 <= found[5:].min() <= found[5:].max() <= 1000
    assert "are kept: 700" in row["note"]


@pytest.mark.parametrize(
    ("noisy_kind", "clean_kind", "works"),
    [
        ("uint8", "uint16", True),
        ("uint16", "uint8", True),
        ("float32", "uint8", True),
        ("counts", "uint8", False),
    ],
)
def test_a_clean_image_of_another_type(tmp_path, page, noisy_kind, clean_kind, works):
    most = {"uint8": 255, "uint16": 65535, "float32": 1, "counts": 4095}
    for name, kind, unit in (
        ("noisy", noisy_kind, page[0]),
        ("clean", clean_kind, page[1]),
    ):
        values = unit * most[kind]
        values = np.rint(values) if kind != "float32" else values
        kind = "uint16" if kind == "counts" else kind
        tifffile.imwrite(tmp_path / f"{name}.tif", values.astype(kind))
    words = [tmp_path / "noisy.tif", "-o", tmp_path / "b.tif"]
    words += ["--clean", tmp_path / "clean.tif"]
    (row,) = denoise(*words, code=0 if works else 1)
    if works:
        expected = -10 * np.log10(np.mean((page[0] - page[1]) ** 2))
        assert row["input_metrics"]["psnr"] == pytest.approx(expected, abs=0.02)
        assert row["metrics"]["psnr"] > expected + 5
    else:
        assert "cannot be compared with the uint8 values" in row["reason"]


def test_the_note_says_where_a_range_is_from(tmp_path, page):
    denoiser = kd.Denoiser(kd.load("DAE_1_5"), value_range=(50, 150))
    denoiser.save(tmp_path / "mine.keras")
    values = np.rint(50 + 100 * page[0]).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    words = [tmp_path / "a.png", "-o", tmp_path / "b.png"]
    (row,) = denoise(*words, model=tmp_path / "mine.keras")
    assert "from 50 to 150 were scaled to 0 to 1: as in the training" in row["note"]
    tifffile.imwrite(tmp_path / "flat.tif", np.full((30, 30), 7.5, np.float32))
    (row,) = denoise(tmp_path / "flat.tif", "-o", tmp_path / "c.tif")
    assert row["note"] is None
