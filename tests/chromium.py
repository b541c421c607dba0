"""Drive a headless Chromium by its DevTools protocol, over a pair of pipes.

Messages are JSON, each terminated by NUL: https://chromedevtools.github.io/devtools-protocol/ No
library and no network port is needed.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BINARY = next((found for name in NAMES if (found := shutil.which(name))), None)
SECONDS = 60
KEYS = {"Enter": "\r"}


class Browser:
    """One page of a newly started browser.

    Attributes:
        said: Messages of the page's console, and reported errors.
        asked: Addresses that it loaded or tried to load.
    """

    def __init__(self, profile: Path) -> None:
        assert BINARY
        to_browser, self._to = os.pipe()
        self._from, from_browser = os.pipe()
        arguments = [
            BINARY, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            # WebGL without a graphics card.
            "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
            "--disable-background-networking", "--no-first-run", "--hide-scrollbars",
            f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank",
        ]  # fmt: skip
        # The browser reads from descriptor 3 and writes to 4.
        script = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", *arguments],
            pass_fds=(to_browser, from_browser),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self._events: list[dict[str, Any]] = []
        self.said: list[str] = []
        self.asked: list[str] = []

    def __enter__(self) -> Browser:
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(t["targetId"] for t in targets if t["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Audits"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a request and wait for its response."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _next(self) -> dict[str, Any]:
        import select

        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], SECONDS)
            block = os.read(self._from, 1 << 20) if ready else b""
            assert block, "The browser said nothing, or ended."
            self._rest += block
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        self._note(message)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        match message.get("method"):
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Audits.issueAdded":
                self.said.append(json.dumps(parameters))
            case "Log.entryAdded":
                self.said.append(parameters["entry"]["text"])
            case "Network.requestWillBeSent":
                self.asked.append(parameters["request"]["url"])
            case "Page.loadEventFired" | "Target.targetCreated":
                self._events.append(message)

    def open(self, address: str) -> None:
        """Load a page completely."""
        self._events.clear()
        self.call("Page.navigate", url=address)
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._next()

    def evaluate(self, script: str) -> Any:
        """Return the value of a script evaluated in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release a key, by its DOM name."""
        text = KEYS.get(key, key if len(key) == 1 else "")
        for kind in ("keyDown", "keyUp"):
            code = {"Enter": 13, "Escape": 27}.get(key, 0)
            more = {"text": text} if text and kind == "keyDown" else {}
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **more
            )

    def look(self, *, width: int, height: int = 900, dark: bool = False) -> bytes:
        """Return a screenshot as PNG, with the given window size and colour scheme."""
        self.size(width, height, dark=dark)
        return base64.b64decode(self.call("Page.captureScreenshot")["data"])

    def size(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Set the size of the page's window, in CSS pixels."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip


@contextmanager
def browser() -> Iterator[Browser]:
    """Yield a new browser with a profile of its own."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        Browser(Path(profile)) as opened,
    ):
        yield opened
