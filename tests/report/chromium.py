"""A real Chromium, steered as a person would: it opens pages, presses keys, and says what it complains about."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path

__all__ = ["BROWSER", "CONTRASTS", "Chromium"]

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--hide-scrollbars", "--remote-debugging-pipe"),
)
#: Text whose colour differs too little from what is behind it: the ratio of WCAG, and what is read.
CONTRASTS = """(() => {
  const parse = c => (c.match(/[0-9.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = c => { const [r, g, b] = c.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] === 1) return c; } return [255, 255, 255]; };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
    if (!text || !e.checkVisibility() || e.closest("script, style")) continue;
    const style = getComputedStyle(e), ink = e.closest("svg") ? style.fill : style.color;
    const [a, b] = [light(parse(ink)), light(behind(e))].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), text.slice(0, 40), e.closest("svg") !== null]);
  }
  return found; })()"""
#: Resolves when the page has loaded and no colour is changing. Nothing is returned: scripts of a page may add objects
#: to the event that cannot be sent.
LOADED = """new Promise(done => document.readyState === "complete" ? done() : addEventListener("load", () => done()))
  .then(() => Promise.allSettled(document.getAnimations().filter(e => e instanceof CSSTransition).map(e => e.finished)))
  .then(() => undefined)"""
#: Seconds that an answer may take on a busy machine.
PATIENCE = 90.0


class Chromium:
    """A headless browser with one page, spoken to in its own protocol through pipes.

    Attributes
    ----------
    complaints : list of str
        Everything that went to the console, and every error, since the page was opened.
    """

    def __init__(self, profile: Path) -> None:
        theirs, self._out = os.pipe()
        self._in, answers = os.pipe()
        self._rest, self._count, self.complaints = b"", 0, []

        def connect() -> None:
            # The browser reads commands from 3 and answers on 4; first out of the way, in case the pipes have these.
            reading, writing = os.dup(theirs), os.dup(answers)
            os.dup2(reading, 3)
            os.dup2(writing, 4)

        command = [BROWSER, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        silent = subprocess.DEVNULL
        self._process = subprocess.Popen(
            command, preexec_fn=connect, pass_fds=(3, 4), stdin=silent, stdout=silent, stderr=silent
        )
        os.close(theirs)
        os.close(answers)
        target = next(t for t in self._wait_for_targets() if t["type"] == "page")["targetId"]
        self._session = self._call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        os.close(self._out)
        os.close(self._in)

    def open(
        self, address: str, *, width: int = 1280, height: int = 900, dark: bool = False, still: bool = False
    ) -> None:
        """Open a page in a window of a size and a colour scheme, and wait until it is loaded and at rest.

        If ``still``, the page is told that its reader prefers no motion.
        """
        self.complaints = []
        self._call(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        motion = {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"}
        self._call("Emulation.setEmulatedMedia", {"features": [scheme, motion]})
        self._call("Page.navigate", {"url": address})
        self.run(LOADED)

    def run(self, script: str):
        """Return the value of an expression in the page; a promise is waited for."""
        arguments = {"expression": script, "returnByValue": True, "awaitPromise": True}
        answer = self._call("Runtime.evaluate", arguments)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press a key: Tab, Enter or Space."""
        code, text = {"Tab": (9, ""), "Enter": (13, "\r"), "Space": (32, " ")}[key]
        name = " " if key == "Space" else key
        event = {"key": name, "code": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        down = {"type": "keyDown" if text else "rawKeyDown", "text": text} if text else {"type": "rawKeyDown"}
        self._call("Input.dispatchKeyEvent", event | down)
        self._call("Input.dispatchKeyEvent", event | {"type": "keyUp"})

    def picture(self, file: Path) -> None:
        """Keep a picture of the whole page."""
        arguments = {"format": "png", "captureBeyondViewport": True}
        file.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", arguments)["data"]))

    def _wait_for_targets(self):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = self._call("Target.getTargets")["targetInfos"]
            if any(target["type"] == "page" for target in found):
                return found
            time.sleep(0.05)
        raise TimeoutError("the browser shows no page")

    def _call(self, method: str, arguments: dict | None = None):
        self._count += 1
        message = {"id": self._count, "method": method, "params": arguments or {}}
        if hasattr(self, "_session"):
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]
            self._listen(answer)

    def _listen(self, event: dict) -> None:
        method, said = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(said["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(" ".join(str(part.get("value")) for part in said["args"]))
        elif method == "Log.entryAdded":
            self.complaints.append(f"{said['entry']['text']} {said['entry'].get('url', '')}")

    def _next(self) -> dict:
        end = time.monotonic() + PATIENCE
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], max(0.0, end - time.monotonic()))
            data = os.read(self._in, 1 << 20) if ready else b""
            if not data:
                raise TimeoutError("the browser does not answer")
            self._rest += data
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)
