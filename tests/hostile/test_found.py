"""Inputs that a tester made without knowing the code: each is one sentence."""

import json
import os
import shutil
import struct
import zipfile
import zlib
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from keras_dae.denoising import denoise as denoising
from keras_dae.errors import KerasDAEError
from keras_dae.images.io import arrays, formats
from keras_dae.images.splits import Splits
from keras_dae.interchange.export import sample
from keras_dae.system import own
from keras_dae.training.config import RunConfig
from keras_dae.training.estimate import epoch_seconds
from tests.commands import run

RUN = Path(__file__).parents[1] / "golden/study/runs/npz-digits-DAE_1_5-seed0"
DIGITS = RUN.parents[2] / "digits.npz"


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    Image.fromarray(noise).save("good.png")
    return tmp_path


@pytest.fixture
def copy(place):
    """A copy of the golden run, whose records tests change."""
    folder = place / "run"
    shutil.copytree(RUN, folder)

    def change(name, **values):
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
        return folder

    return change


def refused(*words, code=1, stdin=None):
    """Return what a command says that refuses its input: one sentence."""
    done = run(*words, given=stdin)
    assert done.exit_code == code, done.output
    lines = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1, done.stderr
    assert len(lines[0]) < 600
    return lines[0]


def model_with_card(place, **card):
    shutil.copy(RUN / "model.keras", place / "c.keras")
    with zipfile.ZipFile(place / "c.keras", "a") as archive:
        archive.writestr("keras_dae.json", json.dumps({"schema": 1, **card}))
    return place / "c.keras"


def test_a_pipe_named_like_a_pattern(place):
    folder = place / "g"
    folder.mkdir()
    os.mkfifo(folder / "*.png")
    shutil.copy("good.png", folder / "a.png")
    assert "named pipe" in refused("denoise", "g/*", "-o", "o", "--strength", "0")
    assert (place / "o/a.denoised.png").is_file()


@pytest.mark.parametrize(
    "values",
    [
        5,
        {"dtype": "uint8"},
        {"dtype": "uint8", "low": "a", "high": 9},
        {"dtype": "uint8", "low": 5, "high": 5},
        {"dtype": "uint8", "low": 200, "high": 5},
        {"dtype": "float32", "low": -1e308, "high": 1e308},
        {"dtype": "float32", "low": 0, "high": 1e-320},
        {"dtype": "str", "low": 0, "high": 1},
    ],
    ids=str,
)
def test_a_range_that_cannot_be_used(place, copy, values):
    path = model_with_card(place, values=values)
    assert "c.keras" in refused("denoise", "good.png", "--model", path, "-o", "o")
    folder = copy("config.json", values=values)
    assert "config.json" in refused("denoise", "good.png", "--model", folder, "-o", "p")


def test_a_card_of_megabytes(place):
    path = model_with_card(place, data="x" * 3_000_000)
    assert "c.keras" in refused("denoise", "good.png", "--model", path, "-o", "o")


