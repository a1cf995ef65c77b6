"""The command `denoise`: what it reads and writes, and what it says of a mistake."""

import io
import json
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from PIL import Image

from keras_dae.cli import main
from keras_dae.evaluation.metrics import ssim
from keras_dae.images.io import formats
from keras_dae.images.noise import make_noise

RNG = np.random.default_rng(0)
OPTIONS = ["--model", "DAE_1_5", "--threads", "1"]


def run(*arguments, given=None):
    words = ["denoise", *OPTIONS, *(str(argument) for argument in arguments)]
    return CliRunner().invoke(main, words, input=given)


def summary(result, code=0):
    """Return what --json printed; check how the command ended."""
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return json.loads(result.stdout)


def errors(result):
    """Return the lines that say what is wrong."""
    assert "Traceback" not in result.output
    return [line for line in result.stderr.splitlines() if line.startswith("Error")]


def pixels(height=28, width=28, channels=None):
    shape = (height, width) if channels is None else (height, width, channels)
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path):
    """A folder of two images, one of them in a folder of its own, and a text."""
    inside = tmp_path / "images"
    (inside / "deep").mkdir(parents=True)
    (inside / "a.png").write_bytes(png(pixels()))
    (inside / "deep" / "b.png").write_bytes(png(pixels(30, 33, 3)))
    (inside / "notes.txt").write_text("no image")
    return inside


def names(out: Path):
    return sorted(
        str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()
    )


# What is read, what is written


def test_files_folders_and_patterns(folder, tmp_path):
    expected = {
        "folder": ([folder], ["a.denoised.png", "deep/b.denoised.png"]),
        "file": ([folder / "a.png"], ["a.denoised.png"]),
        "pattern": ([folder / "**" / "*.png"], ["a.denoised.png", "b.denoised.png"]),
        "both": ([folder, folder / "a.png"], ["a.denoised.png", "deep/b.denoised.png"]),
    }
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    for name, (inputs, made) in expected.items():
        out = tmp_path / name
        found = summary(run(*inputs, "-o", out, "--json"))
        assert names(out) == made
        assert (found["done"], found["failed"]) == (len(made), 0)
        assert [row["state"] for row in found["images"]] == ["done"] * len(made)
        assert sorted(row["output"] for row in found["images"]) == sorted(
            str(out / name) for name in made
        )
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before


def test_outputs_are_of_the_inputs_kind_and_changed(folder, tmp_path):
    run(folder, "-o", tmp_path / "out")
    for name in ("a", "deep/b"):
        given = Image.open(folder / f"{name}.png")
        made = Image.open(tmp_path / "out" / f"{name}.denoised.png")
        assert (made.format, made.mode, made.size) == ("PNG", given.mode, given.size)
        # Noise is what differs from one pixel to the next.
        rough = [
            np.abs(np.diff(np.asarray(one, float))).mean() for one in (made, given)
        ]
        assert rough[0] < 0.5 * rough[1]


def test_one_file_to_one_file_and_each_name_once(folder, tmp_path):
    assert run(folder / "a.png", "-o", tmp_path / "new" / "b.png").exit_code == 0
    assert names(tmp_path / "new") == ["b.png"]
    (folder / "deep" / "a.png").write_bytes(png(pixels()))
    result = run(folder / "a.png", folder / "deep" / "a.png", "-o", tmp_path / "o")
    (line,) = errors(result)
    assert "its output" in line
    assert "is also that of" in line
    assert result.exit_code == 1
    assert names(tmp_path / "o") == ["a.denoised.png"]


def test_standard_input_and_output(tmp_path):
    content = png(pixels(9, 12, 3))
    result = run("-", "-o", "-", given=content)
    assert result.exit_code == 0, result.stderr
    with Image.open(io.BytesIO(result.stdout_bytes)) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (12, 9))
    assert "1 of 1 denoised" in result.stderr
    told = run("-", "-o", "-", "--json", given=content)
    assert told.stdout_bytes == result.stdout_bytes
    written = run("-", "-o", tmp_path / "a.png", given=content)
    assert written.exit_code == 0
    assert (tmp_path / "a.png").read_bytes() == result.stdout_bytes
    bad = run("-", "-o", "-", given=b"no image")
    assert bad.exit_code == 1
    assert bad.stdout_bytes == b""
    assert "standard input: is not in a supported image" in errors(bad)[0]


