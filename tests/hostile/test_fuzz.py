"""What fuzzing found is read again, and each parser meets a few inputs more."""

import io
import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_dae.errors import KerasDAEError
from keras_dae.images.io.arrays import read_idx, read_npz
from keras_dae.images.io.formats import encoded, read_picture
from keras_dae.images.noise_words import describe_noise, noise_label, parse_noise
from keras_dae.system.storage import (
    MAX_DEPTH,
    dump_json,
    parse_json,
    read_json,
    write_json,
)
from keras_dae.training.config import make_config, option_arguments
from tests.hostile.data import idx
from tests.hostile.fuzz import CORPUS, COUNTS, NAMES, checked
from tests.hostile.pictures import encoded as made
from tests.hostile.targets import TARGETS

shortly = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def read(name: str, data: bytes, folder: Path) -> bool:
    """Whether a parser takes the input; a finding comes out as it is."""
    try:
        checked(TARGETS[name].run, data, folder, KerasDAEError)
    except KerasDAEError:
        return False
    return True


def test_each_target_was_fuzzed():
    kept = json.loads(COUNTS.read_text())["targets"]
    assert set(kept) == set(TARGETS) == set(NAMES)
    for row in kept.values():
        assert row["executions"] > 10_000
        assert row["cpu_seconds"] >= 600


@pytest.mark.parametrize("name", NAMES)
def test_the_corpus_holds_no_finding(name, tmp_path):
    inputs = sorted((CORPUS / name).iterdir())
    assert inputs
    for path in inputs:
        read(name, path.read_bytes(), tmp_path)


def test_the_corpus_is_small():
    assert (
        sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 1e6
    )


@pytest.mark.parametrize("name", NAMES)
def test_what_fuzzing_starts_from_is_read(name, tmp_path):
    assert all(read(name, seed, tmp_path) for seed in TARGETS[name].seeds())


@pytest.mark.parametrize("name", NAMES)
@shortly
@given(data=st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(name, tmp_path, data):
    read(name, data, tmp_path)


@pytest.mark.parametrize("name", NAMES)
@shortly
@given(seed=st.integers(0, 2**32))
def test_damaged_files_are_read_or_refused(name, tmp_path, seed):
    rng = random.Random(seed)
    data = bytearray(rng.choice(TARGETS[name].seeds()))
    for _ in range(rng.choice((1, 1, 2, 8))):
        place = rng.randrange(len(data))
        match rng.randrange(4):
            case 0:
                data[place] = rng.randrange(256)
            case 1:
                del data[place:]
                data += b"\0"
            case 2:
                data[place:place] = data[: rng.randrange(1, 40)]
            case _:
                del data[place : place + rng.randrange(1, 40)]
                data += b"\xff"
    read(name, bytes(data), tmp_path)


# What is written comes back.

numbers = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1)
numbers |= st.floats(
    allow_nan=False, allow_infinity=False, min_value=-1e18, max_value=1e18
)
texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    numbers | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=20,
)


@shortly
@given(value=st.dictionaries(texts.filter(lambda key: key != "schema"), values))
def test_json_comes_back(tmp_path, value):
    write_json(tmp_path / "record.json", value)
    assert read_json(tmp_path / "record.json") == {"schema": 1, **value}


@shortly
@given(depth=st.integers(1, 300))
def test_json_is_as_deep_as_allowed(depth):
    text = ("[" * depth + "]" * depth).encode()
    if depth <= MAX_DEPTH:
        assert "".join(dump_json(parse_json(text)).split()) == text.decode()
    else:
        with pytest.raises(ValueError, match="deep"):
            parse_json(text)


strengths = st.floats(0.001, 1).map(lambda value: f"{value!r}")
parts = st.builds(
    "{}:{}".format,
    st.sampled_from(["gaussian", "salt-pepper", "poisson", "masking", "blur"]),
    strengths,
)


@shortly
@given(words=st.lists(parts, min_size=1, max_size=4))
def test_a_noise_is_what_its_text_says(words):
    described = describe_noise(parse_noise("+".join(words)))
    found = described.get("parts", [described])
    assert [part["kind"] for part in found] == [word.split(":")[0] for word in words]
    for part, word in zip(found, words, strict=True):
        assert list(part.values())[1] == float(word.split(":")[1])
    assert noise_label(described).count(" then ") == len(words) - 1


@shortly
@given(
    depth=st.integers(1, 64),
    epochs=st.integers(1, 10**6),
    seed=st.integers(0, 2**63 - 1),
    sigma=st.floats(0, 1e6),
    clip=st.booleans(),
)
def test_a_configuration_comes_back_from_its_options(depth, epochs, seed, sigma, clip):
    config = make_config(
        {"depth": depth, "epochs": epochs, "seed": seed, "sigma": sigma, "clip": clip}
    )
    assert make_config(config.model_dump()) == config
    given = option_arguments(config)
    assert given[given.index("--seed") + 1] == str(seed)
    assert ("--clip" in given) == clip == ("--no-clip" not in given)


shapes = st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6))


@shortly
@given(shape=shapes, seed=st.integers(0, 99))
def test_arrays_come_back(tmp_path, shape, seed):
    images = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    (tmp_path / "images.gz").write_bytes(idx(shape, images.tobytes()))
    np.testing.assert_array_equal(read_idx(tmp_path / "images.gz"), images)
    np.savez_compressed(tmp_path / "data.npz", x_train=images, x_test=images[:1])
    found = read_npz(tmp_path / "data.npz")
    np.testing.assert_array_equal(found.x_train, images)
    np.testing.assert_array_equal(found.x_test, images[:1])


@shortly
@given(shape=shapes, kind=st.sampled_from(["PNG", "BMP", "WEBP", "TIFF", "NPY"]))
def test_pictures_come_back(shape, kind):
    grey = np.arange(shape[1] * shape[2], dtype=np.uint8).reshape(shape[1:])
    # A lossy WebP file loses something each time; tests/images/test_carried.py has it.
    exact = {"lossless": True} if kind == "WEBP" else {}
    picture = read_picture(io.BytesIO(made(kind, grey, **exact)))
    (page,), (again,) = picture.pages, read_picture(io.BytesIO(encoded(picture))).pages
    np.testing.assert_array_equal(again.values, page.values)
    np.testing.assert_array_equal(page.values[..., :1], grey[..., None])
