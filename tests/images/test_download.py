import hashlib
import subprocess
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from keras_dae.errors import KerasDAEError
from keras_dae.images.download import Download, NotAvailableError, fetch

BODY = bytes(range(256)) * 1000  # a few chunks long
GOOD = "sha256:" + hashlib.sha256(BODY).hexdigest()
GOOD_MD5 = "md5:" + hashlib.md5(BODY).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Answers by the folder in the path: good, wrong, missing, truncated, ..."""

    def do_GET(self):
        self.server.asked.append(self.path)
        with suppress(ConnectionError):
            getattr(self, self.path.split("/")[1])()

    def send(self, body, length=None, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(length or len(body)))
        self.end_headers()
        self.wfile.write(body)

    def good(self):
        self.send(BODY)

    def wrong(self):
        self.send(BODY[::-1])

    def missing(self):
        self.send(b"not here", status=404)

    def truncated(self):
        self.send(BODY[:-1000], length=len(BODY))

    def held(self):
        """Begin, and go on when the test says so."""
        self.send(BODY[:10], length=len(BODY))
        self.server.asked_once.set()
        self.server.over.wait(60)
        self.wfile.write(BODY[10:])

    def stall(self):
        self.send(BODY[:10], length=len(BODY))
        self.server.over.wait(self.server.patience)
        self.server.gave_up = self.server.over.is_set()

    def crawl(self):
        """Send the whole in 13 parts, a chunk in time for any single read."""
        self.send(b"", length=len(BODY))
        for start in range(0, len(BODY), 20_000):
            self.wfile.write(BODY[start : start + 20_000])
            if self.server.over.wait(0.1):
                break
        self.server.gave_up = self.server.over.is_set()

    def drip(self):
        """Send a byte now and then, so that no single read takes long."""
        self.send(b"", length=len(BODY))
        for byte in BODY[: int(self.server.patience * 10)]:
            self.wfile.write(bytes([byte]))
            if self.server.over.wait(0.1):
                break
        self.server.gave_up = self.server.over.is_set()

    def garbage(self):
        """An error page that says that all is well."""
        self.send(b"<html>Please log in</html>")

    def moved(self):
        self.redirect("/good/file.bin")

    def loop(self):
        self.redirect(self.path)

    def local(self):
        self.redirect("file:///etc/hostname")

    def elsewhere(self):
        self.redirect("ftp://127.0.0.1/file.bin")

    def redirect(self, target):
        self.send_response(302)
        self.send_header("Location", target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def headers_drip(self):
        """Send one header after the other, and never the last."""
        self.send_response(200)
        for number in range(int(self.server.patience * 10)):
            self.send_header(f"X-{number}", "more")
            self.flush_headers()
            if self.server.over.wait(0.1):
                break
        self.server.gave_up = self.server.over.is_set()

    def slow_loop(self):
        """Redirect in a loop, each hop in time for any single answer."""
        self.server.over.wait(0.2)
        self.redirect(self.path)

    def endless(self):
        self.send(b"", length=1 << 40)
        for _ in range(10_000):
            self.wfile.write(bytes(1 << 16))

    def log_message(self, *args):
        """Keep quiet."""


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.asked, server.over, server.patience = [], threading.Event(), 3
    server.asked_once = threading.Event()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()
    thread.join()


def at(server, path, known_hash=GOOD):
    return Download(f"http://127.0.0.1:{server.server_port}/{path}", known_hash)


@pytest.fixture
def cache(tmp_path):
    """A cache folder that already holds another file."""
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "other.bin").write_bytes(b"other")
    return folder


@pytest.mark.parametrize("known_hash", [GOOD, GOOD_MD5], ids=["sha256", "md5"])
def test_a_good_file_comes_once(server, cache, known_hash):
    download = at(server, "good/file.bin", known_hash)
    for _ in range(2):
        (path,) = fetch((download,), cache, seconds=30)
        assert path == cache / "file.bin"
        assert path.read_bytes() == BODY
    assert server.asked == ["/good/file.bin"]
    assert sorted(path.name for path in cache.iterdir()) == ["file.bin", "other.bin"]


def test_the_folder_is_made(server, tmp_path):
    folder = tmp_path / "new" / "cache"
    fetch((at(server, "good/file.bin"),), folder, seconds=30)
    assert [path.name for path in folder.iterdir()] == ["file.bin"]


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("wrong", "hash does not match"),
        ("missing", "HTTPError"),
        ("truncated", ""),
        ("garbage", "hash does not match"),
    ],
)
@pytest.mark.parametrize("old", [None, b"old bytes"])
def test_a_bad_answer_leaves_the_folder_as_it_was(server, cache, kind, why, old):
    if old is not None:
        (cache / "file.bin").write_bytes(old)
    before = {path.name: path.read_bytes() for path in cache.iterdir()}
    with pytest.raises(KerasDAEError, match=f"(?s)file.bin.*{why}.*KERAS_DAE_DATA"):
        fetch((at(server, f"{kind}/file.bin"),), cache, seconds=30)
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == before
    assert server.asked == [f"/{kind}/file.bin"]


def test_a_redirect_is_followed(server, cache):
    fetch((at(server, "moved/file.bin"),), cache, seconds=30)
    assert (cache / "file.bin").read_bytes() == BODY


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("loop", "redirects more than 5 times"),
        ("local", "redirects to 'file:///etc/hostname', which is not http"),
        ("elsewhere", "redirects to 'ftp://127.0.0.1/file.bin', which is not http"),
    ],
)
def test_a_redirect_to_nowhere_good_is_refused(server, cache, kind, why):
    with pytest.raises(KerasDAEError, match=f"could not be downloaded.*{why}"):
        fetch((at(server, f"{kind}/file.bin"),), cache, seconds=30)
    assert len(server.asked) <= 6
    assert [path.name for path in cache.iterdir()] == ["other.bin"]


def test_an_answer_without_end_is_cut_off(server, cache, monkeypatch):
    monkeypatch.setattr("keras_dae.images.download.MOST_BYTES", 1 << 20)
    with pytest.raises(KerasDAEError, match="larger than 1 MiB"):
        fetch((at(server, "endless/file.bin"),), cache, seconds=30)
    assert [path.name for path in cache.iterdir()] == ["other.bin"]


FETCH = """
import sys
from pathlib import Path
from keras_dae.images.download import Download, NotAvailableError, fetch
print(*fetch((Download(sys.argv[1], sys.argv[2]),), Path(sys.argv[3]), 60))
"""


def fetching(server, kind, cache):
    download = at(server, f"{kind}/file.bin")
    command = [sys.executable, "-c", FETCH, download.url, GOOD, str(cache)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_of_two_processes_one_downloads_and_the_other_waits(server, cache):
    """The first is held up by the server until the second has come too."""
    with fetching(server, "held", cache) as first:
        assert server.asked_once.wait(60)
        with fetching(server, "held", cache) as second:
            assert second.poll() is None
            server.over.set()
            outs = [process.communicate()[0] for process in (first, second)]
    assert outs == [f"{cache / 'file.bin'}\n"] * 2
    assert server.asked == ["/held/file.bin"]
    assert sorted(path.name for path in cache.iterdir()) == ["file.bin", "other.bin"]


def test_what_a_killed_download_left_is_gone_after_the_next(server, cache):
    with fetching(server, "held", cache) as first:
        assert server.asked_once.wait(60)
        first.kill()
    assert len(list(cache.iterdir())) == 3  # a lock, and a file half written
    server.over.set()
    fetch((at(server, "good/file.bin"),), cache, seconds=30)
    assert sorted(path.name for path in cache.iterdir()) == ["file.bin", "other.bin"]


def test_a_cache_that_cannot_be_written_is_no_download(server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NotAvailableError, match=r"file\.bin is not on this machine"):
        fetch((at(server, "good/file.bin"),), tmp_path / "file" / "cache", seconds=30)


@pytest.mark.parametrize(
    "kind", ["stall", "crawl", "drip", "headers_drip", "slow_loop"]
)
def test_a_slow_server_is_given_up(server, cache, kind):
    """The server would go on for 1 to 3 s; the client may take half a second."""
    with pytest.raises(KerasDAEError, match=r"file\.bin"):
        fetch((at(server, f"{kind}/file.bin"),), cache, seconds=0.5)
    assert not hasattr(server, "gave_up")  # the server has not come to its end
    assert [path.name for path in cache.iterdir()] == ["other.bin"]


def test_nobody_there(server, cache):
    download = at(server, "good/file.bin")
    server.shutdown()
    server.server_close()
    with pytest.raises(KerasDAEError, match="ConnectionError"):
        fetch((download,), cache, seconds=30)


def test_one_bad_file_of_two(server, cache):
    good, bad = at(server, "good/one.bin"), at(server, "missing/two.bin")
    with pytest.raises(KerasDAEError, match=r"two\.bin"):
        fetch((good, bad), cache, seconds=30)
    assert (cache / "one.bin").read_bytes() == BODY
    assert not (cache / "two.bin").exists()


def test_no_time_is_no_download(server, cache):
    """What `auto` asks where a data set may only be looked for."""
    with pytest.raises(KerasDAEError, match=r"file\.bin is not on this machine"):
        fetch((at(server, "good/file.bin"),), cache, seconds=0)
    assert server.asked == []