def test_nothing_is_overwritten_unasked(folder, tmp_path):
    out = tmp_path / "out"
    run(folder, "-o", out)
    (out / "a.denoised.png").write_bytes(b"mine")
    result = run(folder, "-o", out)
    assert result.exit_code == 1
    assert len(errors(result)) == 2
    assert all("exists; --overwrite replaces it" in line for line in errors(result))
    assert (out / "a.denoised.png").read_bytes() == b"mine"
    assert run(folder, "-o", out, "--overwrite").exit_code == 0
    assert (out / "a.denoised.png").read_bytes() != b"mine"
    # What was made before is no input, where it lies among the inputs.
    found = summary(run(folder, "-o", folder, "--json"))
    assert found["done"] == 2
    assert summary(run(folder, "-o", folder, "--overwrite", "--json"))["done"] == 2


def test_an_input_is_never_its_own_output(folder):
    path = folder / "a.png"
    before = path.read_bytes()
    (line,) = errors(run(path, "-o", path, "--overwrite"))
    assert "its output would replace the input" in line
    assert path.read_bytes() == before


def test_added_noise_is_in_the_outputs_name(folder, tmp_path):
    noise = ["--add-noise", "salt-pepper:0.2", "--seed", "4"]
    for out in ("one", "two"):
        assert run(folder / "a.png", "-o", tmp_path / out, *noise).exit_code == 0
    name = "a.salt-pepper-0.2.denoised.png"
    assert names(tmp_path / "one") == [name]
    first, again = ((tmp_path / out / name).read_bytes() for out in ("one", "two"))
    assert first == again
    (line,) = errors(run(folder / "a.png", "-o", tmp_path / "b.png", *noise))
    assert "b.salt-pepper-0.2.denoised.png" in line
    assert not (tmp_path / "b.png").exists()


def test_a_comparison_with_the_clean_image(tmp_path, digits):
    clean = digits.test[0, ..., 0]
    noisy = make_noise("gaussian", sigma=0.3)(clean[None, ..., None] / 255.0, RNG)
    noisy = np.rint(255 * noisy[0, ..., 0]).astype(np.uint8)
    for name, array in (("clean", clean), ("noisy", noisy)):
        Image.fromarray(array).save(tmp_path / f"{name}.png")
    picture, out = tmp_path / "seen.png", tmp_path / "out.png"
    words = [tmp_path / "noisy.png", "-o", out, "--clean", tmp_path / "clean.png"]
    (row,) = summary(run(*words, "--compare", picture, "--json"))["images"]
    answer = np.asarray(Image.open(out))
    for array, measured in ((noisy, row["input_metrics"]), (answer, row["metrics"])):
        error = np.mean(np.square(array / 255.0 - clean / 255.0))
        assert measured["mse"] == pytest.approx(error, rel=1e-5)
        assert measured["psnr"] == pytest.approx(-10 * np.log10(error), rel=1e-5)
        both = [a[None, ..., None].astype(np.float32) / 255 for a in (clean, array)]
        assert measured["ssim"] == pytest.approx(ssim(*both)[0], abs=1e-5)
    with Image.open(picture) as image:
        assert image.format == "PNG"
        assert image.width > 3 * image.height  # four panels beside each other
    picture.write_bytes(b"mine")
    out.unlink()
    assert "exists; --overwrite" in errors(run(*words, "--compare", picture))[0]
    assert picture.read_bytes() == b"mine"
    assert not out.exists()
    assert run(*words, "--overwrite", "--compare", picture).exit_code == 0
    assert picture.read_bytes() != b"mine"


