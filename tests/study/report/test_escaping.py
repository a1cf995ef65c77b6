"""The HTML report shows whatever a study is named, and runs and loads none of it."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from keras_dae.study.report.publish import write_report

STUDY = Path(__file__).parents[2] / "golden" / "study"
EVIL = (
    '<script>alert(1)</script><img src="http://127.0.0.1/x" onerror=alert(1)>'
    "\"'><a href=javascript:alert(1)>x</a>{{ 7 * 7 }}"
)
# What decides rather than shows; a file with other words in these is refused.
DECIDES = {"verdict", "kind", "kinds", "best", "metric", "classifier"}
PARTS = {"clean", "noisy", "denoised", "cnn", "logistic"}
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "main", "section", "div"),
    *("h1", "h2", "h3", "p", "dl", "dt", "dd", "code", "figure", "img", "figcaption"),
    *("table", "thead", "tbody", "tr", "th", "td", "nav", "ul", "li", "a"),
}
ATTRIBUTES = {
    *("lang", "charset", "name", "content", "class", "aria-label", "tabindex"),
    *("scope", "src", "alt", "id", "href"),
}


class Page(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.texts = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_data(self, data):
        self.texts.append(data)


def spoiled(value, key=""):
    """Every word that a file holds, followed by what would do harm."""
    if isinstance(value, dict):
        return {k: spoiled(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [spoiled(one, key) for one in value]
    words = isinstance(value, str) and key not in DECIDES and value not in PARTS
    return value + EVIL if words else value


@pytest.fixture
def page(tmp_path):
    study = Path(shutil.copytree(STUDY, tmp_path / "study"))
    for path in study.rglob("*.json"):
        if path.parent == study or path.parent.name == "equal-parameters":
            path.write_text(json.dumps(spoiled(json.loads(path.read_text()))))
    (study / "figures").mkdir()
    for name in ("figure3-samples", "figure4-reconstruction", "robustness-gain"):
        Image.new("RGB", (2, 2)).save(study / "figures" / f"{name}.png")
    write_report(study)
    return (study / "report.html").read_text(encoding="utf-8")


def test_a_report_shows_hostile_names_and_obeys_none(page):
    parsed = Page()
    parsed.feed(page)
    assert set(parsed.tags) <= TAGS
    assert {name for _, name, _ in parsed.attributes} <= ATTRIBUTES
    text = "".join(parsed.texts)
    # Data, noise, models, hardware, command, claims, board and sections show it.
    assert text.count("<script>alert(1)</script>") > 50
    assert "{{ 7 * 7 }}" in text
    for word in ("DAE_1_5", "DAE_2_6", "npz:digits.npz", "median 3x3", "all black"):
        assert f"{word}<script>alert(1)</script>" in text


def test_a_report_loads_nothing(page):
    parsed = Page()
    parsed.feed(page)
    addresses = [v for _, name, v in parsed.attributes if name in ("src", "href")]
    assert len(addresses) >= 2
    loaded = [a for a in addresses if not a.startswith("#")]  # an anchor loads nothing
    assert [a for a in loaded if not a.startswith("data:image/webp;base64,")] == []
    style = page[page.index("<style>") : page.index("</style>")]
    assert not re.search(r"url\(|@import|https?:", style)
    assert "http-equiv" not in page.split("<body>")[0]


def test_the_committed_reports_load_nothing():
    reports = [*(Path(__file__).parents[3] / "artifacts").rglob("report.html")]
    assert reports
    for path in reports:
        parsed = Page()
        parsed.feed(path.read_text(encoding="utf-8"))
        assert set(parsed.tags) <= TAGS
        addresses = [v for _, name, v in parsed.attributes if name in ("src", "href")]
        allowed = ("data:image/webp", "#")
        assert [a[:40] for a in addresses if not a.startswith(allowed)] == []
