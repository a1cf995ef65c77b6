"""The examples of the documentation run, on few images, and are listed."""

import json
import re
import runpy
from fnmatch import fnmatch
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

import keras_dae as kd
from keras_dae.evaluation.metrics import METRICS

DOCS = Path(__file__).parents[1] / "docs"
EXAMPLES = sorted((DOCS / "examples").glob("*.py"))
OF_KERAS_IO = DOCS / "keras_io" / "denoising_done_right.py"
notebook = runpy.run_path(str(DOCS / "keras_io" / "notebook.py"))["notebook"]
PICTURES = {
    "train_and_look": 2,
    "denoise_a_photograph": 2,
    "your_own": 1,
    "how_sure_is_it": 2,
    "without_clean_images": 1,
}


@pytest.fixture
def small(monkeypatch, digits):
    """Examples train for one epoch on few images, and draw into memory."""
    few = digits.limited(train=256, validation=200, test=250)
    monkeypatch.setattr(kd, "load_data", lambda name: few, raising=False)
    fit = kd.Denoiser.fit

    def one_epoch(self, images, **options):
        return fit(self, images[:256], **{**options, "epochs": 1})

    monkeypatch.setattr(kd.Denoiser, "fit", one_epoch)
    monkeypatch.setattr("keras_dae.evaluation.metrics.METRICS", METRICS)
    before = dict(METRICS)
    with mpl.rc_context({"backend": "agg"}):
        monkeypatch.setattr(plt, "show", lambda: None)
        yield
    plt.close("all")
    METRICS.clear()
    METRICS.update(before)


def drawn():
    """Return the figures that hold something: a line, a bar or an image."""
    figures = [plt.figure(number) for number in plt.get_fignums()]
    return [
        figure
        for figure in figures
        if all(a.lines or a.patches or a.images for a in figure.axes)
    ]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path, small, capsys):
    plt.close("all")
    runpy.run_path(str(path))
    assert len(drawn()) == len(plt.get_fignums()) == PICTURES[path.stem]
    assert capsys.readouterr().out


def test_the_page_lists_each_example():
    listed = re.findall(r"\(examples/(\w+)\.py\)", (DOCS / "examples.md").read_text())
    assert sorted(listed) == [path.stem for path in EXAMPLES]


# The example in the form of keras.io


def test_the_example_of_keras_io_runs(small, capsys, tmp_path):
    text = OF_KERAS_IO.read_text()
    assert text.count("EPOCHS = 60\n") == 1
    short = tmp_path / OF_KERAS_IO.name
    short.write_text(text.replace("EPOCHS = 60\n", "EPOCHS = 2\n"))
    plt.close("all")
    names = runpy.run_path(str(short))
    assert len(drawn()) == len(plt.get_fignums()) == 2
    assert "the truth" in capsys.readouterr().out
    # What it says of its data sets: the same images, other noise, or the same noise.
    for fresh in (True, False):
        digits = names["NoisyDigits"](names["test"][:64], fresh)
        orders, noises = [], []
        for digits.epoch in (0, 1):
            noisy, clean = digits[0]
            rows = [int(np.abs(clean - one).sum((1, 2, 3)).argmin()) for one in clean]
            orders.append(clean.sum())
            noises.append((noisy - clean)[np.argsort(clean.sum((1, 2, 3)))])
            assert rows == list(range(64))
        assert orders[0] == pytest.approx(orders[1], rel=1e-5)
        assert np.array_equal(*noises) != fresh


def test_the_notebook_holds_the_whole_example():
    text = OF_KERAS_IO.read_text()
    found = notebook(text)
    assert json.loads(json.dumps(found)) == found
    cells = found["cells"]
    assert cells[0]["source"].startswith("# Denoising digits")
    assert "**Accelerator:** None" in cells[0]["source"]
    code = [one["source"] for one in cells if one["cell_type"] == "code"]
    words = [one["source"] for one in cells[1:] if one["cell_type"] == "markdown"]
    strings = re.findall(r'^"""\n(.*?)\n"""$', text, re.DOTALL | re.MULTILINE)
    assert words == strings[1:]
    without = re.sub(r'^"""\n.*?\n"""$', "", text, flags=re.DOTALL | re.MULTILINE)
    assert "\n".join(code).split() == without.split()


def test_a_notebook_keeps_comments_and_their_order():
    found = notebook('"""\nTitle: A\n"""\n# 1\na = 1\n"""text"""\n# last\n')
    sources = [one["source"] for one in found["cells"]]
    assert sources == ["# A\n", "# 1\na = 1", "text", "# last"]


def test_a_notebook_needs_a_header():
    with pytest.raises(ValueError, match="must begin with a string"):
        notebook("a = 1\n")


def test_the_build_includes_each_page_that_is_linked():
    conf = (DOCS / "conf.py").read_text()
    (listed,) = re.findall(r"include_patterns = \[(.*?)\]", conf, re.DOTALL)
    patterns = re.findall(r'"(.*?)"', listed)
    linked = {
        link
        for page in DOCS.glob("*.md")
        for link in re.findall(r"\]\(\.\./([^)#]*\.md)", page.read_text())
    }
    assert "artifacts/photo/table.md" in linked
    wanted = [link for link in linked if not any(fnmatch(link, p) for p in patterns)]
    assert wanted == []