def test_the_table_says_what_became_of_each(folder, tmp_path):
    (folder / "bad.png").write_bytes(b"")
    result = run(folder, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "2 of 3 denoised" in result.stdout
    assert "33x30 RGB" in result.stdout
    assert "is empty (0 bytes)" in result.stdout


# What it does


def test_a_digit_comes_out_with_a_sixth_of_its_error(tmp_path, digits):
    noise = make_noise("gaussian", sigma=0.5)
    clean = digits.test[:4].astype(np.float32) / 255
    noisy = np.rint(255 * noise(clean, np.random.default_rng(1))).astype(np.uint8)
    for number, image in enumerate(noisy):
        Image.fromarray(image[..., 0]).save(tmp_path / f"{number}.png")
    words = ["--model", "DAE_5_13", "-o", tmp_path / "out", "--json"]
    result = run(*sorted(tmp_path.glob("*.png")), *words)
    assert summary(result)["done"] == 4
    assert "Warning" not in result.stderr  # these are what it was trained on
    for number, image in enumerate(noisy):
        answer = np.asarray(Image.open(tmp_path / "out" / f"{number}.denoised.png"))
        before, after = (
            np.mean(np.square(array / 255.0 - clean[number, ..., 0]))
            for array in (image[..., 0], answer)
        )
        assert before > 6 * after


def test_an_unlike_image_is_warned_of_once_with_the_estimate(tmp_path):
    ramp = np.linspace(90, 250, 64 * 64).reshape(64, 64)
    for name in ("a.png", "b.png"):
        noisy = np.clip(ramp + RNG.normal(0, 10, ramp.shape), 0, 255)
        Image.fromarray(noisy.astype(np.uint8)).save(tmp_path / name)
    result = run(tmp_path, "-o", tmp_path / "out")
    assert result.exit_code == 0
    (line,) = [line for line in result.stderr.splitlines() if "Warning" in line]
    assert "a.png is unlike what the model was trained on (mnist, gaussian" in line
    told = float(line.split("estimated noise ")[1].split()[0])
    assert told == pytest.approx(10 / 255, rel=0.15)
    rows = summary(run(tmp_path, "-o", tmp_path / "again", "--json"))["images"]
    assert all("unlike" in row["warning"] for row in rows)
    assert rows[0]["estimate"]["sigma"] == pytest.approx(told, abs=5e-4)


# What is damaged


def bomb():
    """Return few bytes whose header says 40,000 x 40,000 pixels."""
    content = bytearray(png(pixels()))
    content[16:24] = (40_000).to_bytes(4) * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4)
    return bytes(content)


def not_a_number():
    buffer = io.BytesIO()
    array = np.full((28, 28), 0.5, np.float32)
    array[3:8] = np.nan
    tifffile.imwrite(buffer, array)
    return buffer.getvalue()


DAMAGED = {
    "bomb.png": (bomb, "claims to hold 1,600 megapixels"),
    "empty.png": (lambda: b"", "is empty (0 bytes)"),
    "locked.png": (lambda: png(pixels()), "cannot be read: Permission denied"),
    "named.jpg": (lambda: png(pixels()), "is a PNG image, unlike its name"),
    "nan.tif": (not_a_number, "not finite (NaN or infinity)"),
    "text.png": (
        lambda: b"a letter, not an image",
        "is not in a supported image format",
    ),
    "truncated.png": (lambda: png(pixels())[:300], "damaged or truncated PNG"),
}
WHOLE = {"one.png": (1, 1), "small.png": (5, 9), "good.png": (28, 28)}


@pytest.fixture
def damaged(tmp_path, monkeypatch):
    """A folder of all of them. Root may read any file, so one refusal is played."""
    inside = tmp_path / "damaged"
    inside.mkdir()
    for name, (make, _) in DAMAGED.items():
        (inside / name).write_bytes(make())
    for name, size in WHOLE.items():
        (inside / name).write_bytes(png(pixels(*size)))
    found = formats.file_problem

    def refusing(path):
        locked = path.name == "locked.png"
        return "cannot be read: Permission denied" if locked else found(path)

    monkeypatch.setattr(formats, "file_problem", refusing)
    return inside


def test_damaged_files_are_a_sentence_each_and_the_others_are_done(damaged, tmp_path):
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "notes.txt").write_text("no image")
    inputs = [damaged, tmp_path / "bare", tmp_path / "gone.png", tmp_path / "*.webp"]
    wanted = {str(damaged / name): words for name, (_, words) in DAMAGED.items()} | {
        str(inputs[1]): "there is no image in this folder",
        str(inputs[2]): "there is no such file",
        str(inputs[3]): "no file matches this pattern",
    }
    out = tmp_path / "out"
    result = run(*inputs, "-o", out, "--json")
    found = summary(result, code=1)
    assert (found["done"], found["failed"]) == (len(WHOLE), len(wanted))
    rows = {row["input"]: row for row in found["images"]}
    assert set(rows) == {*wanted, *(str(damaged / name) for name in WHOLE)}
    assert len(errors(result)) == len(wanted)
    for name, words in wanted.items():
        row = rows[name]
        assert (row["state"], row["output"]) == ("failed", None)
        assert words in row["reason"]
        assert f"Error: {name}: {row['reason']}." in errors(result)
    assert names(out) == sorted(f"{Path(n).stem}.denoised.png" for n in WHOLE)
    for name, (height, width) in WHOLE.items():
        with Image.open(out / f"{Path(name).stem}.denoised.png") as image:
            assert image.size == (width, height)


