"""Firefox as Debian ships it, driven by its own protocol.

Marionette (firefox-source-docs.mozilla.org/testing/marionette/Protocol.html) takes WebDriver commands as JSON through a
socket. Playwright drives only a Firefox that it has downloaded itself, and geckodriver is no package of Debian's.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

PREFERENCES = {
    "app.normandy.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "marionette.port": 0,  # any that is free, written into the profile
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "webgl.force-enabled": True,
}
PATIENCE = 60  # seconds, on a busy machine


class Firefox:
    """A window of Firefox.

    Parameters
    ----------
    program : str
    profile : Path
        An empty folder.
    """

    def __init__(self, program: str, profile: Path) -> None:
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items()]
        (profile / "user.js").write_text("".join(lines))
        command = [program, "--headless", "--marionette", "--no-remote", "--profile", str(profile)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.socket = socket.create_connection(("127.0.0.1", self._port(profile / "MarionetteActivePort")), PATIENCE)
        self.stream = self.socket.makefile("rwb")
        self.count = 0
        self._receive()  # its greeting
        self.send("WebDriver:NewSession", capabilities={"alwaysMatch": {}})

    def _port(self, file: Path) -> int:
        until = time.monotonic() + PATIENCE
        while not (file.exists() and file.read_text()):
            assert time.monotonic() < until, "Firefox has not started"
            time.sleep(0.05)
        return int(file.read_text())

    def _receive(self) -> Any:
        length = b""
        while (digit := self.stream.read(1)) != b":":
            length += digit
        return json.loads(self.stream.read(int(length)))

    def send(self, command: str, **parameters: Any) -> Any:
        """Send a command of WebDriver, and return its result."""
        self.count += 1
        message = json.dumps([0, self.count, command, parameters]).encode()
        self.stream.write(b"%d:%s" % (len(message), message))
        self.stream.flush()
        _, _, error, result = self._receive()
        assert not error, (command, error)
        return result["value"] if isinstance(result, dict) and set(result) == {"value"} else result

    def run(self, script: str, *, later: bool = False) -> Any:
        """Run the body of a function in the page; if `later`, its result is what it gives to its argument."""
        command = "WebDriver:ExecuteAsyncScript" if later else "WebDriver:ExecuteScript"
        return self.send(command, script=script, args=[], sandbox=None, scriptTimeout=1000 * PATIENCE)

    def elements(self, selector: str) -> list[str]:
        found = self.send("WebDriver:FindElements", using="css selector", value=selector)
        return [next(iter(element.values())) for element in found]

    def close(self) -> None:
        self.send("Marionette:Quit", flags=["eForceQuit"])
        self.stream.close()
        self.socket.close()
        self.process.wait(PATIENCE)
