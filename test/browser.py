"""A real browser without a window, driven by its DevTools protocol over the page's own websockets package."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
    "--disable-dev-shm-usage", "--remote-debugging-port=0",
)  # fmt: skip


def find_browser() -> str:
    """The program; "" when there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), "")


class Browser:
    """One tab. Everything that it loads is noted in `requests`, what goes wrong in `complaints`."""

    def __init__(self, program: str, width: int = 1500, height: int = 900, nice: int = 0) -> None:
        self._profile = tempfile.mkdtemp(prefix="tiae_browser_")
        words = [
            "nice",
            "-n",
            str(nice),
            program,
            *QUIET,
            f"--user-data-dir={self._profile}",
            f"--window-size={width},{height}",
            "about:blank",
        ]
        self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._number = 0
        self.requests: list[str] = []
        self.complaints: list[str] = []
        try:
            self._socket = connect(self._tab(), max_size=None, open_timeout=20, ping_interval=None)
        except BaseException:
            self.close()
            raise
        self.do("Network.enable")
        self.do("Page.enable")
        self.do("Runtime.enable")
        self.do("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def _tab(self) -> str:
        file = Path(self._profile) / "DevToolsActivePort"
        deadline = time.monotonic() + 30
        while not (file.exists() and file.read_text().count("\n")):
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise AssertionError(f"the browser does not start (exit code {self._process.poll()})")
            time.sleep(0.05)
        with urllib.request.urlopen(f"http://127.0.0.1:{file.read_text().split()[0]}/json", timeout=10) as answer:
            return next(tab["webSocketDebuggerUrl"] for tab in json.load(answer) if tab["type"] == "page")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        if hasattr(self, "_socket"):
            self._socket.close()
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._profile, ignore_errors=True)

    def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            message = json.loads(self._socket.recv(timeout=180))
            self._note(message)
            if message.get("id") == self._number:
                assert "error" not in message, (method, message["error"])
                return message["result"]
        raise AssertionError(f"no answer to {method}")

    def _note(self, message: dict[str, Any]) -> None:
        told = message.get("params", {})
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif message.get("method") == "Network.webSocketCreated":
            self.requests.append(told["url"])
        elif message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(told["exceptionDetails"])[:500])

    def open(self, url: str) -> None:
        self.do("Page.navigate", url=url)

    def ask(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        result = self.do("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait_for(self, script: str, timeout_s: float = 150.0, meanwhile: Callable[[], object] = bool) -> Any:
        """Until an expression is true; its value. Before each look `meanwhile` says again what may have been missed."""
        deadline = time.monotonic() + timeout_s
        while True:
            meanwhile()
            if value := self.ask(script):
                return value
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {timeout_s} s: {script}; the page says {self.text()[:1500]!r}")
            time.sleep(0.1)

    def text(self) -> str:
        return str(self.ask("document.body ? document.body.innerText : ''"))

    def click(self, script: str) -> None:
        """Press the mouse on the element that an expression gives."""
        place = self.ask(
            f"(() => {{ const e = {script}; e.scrollIntoView({{block: 'center'}}); const r = e.getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.do("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def type(self, text: str) -> None:
        """Instead of what is selected."""
        self.do("Input.insertText", text=text)

    def screenshot(self, kind: str = "png") -> bytes:
        return base64.b64decode(self.do("Page.captureScreenshot", format=kind)["data"])
