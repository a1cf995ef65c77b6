"""The commands and examples of README.md and docs/*.md run as they stand there."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from keras_dae.cli import main
from keras_dae.study.nine.claims import (
    GROWS_TOWARDS_5X5,
    GROWS_WHEN_SHALLOWER,
    NEARLY_LINEAR,
    SHALLOWER,
    SMALLER_LATENT,
)
from keras_dae.system.storage import read_json

ROOT = Path(__file__).parents[1]
DOCS = sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))
USED = ["README.md", *DOCS]
PAGES = [
    *USED,
    *("ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"),
    "benchmarks/README.md",
]
# Pages whose commands run here, each in a folder of its own, one after the other.
RUN = [
    *("README.md", "docs/denoise.md", "docs/export.md", "docs/reproducibility.md"),
    *("docs/study.md", "docs/ten-minutes.md", "docs/train.md"),
]
# What a command is shortened by, so that the test ends soon.
SHORTER = {
    "train": ["--data", "mnist5k", "--epochs", "1", "--threads", "1"],
    "sweep": ["--data", "mnist5k", "--epochs", "1", "--depths", "1", "--seeds", "1"],
    "evaluate": ["--threads", "1"],
    "plot": ["--threads", "1"],
    "models": [],
    "denoise": ["--threads", "1"],
    "export": [],
    "page": [],
}
# These take long and have tests of their own: tests/study/test_study.py,
# tests/test_folder_cli.py, tests/interchange.
ELSEWHERE = {"reproduce", "compare", "parity"}
# Made by commands; not in a checkout.
MADE = ("artifacts/runs", "artifacts/quick", "artifacts/study", "artifacts/figures")


def read(page: str) -> str:
    """Return a page, with the lines of a command joined."""
    return (ROOT / page).read_text().replace("\\\n", " ")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def spans(text: str) -> list[str]:
    """Return what stands between single backticks, outside of blocks."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def arguments(line: str) -> list[str] | None:
    """Return the words after `python cli.py` or `keras-dae`, the comment left out."""
    found = re.match(r"\s*(?:[A-Z_]+=\S+ )?(?:\S*python cli\.py|keras-dae) (.*)", line)
    return shlex.split(found[1], comments=True) if found else None


def commands(text: str) -> list[list[str]]:
    """Return the commands in the blocks of a page."""
    lines = [arguments(line) for line in "\n".join(blocks(text, "sh")).splitlines()]
    return [words for words in lines if words]


def mentioned(text: str) -> list[list[str]]:
    """Return all commands of a page: in blocks, indented, and in the text."""
    found = [arguments(line) for line in [*text.splitlines(), *spans(text)]]
    known = set(main.list_commands(click.Context(main)))
    short = [shlex.split(span) for span in spans(text) if span.split()[0] in known]
    return [words for words in [*found, *short] if words]


def command(name: str) -> click.Command:
    found = main.get_command(click.Context(main), name)
    assert found, f"There is no command {name}."
    return found


def test_the_pages_show_each_command():
    shown = {words[0] for page in RUN for words in commands(read(page))}
    assert shown == {*SHORTER, *ELSEWHERE}
    named = {words[0] for page in USED for words in mentioned(read(page))}
    assert named == set(main.list_commands(click.Context(main)))


@pytest.mark.parametrize("page", USED)
def test_commands_have_these_options(page):
    for name, *words in mentioned(read(page)):
        one = command(name)
        _, left, _ = one.make_parser(click.Context(one)).parse_args(words)
        assert left == [], name


