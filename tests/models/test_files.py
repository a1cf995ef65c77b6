import json
import os
import resource
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_dae
from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.models.architectures import Conv, DAESpec, plan
from keras_dae.models.builders import build, encoder
from keras_dae.models.files import inspect, load, save
from keras_dae.system.own import cache_dir, is_own

PRESETS = Path(keras_dae.__file__).parent / "presets"
SMALL = DAESpec(6, 1, (Conv(2, 4, 2),))
IMAGES = np.random.default_rng(0).random((4, 6, 6, 1), dtype=np.float32)


@pytest.fixture(scope="module")
def model():
    """A model that has taken three steps of training."""
    model = build(SMALL, seed=3)
    model.compile("adam", "mse")
    model.fit(IMAGES, IMAGES, batch_size=2, epochs=1, verbose=0)
    model.fit(IMAGES, IMAGES, batch_size=4, epochs=1, verbose=0)
    return model


@pytest.fixture
def saved(model, tmp_path):
    path = tmp_path / "model.keras"
    save(model, path)
    return path


def answer(model):
    return model.predict(IMAGES, verbose=0).tobytes()


# Round trips


def test_saving_on_torch_leaves_tensorflow_alone(tmp_path):
    """A process of its own, since others of these tests may have imported it."""
    code = """
import sys
from keras_dae.models.architectures import plan
from keras_dae.models.builders import build
from keras_dae.models.files import load, save
model = build(plan(1, 13))
model.compile("adam", "mse")
save(model, sys.argv[1], optimizer=True)
load(sys.argv[1])
print("tensorflow" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "model.keras"],
        env={**os.environ, "KERAS_BACKEND": "torch"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("optimizer", [False, True])
def test_a_loaded_model_answers_the_same_bits(model, tmp_path, optimizer):
    path = tmp_path / "new" / "model.keras"
    save(model, path, optimizer=optimizer)
    loaded = load(str(path))
    assert answer(loaded) == answer(model)
    assert loaded.name == "DAE_1_2"
    assert answer(keras.saving.load_model(path)) == answer(model)
    assert encoder(loaded).output_shape == (None, 2, 2, 2)


def test_the_optimizer_is_saved_only_when_asked_for(model, saved, tmp_path):
    full = tmp_path / "full.keras"
    save(model, full, optimizer=True)
    assert saved.stat().st_size < full.stat().st_size
    for without in (load(saved, compiled=True), load(full)):
        assert getattr(without, "optimizer", None) is None
    kept = load(full, compiled=True).optimizer
    assert int(kept.iterations) == int(model.optimizer.iterations) == 3


def test_training_goes_on_from_the_optimizer(model, tmp_path):
    path = tmp_path / "model.keras"
    save(model, path, optimizer=True)
    one, other = load(path, compiled=True), load(path, compiled=True)
    for loaded in (one, other):
        loaded.fit(IMAGES, IMAGES, batch_size=4, shuffle=False, verbose=0)
        assert int(loaded.optimizer.iterations) == 4
    assert answer(one) == answer(other) != answer(model)


def test_saving_leaves_the_model_as_it_was(model, tmp_path):
    before = answer(model), model.optimizer
    save(model, tmp_path / "model.keras")
    assert (answer(model), model.optimizer) == before


def test_inspect_gives_the_configuration(saved):
    assert inspect(saved)["config"]["name"] == "DAE_1_2"


@pytest.mark.parametrize("optimizer", [True, False])
def test_a_sequential_model_is_saved(tmp_path, optimizer):
    model = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Conv2D(1, 3)])
    save(model, tmp_path / "model.keras", optimizer=optimizer)
    assert answer(load(tmp_path / "model.keras")) == answer(model)


# Saving that fails


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt])
def test_a_failing_save_leaves_the_old_file(model, saved, monkeypatch, error):
    before = saved.read_bytes()

    def half(model, path, **kwargs):
        path.write_bytes(before[: len(before) // 2])
        raise error

    monkeypatch.setattr(keras.saving, "save_model", half)
    with pytest.raises((KerasDAEError, KeyboardInterrupt)):
        save(build(SMALL), saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


@pytest.mark.parametrize("room", [0, 1000, 4096, 10_000])
def test_no_room_for_the_file_is_one_sentence(saved, room):
    """Whatever the archive makes of it as it closes; a limit of this process."""
    before, limits = saved.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    assert room < len(before)
    model = build(SMALL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(KerasDAEError, match=r"Cannot write .*: File too large\."):
            save(model, saved)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_nowhere_to_save(model, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(KerasDAEError, match="Cannot write"):
        save(model, tmp_path / "file" / "model.keras")


def test_a_file_of_another_kind_is_not_saved(model, tmp_path):
    with pytest.raises(UsageError, match=r"model\.txt"):
        save(model, tmp_path / "model.txt")


# Damaged files


def cut(share):
    def damage(path):
        raw = path.read_bytes()
        path.write_bytes(raw[: int(len(raw) * share)])

    return damage


def flip(share):
    def damage(path):
        raw = bytearray(path.read_bytes())
        raw[int(len(raw) * share)] ^= 255
        path.write_bytes(raw)

    return damage


def rewrite(path, compression=zipfile.ZIP_STORED, **changed):
    """Write the archive anew; a member that is None is left out."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts.update({name.replace("__", "."): text for name, text in changed.items()})
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, text in parts.items():
            if text is not None:
                archive.writestr(name, text)


