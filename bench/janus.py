"""Janus as a peer: started on loopback with one plugin and nothing else, and spoken to over HTTP."""

from __future__ import annotations

import itertools
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.host import ProcessTree, running_on

FOLDERS = tuple(
    Path(root) / "janus" for root in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib")
)
START_SECONDS = 15.0


class JanusError(Exception):
    """Janus did not start, or answered something else than it should."""


def _folder(plugin: str) -> Path | None:
    return next((f for f in FOLDERS if (f / "plugins" / f"libjanus_{plugin}.so").exists()), None)


def missing(plugin: str) -> str:
    """What keeps Janus from running here and how to get it; empty where nothing does."""
    if shutil.which("janus") is None or _folder(plugin) is None:
        return f"Janus with its {plugin} is not installed: apt install janus"
    return ""


def version() -> str:
    """Janus' version."""
    told = subprocess.run(["janus", "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    return next(
        (word for line in told.splitlines() if "version" in line.lower() for word in line.split()[-1:]), ""
    ).strip("()")


class Janus:
    """A running server and its HTTP interface."""

    def __init__(self, port: int, process: subprocess.Popen[bytes], plugin: str) -> None:
        self.process = process
        self.tree = ProcessTree(process.pid)
        self._plugin = f"janus.plugin.{plugin}"
        self._url = f"http://127.0.0.1:{port}/janus"
        self._numbers = itertools.count(1)
        self._session = 0

    def number(self) -> int:
        """Another number each time, for rooms."""
        return next(self._numbers)

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        data = json.dumps(body | {"transaction": str(next(self._numbers))}).encode()
        request = urllib.request.Request(self._url + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            told: dict[str, Any] = json.load(answer)
        if told.get("janus") == "error":
            raise JanusError(f"{body}: {told}")
        return told

    def connect(self) -> None:
        """Wait until it answers, and open a session."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self._session = self._post("", {"janus": "create"})["data"]["id"]
            except (urllib.error.URLError, ConnectionError) as failure:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise JanusError(f"Janus did not start: {failure}") from failure
                time.sleep(0.1)
            else:
                return

    def attach(self) -> int:
        """A new handle of the plugin."""
        body = {"janus": "attach", "plugin": self._plugin}
        return int(self._post(f"/{self._session}", body)["data"]["id"])

    def message(self, handle: int, body: dict[str, Any], jsep: dict[str, str] | None = None) -> dict[str, Any]:
        """Ask the plugin something; many answers come as events only."""
        asked: dict[str, Any] = {"janus": "message", "body": body}
        if jsep is not None:
            asked["jsep"] = jsep
        return self._post(f"/{self._session}/{handle}", asked)

    def detach(self, handle: int) -> None:
        """End a handle."""
        self._post(f"/{self._session}/{handle}", {"janus": "detach"})

    def event(self) -> dict[str, Any]:
        """The next event of any handle, ``sender`` in it."""
        with urllib.request.urlopen(f"{self._url}/{self._session}?maxev=1", timeout=60) as answer:
            told: dict[str, Any] = json.load(answer)
        return told


@contextmanager
def started(core: int, plugin: str, *, event_loops: int = 0) -> Iterator[Janus]:
    """Janus on loopback with nothing but one plugin, pinned to a core.

    Args:
        core: Where it runs.
        plugin: Such as ``audiobridge``.
        event_loops: Threads that serve all WebRTC peers; 0 is Janus' default, a thread for each of them.

    Raises:
        JanusError: It did not start.
    """
    library = _folder(plugin)
    if library is None:
        raise JanusError(missing(plugin))
    with TemporaryDirectory(prefix="antiphon-bench-") as name:
        folder = Path(name)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        _configure(folder, library, plugin, port, event_loops)
        log = folder.joinpath("log").open("wb")
        with log, running_on(core):
            process = subprocess.Popen(["janus", "-F", name], stdout=log, stderr=log)
        try:
            janus = Janus(port, process, plugin)
            janus.connect()
            yield janus
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _configure(folder: Path, library: Path, plugin: str, port: int, event_loops: int) -> None:
    for kind, file in (("plugins", f"libjanus_{plugin}.so"), ("transports", "libjanus_http.so")):
        folder.joinpath(kind).mkdir()
        folder.joinpath(kind, file).symlink_to(library / kind / file)
    folder.joinpath("none").mkdir()
    lines = [f'{kind}_folder = "{folder / path}"' for kind, path in _PLACES.items()]
    lines += ["debug_level = 2", "session_timeout = 0"]
    if event_loops:
        lines.append(f"event_loops = {event_loops}")
    write = {
        "janus.jcfg": "general: {\n" + "\n".join(lines) + '\n}\nnat: {\nice_enforce_list = "lo"\n}\n',
        "janus.transport.http.jcfg": f'general: {{\nhttp = true\nport = {port}\nip = "127.0.0.1"\nhttps = false\n}}\n',
        f"janus.plugin.{plugin}.jcfg": 'general: {\nlocal_ip = "127.0.0.1"\n}\n',
    }
    for name, text in write.items():
        folder.joinpath(name).write_text(text)


_PLACES = {"configs": ".", "plugins": "plugins", "transports": "transports", "events": "none", "loggers": "none"}
