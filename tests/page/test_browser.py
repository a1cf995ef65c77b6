"""The page in a headless Chromium, from a file and without a network."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_dae.page.samples import UNTRAINED
from tests.commands import run
from tests.page.browser import WITH_WEBGPU, Browser, find_chromium

pytestmark = pytest.mark.skipif(
    find_chromium() is None, reason="chromium is not installed; it opens the page"
)
TWO = [(0.3, 0.25), (0.5, 0.15), (0.7, 0.3), (0.5, 0.55), (0.3, 0.8), (0.72, 0.8)]
STATUS = "document.getElementById('status').textContent"
BUSY = "document.getElementById('answers').getAttribute('aria-busy')"
# The values of a canvas, read from a copy: the page's own stays fast to draw on.
SHADES = """
const shades = (canvas) => {
  const { width, height } = canvas;
  const context = new OffscreenCanvas(width, height).getContext('2d');
  context.drawImage(canvas, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  return [...data].filter((_, i) => i % 4 === 0);
};
"""
# What a card says: name, description, MSE, PSNR and time; and the values of its image.
CARDS = """
[...document.querySelectorAll('#answers button')].map((button) => {
  const canvas = button.querySelector('canvas');
  return {
    name: button.querySelector('b').textContent,
    words: button.querySelector('.figures').innerHTML.replace('<br>', ', '),
    ms: button.querySelector('.ms').textContent,
    label: canvas.getAttribute('aria-label'),
    values: shades(canvas),
  };
})
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The default page, in a folder whose name needs care in an address."""
    path = tmp_path_factory.mktemp("a page") / "dae #1.html"
    assert run("page", "-o", path).exit_code == 0
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture
def page(browser, file):
    """The page, opened and cleared; no test leaves an error in the console."""
    browser.console.clear()
    browser.requests.clear()
    browser.size(1280, 900)
    browser.open(file)
    browser.click("#clear")
    browser.wait(f"{BUSY} === 'false' && {STATUS}.includes('Draw a digit')")
    yield browser
    # A browser without a graphics card says so where it is asked for one.
    other = [one for one in browser.console if "No available adapters" not in str(one)]
    assert other == []
    own = [url for url in browser.requests if not url.startswith(("file:", "blob:"))]
    assert own == []


def answered(page):
    """Wait until all models have answered to the image; return the cards."""
    page.wait(f"{BUSY} === 'false' && {STATUS}.includes('closest')")
    return page.run(f"{{ {SHADES} {CARDS} }}")


def pixels(page, canvas):
    found = f"shades(document.getElementById('{canvas}'))"
    return np.array(page.run(f"{{ {SHADES} {found} }}"))


def test_a_drawn_digit_is_answered_by_all_nine(page):
    assert "Draw a digit" in page.run(STATUS)
    page.stroke("#pad", TWO)
    cards = answered(page)
    assert len(cards) == 9
    truth, noisy = pixels(page, "truth") / 255, pixels(page, "noisy") / 255
    assert truth.size == 784
    assert truth.max() == 1
    best = {}
    for card in cards:
        error, psnr = map(float, re.findall(r"\d+\.\d+", card["words"]))
        shown = np.mean((np.array(card["values"]) / 255 - truth) ** 2)
        assert abs(error - shown) < 1e-3  # 256 shades are shown
        assert abs(psnr + 10 * np.log10(error)) < 0.1
        assert error < np.mean((noisy - truth) ** 2) / 3
        assert re.fullmatch(r"\d+\.\d ms", card["ms"])
        assert card["label"].startswith(f"Output of {card['name']}: MSE")
        best[card["name"]] = error
    assert page.run(STATUS).startswith(min(best, key=best.get))


def test_the_page_opens_with_the_outputs_for_the_first_test_image(page, file):
    page.open(file)
    cards = answered(page)
    assert all(card["words"].startswith("MSE") for card in cards)
    pressed = "document.querySelector('#samples button').getAttribute('aria-pressed')"
    assert page.run(pressed) == "true"


def test_an_empty_canvas_is_answered_by_nobody(page):
    page.stroke("#pad", TWO)
    answered(page)
    page.click("#clear")
    page.wait(f"{STATUS}.includes('Draw a digit')")
    for card in page.run(f"{{ {SHADES} {CARDS} }}"):
        assert (card["words"], card["ms"], set(card["values"])) == ("", "", {0})
        assert card["label"].endswith("empty")
    assert not pixels(page, "truth").any()
    assert not pixels(page, "changed").any()
    sliders = page.run(
        "[...document.querySelectorAll('#maps input')].map((one) => one.disabled)"
    )
    assert sliders == [True] * 8
    assert page.run("document.getElementById('save-noisy').disabled")


def test_answers_follow_the_drawing(page):
    """They come while the button is still down."""
    places = [page.place("#pad", *point) for point in TWO]
    page.mouse("mousePressed", places[0])
    for place in places[1:4]:
        page.mouse("mouseMoved", place)
    cards = answered(page)
    for place in places[4:]:
        page.mouse("mouseMoved", place)
    page.wait("new Promise((done) => requestAnimationFrame(() => done(true)))")
    assert answered(page)[0]["values"] != cards[0]["values"]
    page.mouse("mouseReleased", places[-1], 0)


def test_a_finger_draws_as_a_mouse_does(page):
    for kind, points in (
        ("touchStart", TWO[:1]),
        *(("touchMove", [point]) for point in TWO[1:]),
        ("touchEnd", []),
    ):
        touches = [page.place("#pad", *point) for point in points]
        about = [{"x": x, "y": y} for x, y in touches]
        page.call("Input.dispatchTouchEvent", type=kind, touchPoints=about)
    assert len(answered(page)) == 9
    by_finger = pixels(page, "truth")
    page.click("#clear")
    page.wait(f"{STATUS}.includes('Draw a digit')")
    page.stroke("#pad", TWO)
    answered(page)
    np.testing.assert_allclose(pixels(page, "truth"), by_finger, atol=8)


def test_keys_draw_and_choose(page):
    page.run("document.getElementById('pad').focus()")
    for key in [" ", *["ArrowDown"] * 6, *["ArrowRight"] * 3]:
        page.key(key)
    answered(page)
    assert pixels(page, "truth").any()
    page.key("Escape")
    page.wait(f"{STATUS}.includes('Draw a digit')")
    page.run("document.querySelectorAll('#samples button')[3].focus()")
    page.key(" ")
    answered(page)
    pressed = page.run(
        "[...document.querySelectorAll('#samples button')]"
        ".map((b) => b.getAttribute('aria-pressed'))"
    )
    assert pressed == ["false"] * 3 + ["true"] + ["false"] * 8


def test_noise_is_chosen_with_its_strength(page, digits):
    page.click("#samples button:nth-child(3)")
    answered(page)
    noisy = pixels(page, "noisy")
    page.click("#again")
    page.wait("document.getElementById('again') && true")
    assert (pixels(page, "noisy") != noisy).any()
    page.run(
        "(() => { const s = document.getElementById('strength'); s.value = 0;"
        " s.dispatchEvent(new Event('input', { bubbles: true })); })()"
    )
    np.testing.assert_array_equal(pixels(page, "noisy"), pixels(page, "truth"))
    clean = np.asarray(digits.test[UNTRAINED[2]])[..., 0]
    np.testing.assert_array_equal(pixels(page, "truth"), clean.ravel())
    page.run(
        "(() => { const s = document.getElementById('noise'); s.value = 'masking';"
        " s.dispatchEvent(new Event('change', { bubbles: true })); })()"
    )
    noisy = pixels(page, "noisy")
    assert set(noisy) <= {0, *clean.ravel()}
    assert 0.3 < np.mean(noisy[clean.ravel() > 0] == 0) < 0.7


def test_latent_maps_are_changed(page):
    page.click("#samples button:nth-child(5)")
    cards = answered(page)
    page.click("#answers button:nth-child(7)")
    same = "document.getElementById('changed').getAttribute('aria-label')"
    page.wait(f"{same}.includes({json.dumps(cards[6]['words'])})")
    maps = page.run(
        "[...document.querySelectorAll('#maps canvas')].map((c) => [c.width, c.height])"
    )
    assert maps == [[13, 13]] * 4
    about = page.run("document.getElementById('inside-help').textContent")
    assert about.startswith("Trained on noise of gaussian, sigma 0.5, clipped. ")
    before = pixels(page, "changed")
    page.click("#map-1", 0.5, 0.5)
    page.wait("!document.getElementById('cell-1').disabled")
    named = page.run("document.getElementById('cell-name-1').textContent")
    assert named == "Value in row 7, column 7"
    for name, value in (("cell-1", 1), ("factor-2", 0)):
        page.run(
            f"(() => {{ const s = document.getElementById('{name}'); s.value = {value};"
            " s.dispatchEvent(new Event('input', { bubbles: true })); })()"
        )
    page.wait(f"{same}.includes('changed maps')")
    # The decoder answers to each slider; its answer to the last is drawn when it rests.
    page.wait(
        "document.getElementById('changed').getAttribute('aria-busy') === 'false'"
    )
    assert np.abs(pixels(page, "changed") - before).max() > 20
    page.click("#reset")
    page.wait(f"{same}.includes('original maps')")
    np.testing.assert_array_equal(pixels(page, "changed"), before)


def test_an_image_file_is_dropped(page, tmp_path, digits):
    clean = np.asarray(digits.test[813])[..., 0]
    large = np.kron(clean, np.ones((7, 7), np.uint8))
    paper = np.pad(255 - large, 40, constant_values=255)
    Image.fromarray(paper).save(tmp_path / "eight.png")
    page.drop("#bench", tmp_path / "eight.png")
    answered(page)
    found = pixels(page, "truth").astype(float)
    assert np.mean((found - clean.ravel()) ** 2) < 0.002 * 255**2
    (tmp_path / "text.png").write_text("no image")
    page.drop("#bench", tmp_path / "text.png")
    said = page.wait("document.getElementById('bench-error').textContent")
    assert said == "text.png is not an image that this browser can open."


def test_a_photograph_is_denoised_with_progress(page, tmp_path):
    rng = np.random.default_rng(0)
    ramp = np.linspace(40, 200, 90 * 120).reshape(90, 120, 1) * np.ones(3)
    noisy = (ramp + rng.normal(0, 20, ramp.shape)).clip(0, 255).round().astype(np.uint8)
    name = "my photo.png"
    Image.fromarray(noisy).save(tmp_path / name)
    page.drop("#photo", tmp_path / name)
    said = page.wait("document.getElementById('photo-status').textContent")
    assert "120 x 90 pixels" in said
    command = page.run("document.getElementById('photo-command').textContent")
    model = page.run(
        "(() => { const s = document.getElementById('photo-model');"
        " return s.options[s.selectedIndex].text; })()"
    )
    assert (
        command == f"keras-dae denoise 'my photo.png' -o denoised.png --model {model}"
    )
    words = ["denoise", tmp_path / name, "-o", tmp_path / "denoised.png"]
    assert run(*words, "--model", model).exit_code == 0
    wanted = np.asarray(Image.open(tmp_path / "denoised.png"))[..., 0].ravel()
    assert np.abs(pixels(page, "photo-after") - wanted.astype(int)).max() <= 1


def test_a_photograph_is_stopped(page, tmp_path):
    """What was stopped shows no result, and the next one is whole."""
    values = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "large.png")
    page.drop("#photo", tmp_path / "large.png")
    page.wait("!document.getElementById('photo-work').hidden")
    page.click("#photo-stop")
    assert page.run("document.getElementById('photo-work').hidden")
    Image.fromarray(values[:20, :30]).save(tmp_path / "small.png")
    page.drop("#photo", tmp_path / "small.png")
    said = page.wait("document.getElementById('photo-status').textContent")
    assert "30 x 20 pixels" in said
    assert page.run("document.getElementById('photo-work').hidden")


def test_a_grey_photograph_is_refused_by_the_model_of_colour(page, tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
    Image.fromarray(np.stack([values] * 3, axis=2)).save(tmp_path / "grey.png")
    page.drop("#photo", tmp_path / "grey.png")
    said = page.wait("document.getElementById('photo-error').textContent")
    assert said.startswith("The image is grey; a model of colour images removes no")


def test_a_page_without_a_model_of_digits_takes_photographs_alone(page, tmp_path):
    golden = Path(__file__).parents[1] / "golden/study/runs/npz-digits-DAE_1_5-seed0"
    out = tmp_path / "mine.html"
    assert run("page", "-o", out, "--only", "--model", golden).exit_code == 0
    page.open(out)
    shown = (
        "[...document.querySelectorAll('section')].filter((e) => e.checkVisibility())"
    )
    assert page.run(f"{shown}.map((e) => e.id)") == ["photo"]
    ramp = np.linspace(0, 255, 33 * 41).reshape(33, 41).astype(np.uint8)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    page.drop("#photo", tmp_path / "ramp.png")
    page.wait("document.getElementById('photo-status').textContent")
    words = ["denoise", tmp_path / "ramp.png", "-o", tmp_path / "out.png"]
    assert run(*words, "--model", golden).exit_code == 0
    wanted = np.asarray(Image.open(tmp_path / "out.png")).ravel().astype(int)
    assert np.abs(pixels(page, "photo-after") - wanted).max() <= 1


def test_the_command_answers_as_the_page_does(page, tmp_path, digits):
    """What the page prints, on the images that it offers to save."""
    page.click("#samples button:nth-child(8)")
    cards = answered(page)
    page.click("#answers button:nth-child(6)")
    for name in ("truth", "noisy"):
        values = pixels(page, name).astype(np.uint8).reshape(28, 28)
        Image.fromarray(values).save(tmp_path / f"{name}.png")
    words = page.run("document.getElementById('command').textContent").split()
    assert words[:2] == ["keras-dae", "denoise"]
    assert words[-2:] == ["--model", cards[5]["name"]]
    paths = [str(tmp_path / w) if w.endswith(".png") else w for w in words[1:]]
    done = run(*paths, "--json")
    assert done.exit_code == 0, done.output
    wanted = np.asarray(Image.open(tmp_path / "denoised.png")).ravel().astype(int)
    assert np.abs(np.array(cards[5]["values"]) - wanted).max() <= 2


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("width", "mobile"), [(1280, False), (390, True), (320, True)])
def test_nothing_is_cut_off_and_all_text_is_legible(page, width, mobile, dark):
    page.size(width, 800, mobile=mobile, dark=dark)
    page.click("#samples button:nth-child(2)")
    answered(page)
    assert page.run("document.documentElement.scrollWidth") <= width
    faint = page.run(CONTRAST)
    assert faint == []
    unnamed = page.run(UNNAMED)
    assert unnamed == []


# Text whose colour differs too little from what lies behind it (WCAG, level AA).
CONTRAST = """
(() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = parts(colour).slice(0, 3).map((v) => {
      const c = v / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (e) => {
    const colour = getComputedStyle(e).backgroundColor;
    const clear = parts(colour)[3] === 0;
    return clear && e.parentElement ? ground(e.parentElement) : colour;
  };
  const texts = [...document.querySelectorAll('body *')].filter((e) =>
    e.checkVisibility() && !e.disabled &&
    [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()));
  return texts.filter((e) => {
    const two = [light(getComputedStyle(e).color), light(ground(e))];
    return (Math.max(...two) + 0.05) / (Math.min(...two) + 0.05) < 4.5;
  }).map((e) => e.outerHTML.slice(0, 80));
})()
"""
# Controls and pictures without a name for those who do not see them.
UNNAMED = """
[...document.querySelectorAll('button, input, select, canvas, progress, a')]
  .filter((e) => e.checkVisibility())
  .filter((e) => !(e.getAttribute('aria-label') || (e.labels && e.labels[0]) ||
    e.innerText || (e.tagName === 'CANVAS' && e.closest('button[aria-label]'))))
  .map((e) => e.outerHTML.slice(0, 80))
"""


@pytest.fixture(scope="module")
def emulated(tmp_path_factory, file):
    """The default page in a browser with WebGPU, which takes the emulated card."""
    with Browser(tmp_path_factory.mktemp("profile"), WITH_WEBGPU) as one:
        one.open(file)
        if not one.run(
            "navigator.gpu ? navigator.gpu.requestAdapter().then(Boolean) : 0"
        ):
            pytest.skip("this Chromium emulates no WebGPU")
        one.run("void (Gpu.settings.software = true)")
        yield one
        assert one.console == []


# How far the answers of the card and of the kernels are apart, for one model.
APART = """
(async (name) => {
  const { models } = JSON.parse(document.getElementById('content').textContent);
  const model = models.find((one) => one.name === name);
  const [height, width] = model.sides.map((side, axis) => side || [40, 58][axis]);
  const image = Kernels.tensor(height, width, model.channels);
  image.data.forEach((_, i) => { image.data[i] = (i * 7919 % 1009) / 1009; });
  const card = await Gpu.predictor(model);
  const found = (await card.predict(image)).data;
  const { data } = Kernels.answer(await Kernels.prepare(model), image).answer;
  card.close();
  return Math.max(...data.map((v, i) => Math.abs(v - found[i])));
})
"""


@pytest.mark.parametrize("name", ["DAE_5_13", "DAE_5_8", "DAE_3_5", "DAE_1_8", "photo"])
def test_webgpu_answers_as_the_kernels_do(emulated, name):
    assert emulated.run(f"{APART}({name!r})") < 1e-5


def test_a_photograph_is_denoised_by_webgpu(emulated, tmp_path):
    rng = np.random.default_rng(1)
    noisy = rng.normal(128, 20, (70, 300, 3)).clip(0, 255).round().astype(np.uint8)
    Image.fromarray(noisy).save(tmp_path / "wide.png")
    emulated.drop("#photo", tmp_path / "wide.png")
    said = emulated.wait("document.getElementById('photo-status').textContent")
    assert re.search(r"300 x 70 pixels in [0-9.]+ s by WebGPU", said)
    words = ["denoise", tmp_path / "wide.png", "-o", tmp_path / "denoised.png"]
    assert run(*words, "--model", "photo").exit_code == 0
    wanted = np.asarray(Image.open(tmp_path / "denoised.png"))[..., 0].ravel()
    assert np.abs(pixels(emulated, "photo-after") - wanted.astype(int)).max() <= 1


def test_a_card_that_fails_leaves_the_work_to_the_processor(emulated, tmp_path):
    emulated.run("void (GPUDevice.prototype.createShaderModule = () => { throw 1; })")
    emulated.run("void (document.getElementById('photo-status').textContent = '')")
    noisy = np.random.default_rng(2).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(noisy).save(tmp_path / "small.png")
    emulated.drop("#photo", tmp_path / "small.png")
    said = emulated.wait("document.getElementById('photo-status').textContent")
    assert re.search(r"40 x 30 pixels in [0-9.]+ s[.;]", said)
