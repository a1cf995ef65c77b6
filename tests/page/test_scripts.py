"""The page's JavaScript: its form, its digits, its noise."""

import dataclasses
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from skimage.morphology import skeletonize

import keras_dae as kd
from keras_dae.images.noise import NOISES
from tests.page.node import SCRIPTS, needs_node, run_node

HERE = Path(__file__).parent


def tool(name):
    """Return a program of `tests/page/package.json`, or None."""
    own = HERE / "node_modules/.bin" / name
    return str(own) if own.exists() else shutil.which(name)


def needs(name):
    reason = f"{name} is not installed; npm install --prefix tests/page brings it"
    return pytest.mark.skipif(tool(name) is None, reason=reason)


def run(*command):
    """Return the exit code of a command, and what it printed."""
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@needs_node
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_each_script_is_valid_and_short(path):
    code, said = run("node", "--check", path)
    assert code == 0, said
    lines = path.read_text().splitlines()
    assert len(lines) <= 300
    assert max(map(len, lines)) <= 88


@needs("eslint")
def test_the_linter_finds_nothing():
    config = HERE / "eslint.config.mjs"
    code, said = run(tool("eslint"), "--config", config, *SCRIPTS)
    assert code == 0, said


@needs("prettier")
def test_the_layout_is_prettier_s():
    code, said = run(tool("prettier"), "--print-width", "88", "--check", *SCRIPTS)
    assert code == 0, said


TWO = [(0.3, 0.3), (0.5, 0.2), (0.7, 0.3), (0.6, 0.5), (0.3, 0.8), (0.75, 0.8)]
ONE = [(0.5, 0.1), (0.45, 0.9)]


def drawn(tmp_path, *strokes):
    points = [[{"x": x, "y": y} for x, y in stroke] for stroke in strokes]
    code = "const d = Digits.fromStrokes(given.strokes); return d && list(d);"
    found = run_node(tmp_path, code, strokes=points)
    return None if found is None else np.array(found).reshape(28, 28)


def from_picture(tmp_path, picture):
    code = "const d = Digits.fromPicture(image(given.picture)); return d && list(d);"
    found = run_node(tmp_path, code, picture=picture[..., None].tolist())
    return None if found is None else np.array(found).reshape(28, 28)


def sides(image):
    """Return height and width of the ink of an image."""
    return [np.ptp(np.nonzero((image > 0.5).any(axis))) + 1 for axis in (1, 0)]


def centre(image):
    return [float((image * grid).sum() / image.sum()) for grid in np.mgrid[:28, :28]]


def width(image):
    """Return the ink of an image per pixel of its lines' middle."""
    return float(image.sum() / skeletonize(image > 0.5).sum())


@needs_node
@pytest.mark.parametrize("strokes", [[TWO], [ONE], [ONE, TWO]])
def test_a_drawing_has_size_place_and_stroke_of_mnist(tmp_path, digits, strokes):
    image = drawn(tmp_path, *strokes)
    assert abs(max(sides(image)) - 20) <= 1  # a pixel of grey edges
    np.testing.assert_allclose(centre(image), [14, 14], atol=0.1)
    assert (image.min(), image.max()) == (0, 1)
    assert 0.3 < np.mean((image > 0.02) & (image < 0.98)) / np.mean(image > 0.02) < 0.8
    widths = [width(np.asarray(one)[..., 0] / 255) for one in digits.test[:200]]
    low, high = np.percentile(widths, [10, 75])
    assert low < width(image) < high


@needs_node
def test_where_and_how_large_a_digit_is_drawn_makes_no_difference(tmp_path):
    small = [(0.1 + 0.3 * x, 0.6 + 0.3 * y) for x, y in TWO]
    one, other = drawn(tmp_path, TWO), drawn(tmp_path, small)
    np.testing.assert_allclose(one, other, atol=1e-4)


