"""The house rules: imports run one way, and the command line starts light."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import keras_dae
from benchmarks.imports import diagram
from keras_dae import cli

PACKAGE = Path(keras_dae.__file__).parent
# Each layer may import those before it; `images` and `models` do not know each other,
# and `study` is for `commands` alone.
BASE = {"errors", "system"}
LIBRARY = {"images", "models", "training", "evaluation"}
ALLOWED = {
    "errors": set(),
    "system": {"errors"},
    "images": BASE,
    "models": BASE,
    "training": BASE | {"images", "models"},
    "evaluation": BASE | {"images", "models", "training"},
    "uncertainty": BASE | LIBRARY,
    "denoising": BASE | LIBRARY | {"uncertainty"},
    "interchange": BASE | {"models"},
    "doctor": BASE | {"images"},
    "denoiser": BASE | LIBRARY | {"denoising", "interchange", "uncertainty"},
    "comparison": BASE | LIBRARY | {"denoiser"},
    "study": BASE | LIBRARY | {"denoiser", "uncertainty"},
    "page": BASE | LIBRARY | {"denoising"},
    "commands": BASE
    | LIBRARY
    | {"uncertainty", "denoiser", "denoising", "interchange", "doctor", "study", "page"}
    | {"cli"},
}
FREE = {"__init__", "__main__", "cli"}
HEAVY = (
    *("keras", "torch", "jax", "tensorflow", "matplotlib", "scipy", "pydantic"),
    *("PIL", "tifffile", "skimage"),
)
COMMANDS = [command.name for command in cli.COMMANDS]


def layer(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported_layers(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "keras_dae":
            names = [f"keras_dae.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        found |= {name.split(".")[1] for name in names if name.startswith("keras_dae.")}
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.name)
def test_imports_run_one_way(path):
    own = layer(path)
    if own in FREE:
        return
    assert imported_layers(path) - {own, "__version__"} <= ALLOWED[own]


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_loads_nothing_heavy(command):
    code = (
        "import sys\n"
        "from keras_dae.cli import main\n"
        f"main({[*command, '--help']!r}, standalone_mode=False)\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "print('LOADED', loaded)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "LOADED []"
    assert "Usage:" in done.stdout


def test_architecture_page_names_only_what_exists():
    root = PACKAGE.parent
    words = (root / "ARCHITECTURE.md").read_text().replace("`", " ").split()
    paths = [word.rstrip(".,:;") for word in words if "/" in word and "*" not in word]
    named = [path for path in paths if path.startswith(("keras_dae/", "tests/"))]
    assert named
    assert [path for path in named if not (root / path).exists()] == []


def test_architecture_page_is_one_page_with_the_picture_of_the_imports():
    text = (PACKAGE.parent / "ARCHITECTURE.md").read_text()
    assert len(text.split()) <= 900
    assert f"```mermaid\n{diagram()}\n```" in text
    first = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    places = re.findall(r"`([^`]+)`", " ".join(first))
    assert {place for place in places if not (PACKAGE / place).exists()} == set()
    folders = {
        path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()
    }
    assert folders <= {place.split("/")[0] for place in places}


def test_public_names_load():
    for name in keras_dae.__all__:
        assert getattr(keras_dae, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        keras_dae.nothing  # noqa: B018