def member(**changed):
    return lambda path: rewrite(path, **changed)


def edit(change):
    """Change the configuration in a file."""

    def damage(path):
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
        rewrite(path, config__json=json.dumps(change(config)))

    return damage


def in_layer(**changed):
    """Change the first convolution in a configuration."""

    def change(config):
        config["config"]["layers"][1].update(changed)
        return config

    return edit(change)


def in_conv(**changed):
    """Change the first convolution's own configuration."""

    def change(config):
        config["config"]["layers"][1]["config"].update(changed)
        return config

    return edit(change)


LAMBDA = {"class_name": "__lambda__", "config": {"value": "4wAAAAA="}}
SYSTEM = {
    "module": "os",
    "class_name": "function",
    "config": "system",
    "registered_name": "function",
}


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.write_bytes(b""), "is empty"),
        (cut(0.02), "damaged or not a .keras file"),
        (cut(0.5), "damaged or not a .keras file"),
        (cut(0.999), "damaged or not a .keras file"),
        (flip(0.1), "damaged"),
        (flip(0.5), "damaged"),
        (lambda path: path.write_bytes(bytes(range(256)) * 40), "not a .keras file"),
        (lambda path: path.write_text("a text, renamed\n"), "not a .keras file"),
        (member(config__json=None), "not a model that keras saved"),
        (member(model__weights__h5=None), "not a model that keras saved"),
        (member(config__json="{"), "not a model that keras saved"),
        (member(config__json=b"\xff\xfe"), "not a model that keras saved"),
        (member(config__json="[" * 100_000), "not a model that keras saved"),
        (member(config__json="[1]"), "not a model"),
        (member(config__json='{"class_name": "Lambda", "config": {}}'), "'Lambda'"),
        (member(model__weights__h5="no weights"), "damaged"),
        (in_layer(class_name="Lambda"), "'Lambda'"),
        (in_layer(class_name="TorchModuleWrapper"), "'TorchModuleWrapper'"),
        (in_layer(class_name=None), "None"),
        (in_layer(module="os", class_name="Conv2D"), "damaged"),
        (in_conv(filters=7), "damaged"),
        (in_conv(activation=LAMBDA), "damaged"),
        (in_conv(activation=SYSTEM), "damaged"),
    ],
)
@pytest.mark.parametrize("compiled", [False, True])
def test_a_damaged_file_is_one_sentence(saved, damage, says, compiled):
    damage(saved)
    before = saved.read_bytes()
    with pytest.raises(KerasDAEError, match=says) as refused:
        load(saved, compiled=compiled)
    message = str(refused.value)
    assert str(saved) in message
    assert "\n" not in message
    assert message.endswith(".")
    assert saved.read_bytes() == before


def test_a_huge_configuration_is_not_read(saved):
    rewrite(saved, config__json=" " * (9 << 20))
    with pytest.raises(KerasDAEError, match="too large"):
        load(saved)


def encrypted(path):
    """Set the bit that says so in the central directory's first entry."""
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)


def bad_deflate(path):
    rewrite(path, zipfile.ZIP_DEFLATED)
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"metadata.json") + len("metadata.json")] = 0xFF
    path.write_bytes(raw)


@pytest.mark.parametrize(
    "damage",
    [
        encrypted,
        bad_deflate,
        in_layer(class_name=["Conv2D"]),
        edit(lambda config: {**config, "class_name": {}}),
        edit(lambda config: {**config, "config": {"layers": 5}}),
    ],
    ids=["encrypted", "bad deflate", "class a list", "class a dict", "layers a number"],
)
def test_an_odd_file_is_one_sentence(saved, damage):
    damage(saved)
    with pytest.raises(KerasDAEError, match=r"model\.keras"):
        load(saved)