@needs_node
def test_nothing_drawn_is_no_digit_and_a_dot_stays_a_dot(tmp_path):
    assert drawn(tmp_path) is None
    dot = drawn(tmp_path, [(0.9, 0.1)])
    assert max(sides(dot)) <= 3
    np.testing.assert_allclose(centre(dot), [14, 14], atol=0.1)


@needs_node
@pytest.mark.parametrize("paper", [True, False])
def test_a_picture_of_a_digit_becomes_the_digit(tmp_path, digits, paper):
    """A digit of MNIST, enlarged and off the middle, comes back as it was."""
    clean = np.asarray(digits.test[302])[..., 0] / 255
    large = np.pad(np.kron(clean, np.ones((9, 9))), ((0, 60), (80, 10)))
    found = from_picture(tmp_path, 0.9 - 0.7 * large if paper else large)
    assert np.mean((found - clean) ** 2) < 0.002 < np.mean(clean**2) / 20
    own = from_picture(tmp_path, clean)
    np.testing.assert_allclose(own, clean, atol=1e-6)


@needs_node
def test_a_picture_of_one_shade_is_no_digit(tmp_path):
    assert from_picture(tmp_path, np.full((40, 50), 0.7)) is None


NOISY = """
const clean = image(given.clean);
return given.cases.map(([kind, strength, seed]) =>
  list(Noise.addNoise(clean, kind, strength, seed)));
"""


def kinds(tmp_path):
    code = (
        "return Object.entries(Noise.NOISES).map(([k, n]) => [k, n.strength, n.usual]);"
    )
    return run_node(tmp_path, code)


@needs_node
def test_each_noise_is_that_of_the_package(tmp_path):
    """Mean and spread at two shades, within five standard errors of their own."""
    listed = kinds(tmp_path)
    for kind, strength, usual in listed:
        first = dataclasses.fields(NOISES[kind])[0]
        assert (strength, usual) == (first.name, first.default)
    side, cases = 200, [[kind, usual, 7] for kind, _, usual in listed]
    for shade in (0.25, 1.0):
        clean = np.full((side, side, 1), shade, np.float32)
        found = run_node(tmp_path, NOISY, clean=clean.tolist(), cases=cases)
        for (kind, usual, _), values in zip(cases, found, strict=True):
            noise = kd.parse_noise(f"{kind}:{usual}")
            wanted = noise(clean[None], np.random.default_rng(0)).ravel()
            drawn, most = np.array(values), 5 * np.sqrt(2) * wanted.std() / side
            assert abs(drawn.mean() - wanted.mean()) <= most, kind
            square = [np.abs(v - wanted.mean()) ** 2 for v in (drawn, wanted)]
            most = 5 * np.sqrt(2) * square[1].std() / side
            assert abs(square[0].mean() - square[1].mean()) <= most, kind


@needs_node
def test_noise_is_drawn_from_its_seed(tmp_path):
    clean = np.linspace(0, 1, 784, dtype=np.float32).reshape(28, 28, 1)
    names = [kind for kind, *_ in kinds(tmp_path)]
    cases = [[kind, 0.5, seed] for kind in names for seed in (1, 1, 2)]
    found = run_node(tmp_path, NOISY, clean=clean.tolist(), cases=cases)
    for n, kind in enumerate(names):
        one, again, other = found[3 * n : 3 * n + 3]
        assert one == again, kind
        assert one != other, kind
        assert 0 <= min(one) <= max(one) <= 1
    none = [[kind, 0, 1] for kind in names if kind != "poisson"]
    for values in run_node(tmp_path, NOISY, clean=clean.tolist(), cases=none):
        np.testing.assert_array_equal(np.float32(values), clean.ravel())


@needs_node
def test_errors_are_those_of_the_package(tmp_path):
    one, other = np.random.default_rng(0).random((2, 5, 6, 1), dtype=np.float32)
    code = """
    const error = Noise.mse(image(given.one), image(given.other));
    return [error, Noise.psnr(error)];
    """
    found = run_node(tmp_path, code, one=one.tolist(), other=other.tolist())
    wanted = [kd.mse(one[None], other[None])[0], kd.psnr(one[None], other[None])[0]]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
