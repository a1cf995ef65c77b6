"""Each dependency has its reason, and the audit refuses what it should."""

import json
import re
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLAW = {
    "id": "PYSEC-0000-1",
    "modified": "2024-01-01T00:00:00Z",
    "summary": "made up for this test",
    "affected": [
        {
            "package": {"name": "jinja2", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"fixed": "99.0"}]}],
        }
    ],
}


def requirements():
    """Return what pyproject.toml asks for: the package and all extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    return [*project["dependencies"], *(row for extra in extras for row in extra)]


def test_each_dependency_has_its_reason():
    rows = re.findall(
        r'^ +"([\w.-]+[<>=][^"]*)", +# (.+)$',
        (ROOT / "pyproject.toml").read_text(),
        re.MULTILINE,
    )
    assert sorted(name for name, _ in rows) == sorted(requirements())
    assert [name for name, why in rows if len(why) < 8] == []


def plain(text):
    """Return the name of a requirement in its one spelling."""
    return re.sub(r"[._-]+", "-", re.match(r"[\w.-]+", text)[0]).lower()


def pinned():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_each_dependency_is_pinned():
    pins = pinned()
    assert [line for line in pins if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    # tensorflow-cpu stands for tensorflow here: they are one library.
    wanted = {plain(row) for row in requirements()} - {"tensorflow"}
    assert wanted <= {plain(line) for line in pins}


def test_the_lowest_versions_are_those_that_are_declared():
    """`make test-lowest` installs what pyproject.toml allows at the least."""
    lines = (ROOT / "constraints-lowest.txt").read_text().splitlines()
    lowest = dict(line.split("==") for line in lines if not line.startswith("#"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    rows = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    floors = {plain(row): re.search(r">=([\d.]+)", row)[1] for row in rows}
    found = {name: lowest[name] for name in floors}

    def number(version):
        return re.sub(r"(\.0)+$", "", version)

    assert {k: number(v) for k, v in found.items()} == {
        k: number(v) for k, v in floors.items()
    }


class Database(BaseHTTPRequestHandler):
    """Answers as a database of vulnerabilities does: one package has a flaw."""

    flawed = ""
    asked: set[str]

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        package = plain(json.loads(self.rfile.read(length))["package"]["name"])
        self.asked.add(package)
        body = json.dumps({"vulns": [FLAW]} if package == self.flawed else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def audit(url):
    """Run `make audit` with the tools of this environment, against this database."""
    current = [f"BIN={Path(sys.executable).parent}", "--old-file", ".venv/.current-dev"]
    return subprocess.run(
        ["make", "audit", f"OSV={url}", *current],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("flawed", ["", "jinja2"])
def test_the_audit_asks_for_each_pin_and_fails_on_a_flaw(flawed):
    pytest.importorskip("pip_audit")
    handler = type("Handler", (Database,), {"flawed": flawed, "asked": set()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = audit(f"http://127.0.0.1:{server.server_port}/")
        server.shutdown()
    assert handler.asked == {plain(line) for line in pinned()}
    assert (done.returncode == 0) == (not flawed), done.stderr
    assert (FLAW["id"] in done.stdout) == bool(flawed)


def test_the_audit_fails_where_the_database_does_not_answer():
    pytest.importorskip("pip_audit")
    assert audit("http://127.0.0.1:9/").returncode != 0


def test_pypi_was_asked_for_each_pin():
    rows = json.loads((ROOT / "benchmarks" / "audit.json").read_text())["rows"]
    asked = [f"{row['name']}=={row['version']}" for row in rows]
    assert asked == [line for line in pinned() if line]
    answered = [row for row in rows if row["known"] is not None]
    assert [row for row in answered if row["known"]] == []
    said = " ".join((ROOT / "docs" / "testing.md").read_text().split())
    assert f"the {len(answered)} of the {len(rows)} pinned versions" in said
