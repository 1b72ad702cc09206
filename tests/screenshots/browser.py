"""Headless Chromium over its DevTools pipe: open a page, wait for what it shows in real time, take a picture."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip


class Browser:
    """One page. Messages are JSON, each ended by a zero byte: file descriptor 3 to the browser, 4 from it."""

    def __init__(self) -> None:
        self._profile = tempfile.mkdtemp(prefix="kilonova-browser-")
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        chromium = shutil.which("chromium") or "chromium"
        command = [chromium, *FLAGS, f"--user-data-dir={self._profile}", "about:blank"]
        shell = ["/bin/sh", "-c", f'exec "$@" 3<&{to_browser} 4>&{from_browser}', "browser", *command]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(
            shell, pass_fds=(to_browser, from_browser), stdin=quiet, stdout=quiet, stderr=quiet
        )
        os.close(to_browser)
        os.close(from_browser)
        self._number, self._unread = 0, b""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(20)
        os.close(self._out)
        os.close(self._in)
        shutil.rmtree(self._profile, ignore_errors=True)

    def _call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        os.write(self._out, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                result: dict[str, Any] = answer["result"]
                return result

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            more = os.read(self._in, 1 << 20)
            if not more:
                raise RuntimeError("the browser ended")
            self._unread += more
        line, _, self._unread = self._unread.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def open(self, url: str, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", self._session, **metrics)
        self._call("Page.navigate", self._session, url=url)

    def run(self, script: str) -> Any:
        """Value of a JavaScript expression on the page; None while it throws."""
        done = self._call("Runtime.evaluate", self._session, expression=script, returnByValue=True)
        return done["result"].get("value")

    def wait(self, script: str, seconds: float = 30) -> None:
        """Until the expression is true; AssertionError with the page's text when it never is."""
        end = time.monotonic() + seconds
        while self.run(script) is not True:
            if time.monotonic() > end:
                raise AssertionError(f"never true: {script}\n{self.run('document.body.innerText')}")
            time.sleep(0.2)

    def settle(self, seconds: float = 1) -> None:
        """Let animations end, and what a guest draws arrive."""
        time.sleep(seconds)

    def picture(self, file: Path) -> None:
        shot = self._call("Page.captureScreenshot", self._session, format="png")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(shot["data"]))
