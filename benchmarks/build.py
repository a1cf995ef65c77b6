"""The wheel, built so that the same tree gives the same bytes.

    python -m benchmarks.build dist

Built by the setuptools that is installed here, from a copy of the tree whose files have
one mode and one date: neither the umask, nor when or where somebody checked the tree
out, is in the wheel. SOURCE_DATE_EPOCH sets another date. Prints the sha256.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = ("pyproject.toml", "README.md", "LICENSE")
BUILD = "from setuptools import build_meta\nbuild_meta.build_wheel('dist')"
EPOCH = "315532800"  # 1980, where the dates of zip files begin


def build(out: Path) -> Path:
    """Build the wheel of this tree into the folder `out` and return its path."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in FILES:
            shutil.copyfile(ROOT / name, tree / name)
        shutil.copytree(
            ROOT / "keras_dae",
            tree / "keras_dae",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        for path in tree.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        subprocess.run(
            [sys.executable, "-c", BUILD],
            cwd=tree,
            env={"SOURCE_DATE_EPOCH": EPOCH, **os.environ},
            umask=0o022,  # that of the files which the build itself writes
            check=True,
            stdout=subprocess.DEVNULL,
        )
        (wheel,) = (tree / "dist").glob("*.whl")
        out.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copyfile(wheel, out / wheel.name))


if __name__ == "__main__":
    built = build(Path(sys.argv[1]))
    print(hashlib.sha256(built.read_bytes()).hexdigest(), built)
