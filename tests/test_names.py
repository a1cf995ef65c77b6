"""Names of models, runs and data never become paths outside their folder."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from keras_dae.cli import main
from keras_dae.denoising.files import plan_jobs
from keras_dae.denoising.trained import find_model
from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.images.datasets import load
from keras_dae.images.noise import NOISES
from keras_dae.images.noise_words import parse_noise, short_label
from keras_dae.training.config import make_config
from keras_dae.training.runs import RunFolder, run_name

GOLDEN = Path(__file__).parent / "golden"
RUN = GOLDEN / "study" / "runs" / "npz-digits-DAE_1_5-seed0"
NAMES = [
    "../escaped", "../../escaped", "/tmp/escaped", "..", ".", "a/../../b", "..\\..\\b",
    "C:\\escaped", "a\0b", "x" * 5000, "CON", "nul.npz", "<script>alert(1)</script>",
    "~root", "-rf", "a\nb", "\N{SNOWMAN}" * 100, "%2e%2e%2fb", "aux:stream", "|true",
]  # fmt: skip
TYPED = [name for name in NAMES if "\0" not in name]  # what a shell can hand over
RESERVED = {"con", "prn", "aux", "nul", "com1", "lpt1"}


def is_plain(name: str) -> bool:
    """Whether a name stays in its folder on any system."""
    return (
        bool(name)
        and not set(name) & set('/\\\0:<>"|?*\n')
        and name not in (".", "..")
        and name.split(".")[0].lower() not in RESERVED
        and not name.startswith(("-", "~"))
        and len(name.encode()) <= 255
    )


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(part) for part in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stderr


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to work in, two below one that must stay as it is."""
    inner = tmp_path / "one" / "two"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    yield inner
    assert list(tmp_path.iterdir()) == [tmp_path / "one"]
    assert list((tmp_path / "one").iterdir()) == [inner]
    assert not Path("/tmp/escaped").exists()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["npz:{}", "npz:{}.npz", "folder:{}"])
def test_a_run_is_named_within_its_folder(name, kind):
    if "\0" in name and kind.startswith("folder"):
        pytest.skip("a folder's own name is looked up, and there is none of that name")
    data = kind.format(name)
    found = run_name(make_config({"data": data}), data)
    assert is_plain(found)


@given(st.text(min_size=1, max_size=300), st.integers(0, 2**63 - 1))
def test_any_data_name_gives_a_plain_run_name(text, seed):
    data = f"npz:{text}"
    assert is_plain(run_name(make_config({"data": data, "seed": seed}), data))


@pytest.mark.parametrize("name", TYPED)
def test_train_takes_no_name_for_a_path(place, name):
    for option in ("--data", "--model"):
        code, said = run("train", option, name, "--out", place / "runs")
        assert (code, said.count("\n")) == (2, 1), said
    code, said = run("train", "--data", f"npz:{name}", "--out", place / "runs")
    assert (code, "no data file" in said) == (2, True)
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("name", TYPED)
def test_evaluate_plot_and_compare_refuse_names(place, name):
    # A denoiser is also MODULE:FUNCTION, which is code of the user's own.
    commands = [["evaluate", "--", name], ["plot", "--", name]]
    commands += [["evaluate", "--data", name, "--", "none.keras"]]
    commands += [["compare", "--out", "out", "--denoiser", f"{name}.keras"]]
    commands += [["robustness", "--out", "out", "--", f"{name}.keras"]]
    commands += [["calibrate", "-o", "out.keras", "--", f"{name}.keras"]]
    commands += [["uncertainty", "--out", "out", "--", name]]
    commands += [["classify", "--out", "out", "--", name]]
    for command in commands:
        code, said = run(*command)
        assert code in (1, 2), (command, said)
        assert "Traceback" not in said
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_models_are_found_by_name_or_refused(place, name):
    with pytest.raises(UsageError, match=r"no (model|run)|There is"):
        find_model(name)
    with pytest.raises(UsageError):
        load(name)
    if "\0" in name:
        return
    image = place / "image.png"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(image)
    for command in (
        ["denoise", image, "-o", "out", "--model", name],
        ["export", "--format", "onnx", "-o", "out/x.onnx", "--", name],
        ["parity", "--", name],
    ):
        assert run(*command)[0] == 2
    assert list(place.iterdir()) == [image]


@pytest.mark.parametrize("name", ["<script>.png", "CON.png", "a b.png", "-.png"])
def test_outputs_of_denoise_stay_in_their_folder(place, name):
    (place / "in").mkdir()
    (place / "in" / name).write_bytes(b"")
    for source in ("in", f"in/{name}", f"../two/in/{name}", str(place / "in" / name)):
        for job in plan_jobs((source,), "out"):
            assert job.target.parent == Path("out")
            assert job.target.name == f"{Path(name).stem}.denoised.png"


@given(
    st.lists(
        st.builds("{}:{}".format, st.sampled_from(sorted(NOISES)), st.floats(0.01, 1)),
        min_size=1,
        max_size=3,
    )
)
def test_the_label_of_a_noise_is_plain(words):
    assert set(short_label(parse_noise("+".join(words)))) <= set(
        "abcdefghijklmnopqrstuvwxyz0123456789.+-"
    )


@pytest.mark.parametrize("name", NAMES)
def test_names_in_a_stranger_s_run_lead_nowhere(place, name):
    """What `config.json` calls its model and data is shown or refused."""
    folder = Path(shutil.copytree(RUN, place / "run"))
    record = json.loads((folder / "config.json").read_text())
    record["model"] = name
    record["dataset"]["name"] = name
    record["config"]["data"] = name
    (folder / "config.json").write_text(json.dumps(record))
    found = RunFolder(folder)
    assert is_plain(run_name(found.config(), f"npz:{name}"))
    for command in ("evaluate", "plot", "robustness", "classify", "compare"):
        code, said = run(command, folder, "--out", "out")
        assert code == 2, said
        assert "Traceback" not in said
    assert list(place.iterdir()) == [folder]


def test_a_stranger_s_model_name_is_no_model(place):
    folder = Path(shutil.copytree(RUN, place / "run"))
    record = json.loads((folder / "config.json").read_text())
    record["config"]["model"] = "../../escaped"
    (folder / "config.json").write_text(json.dumps(record))
    with pytest.raises(KerasDAEError, match="model should be"):
        RunFolder(folder).config()
