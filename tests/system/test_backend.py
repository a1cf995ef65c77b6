"""The backend in use, whatever the order of imports; what a record says of it."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

import keras_dae
from keras_dae.cli import main
from keras_dae.errors import UsageError
from keras_dae.system import backend

NO_TENSORFLOW = 'import sys; sys.modules["tensorflow"] = None\n'
# torch for CUDA and tensorflow, as their records and modules look to a program.
CUDA = """
import importlib.metadata, sys, types
sys.modules["tensorflow"] = types.ModuleType("tensorflow")
versions = importlib.metadata.version
importlib.metadata.version = lambda name: "2.6.0" if name == "torch" else versions(name)
"""
TRAIN = """
import json, pathlib
import numpy as np
from keras_dae.images.datasets import Arrays, split
images = np.random.default_rng(0).integers(0, 256, (40, 28, 28), dtype="uint8")
splits = split("images", Arrays(images[:30], None, images[30:], None), "0" * 64, 0)
config = kd.make_config({"depth": 1, "latent": 13, "epochs": 1, "batch_size": 16})
folder = kd.fit(config, splits, pathlib.Path("runs"))
record = json.loads(folder.environment_path.read_text())
print(keras.backend.backend(), record["backend"], "torch" in sys.modules)
"""


def child(code, folder, **more):
    """Run code in a process that no backend was chosen for."""
    environment = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
    root = str(Path(keras_dae.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "PYTHONPATH": root, **more},
        cwd=folder,
        capture_output=True,
        text=True,
    )


def last_line(code, folder, **more):
    done = child(code, folder, **more)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("installed", ["tensorflow", "torch", "jax"])
def test_keras_imported_first_says_which_backend_trains(installed, tmp_path):
    """Its settings file decides, and torch is not imported after tensorflow."""
    pytest.importorskip(installed)
    (tmp_path / "keras.json").write_text(json.dumps({"backend": installed}))
    code = f"import sys\nimport keras\nimport keras_dae as kd\n{TRAIN}"
    said = last_line(code, tmp_path, KERAS_HOME=str(tmp_path))
    assert said == f"{installed} {installed} {installed == 'torch'}"


def test_an_import_of_keras_that_failed_can_be_made_after_ours(tmp_path):
    code = (
        f"{NO_TENSORFLOW}try:\n    import keras\nexcept ImportError:\n"
        "    import keras_dae\n    import keras\n    print(keras.backend.backend())"
    )
    assert last_line(code, tmp_path, KERAS_HOME=str(tmp_path)) == "torch"


def test_a_backend_that_cannot_train_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(backend, "in_use", lambda: "numpy")
    with pytest.raises(UsageError, match=r"cannot train; import keras_dae first, or"):
        backend.name()


def test_torch_for_cuda_is_not_imported_after_tensorflow(tmp_path):
    code = f"{CUDA}import keras_dae\nfrom keras_dae.system import backend\nimport os\n"
    assert last_line(f"{code}print(os.environ['KERAS_BACKEND'])", tmp_path) == (
        "tensorflow"
    )
    done = child(code, tmp_path, KERAS_BACKEND="torch")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "keras_dae.errors.UsageError: KERAS_BACKEND=torch, but tensorflow was imported "
        "first, and torch for CUDA can crash when it is imported after tensorflow; "
        "import keras_dae before tensorflow."
    )


@pytest.mark.parametrize(
    ("build", "wanted"), [("2.13.0+cpu", "torch"), ("2.6.0", "tensorflow")]
)
def test_only_torch_for_cuda_gives_way(build, wanted, tmp_path):
    code = CUDA.replace('"2.6.0"', repr(build))
    code += "import keras_dae, os\nprint(os.environ['KERAS_BACKEND'])"
    if sys.platform == "darwin":
        pytest.skip("torch for macOS has no CUDA")
    assert last_line(code, tmp_path) == wanted


@pytest.mark.parametrize(
    ("variable", "threads"), [("4,2", 4), (" 3 ", 3), ("many", None), ("0", None)]
)
def test_threads_are_the_first_number_of_the_variable(variable, threads, monkeypatch):
    monkeypatch.setattr(backend, "name", lambda: "jax")
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert backend.threads() == (threads or backend.available_cores())


def git(folder, *words):
    who = ["-c", "user.name=n", "-c", "user.email=n@example.org"]
    return subprocess.run(
        ["git", *who, *words], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """A user's repository with one commit, and this package in its environment."""
    git(tmp_path, "init", "-q")
    (tmp_path / "own.py").write_text("")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "own")
    return tmp_path


def package_in(place):
    place.mkdir(parents=True, exist_ok=True)
    for name in ("__init__", "backend", "errors"):
        source = Path(keras_dae.__file__).parent / f"{name}.py"
        if source.exists():
            shutil.copy(source, place / source.name)
    return place


@pytest.mark.parametrize("inside", ["env/lib/site-packages", "."])
def test_the_commit_is_not_that_of_a_users_repository(inside, repository, monkeypatch):
    place = package_in(repository / inside / "keras_dae")
    monkeypatch.setattr(backend, "_PACKAGE", place)
    assert backend.commit() is None
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "vendored")
    # Tracked at the top, it is the package's own checkout.
    commit = git(repository, "rev-parse", "--short=12", "HEAD")
    assert backend.commit() == (commit if inside == "." else None)


def test_the_commit_is_of_the_package_whatever_git_is_told(repository, monkeypatch):
    before = backend.commit()
    monkeypatch.setenv("GIT_DIR", str(repository / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(repository))
    assert backend.commit() == before


def test_a_command_runs_in_a_thread(tmp_path):
    """Only the main thread may set signals; a notebook's server uses others."""
    results = []
    work = threading.Thread(
        target=lambda: results.append(CliRunner().invoke(main, ["models"]))
    )
    work.start()
    work.join()
    assert results[0].exit_code == 0, results[0].output