@pytest.mark.parametrize(
    "config",
    [
        {"name": "photo"},
        {"name": "photo", "layers": []},
        [1],
        {"name": "DAE_9999999_5"},
    ],
    ids=str,
)
def test_a_start_that_is_no_model(place, config):
    with zipfile.ZipFile(RUN / "model.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    whole = json.loads(members["config.json"])
    whole["config"] = config
    members["config.json"] = json.dumps(whole).encode()
    with zipfile.ZipFile("start.keras", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    words = ["train", "--data", "mnist5k", "--epochs", "1", "--out", "o"]
    done = run(*words, "--start", "start.keras")
    assert done.exit_code in (1, 2)
    lines = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1


@pytest.mark.parametrize(
    "figures", [[], [1e308, 1e308], [float("1e31")] * 2], ids=["none", "huge", "large"]
)
def test_a_history_that_cannot_be(place, copy, figures):
    shutil.copy(DIGITS, place)
    history = json.loads((RUN / "history.json").read_text())
    keys = ("loss", "val_loss", "seconds", "val_seconds", "learning_rate")
    changed = {key: [] for key in keys}
    if figures:
        changed = {"seconds": figures[:1] * len(history["loss"])}
    said = refused("evaluate", copy("history.json", **changed, live_maps=[]))
    assert ("holds no epoch" if not figures else "seconds in") in said


def test_a_run_on_no_images(copy):
    dataset = json.loads((RUN / "config.json").read_text())["dataset"]
    folder = copy("config.json", dataset={**dataset, "train": 0})
    assert "dataset.train" in refused("evaluate", folder)


def test_a_stride_that_no_tile_has(place):
    given = keras.Input((None, None, 1))
    x = layers.MaxPooling2D(8192, padding="same")(given)
    keras.Model(given, layers.UpSampling2D(8192)(x)).save("st.keras")
    assert "8,192" in refused("denoise", "good.png", "--model", "st.keras", "-o", "o")


def test_a_model_much_larger_than_the_image(place):
    given = keras.Input((4500, 4500, 1))
    keras.Model(given, layers.ReLU()(given)).save("m.keras")
    said = refused("denoise", "good.png", "--model", "m.keras", "-o", "o")
    assert "20 megapixels" in said


def test_an_export_of_a_model_of_huge_images(place):
    given = keras.Input((9000, 9000, 1))
    keras.Model(given, layers.ReLU()(given)).save("f.keras")
    with pytest.raises(KerasDAEError, match="9000 x 9000 x 1"):
        sample(Path("f.keras"))


def test_a_batch_that_does_not_fit_is_refused_before_it_is_tried(monkeypatch):
    images = np.zeros((70, 64, 64), np.uint8)
    images[:, 3, 3] = 1
    splits = Splits.from_arrays(images, images[:8])
    config = RunConfig(depth=1, latent=14, epochs=1)
    monkeypatch.setattr("keras_dae.training.estimate.memory", lambda: 1e6)
    with pytest.raises(KerasDAEError, match=r"--batch-size \d+ or smaller images fit"):
        epoch_seconds(config, splits)


def test_an_archive_that_inflates(place, monkeypatch):
    monkeypatch.setattr(arrays, "MAX_INFLATED", 1000)
    np.savez_compressed("z.npz", x_train=np.zeros((9, 28, 28), np.uint8))
    with pytest.raises(KerasDAEError, match=r"x_train in z.npz takes .* numpy.savez"):
        arrays.open_npz("z.npz")


def test_standard_input_is_bounded(place, monkeypatch):
    monkeypatch.setattr(formats, "MOST_STREAM", 1 << 20)
    said = refused(
        "denoise", "-", "-o", "x.png", "--strength", "0", stdin=bytes(1 << 21)
    )
    assert "is larger than 1 MiB" in said


def test_standard_input_is_read(place):
    given = Path("good.png").read_bytes()
    done = run("denoise", "-", "-o", "x.png", "--strength", "0", given=given)
    assert done.exit_code == 0, done.output
    assert (np.asarray(Image.open("x.png")) == np.asarray(Image.open("good.png"))).all()


def test_a_pipe_as_configuration(place):
    os.mkfifo("f.toml")
    said = refused("train", "--config", "f.toml", "--out", "o")
    assert "no regular file" in said


def test_a_sparse_file_is_not_hashed(place, monkeypatch):
    with Path("s.keras").open("wb") as file:
        file.write(b"PK\3\4")
        file.truncate(200 << 30)
    monkeypatch.setattr("hashlib.file_digest", lambda *_: pytest.fail("hashed"))
    assert not own.is_own("s.keras")


def test_a_png_file_of_many_chunks(place):
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(9 * 8)))
    many = chunk(b"abCd", b"") * 10_001
    content = b"\x89PNG\r\n\x1a\n" + head + many + pixels + chunk(b"IEND", b"")
    Path("c.png").write_bytes(content)
    assert "chunks of metadata" in refused("denoise", "c.png", "-o", "o")


def test_a_link_to_the_processes_of_the_machine(place):
    (place / "pl").mkdir()
    (place / "pl/p").symlink_to("/proc")
    shutil.copy("good.png", "pl/a.png")
    said = refused("denoise", "pl", "-o", "o", "--strength", "0")
    assert "is not followed" in said
    assert (place / "o/a.denoised.png").is_file()


def test_an_output_that_exists_is_kept(place):
    for name in ("rows.csv", "rows.npz"):
        Path(name).write_text("mine")
        said = refused("evaluate", RUN, "--per-image", name, code=2)
        assert "--overwrite" in said
        assert Path(name).read_text() == "mine"
    for option in ("--csv", "--markdown"):
        said = refused("compare", RUN, option, "rows.csv", code=2)
        assert "--overwrite" in said


def test_a_table_of_an_unknown_format_is_refused_before_any_work(place):
    said = refused("evaluate", RUN, "--per-image", "rows.txt", code=2)
    assert ".csv or .npz" in said
    assert not Path("rows.txt").exists()


def test_an_input_is_never_an_output(place):
    shutil.copy(RUN / "model.keras", "m.keras")
    before = Path("m.keras").read_bytes()
    words = ["evaluate", "m.keras", "--per-image", "m.keras", "--overwrite"]
    refused(*words, code=2)
    words = ["denoise", "good.png", "-o", "o", "--compare", "good.png", "--overwrite"]
    refused(*words, code=2)
    words[words.index("--compare") + 1] = "o/good.denoised.png"
    refused(*words, code=2)
    assert Path("m.keras").read_bytes() == before


def test_a_name_of_two_lines(place):
    shutil.copy("good.png", "new\nError: line.png")
    Path("new\nError: line.png").write_bytes(b"no image")
    said = refused("denoise", "new\nError: line.png", "-o", "o")
    assert r"new\nError: line.png" in said


def test_what_nobody_foresaw_is_one_sentence(place, monkeypatch):
    def fails(*_, **__):
        raise RecursionError("maximum depth")

    monkeypatch.delenv("KERAS_DAE_TRACEBACK")
    monkeypatch.setattr(denoising, "_open", fails)
    shutil.copy("good.png", "other.png")
    done = run("denoise", "good.png", "other.png", "-o", "o", "--json")
    assert done.exit_code == 1
    rows = json.loads(done.stdout)["images"]
    words = "failed unexpectedly (RecursionError: maximum depth)"
    assert [words in row["reason"] for row in rows] == [True, True]
    monkeypatch.setattr("keras_dae.commands.images._refused", fails)
    said = refused("denoise", "good.png", "-o", "o")
    assert "RecursionError" in said
    monkeypatch.setenv("KERAS_DAE_TRACEBACK", "1")
    assert isinstance(run("denoise", "good.png", "-o", "o").exception, RecursionError)