@pytest.mark.parametrize("page", USED)
def test_options_exist(page):
    names = main.list_commands(click.Context(main))
    options = {"--help"} | {
        option
        for one in (main, *map(command, names))
        for parameter in one.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    said = {span.split()[0] for span in spans(read(page)) if span.startswith("--")}
    assert said <= options


def shorter(words: list[str]) -> list[str]:
    """Return what to add to a command, so that the test ends soon."""
    if any(word.startswith("folder:") for word in words):
        return ["--epochs", "1", "--patches", "2", "--threads", "1"]
    return SHORTER[words[0]]


@pytest.mark.parametrize("page", RUN)
def test_commands_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("scans", "my-digits"):
        Path(folder).mkdir()
    Path("docs").symlink_to(ROOT / "docs")
    for name in ("scan.png", "scans/a.png", "my-digits/a.png"):
        Image.fromarray(np.full((30, 40), 90, np.uint8)).save(name)
    Path("photos").mkdir()
    for shade in (50, 100, 150):
        Image.fromarray(np.full((70, 80), shade, np.uint8)).save(f"photos/{shade}.png")
    for words in commands(read(page)):
        if words[0] in ELSEWHERE:
            continue
        result = CliRunner().invoke(main, [*words, *shorter(words)])
        assert result.exit_code == 0, (words, result.output)
        if words[0] == "plot":
            assert len(list(tmp_path.glob("artifacts/figures/figure*.png"))) == 7


@pytest.mark.parametrize("page", ["README.md", "docs/library.md"])
def test_library_examples_run(page, tmp_path):
    examples = blocks(read(page), "python")
    assert examples
    for example in examples:
        # As after the plain install: no tensorflow, and no backend chosen.
        alone = 'import sys\nsys.modules["tensorflow"] = None\n'
        done = subprocess.run(
            [sys.executable, "-c", alone + example],
            env={k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]


def test_the_readme_is_of_one_screen():
    text = read("README.md")
    assert len(text.split()) <= 650
    assert text.count("![") == 1
    (example,), (shell,) = blocks(text, "python"), blocks(text, "sh")
    lines = [line for line in example.splitlines() if line]
    assert len(lines) == len(shell.splitlines()) == 5
    assert len(re.findall(r"^\|[-|:]+\|$", text, re.MULTILINE)) == 1


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_pictures_and_links_exist(page):
    links = re.findall(r"\]\(([^)\s]+)\)", read(page))
    local = [link.partition("#") for link in links if not link.startswith("http")]
    assert local or page not in ("README.md", "docs/index.md")
    missing = []
    for path, _, anchor in local:
        target = (ROOT / page).parent / path if path else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            missing.append(f"{path}#{anchor}")
    assert missing == []


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_paths_modules_and_targets_exist(page):
    """Each path, `python -m` module and `make` target in the text is there."""
    words = [span.split("::")[0] for span in spans(read(page))]
    folders = ("artifacts/", "benchmarks/", "configs/", "docs/", "keras_dae/", "tests/")
    paths = [w for w in words if w.startswith(folders) and not w.startswith(MADE)]
    assert [w for w in paths if not list(ROOT.glob(w.split()[0]))] == []
    modules = re.findall(r"python -m ((?:benchmarks|tests)[\w.]*)", read(page))
    files = [ROOT / name.replace(".", "/") for name in modules]
    assert [f for f in files if not (f.with_suffix(".py").exists() or f.is_dir())] == []
    targets = {w.split()[1] for w in words if re.match(r"make [a-z-]+$", w)}
    assert targets <= set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))


def test_the_index_lists_each_page():
    listed = re.findall(r"\]\(([\w-]+\.md)\)", read("docs/index.md"))
    assert sorted(f"docs/{name}" for name in listed) == [
        page for page in DOCS if page != "docs/index.md"
    ]


def measured(model: str, metric: str) -> list[float]:
    """Return a model's figures on the test images, one per seed."""
    results = read_json(ROOT / "artifacts/paper/results.json")
    return [row["test"][metric] for row in results["models"] if row["name"] == model]


def rows_of(page: str) -> list[list[str]]:
    """Return the cells of the table rows that begin with a model of the nine."""
    rows = re.findall(r"^\| (DAE_\d+_\d+ \|.*) \|$", read(page), re.MULTILINE)
    return [row.split(" | ") for row in rows]


def test_results_are_the_committed_ones():
    """Each figure in the README's and the study's table follows from results.json."""
    short, long = rows_of("README.md"), rows_of("docs/study.md")
    assert [row[0] for row in short] == [row[0] for row in long]
    assert len({row[0] for row in short}) == len(short) == 9
    for name, _, _, error, psnr in short:
        errors = measured(name, "mse")
        spread = np.std(errors, ddof=1)
        assert error == f"{np.mean(errors):.5f} ± {spread:.5f}"
        assert psnr == f"{np.mean(measured(name, 'psnr')):.2f}"
    for name, _, total, ssim in long:
        assert total == f"{np.mean(measured(name, 'mse_sum')):.2f}"
        assert ssim == f"{np.mean(measured(name, 'ssim')):.3f}"


def test_verdicts_are_the_committed_ones():
    """The list of claims counts what claims.json says, in the order of the list."""
    claims = read_json(ROOT / "artifacts/paper/claims.json")
    listed = (SMALLER_LATENT, SHALLOWER, NEARLY_LINEAR, GROWS_WHEN_SHALLOWER)
    groups: list[list[str]] = [[] for _ in (*listed, GROWS_TOWARDS_5X5)]
    for row in claims["claims"]:
        groups[(*listed, GROWS_TOWARDS_5X5).index(row["claim"])].append(row["verdict"])
    counted = [(str(group.count("HOLDS")), str(len(group))) for group in groups]
    found = re.findall(r"holds in (\d+)\s+of (\d+) comparisons", read("docs/study.md"))
    assert found == counted
