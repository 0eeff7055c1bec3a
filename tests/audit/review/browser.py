"""A driver of Chromium without other packages: the DevTools protocol over a pipe."""

import json
import os
import select
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None) if os.name == "posix" else None

OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe",
]  # fmt: skip

TIMEOUT = 60


class Browser:
    """One tab of a browser that keeps its data in `folder`."""

    def __init__(self, folder):
        (from_here, to_browser), (from_browser, to_here) = (_pipe(), _pipe())
        options = [*OPTIONS, f"--user-data-dir={folder}", "about:blank"]
        null = (os.devnull, os.O_RDWR, 0)
        self._process = os.posix_spawn(
            CHROMIUM,
            [CHROMIUM, *options],
            os.environ,
            file_actions=[
                *((os.POSIX_SPAWN_OPEN, stream, *null) for stream in range(3)),
                (os.POSIX_SPAWN_DUP2, from_here, 3),
                (os.POSIX_SPAWN_DUP2, to_here, 4),
            ],
            setpgroup=0,
        )
        os.close(from_here)
        os.close(to_here)
        self._write, self._read, self._buffer = to_browser, from_browser, b""
        self._n_sent, self._session = 0, None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self.send("Page.enable")

    def send(self, method, **params):
        """Send a command and return its result."""
        self._n_sent += 1
        message = {"id": self._n_sent, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        answer = self._wait_for(lambda found: found.get("id") == message["id"])
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, path, width=1400, height=900):
        """Open a page and wait until it is loaded."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.send("Emulation.setDeviceMetricsOverride", **size)
        self.send("Page.navigate", url=Path(path).as_uri())
        self._wait_for(lambda found: found.get("method") == "Page.loadEventFired")

    def run(self, code):
        """What a program returns that is run in the page; it may be asynchronous."""
        expression = f"(async () => {{ {code} }})()"
        options = {"awaitPromise": True, "returnByValue": True, "userGesture": True}
        answer = self.send("Runtime.evaluate", expression=expression, **options)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, *keys):
        """Press keys as a person does."""
        for key in keys:
            text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
            code = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowDown": 40}.get(key, ord(key[0]))
            event = {"key": key, "windowsVirtualKeyCode": code}
            kind = "keyDown" if text else "rawKeyDown"
            self.send("Input.dispatchKeyEvent", type=kind, **event, **text)
            self.send("Input.dispatchKeyEvent", type="keyUp", **event)

    def close(self):
        """End the browser and all of its processes."""
        os.close(self._write)
        os.close(self._read)
        with suppress(ProcessLookupError):
            os.killpg(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)

    def _wait_for(self, is_wanted):
        end = time.monotonic() + TIMEOUT
        while True:
            while b"\0" not in self._buffer:
                rest = end - time.monotonic()
                ready = select.select([self._read], [], [], max(rest, 0))[0]
                assert ready, "the browser does not answer"
                found = os.read(self._read, 1 << 20)
                assert found, "the browser has ended"
                self._buffer += found
            message, _, self._buffer = self._buffer.partition(b"\0")
            if is_wanted(found := json.loads(message)):
                return found


def _pipe():
    """Both ends of a pipe, whose numbers do not collide with those that the browser uses."""
    import fcntl

    ends = os.pipe()
    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return moved
