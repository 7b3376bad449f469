"""A real browser for pages: headless chromium, driven through its debugging pipe (Chrome DevTools Protocol)."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_TIMEOUT_S = 60.0
_READS, _WRITES = 3, 4
"""File descriptors that chromium reads commands from and writes answers to."""


class Browser:
    """Chromium with one page. What the page asks for and complains of is collected."""

    def __init__(self, profile: Path) -> None:
        commands, answers = os.pipe(), os.pipe()
        ends = [fcntl.fcntl(fd, fcntl.F_DUPFD, 20) for fd in (commands[0], answers[1])]  # off 3 and 4

        def connect() -> None:
            os.dup2(ends[0], _READS)
            os.dup2(ends[1], _WRITES)

        self._process = subprocess.Popen(
            [
                "chromium",
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--no-first-run",
                f"--user-data-dir={profile}",
                "--window-size=1280,900",
                "--remote-debugging-pipe",
                "about:blank",
            ],
            pass_fds=(_READS, _WRITES),
            preexec_fn=connect,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for fd in (*ends, commands[0], answers[1]):
            os.close(fd)
        self._commands, self._answers = commands[1], answers[0]
        self._unread, self._n_sent, self._session = b"", 0, ""
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._loaded = False
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(self, page: Path) -> None:
        """Load a page from disk, and forget what others asked for."""
        self.requests, self.complaints, self._loaded = [], [], False
        self._call("Page.navigate", url=page.as_uri())
        while not self._loaded:
            self._receive()

    def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression; a promise is awaited."""
        result = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + _TIMEOUT_S
        while not self.run(condition):
            assert time.monotonic() < end, f"never true: {condition}"
            time.sleep(0.01)

    def middle(self, element: str) -> tuple[float, float]:
        """Scroll an element, given as a JavaScript expression, into view; return where its middle is."""
        box = f"(() => {{ const e = {element}; e.scrollIntoView({{block: 'center', behavior: 'instant'}});"
        x, y = self.run(
            box + "const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2] })()"
        )
        return x, y

    def wheel(self, element: str, down: float) -> None:
        """Turn the wheel over the middle of an element."""
        x, y = self.middle(element)
        self._call("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=down)

    def swipe(self, element: str, down: float) -> None:
        """Move a finger from the middle of an element."""
        x, y = self.middle(element)
        for kind, step in (("touchStart", 0.0), ("touchMove", down / 2), ("touchMove", down)):
            self._call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y + step}])
        self._call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def spoken(self) -> set[tuple[str, str]]:
        """Return role and name of what a screen reader finds."""
        nodes = self._call("Accessibility.getFullAXTree")["nodes"]
        return {(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if "role" in node}

    def click(self, element: str) -> None:
        """Click with the mouse into the middle of an element, given as a JavaScript expression."""
        x, y = self.middle(element)
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        """Press a key on what has the focus."""
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def resize(self, width: int, height: int) -> None:
        """Give the page another size."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._call("Emulation.setDeviceMetricsOverride", **size)
        self._call("Emulation.setTouchEmulationEnabled", enabled=width < 600)

    def print(self) -> bytes:
        """Return the page as PDF, in the size that its style asks for."""
        data = self._call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)["data"]
        return base64.b64decode(data)

    def close(self) -> None:
        """End the browser."""
        self._process.terminate()
        self._process.wait(timeout=_TIMEOUT_S)
        os.close(self._commands)
        os.close(self._answers)

    def _call(self, method: str, **params: object) -> dict[str, Any]:
        self._n_sent += 1
        message = {"id": self._n_sent, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._n_sent:
                assert "error" not in answer, answer["error"]
                return dict(answer["result"])

    def _receive(self) -> dict[str, Any]:
        end = time.monotonic() + _TIMEOUT_S
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, end - time.monotonic()))
            part = os.read(self._answers, 2**20) if ready else b""
            assert part, "chromium doesn't answer"
            self._unread += part
        raw, self._unread = self._unread.split(b"\0", 1)
        message = json.loads(raw)
        self._note(message.get("method", ""), message.get("params", {}))
        return dict(message)

    def _note(self, event: str, params: dict[str, Any]) -> None:
        self._loaded |= event == "Page.loadEventFired"
        if event == "Network.requestWillBeSent" and not params["request"]["url"].startswith("data:"):
            self.requests.append(params["request"]["url"])
        if event in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
            self.complaints.append(json.dumps(params))


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser; the test skips where there is none."""
    if shutil.which("chromium") is None:
        pytest.skip("no chromium on this machine")
    made = Browser(tmp_path_factory.mktemp("profile"))
    yield made
    made.close()
