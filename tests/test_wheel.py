"""The wheel holds what the package reads beside its modules."""

import shutil
import subprocess
import sys
import zipfile

import pytest

pytest.importorskip("setuptools", minversion="77")
BUILD = "from setuptools import build_meta\nbuild_meta.build_wheel('dist')"


def test_the_wheel_holds_all_files_of_the_package(request, tmp_path):
    """Built from a copy, so that nothing is left in the tree."""
    root = request.config.rootpath
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, tmp_path)
    shutil.copytree(
        root / "keras_dae",
        tmp_path / "keras_dae",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    done = subprocess.run(
        [sys.executable, "-c", BUILD], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = (tmp_path / "dist").glob("keras_dae-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    files = [path for path in (root / "keras_dae").rglob("*") if path.is_file()]
    files = [path for path in files if "__pycache__" not in path.parts]
    wanted = {path.relative_to(root).as_posix(): path.read_bytes() for path in files}
    assert {"keras_dae/py.typed", "keras_dae/pretrained/cards.json"} <= wanted.keys()
    assert any(name.startswith("keras_dae/reporting/templates/") for name in wanted)
    assert sum(name.endswith(".keras") for name in wanted) == 9
    assert {name: held.get(name) for name in wanted} == wanted
