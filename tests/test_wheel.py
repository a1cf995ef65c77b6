"""The wheel: what is in it, and that the same tree gives the same bytes."""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest

pytest.importorskip("setuptools", minversion="77")
BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE", "keras_dae", "benchmarks")


def built(root, tree, mode, date, umask):
    """Build in a copy of the tree whose files have this mode and date."""
    tree.mkdir(parents=True)
    for name in BUILT_FROM:
        copy = shutil.copytree if (root / name).is_dir() else shutil.copy
        copy(root / name, tree / name)
    for path in tree.rglob("*"):
        if path.is_file():
            path.chmod(mode)
            os.utime(path, (date, date))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.build", "dist"],
        cwd=tree,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        umask=umask,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = (tree / "dist").glob("keras_dae-*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheels(request, tmp_path_factory):
    """Two wheels, each from a tree of its own that somebody checked out otherwise."""
    root, place = request.config.rootpath, tmp_path_factory.mktemp("wheels")
    return [
        built(root, place / "a", 0o644, 1_000_000_000, 0o022),
        built(root, place / "elsewhere" / "b", 0o600, 1_700_000_001, 0o077),
    ]


def test_the_same_tree_gives_the_same_bytes(wheels):
    one, other = wheels
    assert one.name == other.name
    assert one.read_bytes() == other.read_bytes()


def test_the_wheel_holds_all_files_of_the_package(request, wheels):
    root = request.config.rootpath
    with zipfile.ZipFile(wheels[0]) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    files = [path for path in (root / "keras_dae").rglob("*") if path.is_file()]
    files = [path for path in files if "__pycache__" not in path.parts]
    wanted = {path.relative_to(root).as_posix(): path.read_bytes() for path in files}
    assert {"keras_dae/py.typed", "keras_dae/presets/cards.json"} <= wanted.keys()
    assert any(name.startswith("keras_dae/study/report/templates/") for name in wanted)
    assert sum(name.endswith(".keras") for name in wanted) == 11
    assert {name: held.get(name) for name in wanted} == wanted
    others = [name for name in held if not name.startswith("keras_dae/")]
    assert all(".dist-info/" in name for name in others), others