def test_the_table_of_a_damaged_batch(damaged, tmp_path):
    result = run(damaged, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert f"{len(WHOLE)} of {len(DAMAGED) + len(WHOLE)} denoised" in result.stdout
    assert result.stdout.count("failed") == len(DAMAGED)
    assert len(errors(result)) == len(DAMAGED)


def test_a_clean_image_of_another_shape(tmp_path):
    (tmp_path / "a.png").write_bytes(png(pixels()))
    (tmp_path / "b.png").write_bytes(png(pixels(28, 29)))
    words = [tmp_path / "a.png", "-o", tmp_path / "out.png", "--clean"]
    result = run(*words, tmp_path / "b.png")
    assert result.exit_code == 1
    assert "(28, 29, 1)" in errors(result)[0]
    assert not (tmp_path / "out.png").exists()


BAD_USE = [
    (["a.png", "-o", "out", "--model", "DAE_9_9"], "There is no model DAE_9_9"),
    (["a.png", "-o", "out", "--overlap", "28"], "overlap must be from 0 to 27"),
    (["a.png", "-o", "out", "--range", "5,1"], "two numbers LOW..HIGH, not '5,1'"),
    (["a.png", "-o", "out", "--add-noise", "fog"], "fog"),
    (["a.png", "-o", "out.jpg"], "keeps the format of"),
    (["a.png", "-o", "out", "--compare", "seen.jpg"], "writes a .png file"),
    (["a.png", "b.png", "-o", "out.png"], "Give a folder for several inputs"),
    (["a.png", "b.png", "-o", "-"], "Standard output takes a single image"),
    (
        ["a.png", "b.png", "-o", "out", "--compare", "c.png"],
        "need a single input image",
    ),
    (["a.png", "-o", "text"], "The output must be a folder or a file in a"),
    (["a.png", "-o", "out.gif"], "in a supported image format: PNG"),
    (["a.png", "-o", "out", "--seed", "3"], "--seed needs --add-noise"),
    (["a.png", "-o", "out", "--clean", "text"], "--clean text is not in a supported"),
    (["-", "-o", "out"], "must be a file or '-'"),
]


@pytest.mark.parametrize(("words", "named"), BAD_USE, ids=lambda value: str(value)[:40])
def test_wrong_use_is_one_sentence_and_writes_nothing(
    tmp_path, monkeypatch, words, named
):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        Path(name).write_bytes(png(pixels()))
    Path("text").write_text("a file")
    result = run(*words)
    assert result.exit_code == 2
    (line,) = errors(result)
    assert named in line
    assert names(tmp_path) == ["a.png", "b.png", "text"]


# What it costs

# Of data, beside what a small image took. The large one takes 18 as it is stored and
# 72 as float32: twice that would not fit.
MEGABYTES = 120
CHILD = """
import os, resource, sys
import numpy as np
from click.testing import CliRunner
from keras_dae.cli import main
os.chdir(sys.argv[1])

def denoise(name):
    words = [name, "-o", "out", "--model", "DAE_1_5", "--overlap", "2"]
    result = CliRunner().invoke(main, ["denoise", *words, "--threads", "1"])
    print(result.stdout, result.stderr, file=sys.stderr)
    return result.exit_code

assert denoise("small.png") == 0  # everything is imported and warm
status = open("/proc/self/status").read()
taken = 1024 * int(status.split("VmData:")[1].split()[0])
limit = taken + MEGABYTES * 1_000_000
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    np.empty(MEGABYTES * 1_100_000, np.uint8)
except MemoryError:
    sys.exit(denoise("large.png"))
sys.exit("the limit does not hold")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads and limits memory of Linux")
def test_a_large_image_takes_little_memory(tmp_path):
    (tmp_path / "small.png").write_bytes(png(pixels(64, 64, 3)))
    row = pixels(1, 3000, 3)
    (tmp_path / "large.png").write_bytes(png(np.repeat(row, 2000, axis=0)))
    code = CHILD.replace("MEGABYTES", str(MEGABYTES))
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    with Image.open(tmp_path / "out" / "large.denoised.png") as image:
        assert (image.size, image.mode) == ((3000, 2000), "RGB")
