"""A headless Chromium, driven through its DevTools protocol over two pipes."""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

SECONDS = 60  # that an answer may take on a busy machine
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--remote-debugging-pipe",
)
# With WebGPU, which a processor emulates.
WITH_WEBGPU = (
    *(flag for flag in FLAGS if flag != "--disable-gpu"),
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
)


def find_chromium():
    """Return Chromium's path, or None."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next(filter(None, map(shutil.which, names)), None)


class Browser:
    """One page of a browser; a context manager.

    `console` holds what was logged as an error or warning, and exceptions; `requests`
    the address of each thing that the page asked for. `flags` replace `FLAGS`.
    """

    def __init__(self, profile: Path, flags: tuple[str, ...] = FLAGS) -> None:
        # Chromium reads commands from file 3 and writes answers to file 4.
        reads, self._to = os.pipe()
        self._from, writes = os.pipe()
        command = [find_chromium(), *flags, f"--user-data-dir={profile}", "about:blank"]
        shell = f'exec "$@" 3<&{reads} 4>&{writes}'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *command],
            pass_fds=(reads, writes),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(reads)
        os.close(writes)
        self._number, self._rest, self._session = 0, b"", None
        self.console, self.requests = [], []

    def __enter__(self):
        targets = self.call("Target.getTargets")["targetInfos"]
        (page,) = [one["targetId"] for one in targets if one["type"] == "page"]
        attached = self.call("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *_):
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def call(self, method, **parameters):
        """Send a command; return its result."""
        self._number += 1
        sent = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            sent["sessionId"] = self._session
        os.write(self._to, json.dumps(sent).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("id") == self._number:
                assert "error" not in message, (method, message["error"])
                return message["result"]
            self._note(message)

    def _next(self):
        end = time.monotonic() + SECONDS
        while b"\0" not in self._rest:
            wait = end - time.monotonic()
            if not select.select([self._from], [], [], max(0, wait))[0]:
                raise TimeoutError("Chromium does not answer.")
            read = os.read(self._from, 1 << 20)
            assert read, "Chromium has ended."
            self._rest += read
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def _note(self, message):
        method, about = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.console.append(about["exceptionDetails"])
        elif method == "Log.entryAdded" and about["entry"]["level"] != "verbose":
            self.console.append(about["entry"])
        elif method == "Runtime.consoleAPICalled" and about["type"] != "log":
            self.console.append(about["args"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])

    def run(self, expression):
        """Return the value of a JavaScript expression, or of what it promises."""
        found = self.call(
            "Runtime.evaluate",
            expression=expression,
            returnByValue=True,
            awaitPromise=True,
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, expression):
        """Wait until an expression is true; return its value."""
        end = time.monotonic() + SECONDS
        while not (value := self.run(expression)):
            assert time.monotonic() < end, f"never true: {expression}"
            time.sleep(0.05)
        return value

    def open(self, path: Path):
        """Load a file, and wait until the page is ready."""
        self.call("Page.navigate", url=path.as_uri())
        self.wait("document.body && document.body.dataset.ready === 'true'")

    def size(self, width, height, *, mobile=False, dark=False):
        """Take a window of this size, and light or dark colours."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=mobile,
        )
        scheme = {
            "name": "prefers-color-scheme",
            "value": "dark" if dark else "light",
        }
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def place(self, selector, x=0.5, y=0.5):
        """Scroll an element into view; return a point within it, in pixels."""
        return self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'center', behavior: 'instant'});"
            " const b = e.getBoundingClientRect();"
            f" return [b.left + {x} * b.width, b.top + {y} * b.height]; }})()"
        )

    def mouse(self, kind, point, buttons=1):
        self.call(
            "Input.dispatchMouseEvent",
            type=kind,
            x=point[0],
            y=point[1],
            button="left",
            buttons=buttons,
            clickCount=1,
        )

    def click(self, selector, x=0.5, y=0.5):
        point = self.place(selector, x, y)
        self.mouse("mousePressed", point)
        self.mouse("mouseReleased", point, 0)

    def stroke(self, selector, points):
        """Draw a line with the mouse; points are shares of the element's sides."""
        places = [self.place(selector, *point) for point in points]
        self.mouse("mousePressed", places[0])
        for place in places[1:]:
            self.mouse("mouseMoved", place)
        self.mouse("mouseReleased", places[-1], 0)

    def key(self, key, code=None):
        text = {"text": " "} if key == " " else {}
        for kind in ("keyDown", "keyUp"):
            about = {"key": key, "code": code or key, **text}
            self.call("Input.dispatchKeyEvent", type=kind, **about)

    def drop(self, selector, path: Path):
        """Drop a file on an element."""
        x, y = self.place(selector)
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def picture(self, path: Path, *, whole=True):
        """Save a screenshot as PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))