@pytest.mark.parametrize("name", ["missing.keras", "."])
def test_no_file(tmp_path, name):
    with pytest.raises(UsageError, match="no model file"):
        load(tmp_path / name)


def test_code_in_a_file_is_never_run(tmp_path):
    """A Lambda layer that leaves a mark, saved by keras itself."""
    mark = tmp_path / "mark"
    image = keras.Input((6, 6, 1))
    body = keras.layers.Lambda(
        lambda x, mark=str(mark): open(mark, "w").close() or x,
        output_shape=(6, 6, 1),
    )
    path = tmp_path / "trap.keras"
    trap = keras.Model(image, body(image))
    keras.saving.save_model(trap, path)
    trap(IMAGES)
    mark.unlink()  # so it would have worked
    for compiled in (False, True):
        with pytest.raises(KerasDAEError, match="'Lambda'"):
            load(path, compiled=compiled)
    assert not mark.exists()


@pytest.mark.filterwarnings("ignore:The object being serialized:UserWarning")
def test_code_in_an_activation_is_never_run(saved, tmp_path):
    """A layer on the list may still carry a lambda."""
    mark = tmp_path / "mark"
    trap = keras.saving.serialize_keras_object(
        lambda x, mark=str(mark): open(mark, "w").close() or x
    )
    in_conv(activation=trap)(saved)
    keras.saving.load_model(saved, safe_mode=False)(IMAGES)
    mark.unlink()  # so it would have worked
    with pytest.raises(KerasDAEError, match=r"model\.keras"):
        load(saved)
    assert not mark.exists()


def test_code_in_a_nested_model_is_found(tmp_path):
    inner = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Lambda(lambda x: x)])
    image = keras.Input((6, 6, 1))
    path = tmp_path / "trap.keras"
    keras.saving.save_model(keras.Model(image, inner(image)), path)
    with pytest.raises(KerasDAEError, match="'Lambda'"):
        load(path)


def test_a_foreign_model_of_plain_layers_is_taken(tmp_path):
    foreign = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Conv2D(2, 3, padding="same"),
            keras.layers.BatchNormalization(),
            keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid"),
        ]
    )
    path = tmp_path / "foreign.keras"
    keras.saving.save_model(foreign, path)
    assert answer(load(path)) == answer(foreign)


def test_a_file_of_the_nine(tmp_path):
    model = build(plan(5, 5), seed=1)
    path = tmp_path / "model.keras"
    save(model, path)
    for one, other in zip(model.get_weights(), load(path).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def residual(image):
    return image - keras.layers.Conv2D(1, 3, padding="same")(image)


def operations(image):
    x = keras.ops.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)))
    x = keras.ops.concatenate([x, keras.ops.sqrt(keras.ops.abs(x))], axis=-1)
    x = keras.ops.relu(keras.layers.Conv2D(4, 3)(x))
    return keras.ops.clip(keras.ops.mean(x, axis=-1, keepdims=True), 0, 1)


@pytest.mark.parametrize("body", [residual, operations])
def test_operations_on_tensors_are_taken(tmp_path, body):
    """Models that the check of sizes refused for what it did not know."""
    image = keras.Input((6, 6, 1))
    foreign = keras.Model(image, body(image))
    path = tmp_path / "foreign.keras"
    keras.saving.save_model(foreign, path)
    assert answer(load(path)) == answer(foreign)


@pytest.mark.filterwarnings("ignore:The object being serialized:UserWarning")
def test_a_loss_of_the_user_s_own_is_in_the_way_of_training_alone(saved, tmp_path):
    model = load(saved)
    model.compile("adam", lambda truth, answer: keras.ops.mean(truth - answer))
    path = tmp_path / "own-loss.keras"
    keras.saving.save_model(model, path)
    assert answer(load(path)) == answer(model)
    with pytest.raises(KerasDAEError, match="contain no code"):
        load(path, compiled=True)


def test_what_was_saved_here_is_the_user_s_own(saved, tmp_path):
    """By its content, wherever it lies; any other file is a stranger's."""
    moved = shutil.copy(saved, tmp_path / "moved.keras")
    assert is_own(saved)
    assert is_own(moved)
    keras.saving.save_model(load(saved), tmp_path / "other.keras")
    assert not is_own(tmp_path / "other.keras")
    assert is_own(PRESETS / "DAE_1_5.keras")


def test_a_replaced_file_is_no_longer_on_the_list(model, saved):
    kept = list((cache_dir() / "own").iterdir())
    save(model, saved, card={"a": 1})
    found = list((cache_dir() / "own").iterdir())
    assert len(found) == len(kept)
    assert found != kept
